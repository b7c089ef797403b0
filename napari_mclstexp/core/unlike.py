"""Tissue that the reference does not know: far, in its colours or textures, from every reference patch.

It looks at :mod:`.appearance` alone and not at the network's features, which were fitted to the reference
and are nearer to it than those of any new slide. Two Mahalanobis distances are taken, the worse one counts:
that of the colours, and that of the texture given the colours. In one distance over both, the 22 measures of
colour would outvote the 8 of texture, and a patch out of focus would pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_mclstexp.core.appearance import APPEARANCE, COLOURS
from napari_mclstexp.errors import BundleError, SectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KNOWN_SHARE = 0.99
"""Share of the patches of a section that was left out which count as known."""

LEAST_LEFT = 8
"""So many patches must be left when a section is left out; where fewer would be, halves are left out."""

FINEST = 1e-3
"""Spread below which a measure is taken for constant: a quarter of a grey level."""


@dataclass(frozen=True, slots=True, eq=False)
class Unlike:
    """Distance from the reference patches, in units of the farthest that counts as known.

    Attributes
    ----------
    centre : numpy.ndarray
        (APPEARANCE,) float64 mean of the reference.
    whitening : numpy.ndarray
        (APPEARANCE, APPEARANCE) float64: rows that take a difference from the centre to independent measures.
        The first `COLOURS` look at colours alone, the others at texture given the colours; each of the two
        parts is in units of its own limit.
    """

    centre: NDArray[np.float64]
    whitening: NDArray[np.float64]

    limit: ClassVar[float] = 1.0
    """Distance beyond which tissue is unlike the reference."""

    def distance(self, looks: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distance (N,) float64 of patches by their appearance (N, APPEARANCE)."""
        return _parts(self.centre, self.whitening, looks).max(axis=1)

    def unlike(self, looks: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which patches (N,) are unlike the reference."""
        return self.distance(looks) > self.limit

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """As a bundle stores it."""
        return {"centre": self.centre, "whitening": self.whitening}

    @classmethod
    def from_tensors(cls, stored: Mapping[str, NDArray[np.floating]]) -> Unlike:
        """Of what a bundle stores.

        Raises
        ------
        BundleError
            A part is missing, of the wrong shape, or not finite.
        """
        try:
            centre, whitening = (stored[name].astype(np.float64) for name in ("centre", "whitening"))
        except KeyError as error:
            msg = f"What the bundle knows of its tissue lacks its {error.args[0]}. Get a fresh copy of it."
            raise BundleError(msg) from error
        right = (centre.shape, whitening.shape) == ((APPEARANCE,), (APPEARANCE, APPEARANCE))
        if not right or not (np.isfinite(centre).all() and np.isfinite(whitening).all()):
            msg = (
                "What the bundle knows of its tissue has the wrong shape, or numbers that are not finite. "
                "Get a fresh copy of it."
            )
            raise BundleError(msg)
        return cls(centre, whitening)


def fit_unlike(looks: NDArray[np.floating], section: NDArray[np.str_]) -> Unlike:
    """Learn what the reference looks like, and how far from it a section of its kind may be.

    The limits take in `KNOWN_SHARE` of the patches of a section that was left out; of several sections, the
    median counts, so that one of another patient or stain does not blunt the rest. Of one section alone, or
    where leaving one out leaves too few, the first and the second half of the spots are left out.

    Parameters
    ----------
    looks : numpy.ndarray
        (M, APPEARANCE) of the reference patches.
    section : numpy.ndarray
        (M,) section of each.

    Returns
    -------
    Unlike
        Of few patches a dull one: their covariance is shrunk the more, and the limits are wide.

    Raises
    ------
    SectionError
        There are fewer than four patches.
    """
    if len(looks) < 4:
        msg = f"{len(looks)} patches do not tell what a reference looks like. Give sections with more spots."
        raise SectionError(msg)
    groups = section
    if len(section) - np.unique(section, return_counts=True)[1].max() < LEAST_LEFT:
        groups = np.where(np.arange(len(section)) < len(section) // 2, "first", "second")
    left_out = [_parts(*_whiten(looks[groups != g]), looks[groups == g]) for g in np.unique(groups)]
    each = np.median([np.quantile(away, KNOWN_SHARE, axis=0) for away in left_out], axis=0)
    each = np.maximum(each, 1.0)  # (2,); patches that are all the same lie no distance apart
    both = max(np.median([np.quantile((away / each).max(axis=1), KNOWN_SHARE) for away in left_out]), 1.0)
    centre, whitening = _whiten(looks)
    limits = np.repeat(each * both, (COLOURS, APPEARANCE - COLOURS))
    return Unlike(centre, whitening / limits[:, None])


def _whiten(looks: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre, and the inverse Cholesky factor of the covariance, shrunk after Ledoit and Wolf (2004).

    The factor is triangular: its first rows whiten the colours without a look at the texture, the others
    whiten what of the texture the colours do not foretell.
    """
    from sklearn.covariance import ledoit_wolf

    values = looks.astype(np.float64)
    centre, unit = values.mean(axis=0), np.maximum(values.std(axis=0), FINEST)
    covariance, _ = ledoit_wolf((values - centre) / unit, assume_centered=True)
    factor = np.linalg.cholesky(covariance + 1e-6 * np.eye(APPEARANCE))
    return centre, np.linalg.inv(factor) / unit


def _parts(
    centre: NDArray[np.float64], whitening: NDArray[np.float64], looks: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Distances (N, 2) of the colours, and of the texture given the colours."""
    white = np.square((looks.astype(np.float64) - centre) @ whitening.T)
    return np.sqrt(np.column_stack((white[:, :COLOURS].sum(axis=1), white[:, COLOURS:].sum(axis=1))))
