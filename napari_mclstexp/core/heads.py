"""From what the image encoder sees to expression: the four heads over one encoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_mclstexp.core.context import DESCRIBED
from napari_mclstexp.core.nearest import lengths
from napari_mclstexp.core.retrieval import gather, match
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mclstexp.core.context import Seen
from napari_mclstexp.core.retrieval import Matches, Weighting

Head = Literal["retrieval", "retrieval-softmax", "ridge", "mean"]
HEADS: tuple[Head, ...] = ("retrieval", "retrieval-softmax", "ridge", "mean")
"""``retrieval``: the paper's, weighted as the bundle says; ``retrieval-softmax``: weighted by the softmax of
the cosine; ``ridge``: a linear map of image features and appearance; ``mean``: of retrieval and ridge."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Reference spots, and how they are retrieved.

    Attributes
    ----------
    embeddings : numpy.ndarray
        (M, 256) float32.
    values : numpy.ndarray
        (M, G) float32 expression that a match contributes.
    k : int
        Matches a query.
    weighting : {"inverse-square", "softmax"}
        See :func:`.retrieval.match`.
    temperature : float
        Of the softmax.
    """

    embeddings: NDArray[np.float32]
    values: NDArray[np.float32]
    k: int
    weighting: Weighting
    temperature: float

    @cached_property
    def lengths(self) -> NDArray[np.float64]:
        """(M,) float64 lengths of the embeddings."""
        return lengths(self.embeddings)


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A linear map of what describes a query to expression.

    Attributes
    ----------
    weight : numpy.ndarray
        (G, DESCRIBED) float32.
    bias : numpy.ndarray
        (G,) float32.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def predict(self, described: NDArray[np.float32]) -> NDArray[np.float32]:
        """Expression (N, G) float32 of described queries (N, DESCRIBED)."""
        return described @ self.weight.T + self.bias

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
        fits = ridge.weight.shape == (genes, DESCRIBED) and ridge.bias.shape == (genes,)
        if not fits or not all(np.isfinite(part).all() for part in (ridge.weight, ridge.bias)):
            msg = "The bundle's ridge head has the wrong shape, or numbers that are not finite."
            raise BundleError(msg)
        return ridge


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


def predict_by(
    head: Head,
    seen: Seen,
    bank: Bank,
    ridge: Ridge | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], Matches]:
    """Expression of queries by a head that was checked.

    Parameters
    ----------
    head : str
        One of `HEADS`.
    seen : Seen
        N queries.
    bank : Bank
        What they are matched with.
    ridge : Ridge or None
        The bundle's.

    Returns
    -------
    expression : numpy.ndarray
        (N, G) float32, never below 0.
    spread : numpy.ndarray
        (N,) float32; see :func:`.retrieval.gather`.
    matches : Matches
        The reference spots that were retrieved, whatever the head.
    """
    weighting = "softmax" if head == "retrieval-softmax" else bank.weighting
    matches = match(
        seen.embeddings,
        bank.embeddings,
        bank.k,
        weighting=weighting,
        temperature=bank.temperature,
        bank_lengths=bank.lengths,
    )
    mean, spread = gather(matches, bank.values)
    if ridge is not None and head in ("ridge", "mean"):
        linear = ridge.predict(seen.described)
        mean = linear if head == "ridge" else ((mean + linear) / 2).astype(np.float32)
    return np.maximum(mean, 0.0), spread, matches
