"""The vendors' formats, each with its writer and what a slide that it wrote must turn out to be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from . import vendor_files, vendor_tiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

SQUARE, OBLONG = (0.25, 0.25), (0.25, 0.26)
CORNER = (320, 160)
JPEG_TOLERANCE = 12
"""Largest difference of a grey value after JPEG at quality 98, two roundings of the colours included."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A format and what its slides are like.

    Attributes
    ----------
    write : callable
        (path, picture, mpp, canary) -> path.
    name : str
        Name of the file to write.
    format : str
        OpenSlide's word for the vendor.
    size : tuple of int
        Width and height of a picture that the format can hold as it is.
    source : str
        Part of the name of the field that tells the scale.
    times : tuple of int
        How often each level, finest first, is the picture halved.
    tolerance : int
        Largest difference of a grey value; 0 where the codec is lossless.
    mpp : tuple of float
        um a pixel, x and y; the same where the format has one number for both.
    hidden : frozenset of str
        Images beside the scan that the file holds and nobody may see.
    corner : tuple of int
        Where the scan starts in OpenSlide's coordinates.
    others : tuple of str
        Further files that belong to the slide, relative to the folder of `name`.
    """

    write: Callable[[Path, np.ndarray, tuple[float, float], str], Path]
    name: str
    format: str
    size: tuple[int, int]
    source: str
    times: tuple[int, ...] = (0, 1, 2)
    tolerance: int = JPEG_TOLERANCE
    mpp: tuple[float, float] = OBLONG
    hidden: frozenset[str] = frozenset({"label", "macro"})
    corner: tuple[int, int] = (0, 0)
    others: tuple[str, ...] = ()


def _write_dicom(path: Path, picture: np.ndarray, mpp: tuple[float, float], canary: str) -> Path:
    pytest.importorskip("pydicom")
    from . import vendor_dicom

    return vendor_dicom.write_dicom(path, picture, mpp, canary)


_SVS = partial(
    Vendor,
    name="s.svs",
    format="aperio",
    size=(611, 457),
    source="aperio.MPP",
    times=(0, 2),
    mpp=SQUARE,
)
_MRXS = partial(
    Vendor,
    name="m.mrxs",
    format="mirax",
    size=(728, 488),
    source="MICROMETER_PER_PIXEL",
    corner=(120, 120),
    others=("m/Slidedat.ini", "m/Index.dat", "m/Data0000.dat", "m/Data0001.dat"),
)

FORMATS = {
    "svs-jpeg": _SVS(vendor_tiff.write_svs),
    # YCbCr, lossless but for the rounding of the colours
    "svs-33003": _SVS(partial(vendor_tiff.write_svs, compression=33003), tolerance=2),
    "svs-33005": _SVS(partial(vendor_tiff.write_svs, compression=33005), tolerance=0),
    "ndpi": Vendor(
        vendor_files.write_ndpi,
        "h.ndpi",
        "hamamatsu",
        size=(768, 512),
        source="resolution tags",
        times=(0, 1, 2, 3, 4, 5),
        hidden=frozenset({"macro"}),
    ),
    "philips": Vendor(
        vendor_tiff.write_philips, "p.tiff", "philips", size=(640, 384), source="PIXEL_SPACING"
    ),
    "scn": Vendor(
        partial(vendor_tiff.write_scn, corner=CORNER),
        "l.scn",
        "leica",
        size=(612, 456),
        source="resolution tags",
        times=(0, 2),
        hidden=frozenset({"macro"}),
        corner=CORNER,
    ),
    "bif": Vendor(
        vendor_tiff.write_bif,
        "v.bif",
        "ventana",
        size=(576, 464),
        source="ScanRes",
        times=(0, 1),
        mpp=SQUARE,
        hidden=frozenset({"macro"}),
    ),
    "mrxs-png": _MRXS(partial(vendor_files.write_mrxs, codec="PNG"), tolerance=0),
    "mrxs-jpeg": _MRXS(partial(vendor_files.write_mrxs, codec="JPEG")),
    "dicom": Vendor(
        _write_dicom,
        "d.dcm",
        "dicom",
        size=(612, 456),
        source="PixelSpacing",
        tolerance=0,
        others=("d-1.dcm", "d-2.dcm", "d-label.dcm", "d-overview.dcm"),
    ),
    "generic": Vendor(
        vendor_tiff.write_generic,
        "g.tif",
        "generic-tiff",
        size=(611, 457),
        source="resolution tags",
        hidden=frozenset(),
    ),
}
