"""Sections of legacy Spatial Transcriptomics in the layout of the her2st data set.

``DIR/cnts/NAME.tsv.gz`` has counts, ``DIR/spots/NAME_selection.tsv`` positions, and ``DIR/NAME.jpg`` is the
slide.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from napari_mclstexp.core.grid import ST_PITCH_UM
from napari_mclstexp.core.measured.spots import MeasuredSpots
from napari_mclstexp.core.scale import median_spacing, plausible_scale
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

COUNTS, COUNTS_SUFFIX = "cnts", ".tsv.gz"
MIN_SHARED = 0.5
"""Of the spots of the shorter table, those that the other has too; fewer, and they are of two sections."""
MAX_TABLE_BYTES = 2**29
MAX_HEADER = 2**24
"""Letters of the line of genes that are looked at."""


def is_st_counts(path: Path) -> bool:
    """Whether a file lies where the counts of a section in this layout do."""
    return path.parent.name == COUNTS and path.name.endswith(COUNTS_SUFFIX)


def read_st(folder: Path, name: str) -> MeasuredSpots:
    """Read counts and positions; a spot of the table "{x}x{y}" that has none of either is left out.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``cnts/`` and ``spots/``.
    name : str
        Name of the section, such as ``C2``; its letters name the patient.

    Returns
    -------
    MeasuredSpots
        In the order of the counts.

    Raises
    ------
    SectionError
        A part is missing or damaged.
    """
    counts_path = folder / COUNTS / f"{name}{COUNTS_SUFFIX}"
    spots_path = folder / "spots" / f"{name}_selection.tsv"
    for part in (counts_path, spots_path):
        if not part.is_file():
            msg = f"Section {name} is incomplete: {part} is missing."
            raise SectionError(msg)
    return join_st(name, re.sub(r"[^A-Za-z]", "", name) or name, counts_path, spots_path)


def join_st(name: str, patient: str, counts_path: Path, spots_path: Path) -> MeasuredSpots:
    """Join a table of counts and one of positions, by "{x}x{y}"; either may be gzipped.

    Parameters
    ----------
    name, patient : str
        Of the section.
    counts_path : pathlib.Path
        Spots x genes, tab-separated, with the ids of spots first.
    spots_path : pathlib.Path
        Columns x, y, pixel_x, pixel_y, tab-separated.

    Returns
    -------
    MeasuredSpots
        Those that have both, in the order of the counts.

    Raises
    ------
    SectionError
        A table is damaged, or the two do not belong together.
    """
    try:
        for path in (counts_path, spots_path):
            _refuse_large(name, path)
        _refuse_twice(name, counts_path)
        counts = pd.read_csv(counts_path, sep="\t", index_col=0)
        spots = pd.read_csv(spots_path, sep="\t")
        spots.index = pd.Index(_ids(spots))
        xy = spots[["pixel_x", "pixel_y"]].astype(np.float64)
        array = spots[["x", "y"]].astype(np.float64)
        values = counts.to_numpy(dtype=np.float64)
    except (OSError, EOFError, zlib.error, KeyError, ValueError, pd.errors.ParserError) as error:
        msg = f"Section {name}: the counts or spots table is damaged ({error})."
        raise SectionError(msg) from error
    if not np.isfinite(xy.to_numpy()).all():
        msg = f"Section {name} has spot positions that are no numbers."
        raise SectionError(msg)
    for table, path in ((counts, counts_path), (spots, spots_path)):
        if not table.index.is_unique:
            twice = table.index[table.index.duplicated()][0]
            msg = f"Section {name}: {path.name} names the spot {twice} twice."
            raise SectionError(msg)
    both = [i for i in counts.index if i in xy.index]
    if not both or len(both) < MIN_SHARED * min(len(counts), len(spots)):
        msg = (
            f"Section {name}: counts and spots do not match. Of {len(counts)} spots with counts and "
            f"{len(spots)} with a position, {len(both)} are the same. Check that both are of this section."
        )
        raise SectionError(msg)
    rows = counts.index.get_indexer(both)
    spacing = median_spacing(xy.to_numpy())
    return MeasuredSpots(
        name=name,
        patient=patient,
        scale=plausible_scale(ST_PITCH_UM / spacing if spacing > 0 else 0.0, "200-um spot pitch"),
        ids=np.array(both, dtype=str),
        xy_px=xy.loc[both].to_numpy(),
        array_xy=array.loc[both].to_numpy(),
        genes=tuple(map(str, counts.columns)),
        values=sparse.csr_matrix(values[rows]),
    )


def _ids(spots: pd.DataFrame) -> list[str]:
    """Ids "{x}x{y}" of spots; whole numbers without a point."""
    places = spots[["x", "y"]]
    if (places == places.round()).all(axis=None):
        places = places.astype(np.int64)
    return [f"{x}x{y}" for x, y in zip(places["x"], places["y"], strict=True)]


def _refuse_large(name: str, path: Path) -> None:
    """Refuse a table that no memory would hold once it is unpacked."""
    held = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        while held <= MAX_TABLE_BYTES and (part := file.read(2**20)):
            held += len(part)
    if held > MAX_TABLE_BYTES:
        msg = f"Section {name}: {path.name} would unpack to over {MAX_TABLE_BYTES >> 20} MiB; refused."
        raise SectionError(msg)


def _refuse_twice(name: str, path: Path) -> None:
    """Refuse a gene that is named twice: pandas would number it."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        genes = file.readline(MAX_HEADER).rstrip("\n").split("\t")[1:]
    twice = next((gene for gene, times in Counter(genes).items() if times > 1), None)
    if twice is not None:
        msg = f"Section {name} names the gene {twice} twice. Make the gene symbols unique."
        raise SectionError(msg)
