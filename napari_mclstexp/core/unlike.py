"""Tissue that the reference does not know: far, in its colours and textures, from every reference patch.

It looks at :mod:`.appearance` alone and not at the network's features, which were fitted to the reference
and are nearer to it than those of any new slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KNOWN_SHARE = 0.99
"""Share of the patches of sections that were left out which count as known."""


@dataclass(frozen=True, slots=True, eq=False)
class Unlike:
    """Mahalanobis distance from the reference patches, and from where on it is too far.

    Attributes
    ----------
    centre : numpy.ndarray
        (APPEARANCE,) float64 mean of the reference.
    precision : numpy.ndarray
        (APPEARANCE, APPEARANCE) float64 inverse covariance, shrunk after Ledoit and Wolf (2004).
    limit : float
        Distance beyond which tissue is unlike the reference.
    """

    centre: NDArray[np.float64]
    precision: NDArray[np.float64]
    limit: float

    def distance(self, looks: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distance (N,) of patches by their appearance (N, APPEARANCE)."""
        away = looks.astype(np.float64) - self.centre
        return np.sqrt(np.maximum(((away @ self.precision) * away).sum(axis=1), 0.0))

    def unlike(self, looks: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which patches (N,) are unlike the reference."""
        return self.distance(looks) > self.limit

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """As a bundle stores it."""
        return {"centre": self.centre, "precision": self.precision, "limit": np.array([self.limit])}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, NDArray[np.floating]]) -> Unlike:
        """Of what a bundle stores.

        Raises
        ------
        BundleError
            A part is missing, of the wrong shape, or not finite.
        """
        try:
            centre, precision, limit = (
                stored[n].astype(np.float64) for n in ("centre", "precision", "limit")
            )
        except KeyError as error:
            msg = f"What the bundle knows of its tissue lacks its {error.args[0]}. Get a fresh copy of it."
            raise BundleError(msg) from error
        shapes = (centre.shape, precision.shape, limit.shape)
        right = shapes == ((APPEARANCE,), (APPEARANCE, APPEARANCE), (1,))
        if not right or not all(np.isfinite(part).all() for part in (centre, precision, limit)):
            msg = "What the bundle knows of its tissue has the wrong shape, or numbers that are not finite."
            raise BundleError(msg)
        return cls(centre, precision, float(limit[0]))


def fit_unlike(looks: NDArray[np.floating], section: NDArray[np.str_]) -> Unlike:
    """Learn what the reference looks like.

    Parameters
    ----------
    looks : numpy.ndarray
        (M, APPEARANCE) of the reference patches.
    section : numpy.ndarray
        (M,) section of each. The limit is set by leaving out one section after the other; of one alone, by
        leaving out its halves.

    Returns
    -------
    Unlike
        Its limit takes in `KNOWN_SHARE` of the patches that were left out.
    """
    groups = section
    if len(np.unique(section)) == 1:
        groups = np.where(np.arange(len(section)) < len(section) // 2, "first", "second")
    away = []
    for name in np.unique(groups):
        out = groups == name
        centre, precision = _spread(looks[~out])
        away.append(Unlike(centre, precision, 0.0).distance(looks[out]))
    return Unlike(*_spread(looks), float(np.quantile(np.concatenate(away), KNOWN_SHARE)))


def _spread(looks: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and shrunk inverse covariance, each measure in its own unit of spread."""
    from sklearn.covariance import ledoit_wolf

    values = looks.astype(np.float64)
    centre, unit = values.mean(axis=0), values.std(axis=0) + 1e-6
    covariance, _ = ledoit_wolf((values - centre) / unit, assume_centered=True)
    return centre, np.linalg.pinv(covariance, hermitian=True) / np.outer(unit, unit)
