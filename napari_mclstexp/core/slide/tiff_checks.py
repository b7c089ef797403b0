"""What a TIFF claims of itself, held against its size, before any library takes it on trust.

Format: TIFF 6.0 section 2, and BigTIFF: directories are a linked list, each of entries of 12 or 20 bytes.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, BinaryIO

import tifffile

from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path

MAX_PAGES = 10_000
MAX_TILE_PX = 2**26
LOOKED_AT = 32
"""Pages whose tables are held against their sizes: levels, label and the like come first."""

OWN_CODECS = frozenset((33003, 33004, 33005))
"""Aperio's JPEG 2000, which OpenSlide decodes."""


def check_tiff(path: Path) -> None:
    """Refuse a TIFF that leads in circles, claims more than it holds, or is coded in an unknown way.

    Parameters
    ----------
    path : pathlib.Path
        A TIFF; other damage is left to those who read it.

    Raises
    ------
    SlideError
        With what is wrong.
    """
    with path.open("rb") as file:
        _check_chain(file, path.name)
    try:
        tiff = tifffile.TiffFile(path, _multifile=False)
    except Exception:  # noqa: BLE001 - whoever reads it will say so
        return
    with tiff:
        if len(tiff.pages) == 0:
            msg = f"{path.name} is damaged or cut off: it has no page. Check that the copy is complete."
            raise SlideError(msg)
        for page in _pages(tiff):
            try:
                _check_page(page, path.name)
            except SlideError:
                raise
            except Exception:  # noqa: BLE001 - a field of the wrong kind, which those who read it tell
                return


def _check_chain(file: BinaryIO, name: str) -> None:
    """Walk along the directories without reading them."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    count_format, offset_format, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(order + offset_format, head, 8 if big else 4)
        while offset:
            if offset in seen:
                msg = f"{name} is damaged: its pages lead in a circle. Copy it again from its source."
                raise SlideError(msg)
            seen.add(offset)
            if len(seen) > MAX_PAGES:
                msg = f"{name} has over {MAX_PAGES:,} pages, more than any slide. Export the slide alone."
                raise SlideError(msg)
            file.seek(offset)
            (count,) = struct.unpack(order + count_format, file.read(struct.calcsize(count_format)))
            file.seek(count * entry, 1)
            (offset,) = struct.unpack(order + offset_format, file.read(struct.calcsize(offset_format)))
    except (struct.error, OSError, OverflowError, ValueError):
        return  # it ends before its end, which those who read it tell


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Pages of the levels, as far as they can be read."""
    found: list[tifffile.TiffPage] = []
    for number in range(LOOKED_AT):
        try:
            page = tiff.pages[number]
            inner = list(page.pages or ())[:LOOKED_AT] if page.subifds else []
        except Exception:  # noqa: BLE001 - there is none, or it is damaged
            break
        found += [p for p in (page, *inner) if isinstance(p, tifffile.TiffPage)]
    return found


def _check_page(page: tifffile.TiffPage, name: str) -> None:
    tile = (page.tilewidth, page.tilelength) if page.is_tiled else (1, 1)
    numbers = (page.imagewidth, page.imagelength, *tile, page.samplesperpixel)
    if not all(isinstance(n, int) and n > 0 for n in numbers):
        told = " x ".join(map(str, numbers[:2]))
        msg = (
            f"{name} is damaged: it claims an image of {told} px, tiles of {tile[0]} x {tile[1]} px and "
            f"{page.samplesperpixel} samples a pixel. Copy it again from its source."
        )
        raise SlideError(msg)
    codec = page.compression
    if codec not in tifffile.TIFF.DECOMPRESSORS and codec not in OWN_CODECS:
        told = getattr(codec, "name", "")
        msg = (
            f"{name} is coded with a codec that is not known here (compression: {int(codec)}"
            f"{f', {told}' if told else ''}). Export it with JPEG, JPEG 2000, LZW or deflate."
        )
        raise SlideError(msg)
    if page.is_tiled and page.tilewidth * page.tilelength > MAX_TILE_PX:
        msg = (
            f"{name} is damaged, or made of tiles too large to read: {page.tilewidth:,} x "
            f"{page.tilelength:,} px. Export it in tiles of 512 px or less."
        )
        raise SlideError(msg)
    held = page.parent.filehandle.size
    if codec == 1 and not page.is_tiled and page.nbytes > held:
        msg = (
            f"{name} is cut off or damaged: its {held:,} bytes cannot hold the {page.imagewidth:,} x "
            f"{page.imagelength:,} px that it claims. Copy it again."
        )
        raise SlideError(msg)
    try:
        needed = math.prod(page.chunked)
    except Exception:  # noqa: BLE001 - no size, which those who read it tell
        return
    if len(page.dataoffsets) < needed:
        msg = (
            f"{name} is damaged: it claims {page.imagewidth:,} x {page.imagelength:,} px, but has "
            f"{len(page.dataoffsets):,} of the {needed:,} tiles or strips of that. Copy it again."
        )
        raise SlideError(msg)
