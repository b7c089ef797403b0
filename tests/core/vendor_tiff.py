"""Writers of small valid slides in the vendors' TIFF dialects, as OpenSlide demands them.

Aperio SVS (JPEG, and JPEG 2000 with compression 33003 or 33005), generic tiled TIFF, Philips TIFF,
Leica SCN and Ventana BIF. A writer takes the path, the picture (height, width, 3) uint8, um a pixel
(x, y) and a canary that goes wherever such a file tells of a person or a slide.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TILE = 128
QUALITY = 98
LABEL = np.full((60, 50, 3), (250, 0, 250), dtype=np.uint8)
MACRO = np.full((40, 160, 3), (0, 250, 0), dtype=np.uint8)
JPEG = {
    "compression": "jpeg",
    "compressionargs": {"level": QUALITY},
    "photometric": "rgb",
    "subsampling": (1, 1),
}
Mpp = tuple[float, float]


def halved(picture: np.ndarray, times: int = 1) -> np.ndarray:
    """Mean of blocks of 2 x 2 pixels, `times` over; an odd last row or column is dropped."""
    for _ in range(times):
        height, width = (n // 2 * 2 for n in picture.shape[:2])
        blocks = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
        picture = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return picture


def power(mpp: Mpp) -> int:
    """The objective that scans at this scale: 10 um over um a pixel, as scanners count."""
    return round(10 / mpp[0])


def jpeg_bytes(picture: np.ndarray, comment: str = "", restart: int = 0) -> bytes:
    """A JPEG without chroma subsampling: one MCU is 8 x 8 px; `restart` MCUs between markers."""
    target = io.BytesIO()
    options = {"comment": comment} if comment else {}
    if restart:
        options["restart_marker_blocks"] = restart
    Image.fromarray(picture).save(target, "JPEG", quality=QUALITY, subsampling=0, **options)
    return target.getvalue()


def tiles(picture: np.ndarray, absent: int | None = None) -> Iterator[np.ndarray | None]:
    """Whole tiles row by row, filled up at the right and below by repeating the edge; one may be absent."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    for number, (y, x) in enumerate(corners):
        yield None if number == absent else np.ascontiguousarray(padded[y : y + TILE, x : x + TILE])


def _per_cm(mpp: Mpp, factor: int = 1) -> dict:
    """The TIFF resolution tags."""
    return {"resolution": tuple(1e4 / (m * factor) for m in mpp), "resolutionunit": "CENTIMETER"}


def _ycbcr(picture: np.ndarray) -> np.ndarray:
    """Full-range YCbCr by ITU-T T.871."""
    matrix = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    return np.clip(np.rint(picture @ np.array(matrix).T + (0, 128, 128)), 0, 255).astype(np.uint8)


def write_svs(
    path: Path, picture: np.ndarray, mpp: Mpp, canary: str, compression: int | str = "jpeg"
) -> Path:
    """Aperio SVS of levels 1 and 1/4; it has one scale for both axes, the first of `mpp`.

    Directories: level 0, thumbnail, level 1, label, macro. 33003 holds YCbCr, 33005 RGB.
    """
    height, width = picture.shape[:2]
    about = f"Aperio Image Library v12.0.1\r\n{width}x{height} [0,0 {width}x{height}] ({TILE}x{TILE})"
    facts = f"|AppMag = {power(mpp)}|MPP = {mpp[0]}|User = {canary}|Filename = {canary}|Barcode = {canary}"
    strips = {"rowsperstrip": 16, "metadata": None, **JPEG}
    with tifffile.TiffWriter(path) as tiff:
        for level in (picture, halved(picture, 2)):
            options: dict = {"description": about + facts, "tile": (TILE, TILE), "metadata": None}
            if compression == "jpeg":
                tiff.write(level, **options, **JPEG)
            else:
                tiff.write(
                    (j2k(_ycbcr(tile) if compression == 33003 else tile) for tile in tiles(level)),
                    shape=level.shape,
                    dtype=level.dtype,
                    photometric="rgb",
                    compression=compression,
                    **options,
                )
            if level is picture:
                tiff.write(halved(picture, 3), description=about, **strips)
        for name, image, kind in (("label", LABEL, 1), ("macro", MACRO, 9)):
            size = f"{image.shape[1]}x{image.shape[0]}"
            tiff.write(image, description=f"Aperio\r\n{name} {size}|{canary}", subfiletype=kind, **strips)
    return path


def j2k(tile: np.ndarray) -> bytes:
    """A lossless JPEG 2000 code stream whose components are left as they are."""
    return imagecodecs.jpeg2k_encode(tile, level=0, codecformat="j2k", reversible=True, mct=False)


def write_generic(path: Path, picture: np.ndarray, mpp: Mpp, canary: str) -> Path:
    """Tiled JPEG TIFF of levels 1, 1/2 and 1/4, as many programs write them."""
    with tifffile.TiffWriter(path) as tiff:
        for times in range(3):
            tiff.write(
                halved(picture, times),
                tile=(TILE, TILE),
                subfiletype=1 if times else 0,
                description=canary,
                software=canary,
                metadata=None,
                extratags=[(315, 2, 0, canary, True)],  # Artist
                **_per_cm(mpp, 2**times),
                **JPEG,
            )
    return path


def _attribute(name: str, text: str, group: str = "0x301D") -> str:
    return f'<Attribute Name="{name}" Group="{group}" Element="0x1000" PMSVR="IString">{text}</Attribute>'


def write_philips(path: Path, picture: np.ndarray, mpp: Mpp, canary: str, absent: int | None = None) -> Path:
    """Philips TIFF of levels 1, 1/2 and 1/4; the picture's sides are whole tiles.

    The coarser levels are stored padded to whole tiles, in black, and claim the padded size: what
    counts is the pixel spacing in the XML. Label and macro are JPEGs in the XML. The scanner leaves out
    tiles where it saw no tissue: `absent` is the number of one of level 0.
    """
    if picture.shape[0] % TILE or picture.shape[1] % TILE:
        raise ValueError(picture.shape)
    xml = _philips_xml(mpp, canary)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for times in range(3):
            level = halved(picture, times)
            height, width = level.shape[:2]
            padded = np.pad(level, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
            tiff.write(
                tiles(padded, None if times else absent),
                shape=padded.shape,
                dtype=padded.dtype,
                tile=(TILE, TILE),
                subfiletype=1 if times else 0,
                description=f"level={times}" if times else xml,
                software="Philips DP v1.0",
                metadata=None,
                **JPEG,
            )
    return path


def _philips_xml(mpp: Mpp, canary: str) -> str:
    """What a Philips scanner tells of three levels, the label and the macro."""
    spacing = [f'"{mpp[1] * f / 1000:.7f}" "{mpp[0] * f / 1000:.7f}"' for f in (1, 2, 4)]  # row first, mm
    levels = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">{_attribute("DICOM_PIXEL_SPACING", text)}'
        f"{_attribute('PIIM_PIXEL_DATA_REPRESENTATION_NUMBER', str(i))}</DataObject>"
        for i, text in enumerate(spacing)
    )
    scan = (
        _attribute("PIM_DP_IMAGE_TYPE", "WSI")
        + _attribute("DICOM_PIXEL_SPACING", spacing[0])
        + _attribute("DICOM_DERIVATION_DESCRIPTION", canary)
        + f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{levels}</Array></Attribute>'
    )
    for kind, image in (("LABELIMAGE", LABEL), ("MACROIMAGE", MACRO)):
        data = base64.b64encode(jpeg_bytes(image, canary)).decode()
        scan += (
            '</DataObject><DataObject ObjectType="DPScannedImage">'
            + _attribute("PIM_DP_IMAGE_TYPE", kind)
            + _attribute("PIM_DP_IMAGE_DATA", data)
        )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        + _attribute("DICOM_MANUFACTURER", "PHILIPS")
        + _attribute("PIM_DP_UFS_BARCODE", base64.b64encode(canary.encode()).decode())
        + _attribute("PIIM_DP_SCANNER_OPERATOR_ID", canary)
        + '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        + f"{scan}</DataObject></Array></Attribute></DataObject>"
    )


def write_scn(path: Path, picture: np.ndarray, mpp: Mpp, canary: str, corner: tuple[int, int]) -> Path:
    """Leica SCN of levels 1 and 1/4 whose scanned area starts at `corner` (x, y) px of the slide.

    The slide is twice as large as the scan; the macro covers all of it. The XML counts in nm and knows
    square pixels alone, so it takes the first of `mpp`; the resolution tags tell both.
    """
    height, width = picture.shape[:2]
    nm = round(1000 * mpp[0])
    slide = f'sizeX="{2 * width * nm}" sizeY="{2 * height * nm}"'

    def image(name: str, view: str, sizes: list[tuple[int, int, int]]) -> str:
        pixels = "".join(
            f'<dimension sizeX="{w}" sizeY="{h}" r="{number}" ifd="{directory}" />'
            for number, (w, h, directory) in enumerate(sizes)
        )
        return (
            f'<image name={quoteattr(name)} uuid="urn:uuid:2">'
            f'<device model="Leica SCN400;{canary}" version="1.4" /><view {view} spacingZ="0" />'
            f'<pixels sizeX="{sizes[0][0]}" sizeY="{sizes[0][1]}">{pixels}</pixels><scanSettings>'
            f"<objectiveSettings><objective>{power(mpp)}</objective></objectiveSettings><illuminationSettings>"
            "<numericalAperture>0.4</numericalAperture><illuminationSource>brightfield</illuminationSource>"
            "</illuminationSettings></scanSettings></image>"
        )

    offset = f'offsetX="{corner[0] * nm}" offsetY="{corner[1] * nm}"'
    view = f'sizeX="{width * nm}" sizeY="{height * nm}" {offset}'
    xml = (
        '<?xml version="1.0"?>'
        '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" uuid="urn:uuid:1">'
        f'<collection name={quoteattr(canary)} uuid="urn:uuid:3" {slide}>'
        f"<barcode>{base64.b64encode(canary.encode()).decode()}</barcode>"
        + image("macro", f'{slide} offsetX="0" offsetY="0"', [(MACRO.shape[1], MACRO.shape[0], 0)])
        + image(canary, view, [(width, height, 1), (width // 4, height // 4, 2)])
        + "</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(MACRO, tile=(TILE, TILE), description=xml, metadata=None, **JPEG)
        for times in (0, 2):
            options = {"tile": (TILE, TILE), "metadata": None, **_per_cm(mpp, 2**times), **JPEG}
            tiff.write(halved(picture, times), **options)
    return path


def write_bif(path: Path, picture: np.ndarray, mpp: Mpp, canary: str, overlap: int = 16) -> Path:
    """Ventana BIF of levels 1 and 1/2; its tiles overlap, and it has one scale, the first of `mpp`.

    A side of the picture is ``TILE + n * (TILE - overlap)``. Tiles are numbered from below, first to
    the right, then to the left, and so on. A coarser level stores the tiles, overlaps and all, smaller.
    """
    step = TILE - overlap
    height, width = picture.shape[:2]
    if (height - TILE) % step or (width - TILE) % step:
        raise ValueError(picture.shape)
    down, across = (height - TILE) // step + 1, (width - TILE) // step + 1
    rows = [
        np.hstack([picture[r * step : r * step + TILE, c * step : c * step + TILE] for c in range(across)])
        for r in range(down)
    ]
    stored = np.vstack(rows)
    who = quoteattr(canary)
    iscan = f'<iScan Magnification="{power(mpp)}" ScanRes="{mpp[0]}" UnitNumber={who} UserName={who} />'
    encode = (
        '<EncodeInfo Ver="2"><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" '
        f'Width="{TILE}" Height="{TILE}" NumRows="{down}" NumCols="{across}" Pos-X="0" Pos-Y="0">'
        f"{_joints(across, down, overlap)}</ImageInfo></SlideStitchInfo>"
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0" /></AoiOrigin></EncodeInfo>'
    )
    xmp = {xml: [(700, 1, len(xml.encode()), xml.encode(), True)] for xml in (iscan, encode)}
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(MACRO, description="Label Image", extratags=xmp[iscan], metadata=None, **JPEG)
        for times in range(2):
            tiff.write(
                halved(stored, times),
                tile=(TILE, TILE),
                description=f"level={times} mag={power(mpp) / 2**times:g} quality=95",
                extratags=[] if times else xmp[encode],
                metadata=None,
                **JPEG,
            )
    return path


def _joints(across: int, down: int, overlap: int) -> str:
    """Which tile meets which; (column, row from below) in a path that turns at every row's end."""

    def number(column: int, row: int) -> int:
        return row * across + (across - 1 - column if row % 2 else column) + 1

    pairs = [("RIGHT", (c, r), (c + 1, r)) for r in range(down) for c in range(across - 1)]
    pairs += [("UP", (c, r), (c, r + 1)) for r in range(down - 1) for c in range(across)]
    return "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{way}" Tile1="{number(*one)}" '
        f'Tile2="{number(*two)}" OverlapX="{overlap if way == "RIGHT" else 0}" '
        f'OverlapY="{overlap if way == "UP" else 0}" />'
        for way, one, two in pairs
    )
