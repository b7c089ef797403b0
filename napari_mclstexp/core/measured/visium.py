"""10x Visium and Visium HD output folders (Space Ranger 1 to 4): counts, positions and the small picture."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_mclstexp.core.grid import VISIUM_PITCH_UM
from napari_mclstexp.core.measured.spots import MeasuredSpots
from napari_mclstexp.core.measured.tenx_matrix import read_matrix
from napari_mclstexp.core.scale import plausible_scale
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

HD_BIN = re.compile(r"square_(\d{3})um")
"""Visium HD names the folder of each bin size so."""
HD_BINS, HD_DEFAULT = "binned_outputs", "square_008um"
POSITIONS = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
PICTURES = ("hires", "lowres")


def visium_folder(path: Path) -> Path | None:
    """Folder of one section's counts and positions that a Visium output folder is or holds.

    Parameters
    ----------
    path : pathlib.Path
        Holds ``spatial/`` with positions, or ``outs/``; or it is or holds ``binned_outputs/`` of Visium HD,
        of which the 8-um bins are taken where they are there, else the finest.

    Returns
    -------
    pathlib.Path or None
        None where it is no Visium folder.
    """
    for folder in (path, path / "outs"):
        if _positions_file(folder) is not None:
            return folder
    for folder in (path, path / HD_BINS, path / "outs" / HD_BINS):
        bins = sorted(f for f in folder.glob("square_*um") if _positions_file(f) is not None)
        if bins:
            return next((f for f in bins if f.name == HD_DEFAULT), bins[0])
    return None


def read_visium(folder: Path) -> MeasuredSpots:
    """Read counts and positions.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``spatial/`` and the filtered matrix, as .h5 or as a folder of .mtx.

    Returns
    -------
    MeasuredSpots
        Those in tissue, in the matrix's order of barcodes; gene symbols are made unique by their order.

    Raises
    ------
    SectionError
        A part is missing or damaged.
    """
    positions = _positions(folder)
    matrix = read_matrix(folder)
    in_tissue = positions[positions["in_tissue"] == 1]
    at = in_tissue.index.get_indexer(matrix.barcodes)
    keep = np.flatnonzero(at >= 0)
    if len(keep) == 0:
        msg = f"{folder}: no barcode has both counts and a position in tissue."
        raise SectionError(msg)
    found = in_tissue.iloc[at[keep]]
    return MeasuredSpots(
        name=folder.name,
        patient=folder.name,
        scale=plausible_scale(*visium_mpp(folder, positions)),
        ids=np.array(matrix.barcodes, dtype=str)[keep],
        xy_px=found[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(dtype=np.float64),
        array_xy=found[["array_col", "array_row"]].to_numpy(dtype=np.float64),
        genes=matrix.genes,
        values=matrix.counts[keep],
    )


def visium_mpp(folder: Path, positions: pd.DataFrame | None = None) -> tuple[float, str]:
    """Um per full-resolution px, and by what: what Visium HD names, else the known distance of spots.

    Returns
    -------
    float
        NaN where nothing tells it; nothing is checked yet.
    str
        Its source.

    Raises
    ------
    SectionError
        A part is missing or damaged.
    """
    told = scale_factors(folder).get("microns_per_pixel")
    if told is not None:
        return told, "microns_per_pixel of Space Ranger"
    bin_size = HD_BIN.fullmatch(folder.name)
    pitch_um = float(bin_size[1]) if bin_size else VISIUM_PITCH_UM
    step = _column_step(_positions(folder) if positions is None else positions)
    pitch_px = step * (1 if bin_size else 2)  # Visium numbers every second column
    return pitch_um / pitch_px if pitch_px > 0 else math.nan, f"{pitch_um:g}-um spot pitch"


def scale_factors(folder: Path) -> dict[str, float]:
    """Numbers of ``scalefactors_json.json``; none where it is missing.

    Raises
    ------
    SectionError
        The file is damaged.
    """
    path = folder / "spatial" / "scalefactors_json.json"
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): float(v) for k, v in told.items() if isinstance(v, int | float)}
    except (OSError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        msg = f"{path} is damaged: {error}."
        raise SectionError(msg) from error


def small_pictures(folder: Path) -> list[tuple[Path, float]]:
    """Pictures in ``spatial/``, the finest first, with their pixels a full-resolution pixel."""
    factors = scale_factors(folder)
    found = []
    for kind in PICTURES:
        path = folder / "spatial" / f"tissue_{kind}_image.png"
        factor = factors.get(f"tissue_{kind}_scalef", 0.0)
        if path.is_file() and 0 < factor <= 1:
            found.append((path, factor))
    return found


def _column_step(positions: pd.DataFrame) -> float:
    """Pixels from one array column to the next, by a fit over all positions of the file."""
    array = positions[["array_col", "array_row"]].to_numpy(dtype=np.float64)
    pixels = positions[COLUMNS[-2:]].to_numpy(dtype=np.float64)
    design = np.column_stack([array, np.ones(len(array))])
    per_column = np.linalg.lstsq(design, pixels, rcond=None)[0][0]
    return float(np.hypot(*per_column))


def _positions_file(folder: Path) -> Path | None:
    return next((p for n in POSITIONS if (p := folder / "spatial" / n).is_file()), None)


def _positions(folder: Path) -> pd.DataFrame:
    path = _positions_file(folder)
    if path is None:
        msg = f"{folder} is no Visium folder: spatial/tissue_positions.csv is missing."
        raise SectionError(msg)
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _table(path)
        table = table[COLUMNS].set_index("barcode").astype(np.float64)
    except ImportError as error:
        msg = f"{path.name} needs pyarrow to be read: pip install pyarrow."
        raise SectionError(msg) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, pd.errors.ParserError) as error:
        msg = f"{path} is damaged or of an unknown layout: {error}."
        raise SectionError(msg) from error
    if not table.index.is_unique or not np.isfinite(table.to_numpy()).all():
        msg = f"{path} is damaged: it names a barcode twice, or has positions that are no numbers."
        raise SectionError(msg)
    return table


def _table(path: Path) -> pd.DataFrame:
    """Positions of a CSV file, with a line of names or, as of Space Ranger 1, without."""
    table = pd.read_csv(path, header=None, dtype=str, encoding="utf-8-sig")
    first = table.iloc[0].tolist()
    if first[0] != "barcode":
        table.columns = pd.Index(COLUMNS)
        return table
    table.columns = pd.Index(first)
    return table.iloc[1:]
