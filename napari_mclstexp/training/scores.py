"""How a prediction and a measurement agree, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy import sparse

REPLICATES = 500
BLOCK_SPOTS = 12
"""Spots that a spatial block holds, about."""
PATIENTS_FOR_BOOTSTRAP = 5
"""With fewer, patients cannot be resampled; spatial blocks within the sections are."""


def pearson(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each column of two (N, G) arrays; 0 where one is constant."""
    a = predicted.astype(np.float64) - predicted.mean(axis=0, dtype=np.float64)
    b = measured.astype(np.float64) - measured.mean(axis=0, dtype=np.float64)
    norm = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.divide((a * b).sum(axis=0), norm, out=np.zeros(norm.shape), where=norm > 1e-12)


def morans_i(values: NDArray[np.floating], near: sparse.csr_matrix) -> NDArray[np.float64]:
    """Moran's I of each column.

    Parameters
    ----------
    values : numpy.ndarray
        (N, G).
    near : scipy.sparse.csr_matrix
        (N, N) weights, no spot its own neighbour.

    Returns
    -------
    numpy.ndarray
        (G,); 0 where a column is constant.
    """
    x = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    total = (x * x).sum(axis=0)
    joint = (x * (near @ x)).sum(axis=0)
    ratio = np.divide(joint, total, out=np.zeros(len(total)), where=total > 1e-12)
    return ratio * len(x) / near.sum()


def spatial_blocks(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Block of each spot of a section, (N,) int64 from 0: columns of about equal count, cut across.

    Parameters
    ----------
    positions : numpy.ndarray
        (N, 2) x, y.
    """
    side = int(np.clip(round(np.sqrt(len(positions) / BLOCK_SPOTS)), 1, 12))
    blocks = np.empty(len(positions), dtype=np.int64)
    for column, members in enumerate(np.array_split(np.argsort(positions[:, 0], kind="stable"), side)):
        order = members[np.argsort(positions[members, 1], kind="stable")]
        for row, part in enumerate(np.array_split(order, side)):
            blocks[part] = column * side + row
    return blocks


@dataclass(frozen=True, slots=True, eq=False)
class BlockSums:
    """What a correlation is made of, summed in each spatial block of a section.

    Attributes
    ----------
    count : numpy.ndarray
        (B,) spots.
    sums : numpy.ndarray
        (5, B, G): predicted, measured, their squares, their product; both less their section's mean.
    """

    count: NDArray[np.float64]
    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls, predicted: NDArray[np.floating], measured: NDArray[np.floating], blocks: NDArray[np.int64]
    ) -> BlockSums:
        """Sums of two (N, G) arrays in the blocks (N,) of their spots."""
        a = predicted.astype(np.float64) - predicted.mean(axis=0, dtype=np.float64)
        b = measured.astype(np.float64) - measured.mean(axis=0, dtype=np.float64)
        member = (blocks[:, None] == np.arange(blocks.max() + 1)).astype(np.float64)  # (N, B)
        return cls(member.sum(axis=0), np.stack([member.T @ part for part in (a, b, a * a, b * b, a * b)]))

    def take(self, genes: NDArray[np.intp]) -> BlockSums:
        """Of some genes."""
        return BlockSums(self.count, self.sums[:, :, genes])

    def resampled(self, rng: np.random.Generator, replicates: int) -> NDArray[np.float64]:
        """Correlations (replicates, G) where the blocks are drawn with replacement."""
        blocks = len(self.count)
        times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=replicates).astype(np.float64)
        n = (times @ self.count)[:, None]
        a, b, aa, bb, ab = (times @ part for part in self.sums)  # each (replicates, G)
        joint = ab - a * b / n
        norm = np.sqrt(np.maximum(aa - a * a / n, 0) * np.maximum(bb - b * b / n, 0))
        return np.divide(joint, norm, out=np.zeros(norm.shape), where=norm > 1e-9)


def replicate_correlations(
    sections: Sequence[BlockSums],
    patients: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
    *,
    panel_mean: bool = False,
) -> NDArray[np.float64]:
    """Mean correlation over sections under resampling.

    Parameters
    ----------
    sections : sequence of BlockSums
        One a section.
    patients : sequence of str
        Patient of each. With `PATIENTS_FOR_BOOTSTRAP` or more, patients are resampled; else the spatial
        blocks within each section.
    seed : int
        Same seed, same draws: those of two methods on the same spots can be compared one by one.
    replicates : int
        How many.
    panel_mean : bool
        Average over the genes of each section, which then need not be the same ones.

    Returns
    -------
    numpy.ndarray
        (replicates, G); (replicates,) with `panel_mean`.
    """

    def settle(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values.mean(axis=-1) if panel_mean else values

    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(patients))
    if len(names) < PATIENTS_FOR_BOOTSTRAP:
        drawn: NDArray[np.float64] = np.mean([settle(s.resampled(rng, replicates)) for s in sections], axis=0)
        return drawn
    whole = np.stack([settle(whole_correlation(s)) for s in sections])  # (S, G) or (S,)
    by_patient = np.stack([whole[[p == name for p in patients]].sum(axis=0) for name in names])
    count = np.array([sum(p == name for p in patients) for name in names], dtype=np.float64)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    total = times @ count
    return (times @ by_patient) / (total if panel_mean else total[:, None])


def whole_correlation(section: BlockSums) -> NDArray[np.float64]:
    """Correlation (G,) over all spots of a section; 0 where one side is constant."""
    _, _, aa, bb, ab = section.sums.sum(axis=1)
    norm = np.sqrt(aa * bb)
    return np.divide(ab, norm, out=np.zeros(norm.shape), where=norm > 1e-12)


def resampled_over(patients: Sequence[str]) -> str:
    """Over what :func:`replicate_correlations` resamples, in words."""
    if len(set(patients)) >= PATIENTS_FOR_BOOTSTRAP:
        return "patients"
    return f"spatial blocks within sections (fewer than {PATIENTS_FOR_BOOTSTRAP} patients)"


def interval(replicates: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval over the first axis."""
    low, high = np.quantile(replicates, (0.025, 0.975), axis=0)
    return low, high


def covering_width(residuals: NDArray[np.floating], share: float) -> NDArray[np.float64]:
    """Half width of the interval that covers a share of new values: split-conformal.

    Parameters
    ----------
    residuals : numpy.ndarray
        (N, G) absolute errors on spots that were held out.
    share : float
        To be covered.

    Returns
    -------
    numpy.ndarray
        (G,) the ceil((N + 1) * share)-th smallest residual.
    """
    count = len(residuals)
    rank = min(count, int(np.ceil((count + 1) * share))) - 1
    return np.partition(residuals, rank, axis=0)[rank].astype(np.float64)
