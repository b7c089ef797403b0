"""Writers of small valid slides that are no plain TIFF: Hamamatsu NDPI, MIRAX and DICOM.

They take the same arguments as the writers of :mod:`vendor_tiff`.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .vendor_tiff import LABEL, MACRO, TILE, halved, jpeg_bytes, power

if TYPE_CHECKING:
    from pathlib import Path

    Mpp = tuple[float, float]

# --- Hamamatsu NDPI -------------------------------------------------------------------


def write_ndpi(path: Path, picture: np.ndarray, mpp: Mpp, canary: str) -> Path:
    """NDPI that stores levels 1 and 1/4 and a macro; OpenSlide makes 1/2, 1/4 and 1/8 of each.

    The picture is a multiple of 128 x 32 px. A level is one JPEG whose restart markers cut it into
    tiles of 8 rows; tag 65426 tells where they lie. The TIFF's directory offsets have 64 bits, and each
    directory ends with the high halves of its entries' offsets.
    """
    if picture.shape[0] % 32 or picture.shape[1] % TILE:
        raise ValueError(picture.shape)
    file = bytearray(b"II*\0" + bytes(8))
    link = 4  # where the offset of the next directory is to be written
    for factor, image in ((1, picture), (4, halved(picture, 2)), (0, MACRO)):
        data = jpeg_bytes(image, canary, restart=TILE // 8 // factor if factor else 0)
        start = len(file)
        file += data
        height, width = image.shape[:2]
        per_cm = [(round(1e8 / (m * max(factor, 1))), 10**4) for m in mpp]
        entries: list[tuple[int, str, object]] = [
            (256, "I", [width]),
            (257, "I", [height]),
            (258, "H", [8, 8, 8]),
            (259, "H", [7]),  # JPEG
            (262, "H", [6]),  # YCbCr
            (271, "s", "Hamamatsu"),
            (272, "s", "NanoZoomer"),
            (273, "I", [start]),
            (277, "H", [3]),
            (278, "I", [height]),  # one strip
            (279, "I", [len(data)]),
            (282, "Q", per_cm[0]),
            (283, "Q", per_cm[1]),
            (296, "H", [3]),  # per cm
            (305, "s", "NDP.scan"),
            (65420, "I", [1]),  # this is NDPI
            (65421, "f", [power(mpp) / factor if factor else -1.0]),  # magnification; -1 is the macro
            (65422, "i", [-1_000_000]),  # nm from the slide's centre
            (65423, "i", [2_000_000]),
            (65424, "i", [0]),  # focal plane
            (65426, "I", _restarts(data)),
            (65427, "s", canary),  # reference
            (65449, "s", f"Product={canary}\r\nUserName={canary}\r\n"),
        ]
        struct.pack_into("<Q", file, link, len(file))
        link = _directory(file, [entry for entry in entries if entry[2]])
    path.write_bytes(file)
    return path


def _restarts(data: bytes) -> list[int]:
    """Offsets of the tiles in a JPEG: of the first after the header, of others after their marker."""
    at = 2
    while data[at + 1] != 0xDA:  # start of scan
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    marks = [i + 2 for i in range(at, len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    return [at, *marks] if marks else []


def _directory(file: bytearray, entries: list[tuple[int, str, object]]) -> int:
    """Append a directory and what it refers to; returns where the offset of the next one belongs."""
    types = {"s": 2, "H": 3, "I": 4, "Q": 5, "i": 9, "f": 11}
    start = len(file)
    after = start + 2 + 12 * len(entries) + 8 + 4 * len(entries)
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, kind, value in entries:
        if kind == "s":
            raw = str(value).encode() + b"\0"
            count = len(raw)
        else:
            raw = struct.pack(f"<{len(value)}{kind.replace('Q', 'I')}", *value)
            count = 1 if kind == "Q" else len(value)
        if len(raw) > 4:
            tail += bytes(-(after + len(tail)) % 2)
            field = struct.pack("<I", after + len(tail))
            tail += raw
        else:
            field = raw.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, types[kind], count) + field
    file += head + bytes(8 + 4 * len(entries)) + tail
    return start + 2 + 12 * len(entries)


# --- MIRAX ----------------------------------------------------------------------------

PHOTO = 128
OVERLAP = 8
STEP = PHOTO - OVERLAP
IMAGE = PHOTO // 2
UUID = "0123456789ABCDEF0123456789ABCDEF"


def write_mrxs(path: Path, picture: np.ndarray, mpp: Mpp, canary: str, codec: str = "PNG") -> Path:
    """MIRAX slide of levels 1, 1/2 and 1/4: PATH and a folder of its name beside it.

    The camera's photos of 128 px overlap by 8 and are stored as 2 x 2 images; a side of the picture is
    ``8 + 120 * n``, n even. One place around them was not photographed, so the scan's bounds start at
    (120, 120). A coarser image holds 2 x 2 finer ones side by side: at 1/4, of several photos.
    """
    height, width = picture.shape[:2]
    down, across = ((n - OVERLAP) // STEP + 2 for n in (height, width))
    if (height - OVERLAP) % (2 * STEP) or (width - OVERLAP) % (2 * STEP):
        raise ValueError(picture.shape)
    stored = np.zeros((down * PHOTO, across * PHOTO, 3), dtype=np.uint8)
    photographed = [(r, c) for r in range(1, down - 1) for c in range(1, across - 1)]
    for r, c in photographed:
        y, x = (r - 1) * STEP, (c - 1) * STEP
        photo = picture[y : y + PHOTO, x : x + PHOTO]
        stored[r * PHOTO : (r + 1) * PHOTO, c * PHOTO : (c + 1) * PHOTO] = photo
    images, levels = _images(stored, photographed, across, codec)
    places = b"".join(
        struct.pack("<bii", 1, c * STEP, r * STEP) if (r, c) in photographed else bytes(9)
        for r in range(down)
        for c in range(across)
    )
    data, others = bytearray(), []
    for record in (places, jpeg_bytes(MACRO, canary), jpeg_bytes(LABEL, canary)):
        others.append((len(data), len(record), 1))
        data += record
    folder = path.with_suffix("")
    folder.mkdir()
    (folder / "Data0000.dat").write_bytes(images)
    (folder / "Data0001.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_index(levels, others))
    about = _slidedat(2 * across, 2 * down, mpp, canary, codec)
    (folder / "Slidedat.ini").write_text(about, encoding="utf-8")
    path.write_bytes(jpeg_bytes(LABEL, canary))
    return path


def _images(
    stored: np.ndarray, photographed: list[tuple[int, int]], across: int, codec: str
) -> tuple[bytes, list[list[tuple[int, ...]]]]:
    """Data0000.dat, coarsest level first, and of each level the (image, offset, length, file) records."""
    data = bytearray()
    levels = []
    for factor in (4, 2, 1):
        level = halved(stored, factor // 2)
        corners = {
            ((2 * r + i) // factor * factor, (2 * c + j) // factor * factor)
            for r, c in photographed
            for i in (0, 1)
            for j in (0, 1)
        }
        records = []
        for row, column in sorted(corners):
            y, x = row * IMAGE // factor, column * IMAGE // factor
            encoded = _encoded(level[y : y + IMAGE, x : x + IMAGE], codec)
            records.append((row * 2 * across + column, len(data), len(encoded), 0))
            data += encoded
        levels.append(records)
    return bytes(data), levels[::-1]


def _encoded(image: np.ndarray, codec: str) -> bytes:
    if codec == "JPEG":
        return jpeg_bytes(image)
    target = io.BytesIO()
    Image.fromarray(image).save(target, codec)
    return target.getvalue()


def _index(levels: list[list[tuple[int, ...]]], others: list[tuple[int, ...]]) -> bytes:
    """Index.dat: two roots, a page of images a level, a page a record that is no image."""
    out = bytearray(b"01.02" + UUID.encode() + bytes(8))
    for root, pages in enumerate((levels, [[record] for record in others])):
        table = len(out)
        struct.pack_into("<i", out, len(UUID) + 5 + 4 * root, table)
        out += bytes(4 * len(pages))
        for number, records in enumerate(pages):
            struct.pack_into("<i", out, table + 4 * number, len(out))
            out += struct.pack("<iiii", 0, len(out) + 8, len(records), 0)
            for record in records:
                out += bytes(8 * root) + struct.pack(f"<{len(record)}i", *record)
    return bytes(out)


def _slidedat(images_x: int, images_y: int, mpp: Mpp, canary: str, codec: str) -> str:
    """Slidedat.ini."""
    groups: dict[str, dict[str, object]] = {
        "GENERAL": {
            "SLIDE_ID": UUID,
            "SLIDE_NAME": canary,
            "PROJECT_NAME": canary,
            "SLIDE_VERSION": "01.02",
            "IMAGENUMBER_X": images_x,
            "IMAGENUMBER_Y": images_y,
            "OBJECTIVE_MAGNIFICATION": power(mpp),
            "CameraImageDivisionsPerSide": 2,
        },
        "HIERARCHICAL": {
            "INDEXFILE": "Index.dat",
            "HIER_COUNT": 1,
            "HIER_0_NAME": "Slide zoom level",
            "HIER_0_COUNT": 3,
            **{f"HIER_0_VAL_{i}_SECTION": f"LAYER_0_LEVEL_{i}_SECTION" for i in range(3)},
            "NONHIER_COUNT": 2,
            "NONHIER_0_NAME": "VIMSLIDE_POSITION_BUFFER",
            "NONHIER_0_COUNT": 1,
            "NONHIER_0_VAL_0": "default",
            "NONHIER_1_NAME": "Scan data layer",
            "NONHIER_1_COUNT": 2,
            "NONHIER_1_VAL_0": "ScanDataLayer_SlideThumbnail",
            "NONHIER_1_VAL_0_SECTION": "MACRO_SECTION",
            "NONHIER_1_VAL_1": "ScanDataLayer_SlideBarcode",
            "NONHIER_1_VAL_1_SECTION": "LABEL_SECTION",
        },
        "MACRO_SECTION": {"THUMBNAIL_IMAGE_TYPE": "JPEG"},
        "LABEL_SECTION": {"BARCODE_IMAGE_TYPE": "JPEG", "BARCODE_VALUE": canary},
        "DATAFILE": {"FILE_COUNT": 2, "FILE_0": "Data0000.dat", "FILE_1": "Data0001.dat"},
    }
    for i in range(3):
        groups[f"LAYER_0_LEVEL_{i}_SECTION"] = {
            "OVERLAP_X": OVERLAP / 2**i,
            "OVERLAP_Y": OVERLAP / 2**i,
            "MICROMETER_PER_PIXEL_X": mpp[0] * 2**i,
            "MICROMETER_PER_PIXEL_Y": mpp[1] * 2**i,
            "IMAGE_FORMAT": codec,
            "IMAGE_FILL_COLOR_BGR": 0xFFFFFF,
            "DIGITIZER_WIDTH": IMAGE,
            "DIGITIZER_HEIGHT": IMAGE,
            "IMAGE_CONCAT_FACTOR": 1 if i else 0,
        }
    lines = []
    for group, values in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)
