"""Sections of legacy Spatial Transcriptomics in the layout of the her2st data set.

``DIR/cnts/NAME.tsv.gz`` has counts, ``DIR/spots/NAME_selection.tsv`` positions, and ``DIR/NAME.jpg`` is the
slide.
"""

from __future__ import annotations

import re
import zlib
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
    try:
        counts = pd.read_csv(counts_path, sep="\t", index_col=0)
        spots = pd.read_csv(spots_path, sep="\t")
        spots.index = pd.Index([f"{x}x{y}" for x, y in zip(spots["x"], spots["y"], strict=True)])
        xy = spots[["pixel_x", "pixel_y"]].astype(np.float64)
        array = spots[["x", "y"]].astype(np.float64)
        values = counts.to_numpy(dtype=np.float64)
    except (OSError, EOFError, zlib.error, KeyError, ValueError, pd.errors.ParserError) as error:
        msg = f"Section {name}: the counts or spots table is damaged ({error})."
        raise SectionError(msg) from error
    if not np.isfinite(xy.to_numpy()).all():
        msg = f"Section {name} has spot positions that are no numbers."
        raise SectionError(msg)
    both = [i for i in counts.index if i in xy.index]
    if not both or not spots.index.is_unique or not counts.index.is_unique:
        msg = f"Section {name}: counts and spots do not match, or name a spot twice."
        raise SectionError(msg)
    rows = counts.index.get_indexer(both)
    positions = xy.loc[both].to_numpy()
    spacing = median_spacing(xy.to_numpy())
    return MeasuredSpots(
        name=name,
        patient=re.sub(r"[^A-Za-z]", "", name) or name,
        scale=plausible_scale(ST_PITCH_UM / spacing if spacing > 0 else 0.0, "200-um spot pitch"),
        ids=np.array(both, dtype=str),
        xy_px=positions,
        array_xy=array.loc[both].to_numpy(),
        genes=tuple(map(str, counts.columns)),
        values=sparse.csr_matrix(values[rows]),
    )
