"""OME-TIFF, and TIFFs that OpenSlide does not take, through tifffile and zarr."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile
import zarr
import zarr.errors

from napari_mclstexp.core.scale import Scale, scale_or_none
from napari_mclstexp.core.slide.base import Level, Slide
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
TO_UM = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}
FAULTS = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    struct.error,
    RuntimeError,
    ZeroDivisionError,
)


class TifffileSlide(Slide):
    """The first image of a TIFF and its pyramid; files that it refers to are not opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tiff = tifffile.TiffFile(path, _multifile=False)
        except Exception as error:
            msg = f"{path.name} is damaged or no TIFF: {error}. Check that the copy is complete."
            raise SlideError(msg) from error
        try:
            series = self._tiff.series[0]
            self._check(series)
            self._arrays: list[Any] = [
                zarr.open(series.aszarr(level=i), mode="r") for i in range(len(series.levels))
            ]
            self._planar = series.axes == "SYX"
            rows, columns = (1, 2) if self._planar else (0, 1)
            sizes = [(a.shape[columns], a.shape[rows]) for a in self._arrays]
            levels = [Level(w, h, sizes[0][0] / w) for w, h in sizes]
            kind = "ome-tiff" if self._tiff.is_ome else "tiff"
            super().__init__(path, kind, levels, self._scale())
        except SlideError:
            self._tiff.close()
            raise
        except Exception as error:
            self._tiff.close()
            msg = f"{path.name} is damaged or cut off: {error}. Check that the copy is complete."
            raise SlideError(msg) from error

    @staticmethod
    def is_tiff(head: bytes) -> bool:
        """Whether a file's first bytes are those of a TIFF."""
        return head.startswith(MAGIC)

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether the file is an OME-TIFF."""
        if not cls.is_tiff(head):
            return False
        try:
            with tifffile.TiffFile(path, _multifile=False) as tiff:
                return bool(tiff.is_ome)
        except Exception:  # noqa: BLE001
            return False

    def _check(self, series: tifffile.TiffPageSeries) -> None:
        if not all(level.size for level in series.levels):
            msg = f"{self.path.name} is damaged: it has a level without pixels. Copy it again."
            raise SlideError(msg)
        if runs_beyond(self._tiff):
            msg = f"{self.path.name} is cut off: its pixels run beyond the file's end. Copy it again."
            raise SlideError(msg)
        samples = dict(zip(series.axes, series.shape, strict=True)).get("S")
        axes_known = series.axes in ("YXS", "SYX")  # interleaved or planar
        if not axes_known or series.dtype != np.uint8 or samples not in (3, 4):
            msg = (
                f"{self.path.name} is not an 8-bit RGB image (axes {series.axes}, shape {series.shape}, "
                f"{series.dtype}). An H&E slide in RGB is needed: export it as RGB."
            )
            raise SlideError(msg)

    def _scale(self) -> Scale | None:
        if self._tiff.is_ome and self._tiff.ome_metadata:
            return _ome_scale(self._tiff.ome_metadata)
        tags = self._tiff.series[0].keyframe.tags
        unit = {2: 25400.0, 3: 10000.0}.get(int(tags.valueof("ResolutionUnit", default=2)))
        per_unit = [tags.valueof(name) for name in ("XResolution", "YResolution")]
        if unit is None or not all(value and value[0] and value[1] for value in per_unit):
            return None
        x, y = (unit * value[1] / value[0] for value in per_unit)
        return scale_or_none(x, y, "TIFF resolution tags")

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        try:
            window = (slice(y, y + height), slice(x, x + width))
            if self._planar:
                region = np.moveaxis(self._arrays[level][(slice(None), *window)], 0, -1)
            else:
                region = self._arrays[level][window]
        except (*FAULTS, zarr.errors.BaseZarrError) as error:
            msg = f"{self.path.name} is damaged: the region at {x}, {y} of level {level} cannot be read."
            raise SlideError(msg) from error
        return np.ascontiguousarray(region[..., :3])

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


def runs_beyond(tiff: tifffile.TiffFile) -> bool:
    """Whether pages, their levels or the pixels of either lie beyond the end of the file."""
    size = tiff.filehandle.size
    pages = list(tiff.pages)
    if any(offset >= size for page in pages for offset in page.subifds or ()):
        return True
    if not tiff.is_ndpi and _next_page_offset(tiff, pages[-1]) >= size:
        return True
    pages += [sub for page in pages if page.subifds for sub in page.pages or ()]
    ends = (
        offset + count
        for page in pages
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )
    return max(ends, default=0) > size


def _next_page_offset(tiff: tifffile.TiffFile, page: tifffile.TiffPage | tifffile.TiffFrame) -> int:
    """Where a page says that the next one lies; 0 after the last (TIFF 6.0 section 2, BigTIFF)."""
    layout = tiff.tiff
    tiff.filehandle.seek(page.offset)
    (count,) = struct.unpack(layout.tagnoformat, tiff.filehandle.read(layout.tagnosize))
    tiff.filehandle.seek(count * layout.tagsize, 1)
    (offset,) = struct.unpack(layout.offsetformat, tiff.filehandle.read(layout.offsetsize))
    return int(offset)


def _ome_scale(text: str) -> Scale | None:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # no OME-XML has them; entities can explode
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    values = []
    for axis in "XY":
        size = pixels.get(f"PhysicalSize{axis}")
        unit = TO_UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        try:
            values.append(float(size) * unit if size and unit else None)
        except ValueError:
            return None
    return scale_or_none(values[0], values[1], "OME PhysicalSizeX, PhysicalSizeY")
