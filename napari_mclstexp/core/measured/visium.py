"""10x Visium and Visium HD output folders (Space Ranger 1 to 4): counts, positions and the small picture."""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import io as scipy_io
from scipy import sparse

from napari_mclstexp.core.grid import VISIUM_PITCH_UM
from napari_mclstexp.core.h5 import open_h5
from napari_mclstexp.core.measured.spots import MeasuredSpots
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

MATRIX = "filtered_feature_bc_matrix"
"""Space Ranger's name of the matrix, as .h5 or as a folder; downloads put the section's name before it."""
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
        Holds ``spatial/`` with positions, or ``outs/``, or ``binned_outputs/`` of Visium HD, of which the
        8-um bins are taken where they are there, else the finest.

    Returns
    -------
    pathlib.Path or None
        None where it is no Visium folder.
    """
    for folder in (path, path / "outs"):
        if _positions_file(folder) is not None:
            return folder
        bins = sorted(f for f in (folder / HD_BINS).glob("square_*um") if _positions_file(f) is not None)
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
    barcodes, genes, counts = _matrix(folder)
    in_tissue = positions[positions["in_tissue"] == 1]
    at = in_tissue.index.get_indexer(barcodes)
    keep = np.flatnonzero(at >= 0)
    if len(keep) == 0:
        msg = f"{folder}: no barcode has both counts and a position in tissue."
        raise SectionError(msg)
    found = in_tissue.iloc[at[keep]]
    return MeasuredSpots(
        name=folder.name,
        patient=folder.name,
        scale=visium_scale(folder, positions),
        ids=np.array(barcodes, dtype=str)[keep],
        xy_px=found[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(dtype=np.float64),
        array_xy=found[["array_col", "array_row"]].to_numpy(dtype=np.float64),
        genes=_unique(genes),
        values=counts[keep],
    )


def visium_scale(folder: Path, positions: pd.DataFrame | None = None) -> Scale | None:
    """Um per full-resolution px: what Visium HD names, else by the known distance between spots.

    Returns
    -------
    Scale or None
        None where a single column of spots tells none.

    Raises
    ------
    SectionError
        A part is missing or damaged.
    ScaleError
        The outcome is not plausible.
    """
    told = scale_factors(folder).get("microns_per_pixel")
    if isinstance(told, float):
        return Scale(told, told, "microns_per_pixel of Space Ranger")
    bin_size = HD_BIN.fullmatch(folder.name)
    pitch_um = float(bin_size[1]) if bin_size else VISIUM_PITCH_UM
    step = _column_step(_positions(folder) if positions is None else positions)
    pitch_px = step * (1 if bin_size else 2)  # Visium numbers every second column
    if not (math.isfinite(pitch_px) and pitch_px > 0):
        return None
    return Scale(pitch_um / pitch_px, pitch_um / pitch_px, f"{pitch_um:g}-um spot pitch")


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
    except (OSError, ValueError, AttributeError) as error:
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
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            with path.open(encoding="utf-8") as file:
                headed = file.readline().startswith("barcode")
            table = pd.read_csv(path, header=0 if headed else None)
            table.columns = pd.Index(COLUMNS)
        return table[COLUMNS].set_index("barcode")
    except ImportError as error:
        msg = f"{path.name} needs pyarrow to be read: pip install pyarrow."
        raise SectionError(msg) from error
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        msg = f"{path} is damaged or of an unknown layout: {error}."
        raise SectionError(msg) from error


def _matrix(folder: Path) -> tuple[list[str], list[str], sparse.csr_matrix]:
    path = next((f for f in sorted(folder.glob(f"*{MATRIX}.h5")) if f.is_file()), None)
    if path is not None:
        with open_h5(path, SectionError, path.name) as file:
            try:
                return _h5_matrix(file["matrix"])
            except (KeyError, ValueError, OSError) as error:
                msg = f"{path} is no 10x matrix of Cell Ranger 3 or newer: {error}."
                raise SectionError(msg) from error
    path = next((f for f in sorted(folder.glob(f"*{MATRIX}")) if f.is_dir()), None)
    if path is None:
        msg = f"{folder} holds neither {MATRIX}.h5 nor {MATRIX}/."
        raise SectionError(msg)
    try:
        barcodes = [row[0] for row in _table(path, "barcodes.tsv")]
        features = _table(path, "features.tsv")
        matrix = path / "matrix.mtx"
        counts = scipy_io.mmread(matrix if matrix.is_file() else path / "matrix.mtx.gz")
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        msg = f"{path} is damaged or incomplete: {error}."
        raise SectionError(msg) from error
    return barcodes, [row[1] for row in features], sparse.csr_matrix(counts.T).astype(np.float64)


def _h5_matrix(group: h5py.Group) -> tuple[list[str], list[str], sparse.csr_matrix]:
    counts = sparse.csc_matrix(
        (group["data"][:].astype(np.float64), group["indices"][:], group["indptr"][:]),
        shape=tuple(group["shape"][:]),
    )
    barcodes = [b.decode() for b in group["barcodes"][:]]
    genes = [g.decode() for g in group["features/name"][:]]
    return barcodes, genes, sparse.csr_matrix(counts.T)


def _table(folder: Path, name: str) -> list[list[str]]:
    plain = folder / name
    content = (
        plain.read_text(encoding="utf-8")
        if plain.is_file()
        else gzip.decompress((folder / f"{name}.gz").read_bytes()).decode()
    )
    return [line.split("\t") for line in content.splitlines()]


def _unique(genes: list[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    names = []
    for gene in genes:
        count = seen.get(gene, 0)
        names.append(gene if count == 0 else f"{gene}-{count}")
        seen[gene] = count + 1
    return tuple(names)
