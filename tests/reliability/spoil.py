"""Mutations that several modules of cases share."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import tifffile

from .case import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .case import Make
    from .goods import Goods

SHORT, LONG, LONG8 = 3, 4, 16


def slide_case(name: str, row: int, mutation: str, make: Make, outcome: str, says: str) -> Case:
    """Case of a slide that is opened and read."""
    return Case(name, row, "slide", mutation, "open_slide", make, outcome, says)


def copied(kind: str, change: Callable[[Path], object]) -> Make:
    """A good slide's copy, changed."""

    def make(goods: Goods, folder: Path) -> Path:
        path = goods.copy(goods.slide(kind), folder)
        change(path)
        return path

    return make


def cut(kind: str, keep: float) -> Make:
    """A good slide's first `keep` bytes, or that part of it."""

    def change(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])

    return copied(kind, change)


def poked(kind: str, content: bytes, at: int = 0) -> Make:
    """Other bytes at a place of a good slide; counted from the end where that is negative."""

    def change(path: Path) -> None:
        whole = bytearray(path.read_bytes())
        start = at if at >= 0 else len(whole) + at
        whole[start : start + len(content)] = content
        path.write_bytes(whole)

    return copied(kind, change)


def named(name: str, content: bytes | str) -> Make:
    """A file of this content."""

    def make(_: Goods, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def retagged(kind: str, tag: str, value: Any, page: int = 0, **options: Any) -> Make:
    """Another value in a TIFF's tag."""

    def change(path: Path) -> None:
        with tifffile.TiffFile(path, mode="r+", _multifile=False) as tiff:
            tiff.pages[page].tags[tag].overwrite(value, **options)

    return copied(kind, change)


def redescribed(kind: str, old: str, new: str) -> Make:
    """Another text in a TIFF's ImageDescription."""

    def change(path: Path) -> None:
        with tifffile.TiffFile(path, mode="r+", _multifile=False) as tiff:
            tag = tiff.pages.first.tags["ImageDescription"]
            if old not in tag.value:
                raise ValueError(tag.value)
            tag.overwrite(tag.value.replace(old, new).encode())

    return copied(kind, change)


def described(text: str) -> Make:
    """An OME-TIFF of 128 x 128 px with this OME-XML."""

    def make(goods: Goods, folder: Path) -> Path:
        path = folder / "a.ome.tif"
        tifffile.imwrite(
            path, goods.picture[:128, :128], photometric="rgb", tile=(64, 64), description=text.encode(),
            metadata=None, ome=False,
        )  # fmt: skip
        return path

    return make


Entry = tuple[int, int, int, int]
"""Tag, type, count, and value or offset."""


def basic(width: int = 64, height: int = 64, tiled: bool = True, offset: int = 4) -> list[Entry]:
    """Entries of a grey TIFF page whose one tile or strip lies at `offset`."""
    entries = [(256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, 8), (259, SHORT, 1, 1)]
    entries += [(262, SHORT, 1, 1), (277, SHORT, 1, 1)]
    if tiled:
        entries += [(322, LONG, 1, 64), (323, LONG, 1, 64), (324, LONG, 1, offset), (325, LONG, 1, 4)]
    else:
        entries += [(273, LONG, 1, offset), (278, LONG, 1, height), (279, LONG, 1, 4)]
    return sorted(entries)


def raw_tiff(pages: Sequence[Sequence[Entry]], last_next: int = 0, *, big: bool = False) -> bytes:
    """TIFF of these pages, little endian; the last one says that the next lies at `last_next`."""
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    out = bytearray(head)
    for number, entries in enumerate(pages):
        out += struct.pack("<Q" if big else "<H", len(entries))
        for tag, kind, count, value in sorted(entries):
            out += struct.pack("<HHQQ" if big else "<HHII", tag, kind, count, value)
        following = len(out) + (8 if big else 4)
        out += struct.pack("<Q" if big else "<I", last_next if number == len(pages) - 1 else following)
    return bytes(out) + bytes(4096)


def replaced(entries: list[Entry], *others: Entry) -> list[Entry]:
    """Entries with some replaced or added."""
    tags = {entry[0] for entry in others}
    return sorted([entry for entry in entries if entry[0] not in tags] + list(others))
