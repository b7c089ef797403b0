"""What a slide tells: its scale (rows 12 to 14), parts elsewhere (23), XML that explodes (24)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import tifffile
from PIL import Image

from .case import Case
from .goods import ome, ome_zarr, tiff
from .spoil import copied, described, redescribed, slide_case

if TYPE_CHECKING:
    from pathlib import Path

    from .case import Make
    from .goods import Goods

UNKNOWN, ASKED = (
    "mpp none, question: none",
    "mpp none, question: The file.*scale is not plausible.*What is right",
)
DISAGREES = "mpp none, question: The file contradicts itself.* but .*What is right"


def as_ome(**about: Any) -> Make:
    return lambda goods, folder: ome(folder / "a.ome.tif", goods.picture[:256, :256], **about)


def bare_ome(goods: Goods, folder: Path) -> Path:
    tifffile.imwrite(folder / "a.ome.tif", goods.picture[:256, :256], photometric="rgb", ome=True, metadata={"axes": "YXS"})  # fmt: skip
    return folder / "a.ome.tif"


def as_tiff(per_unit: tuple[float, float], unit: str, **options: Any) -> Make:
    return lambda g, f: (
        tiff(f / "a.tif", g.picture, resolution=per_unit, resolutionunit=unit, **options) or f / "a.tif"
    )


def as_image(name: str, **options: Any) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        Image.fromarray(goods.picture[:100, :120]).save(folder / name, **options)
        return folder / name

    return make


def as_zarr(change: Any) -> Make:
    """OME-Zarr whose multiscales are changed."""

    def make(goods: Goods, folder: Path) -> Path:
        path = ome_zarr(folder / "a.zarr", goods.picture[:128, :128])
        about = json.loads((path / ".zattrs").read_text())
        change(about["multiscales"][0])
        (path / ".zattrs").write_text(json.dumps(about))
        return path

    return make


def scaled(x: Any, y: Any) -> Make:
    def change(image: dict) -> None:
        image["datasets"][0]["coordinateTransformations"][0]["scale"] = [y, x, 1]

    return as_zarr(change)


def told(name: str, row: int, mutation: str, make: Make, says: str) -> Case:
    return slide_case(f"scale: {name}", row, mutation, make, "D", says)


CASES: list[Case] = [
    told("an SVS without MPP", 12, "no MPP", redescribed("svs", "MPP = 0.5", "XPP = 0.5"), "mpp none"),
    told("an OME-TIFF without PhysicalSize", 12, "no scale told", bare_ome, UNKNOWN),
    told("a TIFF of 72 dpi", 12, "72 dpi", as_tiff((72, 72), "INCH"), UNKNOWN),
    told("a TIFF of 96 dpi", 12, "96 dpi", as_tiff((96, 96), "INCH"), UNKNOWN),
    told("a TIFF of 300 dpi", 12, "300 dpi", as_tiff((300, 300), "INCH", tile=None), UNKNOWN),
    told("a TIFF without a unit", 12, "no unit", as_tiff((2e4, 2e4), "NONE"), UNKNOWN),
    told("a JPEG of 300 dpi", 12, "300 dpi", as_image("a.jpg", dpi=(300, 300)), UNKNOWN),
    told("a PNG", 12, "no scale told", as_image("a.png"), UNKNOWN),
    told("an OME-TIFF in pixels", 12, "unit of pixels", lambda g, f: _unit(g, f, "pixel"), UNKNOWN),
    told("an OME-Zarr without a unit", 12, "no unit", as_zarr(lambda i: [a.pop("unit", None) for a in i["axes"]]), UNKNOWN),
    told("an OME-Zarr without transformations", 12, "no transformations", as_zarr(lambda i: i["datasets"][0].update(coordinateTransformations=[])), UNKNOWN),
]  # fmt: skip


def _unit(goods: Goods, folder: Path, unit: str) -> Path:
    about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5} | {
        f"PhysicalSize{a}Unit": unit for a in "XY"
    }
    tifffile.imwrite(
        folder / "a.ome.tif", goods.picture[:256, :256], photometric="rgb", ome=True, metadata=about
    )
    return folder / "a.ome.tif"


BAD = {
    "0": "0",
    "-0.5": "below nought",
    "nan": "NaN",
    "inf": "Inf",
    "352.8": "of 72 dpi",
    "1e-9": "tiny",
    "0.0": "zero",
}
CASES += [
    told(
        f"MPP = {value}, {why}", 13, f"MPP {value}", redescribed("svs", "MPP = 0.5", f"MPP = {value}"), ASKED
    )
    for value, why in BAD.items()
]
CASES += [
    told("MPP with a decimal comma", 13, "decimal comma", redescribed("svs", "MPP = 0.5", "MPP = 0,5"), "mpp none, question: .*no number"),
    told("MPP that is a word", 13, "a word", redescribed("svs", "MPP = 0.5", "MPP = half"), "mpp none, question: .*no number"),
    *(told(f"PhysicalSize {value}", 13, f"PhysicalSize {value}", as_ome(PhysicalSizeX=value, PhysicalSizeY=value), ASKED) for value in (0.001, 90.0)),
    told("PhysicalSize of x and y 6 % apart", 13, "x and y apart", as_ome(PhysicalSizeX=0.5, PhysicalSizeY=0.53), ASKED),
    told("PhysicalSize of y missing", 13, "x alone", described('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="128" SizeY="128" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.5"><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'), ASKED),
    told("resolution of x and y apart", 13, "x and y apart", as_tiff((2e4, 1e4), "CENTIMETER"), ASKED),
    told("resolution of y nought", 13, "y is 0", as_tiff((2e4, 0), "CENTIMETER"), "mpp none"),
    *(told(f"an OME-Zarr's scale {x}, {y}", 13, f"scale {x}, {y}", scaled(x, y), "mpp none, question: The file") for x, y in ((0, 0), (-0.5, -0.5), (1e9, 1e9), (0.5, 0.6))),
    slide_case("scale: an OME-Zarr's is a word", 13, "scale is a word", scaled("half", "half"), "R", "damaged or incomplete OME-Zarr"),
]  # fmt: skip
CASES += [
    Case(f"scale: --mpp {value}", 13, "option", f"--mpp {value}", "mclstexp", lambda g, f, v=value: ["predict", g.slide("tiff"), "--bundle", g.small_bundle, "--out", f / "r.h5ad", f"--mpp={v}"], "R", says)
    for value, says in {"0": "not plausible", "-1": "not plausible", "nan": "not plausible", "352": "not plausible", "0,5,0": "is no scale", "half": "is no scale", "": "is no scale", "0;5": "is no scale"}.items()
]  # fmt: skip
CASES += [
    Case("scale: unknown, and nobody to ask", 12, "option", "no --mpp", "mclstexp", lambda g, f: ["predict", as_image("a.png")(g, f), "--bundle", g.small_bundle, "--out", f / "r.h5ad"], "R", r"scale.*Add --mpp M to the command"),
    told("MPP against AppMag", 14, "AppMag 80", redescribed("svs", "AppMag = 20", "AppMag = 80"), DISAGREES),
    told("MPP against AppMag of a low power", 14, "AppMag 2", redescribed("svs", "AppMag = 20", "AppMag = 2"), DISAGREES),
    told("PhysicalSize against the resolution tags", 14, "resolution tags", lambda g, f: _two_scales(g, f), DISAGREES),
    told("PhysicalSize against the objective", 14, "objective of OME", described('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="80"/></Instrument><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="128" SizeY="128" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5"><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'), DISAGREES),
]  # fmt: skip


def _two_scales(goods: Goods, folder: Path) -> Path:
    about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5} | {
        f"PhysicalSize{a}Unit": "µm" for a in "XY"
    }
    tifffile.imwrite(folder / "a.ome.tif", goods.picture[:256, :256], photometric="rgb", ome=True, metadata=about, resolution=(4e4, 4e4), resolutionunit="CENTIMETER")  # fmt: skip
    return folder / "a.ome.tif"


# --- row 23 -------------------------------------------------------------------

OUTSIDE = ("../b.ome.tif", "/etc/passwd", "C:\\b.tif", "\\\\server\\share\\b.tif", "a/b.ome.tif", "..", "file:///b.tif", "b*.tif", "~/../b?.tif")  # fmt: skip


def ome_text(parts: str, planes: int = 2) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="128" SizeY="128" SizeC="3" SizeZ="{planes}" SizeT="1"><Channel ID="Channel:0:0" '
        f'SamplesPerPixel="3"/>{parts}</Pixels></Image></OME>'
    )


def part(name: str) -> str:
    own = (
        '<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
    )
    return (
        own
        + f'<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="{name}">urn:uuid:2</UUID></TiffData>'
    )


def linked(goods: Goods, folder: Path) -> Path:
    path = described(ome_text(part("b.ome.tif")))(goods, folder)
    (folder / "b.ome.tif").symlink_to("/etc/passwd")
    return path


CASES += [
    slide_case(
        f"part elsewhere: {name}",
        23,
        f"FileName {name}",
        described(ome_text(part(name))),
        "R",
        "refers to a file outside its folder, which is not opened",
    )
    for name in OUTSIDE
]
CASES += [
    slide_case("part elsewhere: a link beside the slide", 23, "FileName of a link", linked, "R", "refers to a file outside its folder"),
    slide_case("part elsewhere: not there", 23, "FileName of nothing", described(ome_text(part("b.ome.tif"))), "R", "one of 2 files of an image, and 1 of them are not beside it"),
    slide_case("planes: OME-XML claims 1e9", 22, "SizeZ 1e9", described(ome_text("<TiffData/>", 10**9)), "R", r"claims 3,000,000,000 planes, more than any stack has"),
    slide_case("planes: OME-XML claims 1e6", 22, "SizeZ 1e6", described(ome_text("<TiffData/>", 10**6)), "R", r"claims 3,000,000 planes, more than any stack has"),
]  # fmt: skip

# --- row 24 -------------------------------------------------------------------


def laughs(depth: int = 9) -> str:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, depth))
    return f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY l0 "lol">{entities}]><OME>&l{depth - 1};</OME>'


BOMBS = {
    "a billion laughs": laughs(),
    "a quadratic blow-up": f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "{"a" * 50_000}">]><OME>{"&a;" * 50_000}</OME>',
    "an external entity": '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]><OME>&x;</OME>',
    "an external DTD": '<?xml version="1.0"?><!DOCTYPE OME SYSTEM "http://example.org/a.dtd"><OME/>',
    "100,000 elements within each other": '<?xml version="1.0"?><OME>' + "<a>" * 100_000 + "</a>" * 100_000 + "</OME>",
    "an attribute of 5 MB": f'<?xml version="1.0"?><OME UUID="{"a" * 5_000_000}"/>',
    "300,000 elements": '<?xml version="1.0"?><OME>' + "<a/>" * 300_000 + "</OME>",
    "no end": '<?xml version="1.0"?><OME><Image><Pixels',
    "two roots": '<?xml version="1.0"?><OME></OME><OME></OME>',
}  # fmt: skip
CASES += [
    slide_case(f"XML: {name}", 24, name, described(text), "D", r"128 x 128, 1 levels, mpp none.*lost 0 px")
    for name, text in BOMBS.items()
]
CASES += [
    slide_case("XML: a billion laughs in a Philips TIFF", 24, "a billion laughs, Philips", lambda g, f: copied("philips", lambda p: _redescribe(p, laughs()))(g, f), "D", r"512 x 384"),
    slide_case("XML: a billion laughs in an SCN", 24, "a billion laughs, SCN", lambda g, f: copied("scn", lambda p: _redescribe(p, laughs().replace("OME", "scn")))(g, f), "D", r"^.* levels"),
]  # fmt: skip


def _redescribe(path: Path, text: str) -> None:
    with tifffile.TiffFile(path, mode="r+", _multifile=False) as opened:
        opened.pages.first.tags["ImageDescription"].overwrite(text.encode())
