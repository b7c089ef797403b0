"""Reading a measured section of any kind, and laying it on its slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.measured.expression import MIN_COUNTS, NORMALISATION, normalise
from napari_mclstexp.core.measured.h5ad import is_h5ad, read_h5ad
from napari_mclstexp.core.measured.on_slide import Measured
from napari_mclstexp.core.measured.st import COUNTS_SUFFIX, is_st_counts, read_st
from napari_mclstexp.core.measured.visium import read_visium, visium_folder
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.measured.spots import MeasuredSpots
    from napari_mclstexp.core.slide import Slide

AS_STORED = "as stored in the file"


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
    if is_h5ad(path):
        return read_h5ad(path).spots
    msg = (
        f"{path.name} is no measured section. Choose an .h5ad, a Visium folder, or the counts of a section "
        "in her2st layout (cnts/NAME.tsv.gz)."
    )
    raise SectionError(msg)
