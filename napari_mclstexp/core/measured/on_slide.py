"""A measured section laid on a slide, and how well a prediction agrees with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.reach import pitch_px
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy import sparse

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale

MIN_PAIRS = 3
"""A correlation of fewer spots says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Measured expression of spots on one slide.

    Attributes
    ----------
    grid : SpotGrid
        The N spots, in pixels of the slide.
    genes : tuple of str
        G gene symbols.
    expression : scipy.sparse.csc_matrix
        (N, G) float32, in `unit`.
    rich : numpy.ndarray
        (N,) bool: spots to be shown and scored, those with enough counts.
    note : str
        What was left out for its few counts, empty where nothing was.
    unit : str
        What the values are.
    scale : Scale or None
        um per px of the slide by the distance of the spots, where that is known.
    top_gene : str
        The gene whose values vary most over the spots.
    path : pathlib.Path
        What it was read from.
    """

    grid: SpotGrid
    genes: tuple[str, ...]
    expression: sparse.csc_matrix
    rich: NDArray[np.bool_]
    note: str
    unit: str
    scale: Scale | None
    top_gene: str
    path: Path

    def gene_values(self, gene: str) -> NDArray[np.float32]:
        """Measured values of one gene, (N,) float32, NaN for spots with too few counts.

        Raises
        ------
        GeneError
            This gene was not measured.
        """
        if gene not in self.genes:
            msg = f"The gene {gene!r} was not measured in this section; {len(self.genes):,} others were."
            raise GeneError(msg)
        values: NDArray[np.float32] = self.expression[:, [self.genes.index(gene)]].toarray().ravel()
        return np.where(self.rich, values, np.float32(np.nan))

    def grid_at(self, scale: Scale | None) -> SpotGrid:
        """Spots with their distance in um at a scale: where to predict, to compare."""
        mean = math.nan if scale is None else scale.mean
        return replace(self.grid, pitch_um=self.grid.pitch_px[0] * mean)


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """Which spots of a measurement and of a prediction are compared.

    Attributes
    ----------
    measured, predicted : numpy.ndarray
        (P,) int64 rows, of one each.
    same : bool
        Whether the prediction was made at the measured spots themselves.
    """

    measured: NDArray[np.int64]
    predicted: NDArray[np.int64]
    same: bool

    def pcc(self, measured: Measured, result: Result, gene: str) -> float:
        """Pearson correlation of one gene over the pairs; NaN for a gene that one of both lacks, that does
        not vary, or for fewer than three pairs.
        """
        if len(self.measured) < MIN_PAIRS or gene not in measured.genes or gene not in result.genes:
            return math.nan
        a = measured.gene_values(gene)[self.measured].astype(np.float64)
        b = result.gene_values(gene)[self.predicted].astype(np.float64)
        a, b = a - a.mean(), b - b.mean()
        norm = math.sqrt(float((a @ a) * (b @ b)))
        return float(a @ b) / norm if norm > 0 else math.nan


def pair_spots(measured: Measured, result: Result) -> Pairing:
    """Pair each measured spot that has enough counts with the predicted one nearest to it, no farther than
    half the distance between predicted spots.
    """
    rich = np.flatnonzero(measured.rich)
    reach = max(pitch_px(result.grid)) / 2
    from scipy.spatial import cKDTree  # takes long to load, which the window does not spend at its start

    tree = cKDTree(result.grid.centres_px)
    distance, nearest = tree.query(measured.grid.centres_px[rich], distance_upper_bound=reach)
    near = np.isfinite(distance)
    same = bool(near.all() and (distance[near] < 1e-6).all())
    return Pairing(rich[near], nearest[near].astype(np.int64), same)
