"""Opening HDF5 from elsewhere without following it out of the file.

HDF5 can point to other files (external links, external storage, virtual datasets), and anndata
follows such pointers; and it can declare sizes that no machine holds. Both are refused before any
value is read. Specification: HDF5 File Format 3.0.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import anndata as ad
import h5py

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_mclstexp.errors import MclstexpError

MAX_BYTES = 32 * 2**30
"""Bound on the declared size of all datasets together."""


@contextmanager
def open_h5(source: Path | IO[bytes], error: type[MclstexpError], name: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after checking that it holds all of itself.

    Parameters
    ----------
    source : pathlib.Path or binary file
        What to open.
    error : type
        Class of the error to raise.
    name : str
        What to call the file in messages.

    Yields
    ------
    h5py.File
        The file, read-only.

    Raises
    ------
    MclstexpError
        Of class `error`: no HDF5, damaged, pointing elsewhere, or larger than any memory.
    """
    try:
        file = h5py.File(source, "r")
    except (OSError, RuntimeError) as cause:
        msg = f"{name} cannot be read: it is missing, empty, cut off or not an .h5ad file."
        raise error(msg) from cause
    with file:
        try:
            _check(file, error, name)
        except (KeyError, OSError, RuntimeError, ValueError, TypeError) as cause:
            msg = f"{name} is damaged: {cause}. Get a fresh copy."
            raise error(msg) from cause
        yield file


def read_anndata(
    source: Path | IO[bytes], error: type[MclstexpError], name: str, *, without: str = ""
) -> ad.AnnData:
    """Read an .h5ad that `open_h5` accepts.

    Parameters
    ----------
    source : pathlib.Path or binary file
        What to read.
    error : type
        Class of the error to raise.
    name : str
        What to call the file in messages.
    without : str
        Path within the file of a part that is not needed; None stands for it.

    Returns
    -------
    anndata.AnnData
        Its content, in memory.
    """
    with open_h5(source, error, name) as file:
        if file.attrs.get("encoding-type") != "anndata":
            msg = f"{name} is an HDF5 file, but holds no AnnData."
            raise error(msg)
        try:
            data = ad.experimental.read_dispatched(
                file, lambda read, at, part, **_: None if without and at == without else read(part)
            )
        except Exception as cause:
            msg = f"{name} is damaged or not an .h5ad file: {type(cause).__name__}."
            raise error(msg) from cause
    if not isinstance(data, ad.AnnData):
        msg = f"{name} is an HDF5 file, but holds no AnnData."
        raise error(msg)
    return data


def write_h5ad(data: ad.AnnData, path: Path) -> None:
    """Write an AnnData, compressed, by way of memory: HDF5 cannot be trusted to survive a full disk.

    The file's structure is checksummed (the format of HDF5 1.10): without, damage can crash the library.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("v110", "v110")) as file:
        ad.io.write_elem(file, "/", data, dataset_kwargs={"compression": "gzip"})
    path.write_bytes(memory.getbuffer())


def _check(file: h5py.File, error: type[MclstexpError], name: str) -> None:
    total = 0
    pending: list[h5py.Group] = [file]
    seen = {h5py.h5o.get_info(file.id).addr}
    while pending:
        group = pending.pop()
        for key in group:
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                msg = f"{name} holds a link ({key!r}); for safety only self-contained files are read."
                raise error(msg)
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    msg = f"{name}: {key!r} keeps its values in another file; refused for safety."
                    raise error(msg)
                total += item.size * item.dtype.itemsize if item.shape is not None else 0
                if total > MAX_BYTES:
                    msg = f"{name} declares more than {MAX_BYTES >> 30} GiB of data; refused."
                    raise error(msg)
