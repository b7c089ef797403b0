"""Tiles that are damaged or absent (rows 9 to 11), pixels of other kinds (17 to 21) and stacks (22)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from tests.core.vendor_tiff import write_philips

from .goods import CANARY, MPP, tiff
from .spoil import copied, slide_case

if TYPE_CHECKING:
    from pathlib import Path

    from .case import Case, Make
    from .goods import Goods


def tile_spoilt(kind: str, number: int = 5, keep: int = 0, content: bytes = b"\xa5", level: int = 0) -> Make:
    """The bytes of one tile, all but the first `keep`."""

    def change(path: Path) -> None:
        with tifffile.TiffFile(path, _multifile=False) as tiff_file:
            page = tiff_file.series[0].levels[level].keyframe
            offset, count = page.dataoffsets[number], page.databytecounts[number]
        with path.open("r+b") as file:
            file.seek(offset + keep)
            file.write((content * count)[: count - keep])

    return copied(kind, change)


def absent(kind: str, number: int = 5) -> Make:
    """One tile of no bytes."""

    def change(path: Path) -> None:
        with tifffile.TiffFile(path, mode="r+", _multifile=False) as tiff_file:
            for name in ("TileOffsets", "TileByteCounts"):
                tag = tiff_file.pages.first.tags[name]
                values = list(tag.value)
                values[number] = 0
                tag.overwrite(values)

    return copied(kind, change)


def sparse_philips(goods: Goods, folder: Path) -> Path:
    return write_philips(folder / "a.tiff", goods.picture[:384, :512], MPP, CANARY, absent=5)


LOST = r"lost [1-9][0-9]* px"
TILED = ("tiff", "bigtiff", "ome", "jpeg tiff", "svs", "jp2k svs", "scn", "philips")
CASES: list[Case] = [
    *(slide_case(f"tile: of other bytes in a {k}", 9, "tile of 0xA5", tile_spoilt(k), "D", LOST) for k in ("tiff", "bigtiff", "ome", "jpeg tiff", "svs", "jp2k svs", "philips")),
    *(slide_case(f"tile: of zeros in a {k}", 9, "tile of zeros", tile_spoilt(k, content=b"\0"), "D", LOST) for k in ("tiff", "ome", "jpeg tiff", "svs", "jp2k svs")),
    *(slide_case(f"tile: another format's in a {k}", 9, "tile of PNG", tile_spoilt(k, content=b"\x89PNG\r\n\x1a\n"), "D", LOST) for k in ("tiff", "ome", "svs")),
    *(slide_case(f"tile: the second half of deflate in a {k}", 9, "half of a tile", tile_spoilt(k, keep=5000), "D", LOST) for k in ("tiff", "bigtiff")),
    *(slide_case(f"tile: the second half of JPEG in a {k}, a known limit", 10, "half of a JPEG tile", tile_spoilt(k, keep=3000), "D", r"512 x 384, . levels") for k in ("jpeg tiff", "svs", "philips")),
    *(slide_case(f"tile: absent in a {k}", 11, "tile of no bytes", absent(k), "D", r"lost 0 px, white 0\.08") for k in ("tiff", "bigtiff", "jpeg tiff", "svs")),
    slide_case("tile: absent in an OME-TIFF", 11, "tile of no bytes", absent("ome"), "D", r"lost 0 px, white 0\.02"),
    slide_case("tile: absent in a Philips TIFF", 11, "tile left out by the writer", sparse_philips, "D", r"lost 0 px, white 0\.08"),
]  # fmt: skip


def written(name: str, pixels: Any, **options: Any) -> Make:
    """TIFF or OME-TIFF of other pixels; a callable takes the good ones."""

    def make(goods: Goods, folder: Path) -> Path:
        of = goods.picture[:384, :512]
        kind = (
            {"metadata": {"axes": "YXS" if pixels(of).ndim == 3 else "YX"}, "ome": True}
            if ".ome." in name
            else {}
        )
        tiff(folder / name, pixels(of), **(kind | options))
        return folder / name

    return make


def saved(name: str, mode: str, **options: Any) -> Make:
    """Image by Pillow in another mode."""

    def make(goods: Goods, folder: Path) -> Path:
        image = Image.fromarray(goods.picture[:384, :512])
        image.putalpha(128) if mode == "RGBA" else None
        (image if image.mode == mode else image.convert(mode)).save(folder / name, **options)
        return folder / name

    return make


def sixteen_bit_png(goods: Goods, folder: Path) -> Path:
    Image.fromarray(goods.picture[..., 0].astype(np.uint16) * 256).save(folder / "a.png")
    return folder / "a.png"


def gaps(picture: np.ndarray) -> np.ndarray:
    values = picture[..., 0].astype(np.float32)
    values[::3] = np.nan
    values[1::3] = np.inf
    return values


GREY, MINI = "grey \\(one channel\\)", {"photometric": "minisblack"}
CASES += [
    slide_case("pixels: 16-bit RGB in a TIFF", 17, "16 bits", written("a.tif", lambda p: p.astype(np.uint16) * 200), "D", "model: This image has 16 bits a channel"),
    slide_case("pixels: 16-bit RGB in an OME-TIFF", 17, "16 bits", written("a.ome.tif", lambda p: p.astype(np.uint16) * 200), "D", "model: This image has 16 bits a channel"),
    slide_case("pixels: 16-bit grey in a PNG", 17, "16 bits", sixteen_bit_png, "D", f"model: This image is {GREY}"),
    slide_case("pixels: 32-bit whole numbers", 17, "32 bits", written("a.tif", lambda p: p.astype(np.uint32)), "D", "model: This image has 32 bits a channel"),
    slide_case("pixels: signed 8 bits", 17, "int8", written("a.tif", lambda p: (p // 2).astype(np.int8)), "D", "model: This image has 8 bits a channel"),
    slide_case("pixels: floats", 18, "float32", written("a.tif", lambda p: p.astype(np.float32) / 255), "D", "model: This image has 32-bit floating point"),
    slide_case("pixels: floats with NaN and Inf", 18, "NaN and Inf", written("a.tif", gaps, **MINI), "D", f"model: This image is {GREY}"),
    slide_case("pixels: floats, all of them NaN", 18, "all NaN", written("a.ome.tif", lambda p: np.full(p.shape, np.nan, np.float32)), "D", "model: This image has 32-bit floating point"),
    slide_case("pixels: half floats", 18, "float16", written("a.tif", lambda p: (p / 255).astype(np.float16)), "D", "model: This image has 16-bit floating point"),
    slide_case("pixels: grey in a TIFF", 19, "one channel", written("a.tif", lambda p: p[..., 0].copy(), **MINI), "D", f"model: This image is {GREY}"),
    slide_case("pixels: grey in an OME-TIFF", 19, "one channel", written("a.ome.tif", lambda p: p[..., 0].copy(), **MINI), "D", f"model: This image is {GREY}"),
    slide_case("pixels: grey in a JPEG", 19, "one channel", saved("a.jpg", "L"), "D", f"model: This image is {GREY}"),
    slide_case("pixels: grey in a PNG", 19, "one channel", saved("a.png", "L"), "D", f"model: This image is {GREY}"),
    slide_case("pixels: black and white", 19, "one bit", saved("a.png", "1"), "D", f"model: This image is {GREY}"),
    slide_case("pixels: grey and alpha", 19, "LA", saved("a.png", "LA"), "D", f"model: This image is {GREY}"),
    slide_case("pixels: RGBA in a PNG", 20, "alpha", saved("a.png", "RGBA"), "D", "notes: transparency laid on white, model: fits"),
    slide_case("pixels: RGBA in a TIFF of strips", 20, "alpha", written("a.tif", lambda p: np.dstack([p, np.full(p.shape[:2], 128, np.uint8)]), tile=None, extrasamples=["unassalpha"]), "D", "model: fits"),
    slide_case("pixels: RGBA in an OME-TIFF", 20, "alpha", written("a.ome.tif", lambda p: np.dstack([p, np.full(p.shape[:2], 128, np.uint8)]), extrasamples=["unassalpha"]), "D", "notes: transparency laid on white, model: fits"),
    slide_case("pixels: CMYK in a JPEG", 21, "CMYK", saved("a.jpg", "CMYK"), "D", "notes: converted from CMYK, model: This image has its colours as CMYK"),
    slide_case("pixels: CMYK in a TIFF of strips", 21, "CMYK", saved("a.tif", "CMYK"), "R", "stores its colours as SEPARATED.*Export it as RGB"),
    slide_case("pixels: Lab in a TIFF of strips", 21, "CIELAB", saved("a.tif", "LAB"), "R", "stores its colours as CIELAB.*Export it as RGB"),
    slide_case("pixels: a palette in a PNG", 21, "palette", saved("a.png", "P"), "D", "notes: P to RGB, model: fits"),
    slide_case("pixels: five samples", 21, "five samples", written("a.ome.tif", lambda p: np.dstack([p, p[..., :2]]), photometric="minisblack", planarconfig="contig"), "R", "holds 5 samples"),
    slide_case("pixels: complex numbers", 21, "complex", written("a.tif", lambda p: p[..., 0].astype(np.complex64), **MINI), "R", "samples of complex64 a pixel: no picture to show"),
]  # fmt: skip


def stack(axes: str, count: int, colour: bool = True, plane: int | None = None) -> Make:
    def make(goods: Goods, folder: Path) -> object:
        one = goods.picture[:128, :128] if colour else goods.picture[:128, :128, 0]
        pixels = np.stack([one] * count)
        kind = "rgb" if colour else "minisblack"
        tifffile.imwrite(folder / "a.ome.tif", pixels, photometric=kind, metadata={"axes": axes}, ome=True)
        return folder / "a.ome.tif", plane

    return make


CASES += [
    slide_case("tag: an ICC profile that is none", 4, "ICC profile", written("a.tif", lambda p: p, iccprofile=b"none at all"), "D", r"notes: its colour profile is damaged, and not used"),
    slide_case("tag: an ICC profile that is cut off", 4, "ICC profile", written("a.tif", lambda p: p, iccprofile=ImageCmsProfile(createProfile("sRGB")).tobytes()[:100]), "D", r"notes: its colour profile is damaged, and not used"),
    slide_case("stack: 3 planes in Z", 22, "Z stack", stack("ZYXS", 3), "D", r"planes 3.*model: This is a stack of 3 planes \(Z 1, Z 2, Z 3\)\. Choose one"),
    slide_case("stack: 2 moments", 22, "T stack", stack("TYXS", 2), "D", r"planes 2.*stack of 2 planes \(time 1, time 2\)"),
    slide_case("stack: a plane that was chosen", 22, "plane of a stack", stack("ZYXS", 3, plane=1), "works", "notes: plane Z 2, model: fits"),
    slide_case("stack: a plane that is none", 22, "plane out of range", stack("ZYXS", 3, plane=3), "R", "has 3 planes; number 4 is none"),
    slide_case("stack: a plane below nought", 22, "plane out of range", stack("ZYXS", 3, plane=-1), "R", "has 3 planes; number 0 is none"),
    slide_case("stack: four channels", 22, "C stack", stack("CYX", 4, colour=False), "D", "Each plane of this stack is one channel"),
    slide_case("stack: a plane of a single image", 22, "plane of no stack", lambda g, f: (g.slide("tiff"), 1), "R", "no stack: there is no plane to choose"),
]  # fmt: skip
