"""Matrices of 10x Cell Ranger and Space Ranger: barcodes, gene symbols, counts; .h5 or a folder of .mtx."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import io as scipy_io
from scipy import sparse

from napari_mclstexp.core.h5 import open_h5
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

MATRIX = "filtered_feature_bc_matrix"
"""Space Ranger's name, as .h5 or as a folder; downloads put the section's name before it."""
EXPRESSION = "Gene Expression"
"""The type of features that are genes; beside them, there can be antibodies."""
MAX_TABLE_BYTES = 2**28
MIN_ENTRY_BYTES = 6
"""Of a matrix in text: row, column, value."""
MAX_INFLATION = 1032
"""Of gzip: how many bytes come of one, at most."""
FAULTS = (
    OSError, EOFError, zlib.error, KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError,
    MemoryError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class TenxMatrix:
    """Counts of one section.

    Attributes
    ----------
    barcodes : list of str
        N barcodes.
    genes : tuple of str
        G gene symbols, made unique by their order.
    counts : scipy.sparse.csr_matrix
        (N, G) float64.
    """

    barcodes: list[str]
    genes: tuple[str, ...]
    counts: sparse.csr_matrix


def read_matrix(folder: Path) -> TenxMatrix:
    """Read the filtered matrix of a folder; features other than genes are left out.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``filtered_feature_bc_matrix.h5`` or a folder of that name, of Cell Ranger 3 or newer.

    Returns
    -------
    TenxMatrix
        Its counts.

    Raises
    ------
    SectionError
        There is none, or it is damaged.
    """
    path = next((f for f in sorted(folder.glob(f"*{MATRIX}.h5")) if f.is_file()), None)
    if path is not None:
        with open_h5(path, SectionError, path.name) as file:
            try:
                return _from_h5(file["matrix"])
            except FAULTS as error:
                msg = f"{path} is no 10x matrix of Cell Ranger 3 or newer: {error}."
                raise SectionError(msg) from error
    path = next((f for f in sorted(folder.glob(f"*{MATRIX}")) if f.is_dir()), None)
    if path is None:
        msg = f"{folder} holds neither {MATRIX}.h5 nor {MATRIX}/."
        raise SectionError(msg)
    try:
        return _from_folder(path)
    except FAULTS as error:
        msg = f"{path} is damaged or incomplete: {error}."
        raise SectionError(msg) from error


def unique_names(genes: list[str]) -> tuple[str, ...]:
    """Gene symbols with a number behind those that came before."""
    taken = set(genes)
    seen: set[str] = set()
    names = []
    for gene in genes:
        name, count = gene, 0
        while name in seen or (count and name in taken):
            count += 1
            name = f"{gene}-{count}"
        seen.add(name)
        names.append(name)
    return tuple(names)


def _from_h5(group: h5py.Group) -> TenxMatrix:
    features = group["features"]
    genes = [g.decode() for g in features["name"][:]]
    kinds = [k.decode() for k in features["feature_type"][:]] if "feature_type" in features else []
    barcodes = [b.decode() for b in group["barcodes"][:]]
    counts = sparse.csc_matrix(
        (group["data"][:].astype(np.float64), group["indices"][:], group["indptr"][:]),
        shape=tuple(int(n) for n in group["shape"][:]),
    )
    return _checked(barcodes, genes, kinds, counts)


def _from_folder(folder: Path) -> TenxMatrix:
    barcodes = [row[0] for row in _table(folder, "barcodes.tsv")]
    features = _table(folder, "features.tsv")
    genes = [row[1] for row in features]
    kinds = [row[2] for row in features] if all(len(row) > 2 for row in features) else []
    plain = folder / "matrix.mtx"
    path = plain if plain.is_file() else folder / "matrix.mtx.gz"
    rows, columns, entries, *_ = scipy_io.mminfo(path)
    _check_shape((rows, columns), genes, barcodes)
    fits = path.stat().st_size * (1 if path == plain else MAX_INFLATION) / MIN_ENTRY_BYTES
    if not 0 <= entries <= min(rows * columns, fits):
        msg = f"it declares {entries} values, more than it can hold"
        raise ValueError(msg)
    return _checked(barcodes, genes, kinds, sparse.csc_matrix(scipy_io.mmread(path)).astype(np.float64))


def _check_shape(shape: tuple[int, ...], genes: list[str], barcodes: list[str]) -> None:
    if shape != (len(genes), len(barcodes)):
        msg = f"its counts are {shape}, but it names {len(genes)} genes and {len(barcodes)} barcodes"
        raise ValueError(msg)


def _checked(
    barcodes: list[str], genes: list[str], kinds: list[str], counts: sparse.csc_matrix
) -> TenxMatrix:
    """Matrix (G, N) as counts (N, G), its indices within bounds, which SciPy takes on trust."""
    _check_shape(counts.shape, genes, barcodes)
    counts.check_format(full_check=True)
    if kinds:
        keep = [i for i, kind in enumerate(kinds) if kind == EXPRESSION]
        counts, genes = counts[keep], [genes[i] for i in keep]
    return TenxMatrix(barcodes, unique_names(genes), sparse.csr_matrix(counts.T))


def _table(folder: Path, name: str) -> list[list[str]]:
    plain = folder / name
    with plain.open("rb") if plain.is_file() else gzip.open(folder / f"{name}.gz", "rb") as file:
        content = file.read(MAX_TABLE_BYTES + 1)
    if len(content) > MAX_TABLE_BYTES:
        msg = f"{name} holds more than {MAX_TABLE_BYTES >> 20} MiB"
        raise ValueError(msg)
    return [line.split("\t") for line in content.decode().splitlines()]
