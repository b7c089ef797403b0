"""What stands beside each predicted spot: how far to believe it.

None of these is a calibrated confidence: they describe the matches, not the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.retrieval import Matches

SHOWN = 16
"""Matches of each spot that a result keeps, the heaviest first."""


@dataclass(frozen=True, slots=True, eq=False)
class SpotTrust:
    """What a result tells of each spot beside similarity, spread and effective k.

    Attributes
    ----------
    patients : numpy.ndarray
        (N,) int32 number of patients among the matches.
    percentile : numpy.ndarray or None
        (N,) float32 percentile of the similarity among those of held-out spots; None without an evaluation.
    unlike : numpy.ndarray or None
        (N,) bool whether the tissue is unlike the reference; None where the bundle cannot tell.
    rows : numpy.ndarray
        (N, K) int32 rows of the reference bank: the K heaviest matches, the heaviest first.
    weights : numpy.ndarray
        (N, K) float32 their weights; those of all matches sum to 1.
    """

    patients: NDArray[np.int32]
    percentile: NDArray[np.float32] | None
    unlike: NDArray[np.bool_] | None
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]


def similarity(matches: Matches) -> NDArray[np.float32]:
    """Weighted mean cosine of the matches, (N,) float32 in [-1, 1]."""
    return (matches.weights * matches.cosine).sum(axis=1).astype(np.float32)


def effective_k(matches: Matches) -> NDArray[np.float32]:
    """Number of matches that carry the weight, 1 / sum(w^2): (N,) float32 from 1 to k."""
    return (1.0 / np.square(matches.weights).sum(axis=1)).astype(np.float32)


def patients_among(matches: Matches, patient: NDArray[np.str_]) -> NDArray[np.int32]:
    """Number of patients that the matches come from: (N,) int32, of the bank's `patient` (M,) str."""
    names, codes = np.unique(patient, return_inverse=True)
    seen = np.zeros((len(matches.indices), len(names)), dtype=bool)
    np.put_along_axis(seen, codes[matches.indices], values=True, axis=1)
    return seen.sum(axis=1, dtype=np.int32)


def heaviest(matches: Matches, count: int = SHOWN) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows (N, count) int32 and weights (N, count) float32 of the heaviest matches; fewer where k is less."""
    order = np.argsort(-matches.weights, axis=1, kind="stable")[:, :count]
    rows = np.take_along_axis(matches.indices, order, axis=1).astype(np.int32)
    return rows, np.take_along_axis(matches.weights, order, axis=1).astype(np.float32)
