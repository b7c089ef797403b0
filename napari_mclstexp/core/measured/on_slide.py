"""A measured section laid on a slide, and how well a prediction agrees with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from napari_mclstexp.core.cells import pitch_px
from napari_mclstexp.core.grid import SpotGrid, given_grid
from napari_mclstexp.core.measured.expression import MIN_COUNTS, NORMALISATION, normalise
from napari_mclstexp.core.measured.h5ad import MAGIC, read_h5ad
from napari_mclstexp.core.measured.st import COUNTS_SUFFIX, is_st_counts, read_st
from napari_mclstexp.core.measured.visium import read_visium, visium_folder
from napari_mclstexp.errors import GeneError, SectionError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.measured.spots import MeasuredSpots
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

AS_STORED = "as stored in the file"
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
    """

    grid: SpotGrid
    genes: tuple[str, ...]
    expression: sparse.csc_matrix
    rich: NDArray[np.bool_]
    note: str
    unit: str
    scale: Scale | None

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

    def most_variable(self) -> str:
        """Gene whose values vary most over the spots."""
        rows = self.expression[np.flatnonzero(self.rich)] if self.rich.any() else self.expression
        mean = np.asarray(rows.mean(axis=0)).ravel()
        variance = np.asarray(rows.multiply(rows).mean(axis=0)).ravel() - mean**2
        return self.genes[int(variance.argmax())]

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


def read_measured(path: Path, slide: Slide, factor: float = 1.0) -> Measured:
    """Read a measured section and lay it on its slide.

    Parameters
    ----------
    path : pathlib.Path
        A Visium folder, an .h5ad, or ``cnts/NAME.tsv.gz`` in her2st layout.
    slide : Slide
        The slide that it belongs to.
    factor : float
        Pixels of the slide for each of those in which the spots are given.

    Returns
    -------
    Measured
        Expression normalised where the file holds counts, else as stored.

    Raises
    ------
    SectionError
        The file is damaged or of an unknown kind.
    GridError
        Spots lie outside the slide.
    """
    spots = _read(path)
    grid = given_grid(spots.ids, spots.xy_px * factor, (slide.width, slide.height), None)
    counts = spots.are_counts
    rich, note = _rich(spots) if counts else (np.ones(len(grid), dtype=bool), "")
    values = normalise(spots.values) if counts else spots.values.astype(np.float32)
    scale = spots.scale
    if scale is not None and factor != 1.0:
        scale = scale.reduced(factor)
    unit = NORMALISATION if counts else AS_STORED
    return Measured(grid, spots.genes, sparse.csc_matrix(values), rich, note, unit, scale)


def pair_spots(measured: Measured, result: Result) -> Pairing:
    """Pair each measured spot that has enough counts with the predicted one nearest to it, no farther than
    half the distance between predicted spots.
    """
    rich = np.flatnonzero(measured.rich)
    reach = max(pitch_px(result.grid)) / 2
    tree = cKDTree(result.grid.centres_px)
    distance, nearest = tree.query(measured.grid.centres_px[rich], distance_upper_bound=reach)
    near = np.isfinite(distance)
    same = bool(near.all() and (distance[near] < 1e-6).all())
    return Pairing(rich[near], nearest[near].astype(np.int64), same)


def _rich(spots: MeasuredSpots) -> tuple[NDArray[np.bool_], str]:
    """Spots with enough counts; all of them where none has, as in an excerpt of a matrix."""
    rich = np.asarray(spots.values.sum(axis=1)).ravel() >= MIN_COUNTS
    poor = int((~rich).sum())
    if not rich.any():
        return ~rich, f"No spot has {MIN_COUNTS} counts; all are shown, and little can be read from them."
    return rich, f"{poor:,} with under {MIN_COUNTS} counts are left out." if poor else ""


def _read(path: Path) -> MeasuredSpots:
    if path.is_dir():
        folder = visium_folder(path)
        if folder is None:
            msg = f"{path.name} is no Visium folder: it lacks spatial/ with the positions of spots."
            raise SectionError(msg)
        return read_visium(folder)
    if not path.is_file():
        msg = f"There is no measured section at {path}."
        raise SectionError(msg)
    if is_st_counts(path):
        return read_st(path.parent.parent, path.name.removesuffix(COUNTS_SUFFIX))
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            return read_h5ad(path).spots
    msg = (
        f"{path.name} is no measured section. Choose an .h5ad, a Visium folder, or the counts of a section "
        "in her2st layout (cnts/NAME.tsv.gz)."
    )
    raise SectionError(msg)
