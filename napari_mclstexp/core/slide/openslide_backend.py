"""Slides through OpenSlide: SVS, NDPI, MRXS, SCN, BIF, Philips, DICOM, generic tiled TIFF."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import openslide
import tifffile
from PIL import Image, ImageCms

from napari_mclstexp.core.scale import (
    ScaleClaim,
    ScaleReading,
    claim_of,
    objective_claim,
    weigh_scale,
)
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level
from napari_mclstexp.core.slide.orientation import valid_orientation
from napari_mclstexp.core.slide.pixels import Pixels
from napari_mclstexp.core.slide.tiff_fields import resolution_tags, runs_beyond
from napari_mclstexp.core.slide.tifffile_backend import TifffileSlide
from napari_mclstexp.core.slide.traits import Traits
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

CACHE_BYTES = 32 * 2**20
"""Decoded tiles that OpenSlide keeps, for all threads of a slide together."""

GENERIC = ("generic-tiff",)
BY_TAGS = ("hamamatsu", "leica", "trestle", "ventana")
"""OpenSlide takes the scale of these from resolution tags itself, or their first page is not the scan."""

NAMED = {
    "aperio": "aperio.MPP",
    "hamamatsu": "resolution tags of the NDPI",
    "leica": "resolution tags of the SCN",
    "ventana": "ventana.ScanRes",
    "philips": "DICOM_PIXEL_SPACING",
    "mirax": "MICROMETER_PER_PIXEL",
    "dicom": "DICOM PixelSpacing",
    "trestle": "resolution tags",
    "generic-tiff": "TIFF resolution tags",
}
"""Where each vendor's format has its scale; OpenSlide gives it as openslide.mpp-x and -y."""


class OpenSlideSlide(Slide):
    """A slide read by OpenSlide, by as many handles as threads read at once; the origin is its bounds'.

    Parameters
    ----------
    path : pathlib.Path
        The file; of a DICOM slide, any file of its volume.
    folder : pathlib.Path, optional
        The folder that was opened, where it stands for the slide.
    """

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self._idle: list[openslide.OpenSlide] = []
        self._closed = False
        self._lock = threading.Lock()
        self._cache = openslide.OpenSlideCache(CACHE_BYTES)
        self._file = path
        self.path = folder or path
        with self._handle() as handle:
            properties = dict(handle.properties)
            try:
                fields = _tiff_fields(path)
                levels, self._left, self._top = _levels(handle)
                profile, damaged = _profile(handle)
            except openslide.OpenSlideError as error:
                msg = f"{path.name} is damaged: {error}. Copy it again from its source."
                raise SlideError(msg) from error
        vendor = properties[openslide.PROPERTY_NAME_VENDOR]
        grey = Pixels(1, np.dtype(np.uint8)).not_for_model if fields.grey else ""
        traits = Traits(
            scale=_scale(vendor, properties, fields.resolution),
            icc_profile=profile,
            not_for_model=grey,
            notes=(damaged,) if damaged else (),
        )
        super().__init__(self.path, vendor, levels, traits)

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether OpenSlide recognises the file, and reads it right: where an orientation tag turns a TIFF,
        it turns each tile by itself, and of 16 bits or signed ones it makes 8 without a word.
        """
        vendor = openslide.OpenSlide.detect_format(str(path))
        if vendor not in GENERIC:
            return vendor is not None
        fields = _tiff_fields(path)
        return fields.orientation == 1 and fields.eight_bits

    @property
    def files(self) -> tuple[Path, ...]:
        """The slide's own file, and those beside it that hold its pixels."""
        if self.format == "mirax":
            return (self._file, self._file.with_suffix(""))
        if self.format == "dicom":
            return dicom_series(self._file)
        return (self._file,)

    @contextmanager
    def _handle(self) -> Iterator[openslide.OpenSlide]:
        """One that no other thread has meanwhile; where it fails it is closed: it would refuse all reads."""
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        handle = handle or self._opened()
        try:
            yield handle
        except BaseException:
            handle.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(handle)
                return
        handle.close()

    def _opened(self) -> openslide.OpenSlide:
        try:
            handle = openslide.OpenSlide(str(self._file))
        except (openslide.OpenSlideError, OSError) as error:
            why = str(error).replace(str(self._file), self._file.name)
            msg = f"{self._file.name} cannot be opened: {why}. Check that the copy is complete."
            raise SlideError(msg) from error
        handle.set_cache(self._cache)
        return handle

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        downsample = self.levels[level].downsample
        origin = (self._left + round(x * downsample), self._top + round(y * downsample))
        try:
            with self._handle() as handle:
                region = handle.read_region(origin, level, (width, height))
        except openslide.OpenSlideError as error:
            msg = f"{self._file.name} is damaged: the region at {x}, {y} of level {level} cannot be read."
            raise SlideError(msg) from error
        if region.getchannel("A").getextrema()[0] == 255:  # opaque throughout, as most regions are
            return np.asarray(region.convert("RGB"))
        white = Image.new("RGB", region.size, (255, 255, 255))
        white.paste(region, mask=region.getchannel("A"))
        return np.asarray(white)

    def close(self) -> None:
        """Close all handles; one that a thread reads by, when it has read."""
        self.close_prepared()
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()


def dicom_series(file: Path) -> tuple[Path, ...]:
    """Files of the folder that a DICOM slide's file lies in and that are of its series, by name.

    OpenSlide takes the same ones: those whose SeriesInstanceUID is that of the file.
    """
    series = dicom_series_uid(file)
    return tuple(f for f in sorted(file.parent.iterdir()) if is_dicom(f) and dicom_series_uid(f) == series)


def is_dicom(path: Path) -> bool:
    """Whether a file is a DICOM Part 10 file."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def dicom_series_uid(path: Path, head_bytes: int = 65536) -> bytes:
    """SeriesInstanceUID (0020,000E) among a file's first elements, in explicit little endian."""
    with path.open("rb") as file:
        head = file.read(head_bytes)
    at = head.find(b"\x20\x00\x0e\x00UI")
    if at < 0:
        return b""
    length = int.from_bytes(head[at + 6 : at + 8], "little")
    return head[at + 8 : at + 8 + length].rstrip(b"\0")


class _TiffFields(NamedTuple):
    """What OpenSlide does not tell of a TIFF."""

    resolution: ScaleClaim | None = None
    orientation: int = 1
    grey: bool = False
    eight_bits: bool = True


def _tiff_fields(path: Path) -> _TiffFields:
    """Fields of the first page; refuses a file whose last tiles are missing, which OpenSlide opens."""
    with path.open("rb") as file:
        if not TifffileSlide.is_tiff(file.read(16)):
            return _TiffFields()
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            cut = runs_beyond(tiff)
            page = tiff.pages.first
            fields = _TiffFields(
                resolution_tags(page),
                valid_orientation(int(page.tags.valueof("Orientation", default=1))),
                page.samplesperpixel == 1 and page.photometric != tifffile.PHOTOMETRIC.PALETTE,
                page.dtype == np.uint8,
            )
    except Exception:  # noqa: BLE001 - OpenSlide reads it; that tifffile does not is no reason to refuse
        return _TiffFields()
    if cut:
        msg = f"{path.name} is cut off: its pixels run beyond the file's end. Copy it again."
        raise SlideError(msg)
    return fields


def _profile(handle: openslide.OpenSlide) -> tuple[bytes, str]:
    """The colour profile, empty where there is none; and what is told of one that is damaged."""
    try:
        found = handle.color_profile
    except ImageCms.PyCMSError:
        return b"", "its colour profile is damaged, and not used"
    return (b"" if found is None else found.tobytes()), ""


def _levels(handle: openslide.OpenSlide) -> tuple[list[Level], int, int]:
    """Levels within the bounds that the slide names, and where these begin."""
    properties = handle.properties
    full_w, full_h = handle.dimensions
    width = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_WIDTH, full_w))
    height = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_HEIGHT, full_h))
    whole = (width, height) == (full_w, full_h)
    levels = [
        Level(*(size if whole else (max(1, int(width / d)), max(1, int(height / d)))), float(d))
        for size, d in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
    ]
    left = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_X, 0))
    return levels, left, int(properties.get(openslide.PROPERTY_NAME_BOUNDS_Y, 0))


def _scale(vendor: str, properties: Mapping[str, str], resolution: ScaleClaim | None) -> ScaleReading:
    x = properties.get(openslide.PROPERTY_NAME_MPP_X)
    y = properties.get(openslide.PROPERTY_NAME_MPP_Y)
    if vendor == "aperio":  # as it stands there: OpenSlide passes over what is no number, and takes commas
        told = properties.get("aperio.MPP", "")
        x, y = (told, told) if "," in told else (x or told, y or told)
    claims = []
    if vendor in GENERIC:
        claims = [] if resolution is None else [resolution]
    elif x or y:
        claims = [claim_of(x, y, NAMED.get(vendor, "the slide's own fields"))]
        claims += [] if resolution is None or vendor in BY_TAGS else [resolution]
    power = objective_claim(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
    return weigh_scale([*claims, *([power] if power else [])])
