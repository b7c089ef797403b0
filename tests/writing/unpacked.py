"""All bytes of what is written, those that are packed in it, too: compressed, in containers, as base64."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import tifffile
import zarr
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE64 = re.compile(rb"base64,([A-Za-z0-9+/=\s]{8,})")
STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
DEEPEST = 4


def found_in(path: Path, canaries: dict[str, str]) -> list[str]:
    """Where canaries are, by what they are called, in a file or folder, its name included."""
    names = [str(p.relative_to(path.parent)) for p in (path, *path.rglob("*"))]
    contents = ["\n".join(names).encode(), *everything(path)]
    told = []
    for content in contents:
        low = content.lower()
        for name, canary in canaries.items():
            if any(canary.lower().encode(code) in low for code in ("utf-8", "utf-16-le", "utf-16-be")):
                told.append(name)
    return sorted(set(told))


def everything(path: Path) -> Iterator[bytes]:
    """Bytes of a file or of all files of a folder, and what is packed in them."""
    if path.is_dir():
        for file in path.rglob("*"):
            if file.is_file():
                yield from unpacked(file.read_bytes())
        if (path / "zarr.json").exists() or (path / ".zgroup").exists():
            yield from _zarr(zarr.open_group(path, mode="r"))
        return
    yield from unpacked(path.read_bytes())


def unpacked(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Bytes, and what is packed in them."""
    yield content
    if depth > DEEPEST:
        return
    for inner in _inner(content):
        yield from unpacked(inner, depth + 1)


def _inner(content: bytes) -> Iterator[bytes]:
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
            if "zarr.json" in archive.namelist():
                yield from _zarr_of_zip(content)
    elif content[:8] == b"\x89HDF\r\n\x1a\n":
        yield from _hdf5(content)
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png(content)
    elif content[:4] == b"%PDF":
        yield from (_inflated(match[1]) for match in STREAM.finditer(content))
    elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        yield from _tiff(content)
    elif content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        yield repr(table.to_pydict()).encode() + repr(table.schema.metadata).encode()
        yield from _binary_columns(table)
    for match in BASE64.finditer(content):
        try:
            yield base64.b64decode(match[1])
        except binascii.Error:
            continue


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content)
    except zlib.error:
        return b""


def _png(content: bytes) -> Iterator[bytes]:
    with Image.open(io.BytesIO(content)) as picture:
        yield picture.tobytes()
    at = 8
    while at < len(content):
        size, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + size]
        if kind in (b"zTXt", b"iCCP"):
            yield _inflated(body.partition(b"\0")[2][1:])
        elif kind == b"iTXt":
            yield _inflated(body.split(b"\0", 4)[-1])
        at += 12 + size


def _tiff(content: bytes) -> Iterator[bytes]:
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        pages: list[Any] = list(tiff.pages)
        for page in pages:
            pages += page.pages or [] if hasattr(page, "pages") else []
            for tag in page.tags:
                value = tag.value
                yield value if isinstance(value, bytes) else str(value).encode()
            yield np.ascontiguousarray(page.asarray()).tobytes()


def _hdf5(content: bytes) -> Iterator[bytes]:
    told: list[bytes] = []
    with h5py.File(io.BytesIO(content), "r") as file:

        def tell(name: str, item: Any) -> None:
            told.append(name.encode() + repr(dict(item.attrs)).encode())
            if isinstance(item, h5py.Dataset):
                told.extend(_values(item[()]))

        told.append(repr(dict(file.attrs)).encode())
        file.visititems(tell)
    yield from told


def _zarr(group: zarr.Group) -> Iterator[bytes]:
    yield repr(dict(group.attrs)).encode()
    for name, item in group.members(max_depth=None):
        yield name.encode() + repr(dict(item.attrs)).encode()
        if isinstance(item, zarr.Array):
            yield from _values(item[...] if item.shape else item[()])


def _zarr_of_zip(content: bytes) -> Iterator[bytes]:
    import tempfile

    from zarr.storage import ZipStore

    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(content)
        file.flush()
        store = ZipStore(file.name, mode="r")
        yield from _zarr(zarr.open_group(store, mode="r"))
        store.close()


def _values(values: Any) -> Iterator[bytes]:
    array = np.asarray(values)
    if array.dtype.kind in "OSUT":
        for value in array.ravel():
            yield value if isinstance(value, bytes) else str(value).encode()
    else:
        yield array.tobytes()


def _binary_columns(table: Any) -> Iterator[bytes]:
    for column in table.columns:
        for value in column.to_pylist():
            if isinstance(value, bytes):
                yield value
