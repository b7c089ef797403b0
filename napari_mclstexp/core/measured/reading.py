"""Reading a measured section of any kind, and laying it on its slide."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.measured.expression import MIN_COUNTS, NORMALISATION, normalise
from napari_mclstexp.core.measured.h5ad import is_h5ad, read_h5ad, read_slide_of
from napari_mclstexp.core.measured.on_slide import Measured
from napari_mclstexp.core.measured.st import COUNTS_SUFFIX, is_st_counts, read_st
from napari_mclstexp.core.measured.tenx_matrix import unique_names
from napari_mclstexp.core.measured.visium import read_visium, visium_folder
from napari_mclstexp.errors import GridError, SectionError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.measured.spots import MeasuredSpots
    from napari_mclstexp.core.slide import Slide

AS_STORED = "as stored in the file"
PLAIN_ID = re.compile(r"[ACGT]{12,}(-[0-9]+)?|s_[0-9]+um_[0-9]+_[0-9]+(-[0-9]+)?|[0-9.]+x[0-9.]+")
"""A barcode of Visium or of Visium HD, or a place in the array."""


def read_measured(path: Path, slide: Slide, factor: float = 1.0) -> Measured:
    """Read a measured section and lay it on its slide.

    Parameters
    ----------
    path : pathlib.Path
        A Visium folder, an .h5ad, or ``cnts/NAME.tsv.gz`` in her2st layout.
    slide : Slide
        The slide that it belongs to.
    factor : float
        Pixels of the slide for each of those in which the spots are given. Where it is not 1, the slide is a
        reduced picture that has its scale, and the section's own is left out.

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
    keep_private(path, "section")
    spots = _read(path, slide)
    try:
        grid = given_grid(_plain_ids(spots.ids), spots.xy_px * factor, (slide.width, slide.height), None)
    except GridError as error:
        if factor == 1.0:
            raise
        msg = (
            "Spots of this section lie outside its small picture: the picture was cut, or belongs to another "
            "section. Open the full-resolution image, and add the section to it."
        )
        raise GridError(msg) from error
    counts = spots.are_counts
    rich, note = _rich(spots) if counts else (np.ones(len(grid), dtype=bool), "")
    values = normalise(spots.values) if counts else spots.values.astype(np.float32)
    scale = spots.scale if factor == 1.0 else None
    unit = NORMALISATION if counts else AS_STORED
    columns = sparse.csc_matrix(values)
    genes = unique_names(list(spots.genes))
    top_gene = genes[_most_variable(columns[rich])]
    return Measured(grid, genes, columns, rich, note, unit, scale, top_gene, path)


def _plain_ids(ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """Ids that are barcodes or places in an array, and numbers instead of all others: exports carry them,
    and joined files keep names of samples in theirs.
    """
    plain = all(PLAIN_ID.fullmatch(i) for i in ids)
    return ids if plain else np.array([f"spot{i}" for i in range(1, len(ids) + 1)])


def _most_variable(values: sparse.csc_matrix) -> int:
    """Column whose values vary most over the rows."""
    mean = np.asarray(values.mean(axis=0)).ravel()
    variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
    return int(np.nan_to_num(variance).argmax())


def _rich(spots: MeasuredSpots) -> tuple[NDArray[np.bool_], str]:
    """Spots with enough counts; all of them where none has, as in an excerpt of a matrix."""
    rich = np.asarray(spots.values.sum(axis=1)).ravel() >= MIN_COUNTS
    poor = int((~rich).sum())
    if not rich.any():
        return ~rich, f"No spot has {MIN_COUNTS} counts; all are shown, and little can be read from them."
    return rich, f"{poor:,} with under {MIN_COUNTS} counts are left out." if poor else ""


def _read(path: Path, slide: Slide) -> MeasuredSpots:
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
        named = PurePosixPath(read_slide_of(path).name).name
        if named and named != slide.path.name:
            msg = f"{path.name} names another slide than the open one as its own. Open {path.name} instead."
            raise SectionError(msg)
        return read_h5ad(path)
    msg = (
        f"{path.name} is no measured section. Choose an .h5ad, a Visium folder, or the counts of a section "
        "in her2st layout (cnts/NAME.tsv.gz)."
    )
    raise SectionError(msg)
