"""From what the image encoder sees to expression: the four heads over one encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_mclstexp.core.model import IMAGE_FEATURES
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mclstexp.core.retrieval import Weighting

Head = Literal["retrieval", "retrieval-softmax", "ridge", "mean"]
HEADS: tuple[Head, ...] = ("retrieval", "retrieval-softmax", "ridge", "mean")
"""``retrieval``: the paper's, weighted as the bundle says; ``retrieval-softmax``: weighted by the softmax of
the cosine; ``ridge``: a linear map of the image features; ``mean``: of ``retrieval`` and ``ridge``."""


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A linear map of image features to expression.

    Attributes
    ----------
    weight : numpy.ndarray
        (G, 1024) float32.
    bias : numpy.ndarray
        (G,) float32.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Expression (N, G) float32 of image features (N, 1024); never below 0."""
        return np.maximum(features.astype(np.float32) @ self.weight.T + self.bias, 0.0)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """As a bundle stores it."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, NDArray[np.floating]], genes: int) -> Ridge:
        """Of what a bundle stores.

        Raises
        ------
        BundleError
            A part is missing, of the wrong shape, or not finite.
        """
        try:
            ridge = cls(stored["weight"].astype(np.float32), stored["bias"].astype(np.float32))
        except KeyError as error:
            msg = f"The bundle's ridge head lacks its {error.args[0]}. Get a fresh copy of the bundle."
            raise BundleError(msg) from error
        fits = ridge.weight.shape == (genes, IMAGE_FEATURES) and ridge.bias.shape == (genes,)
        if not fits or not all(np.isfinite(part).all() for part in (ridge.weight, ridge.bias)):
            msg = "The bundle's ridge head has the wrong shape, or numbers that are not finite."
            raise BundleError(msg)
        return ridge


def head_weighting(head: Head, own: Weighting) -> Weighting:
    """How a head weighs the matches: by softmax where its name says so, else as the bundle says."""
    return "softmax" if head == "retrieval-softmax" else own


def check_head(head: str, ridge: Ridge | None) -> Head:
    """Refuse a head that is none, or that needs a ridge regression which is not there.

    Raises
    ------
    BundleError
        With what can be chosen.
    """
    known = HEADS if ridge is not None else HEADS[:2]
    for name in known:
        if name == head:
            return name
    lacking = "The bundle has no ridge regression for" if head in HEADS else "There is no"
    msg = f"{lacking} head {head!r}. Choose {', '.join(known[:-1])} or {known[-1]}."
    raise BundleError(msg)


def combine(
    head: Head, retrieved: NDArray[np.float32], features: NDArray[np.floating], ridge: Ridge | None
) -> NDArray[np.float32]:
    """Expression by a head that was checked, (N, G) float32.

    Parameters
    ----------
    head : str
        One of `HEADS`.
    retrieved : numpy.ndarray
        (N, G) weighted mean of the matched spots.
    features : numpy.ndarray
        (N, 1024) image features.
    ridge : Ridge or None
        The bundle's.
    """
    if ridge is None or head in ("retrieval", "retrieval-softmax"):
        return retrieved
    linear = ridge.predict(features)
    return linear if head == "ridge" else ((retrieved + linear) / 2).astype(np.float32)
