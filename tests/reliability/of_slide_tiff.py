"""TIFFs whose structure is hostile (rows 5 to 8), or whose levels do not fit (15, 16)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image

from .goods import ome
from .spoil import (
    LONG,
    LONG8,
    SHORT,
    basic,
    copied,
    named,
    raw_tiff,
    replaced,
    retagged,
    slide_case,
)

if TYPE_CHECKING:
    from pathlib import Path

    from .case import Case, Make
    from .goods import Goods

DAMAGED = r"^SlideError: .*(damaged|cut off|runs? beyond|Check that the copy is complete|not a slide)"
HUGE = 10**6
FOUR_GB = 2**32 - 1


def raw(pages: list, following: int = 0, **options: bool) -> Make:
    return named("a.tif", raw_tiff(pages, following, **options))


def many(count: int, *, big: bool = False, tiled: bool = True) -> Make:
    return named("a.tif", raw_tiff([basic(tiled=tiled)] * count, big=big))


# --- row 5 ------------------------------------------------------------------

CASES: list[Case] = [
    slide_case("pages: one that follows itself", 5, "IFD loop", raw([basic()], 8), "R", "lead in a circle"),
    slide_case("pages: the third leads to the first", 5, "IFD loop", raw([basic()] * 3, 8), "R", "lead in a circle"),
    slide_case("pages: a loop of strips", 5, "IFD loop", raw([basic(tiled=False)] * 2, 8), "R", "lead in a circle"),
    slide_case("pages: a loop in a BigTIFF", 5, "IFD loop", raw([basic()] * 2, 16, big=True), "R", "lead in a circle"),
    slide_case("pages: 10,001", 5, "10,001 IFDs", many(10_001), "R", "over 10,000 pages"),
    slide_case("pages: 10,001 of strips", 5, "10,001 IFDs", many(10_001, tiled=False), "R", "over 10,000 pages"),
    slide_case("pages: 60,000", 5, "60,000 IFDs", many(60_000), "R", "over 10,000 pages"),
    slide_case("pages: 12,000 in a BigTIFF", 5, "10,001 IFDs", many(12_000, big=True), "R", "over 10,000 pages"),
    slide_case("pages: the next one lies beyond the end", 4, "IFD beyond the end", raw([basic()], 10**8), "R", "its pixels run beyond the file's end"),
    slide_case("pages: the first lies beyond the end", 4, "IFD beyond the end", named("a.tif", struct.pack("<2sHI", b"II", 42, 10**8)), "R", "it has no page"),
    slide_case("pages: the first lies in the header", 5, "IFD in the header", named("a.tif", struct.pack("<2sHI", b"II", 42, 2) + bytes(200)), "R", "corrupted IFD structure"),
    slide_case("pages: 65,535 entries", 5, "entries without end", named("a.tif", struct.pack("<2sHIH", b"II", 42, 8, 65_535) + bytes(500)), "R", "suspicious number of tags"),
    slide_case("pages: entries without number in a BigTIFF", 5, "entries without end", named("a.tif", struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**62) + bytes(500)), "R", "suspicious number of tags"),
    slide_case("pages: no entries", 7, "entries: none", raw([[]]), "R", "claims an image of 0 x 0 px"),
    slide_case("pages: SubIFDs lead to the page itself", 5, "SubIFD loop", raw([replaced(basic(), (330, LONG, 1, 8))]), "R", DAMAGED),
    slide_case("pages: SubIFDs without number", 5, "4 GB tag", raw([replaced(basic(), (330, LONG, FOUR_GB, 200))]), "R", DAMAGED),
]  # fmt: skip
TAGS = {"ImageDescription": (270, 2), "TileOffsets": (324, LONG), "TileByteCounts": (325, LONG), "JPEGTables": (347, 7), "ICC profile": (34675, 7), "BitsPerSample": (258, SHORT), "Software": (305, 2)}  # fmt: skip
CASES += [
    slide_case(
        f"tag: 4 GB of {name}",
        5,
        "4 GB tag",
        raw([replaced(basic(), (tag, kind, FOUR_GB, 200))]),
        "R",
        DAMAGED,
    )
    for name, (tag, kind) in TAGS.items()
]
CASES += [
    slide_case("tag: exabytes of TileOffsets in a BigTIFF", 5, "exabytes in a tag", raw([replaced(basic(), (324, LONG8, 2**60, 200))], big=True), "R", DAMAGED),
    slide_case("tag: exabytes of ImageDescription in a BigTIFF", 5, "exabytes in a tag", raw([replaced(basic(), (270, 2, 2**60, 200))], big=True), "R", DAMAGED),
    slide_case("tag: an unknown type", 3, "tag type 99", raw([replaced(basic(), (256, 99, 1, 64))]), "R", DAMAGED),
    slide_case("tag: two widths", 3, "two values in a tag", raw([replaced(basic(), (256, SHORT, 2, 0x00400040))]), "R", "claims an image of .*64, 64.* px"),
    slide_case("tag: a text as width", 3, "tag type text", raw([replaced(basic(), (256, 2, 4, 0x41414141))]), "R", DAMAGED),
]  # fmt: skip

# --- row 6 ------------------------------------------------------------------

TABLE = r"claims [0-9,]+ x [0-9,]+ px, but has [0-9,]+ of the [0-9,]+ tiles or strips"


def png_header(width: int, height: int) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> Make:
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", height, width)
        path.write_bytes(content)

    return copied("jpeg", change)


def jp2_of(width: int, height: int) -> Make:
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        for mark, skip, parts in ((b"ihdr", 4, (height, width)), (b"\xff\x51", 6, (width, height))):
            at = content.index(mark) + skip
            content[at : at + 8] = struct.pack(">II", *parts)
        path.write_bytes(content)

    return copied("jp2", change)


CASES += [
    slide_case("size: a tiled TIFF of 1e6 x 1e6 px with one tile", 6, "claims 1e6 x 1e6", raw([basic(HUGE, HUGE)]), "R", TABLE),
    slide_case("size: a strip of 1e6 x 1e6 px", 6, "claims 1e6 x 1e6", raw([basic(HUGE, HUGE, tiled=False)]), "R", "bytes cannot hold the 1,000,000 x 1,000,000 px"),
    slide_case("size: a BigTIFF of 1e9 x 1e9 px", 6, "claims 1e9 x 1e9", raw([basic(10**9, 10**9)], big=True), "R", TABLE),
    slide_case("size: an SVS 1e6 px wide", 6, "another ImageWidth", retagged("svs", "ImageWidth", HUGE), "R", TABLE),
    slide_case("size: an SVS 1e6 px high", 6, "another ImageLength", retagged("svs", "ImageLength", HUGE), "R", TABLE),
    slide_case("size: a tiled TIFF 1e6 px wide", 6, "another ImageWidth", retagged("tiff", "ImageWidth", HUGE, dtype="I"), "R", TABLE),
    slide_case("size: a JPEG TIFF 1e6 px high", 6, "another ImageLength", retagged("jpeg tiff", "ImageLength", HUGE, dtype="I"), "R", TABLE),
    slide_case("size: an OME-TIFF 1e6 px wide", 6, "another ImageWidth", retagged("ome", "ImageWidth", HUGE, dtype="I"), "R", TABLE),
    slide_case("size: strips of 1e6 px height", 6, "another ImageLength", retagged("strips", "ImageLength", HUGE, dtype="I"), "R", TABLE),
    slide_case("size: a tile of 65,520 px across", 6, "another TileWidth", retagged("tiff", "TileWidth", 65_520), "R", "cannot be read"),
    slide_case("size: tiles of 2e9 px", 6, "another TileWidth", raw([replaced(basic(), (322, LONG, 1, 2 * 10**9 // 16 * 16), (323, LONG, 1, 2 * 10**9 // 16 * 16))]), "R", "tiles too large to read"),
    slide_case("size: a PNG of 1e6 x 1e6 px", 6, "claims 1e6 x 1e6", named("a.png", png_header(HUGE, HUGE)), "R", "too large for a plain image"),
    slide_case("size: a PNG of 20,000 x 20,000 px", 6, "claims 20,000 px", named("a.png", png_header(20_000, 20_000)), "R", "too large for a plain image|cut off or damaged"),
    slide_case("size: a PNG of 12,000 x 12,000 px with a line", 6, "claims 12,000 px", named("a.png", png_header(12_000, 12_000)), "R", "cut off or damaged"),
    slide_case("size: a JPEG of 65,000 x 65,000 px", 6, "claims 65,000 px", jpeg_of(65_000, 65_000), "R", "too large for a plain image"),
    slide_case("size: a JPEG of 12,000 x 12,000 px with few", 6, "claims 12,000 px", jpeg_of(12_000, 12_000), "R", "bytes cannot hold the 12,000 x 12,000 px"),
    slide_case("size: a JPEG 2000 of 1e6 x 1e6 px", 6, "claims 1e6 x 1e6", jp2_of(HUGE, HUGE), "R", "too large for a plain image"),
]  # fmt: skip

# --- row 7 ------------------------------------------------------------------

CASES += [
    slide_case("zero: an SVS of no width", 7, "ImageWidth 0", retagged("svs", "ImageWidth", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: a TIFF of no width", 7, "ImageWidth 0", retagged("tiff", "ImageWidth", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: a TIFF of no height", 7, "ImageLength 0", retagged("tiff", "ImageLength", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: an OME-TIFF of no height", 7, "ImageLength 0", retagged("ome", "ImageLength", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: strips of no width", 7, "ImageWidth 0", retagged("strips", "ImageWidth", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: tiles of no width", 7, "TileWidth 0", retagged("tiff", "TileWidth", 0), "R", "cannot be opened: Invalid TIFF"),
    slide_case("zero: tiles of no height in an SVS", 7, "TileLength 0", retagged("svs", "TileLength", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: tiles of no height in an OME-TIFF", 7, "TileLength 0", retagged("ome", "TileLength", 0), "R", "damaged: it claims an image of .* px, tiles of .* px and .* samples"),
    slide_case("zero: no samples", 7, "SamplesPerPixel 0", retagged("tiff", "SamplesPerPixel", 0), "R", "cannot be opened: Invalid TIFF"),
    slide_case("zero: no samples in an OME-TIFF", 7, "SamplesPerPixel 0", retagged("ome", "SamplesPerPixel", 0), "R", "cannot be opened: Invalid TIFF"),
    slide_case("zero: a PNG of no width", 7, "claims 0 px", named("a.png", png_header(0, 100)), "R", "is damaged or no image. Copy it again"),
    slide_case("zero: a JPEG of no size", 7, "claims 0 px", jpeg_of(0, 0), "R", "is damaged or no image. Copy it again"),
    slide_case("zero: a JPEG 2000 of no size", 7, "claims 0 px", jp2_of(0, 0), "R", "is damaged or no image. Copy it again"),
]  # fmt: skip

# --- row 8 ------------------------------------------------------------------

CODECS = {
    "12345": 12345,
    "ThunderScan": 32809,
    "SGILog": 34676,
    "PixarFilm": 32908,
    "JBIG": 34661,
    "DCS": 32947,
}
CASES += [
    slide_case(f"codec: {name} in a {kind}", 8, f"compression {name}", retagged(kind, "Compression", code), "R", rf"a codec that is not known here \(compression: {code}\b")
    for name, code in CODECS.items()
    for kind in ("tiff", "strips", "ome")
]  # fmt: skip
CASES += [
    slide_case("codec: 12345 in an SVS", 8, "compression 12345", retagged("svs", "Compression", 12345), "R", r"a codec that is not known here \(compression: 12345\)"),
    slide_case("codec: JPEG that is none in a tiled TIFF", 9, "compression JPEG over deflate", retagged("tiff", "Compression", 7), "R", r"^SlideError: .*cannot be read"),
]  # fmt: skip

# --- rows 15, 16 ------------------------------------------------------------


def levels_of(sizes: list[tuple[int, int]], dtype: type = np.uint8) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        options: dict = {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"}
        with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as tiff:
            tiff.write(goods.picture[:384, :512], subifds=len(sizes), metadata={"axes": "YXS"}, **options)
            for width, height in sizes:
                picture = np.resize(goods.picture, (height, width, 3)).astype(dtype)
                tiff.write(picture, subfiletype=1, **options)
        return folder / "a.ome.tif"

    return make


def flat_png(goods: Goods, folder: Path) -> Path:
    Image.fromarray(np.resize(goods.picture, (2500, 2600, 3))).save(folder / "a.png", compress_level=1)
    return folder / "a.png"


def flat_tiff(goods: Goods, folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", np.resize(goods.picture, (2500, 2600, 3)), photometric="rgb", tile=(256, 256), metadata=None)  # fmt: skip
    return folder / "a.tif"


CASES += [
    slide_case("levels: none but the finest in a TIFF", 15, "no pyramid", flat_tiff, "D", r"2600 x 2500, 2 levels"),
    slide_case("levels: none but the finest in a PNG", 15, "no pyramid", flat_png, "D", r"2600 x 2500, 2 levels"),
    slide_case("levels: none but the finest in an OME-TIFF", 15, "no pyramid", lambda g, f: ome(f / "a.ome.tif", np.resize(g.picture, (2500, 2600, 3)), 1), "D", r"2600 x 2500, 2 levels"),
    slide_case("levels: the second is the larger", 16, "level of another size", levels_of([(1024, 768)]), "D", r"1 levels.*notes: 1 levels that do not fit are left out"),
    slide_case("levels: the second is of another shape", 16, "level of another size", levels_of([(256, 50)]), "D", r"1 levels.*notes: 1 levels that do not fit are left out"),
    slide_case("levels: the third is larger than the second", 16, "level of another size", levels_of([(128, 96), (256, 192)]), "D", r"2 levels.*notes: 1 levels that do not fit are left out"),
    slide_case("levels: the second has 16 bits", 16, "level of another type", levels_of([(256, 192)], np.uint16), "D", r"1 levels.*notes: 1 levels that do not fit are left out"),
    slide_case("levels: the second has one pixel", 16, "level of one pixel", levels_of([(1, 1)]), "works", r"512 x 384, 2 levels.*notes: none"),
]  # fmt: skip
