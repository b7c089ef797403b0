"""Slides through OpenSlide: SVS, NDPI, MRXS, SCN, BIF, Philips, DICOM, generic tiled TIFF."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import openslide
import tifffile
from PIL import Image

from napari_mclstexp.core.scale import Scale, scale_or_none
from napari_mclstexp.core.slide.base import Level, Slide
from napari_mclstexp.core.slide.tifffile_backend import TifffileSlide, runs_beyond
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


class OpenSlideSlide(Slide):
    """A slide read by OpenSlide, one handle a thread; the origin is that of the slide's bounds."""

    def __init__(self, path: Path) -> None:
        self._local = threading.local()
        self._handles: list[openslide.OpenSlide] = []
        self._lock = threading.Lock()
        self.path = path
        handle = self._handle()
        _refuse_cut_off(path)
        properties = handle.properties
        self._left = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_X, 0))
        self._top = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_Y, 0))
        full_w, full_h = handle.dimensions
        width = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_WIDTH, full_w))
        height = int(properties.get(openslide.PROPERTY_NAME_BOUNDS_HEIGHT, full_h))

        def within(downsample: float) -> tuple[int, int]:
            return max(1, int(width / downsample)), max(1, int(height / downsample))

        whole = (width, height) == (full_w, full_h)
        levels = [
            Level(*(size if whole else (max(1, int(width / d)), max(1, int(height / d)))), float(d))
            for size, d in zip(handle.level_dimensions, handle.level_downsamples, strict=True)
        ]
        super().__init__(path, properties[openslide.PROPERTY_NAME_VENDOR], levels, _scale(properties))

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether OpenSlide recognises the file."""
        return openslide.OpenSlide.detect_format(str(path)) is not None

    def _handle(self) -> openslide.OpenSlide:
        handle = getattr(self._local, "handle", None)
        if handle is None:
            try:
                handle = openslide.OpenSlide(str(self.path))
            except (openslide.OpenSlideError, OSError) as error:
                msg = f"{self.path.name} cannot be opened: {error}. Check that the copy is complete."
                raise SlideError(msg) from error
            self._local.handle = handle
            with self._lock:
                self._handles.append(handle)
        return handle

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        downsample = self.levels[level].downsample
        origin = (self._left + round(x * downsample), self._top + round(y * downsample))
        try:
            region = self._handle().read_region(origin, level, (width, height))
        except openslide.OpenSlideError as error:
            self._local.handle = None  # OpenSlide refuses every read after the first failed one
            msg = f"{self.path.name} is damaged: the region at {x}, {y} of level {level} cannot be read."
            raise SlideError(msg) from error
        white = Image.new("RGB", region.size, (255, 255, 255))
        white.paste(region, mask=region.getchannel("A"))
        return np.asarray(white)

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()
        self._local = threading.local()


def _refuse_cut_off(path: Path) -> None:
    """OpenSlide opens a TIFF whose last tiles are missing; better to tell of it now than in mid-run."""
    with path.open("rb") as file:
        if not TifffileSlide.is_tiff(file.read(16)):
            return
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            cut = runs_beyond(tiff)
    except Exception:  # noqa: BLE001 - OpenSlide reads it; that tifffile does not is no reason to refuse
        return
    if cut:
        msg = f"{path.name} is cut off: its pixels run beyond the file's end. Copy it again."
        raise SlideError(msg)


def _scale(properties: Mapping[str, str]) -> Scale | None:
    x = properties.get(openslide.PROPERTY_NAME_MPP_X)
    y = properties.get(openslide.PROPERTY_NAME_MPP_Y)
    try:
        return scale_or_none(float(x), float(y), "openslide.mpp-x, openslide.mpp-y") if x and y else None
    except ValueError:
        return None
