"""Counts and spot positions of a 10x Visium output folder (Space Ranger 1 to 3)."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import io as scipy_io
from scipy import sparse

from napari_mclstexp.core.grid import VISIUM_PITCH_UM
from napari_mclstexp.core.h5 import open_h5
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

MATRIX_H5 = "filtered_feature_bc_matrix.h5"
MATRIX_FOLDER = "filtered_feature_bc_matrix"
HD_BIN = re.compile(r"square_(\d{3})um")
"""Visium HD names the folder of each bin size so."""
POSITIONS = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


@dataclass(frozen=True, slots=True, eq=False)
class VisiumSpots:
    """Spots of a Visium folder that lie in tissue and have counts.

    Attributes
    ----------
    ids : numpy.ndarray
        (N,) str barcodes.
    xy_px, array_xy : numpy.ndarray
        (N, 2) float64 x, y in full-resolution px, and array column, row.
    genes : tuple of str
        Gene symbols, made unique by their order.
    counts : scipy.sparse.csr_matrix
        (N, G).
    pitch_um, pitch_px : float
        Distance between neighbouring spots, over all positions of the array.
    """

    ids: NDArray[np.str_]
    xy_px: NDArray[np.float64]
    array_xy: NDArray[np.float64]
    genes: tuple[str, ...]
    counts: sparse.csr_matrix
    pitch_um: float
    pitch_px: float


def read_visium(folder: Path) -> VisiumSpots:
    """Read counts and positions.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``spatial/`` and the filtered matrix, as .h5 or as a folder of .mtx.

    Returns
    -------
    VisiumSpots
        In the matrix's order of barcodes.

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
    bin_size = HD_BIN.fullmatch(folder.name)
    found = in_tissue.iloc[at[keep]]
    return VisiumSpots(
        ids=np.array(barcodes, dtype=str)[keep],
        xy_px=found[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(dtype=np.float64),
        array_xy=found[["array_col", "array_row"]].to_numpy(dtype=np.float64),
        genes=_unique(genes),
        counts=counts[keep],
        pitch_um=float(bin_size[1]) if bin_size else VISIUM_PITCH_UM,
        pitch_px=_column_step(positions) * (1 if bin_size else 2),  # Visium numbers every second column
    )


def _column_step(positions: pd.DataFrame) -> float:
    """Pixels from one array column to the next, by a fit over all positions of the file."""
    array = positions[["array_col", "array_row"]].to_numpy(dtype=np.float64)
    pixels = positions[COLUMNS[-2:]].to_numpy(dtype=np.float64)
    design = np.column_stack([array, np.ones(len(array))])
    per_column = np.linalg.lstsq(design, pixels, rcond=None)[0][0]
    return float(np.hypot(*per_column))


def _positions(folder: Path) -> pd.DataFrame:
    path = next((p for n in POSITIONS if (p := folder / "spatial" / n).is_file()), None)
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
    path = folder / MATRIX_H5
    if path.is_file():
        with open_h5(path, SectionError, path.name) as file:
            try:
                return _h5_matrix(file["matrix"])
            except (KeyError, ValueError, OSError) as error:
                msg = f"{path} is no 10x matrix of Cell Ranger 3 or newer: {error}."
                raise SectionError(msg) from error
    path = folder / MATRIX_FOLDER
    if not path.is_dir():
        msg = f"{folder} holds neither {MATRIX_H5} nor {MATRIX_FOLDER}/."
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
