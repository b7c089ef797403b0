"""OME-TIFF, and TIFFs that OpenSlide does not take, through tifffile and zarr."""

from __future__ import annotations

import itertools
import math
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
import zarr.errors

from napari_mclstexp.core.scale import weigh_scale
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level, fitting_levels
from napari_mclstexp.core.slide.orientation import valid_orientation
from napari_mclstexp.core.slide.pixels import Pixels, display_limits
from napari_mclstexp.core.slide.tiff_fields import (
    ome_claims,
    ome_colours,
    ome_files,
    ome_planes,
    parse_ome,
    resolution_tags,
    runs_beyond,
)
from napari_mclstexp.core.slide.traits import Traits
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.prepared import Reader

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
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
SMALL_PX = 2**24
"""Strips of an image up to this size are decoded as they are needed."""

MAX_PLANES = 100_000
BAND_PX = 512
PSEUDO = "Each plane of this stack is one channel, no colour picture. The model needs H&E in RGB."
AXIS_NAMES = {"Z": "Z", "T": "time", "C": "channel", "Q": "image", "I": "image"}
RGB_CODES = [0xFF0000FF, 0x00FF00FF, 0x0000FFFF]


class TifffileSlide(Slide):
    """The first image of a TIFF and its pyramid.

    Of an OME-TIFF in several files only those beside it are opened.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    plane : int, optional
        Which plane of a stack.
    """

    def __init__(self, path: Path, plane: int | None = None) -> None:
        self.path = path
        self._arrays: list[Any] = []
        self._tiff = _open(path, multifile=False)
        self._lock = threading.Lock()
        try:
            super().__init__(path, *self._read_fields(plane))
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

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and those beside it that hold planes of the same image."""
        return tuple(sorted({self.path, *self._others}))

    def _read_fields(self, plane: int | None) -> tuple[str, list[Level], Traits]:
        root = parse_ome(self._tiff.ome_metadata) if self._tiff.is_ome and self._tiff.ome_metadata else None
        if root is not None and ome_planes(root) > MAX_PLANES:
            raise self._too_many(ome_planes(root))
        self._others = [] if root is None else ome_files(self.path, root)
        if runs_beyond(self._tiff):
            msg = f"{self.path.name} is cut off: its pixels run beyond the file's end. Copy it again."
            raise SlideError(msg)
        if self._others:
            self._tiff.close()
            self._tiff = _open(self.path, multifile=True)
        series = self._tiff.series[0]
        if not all(level.size for level in series.levels):
            msg = f"{self.path.name} is damaged: it has a level without pixels. Copy it again."
            raise SlideError(msg)
        page = series.keyframe
        alike = [
            i
            for i, level in enumerate(series.levels)
            if level.dtype == series.dtype and level.axes == series.axes
        ]
        self._arrays = [_array(series, i) for i in alike]
        axes = self._lay_out(series.axes, series.shape, series.dtype, root)
        stack = [n for axis, n in zip(axes, series.shape, strict=True) if axis not in self._picture_axes]
        if math.prod(stack) > MAX_PLANES:
            raise self._too_many(math.prod(stack))
        planes = _plane_names(axes, series.shape, self._picture_axes)
        if plane is not None and not 0 <= plane < len(planes):
            msg = f"{self.path.name} has {len(planes)} planes; number {plane + 1} is none of them."
            raise SlideError(msg)
        self._index = np.unravel_index(plane or 0, stack) if stack else ()
        sizes = [(a.shape[axes.index("X")], a.shape[axes.index("Y")]) for a in self._arrays]
        kept = fitting_levels(sizes)
        misfits = len(series.levels) - kept
        self._arrays, sizes = self._arrays[:kept], sizes[:kept]
        levels = [Level(w, h, sizes[0][0] / w) for w, h in sizes]
        self._axes = axes
        self._pixels = self._kind(page, series)
        claims = [] if root is None else ome_claims(root)
        tags = resolution_tags(page)
        claims += [] if tags is None else [tags]
        traits = Traits(
            scale=weigh_scale(claims),
            orientation=valid_orientation(int(page.tags.valueof("Orientation", default=1))),
            icc_profile=bytes(page.tags.valueof("InterColorProfile", default=b"") or b""),
            planes=planes,
            plane=plane,
            not_for_model=PSEUDO if planes and self._pixels.samples == 1 else self._pixels.not_for_model,
            notes=(
                *self._pixels.notes,
                *([f"{misfits} levels that do not fit are left out"] if misfits else []),
            ),
            random_access=page.is_tiled or page.is_memmappable or page.size <= 3 * SMALL_PX,
        )
        return ("ome-tiff" if self._tiff.is_ome else "tiff"), levels, traits

    def _too_many(self, planes: int) -> SlideError:
        return SlideError(
            f"{self.path.name} claims {planes:,} planes, more than any stack has. Copy it again."
        )

    def _lay_out(self, axes: str, shape: tuple[int, ...], dtype: Any, root: Any) -> str:
        """Which axes make the picture; three 8-bit channels that are red, green and blue are one."""
        colours = [] if root is None else ome_colours(root)
        channels = shape[axes.index("C")] if "C" in axes else 0
        told = [c for c in colours if c is not None]
        rgb = channels == 3 and dtype == np.uint8 and "S" not in axes and told == RGB_CODES
        if rgb:
            axes = axes.replace("C", "S")
        self._picture_axes = "YXS" if "S" in axes else "YX"
        if not {"Y", "X"} <= set(axes):
            msg = f"{self.path.name} holds no picture (axes {axes}). Open the slide's own image."
            raise SlideError(msg)
        return axes

    def _kind(self, page: tifffile.TiffPage, series: tifffile.TiffPageSeries) -> Pixels:
        samples = series.shape[self._axes.index("S")] if "S" in self._axes else 1
        photometric = getattr(page.photometric, "name", str(page.photometric))
        decoded = page.compression in (6, 7, 33003, 33004, 33005, 34712)  # JPEG and JPEG 2000 give RGB
        if photometric not in ("RGB", "MINISBLACK", "MINISWHITE", "PALETTE") and not (
            photometric == "YCBCR" and decoded
        ):
            msg = (
                f"{self.path.name} stores its colours as {photometric}, which cannot be shown right. Export "
                "it as RGB."
            )
            raise SlideError(msg)
        if series.dtype is None or series.dtype.kind not in "buif" or samples > 4:
            msg = f"{self.path.name} holds {samples} samples of {series.dtype} a pixel: no picture to show."
            raise SlideError(msg)
        palette = None
        if photometric == "PALETTE" and page.colormap is not None:
            palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        plain = series.dtype in (np.uint8, np.bool_) or palette is not None
        limits = None if plain else display_limits(self._sample())
        return Pixels(samples, series.dtype, limits, photometric == "MINISWHITE", palette)

    def _sample(self) -> NDArray[np.generic]:
        """Some pixels of the coarsest level: the whole of it, or its middle."""
        coarsest = self._arrays[-1]
        height, width = (coarsest.shape[self._axes.index(a)] for a in "YX")
        h, w = min(height, 2048), min(width, 2048)
        return self._raw(coarsest, (width - w) // 2, (height - h) // 2, w, h)

    def _raw(self, array: Any, x: int, y: int, width: int, height: int) -> NDArray[np.generic]:
        at = iter(self._index)
        windows: dict[str, Any] = {"Y": slice(y, y + height), "X": slice(x, x + width), "S": slice(None)}
        key = tuple(windows[a] if a in self._picture_axes else int(next(at)) for a in self._axes)
        raw = np.asarray(array[key])
        order = [a for a in self._axes if a in self._picture_axes]
        return raw.transpose([order.index(a) for a in self._picture_axes])

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        try:
            raw = self._raw(self._arrays[level], x, y, width, height)
        except (*FAULTS, zarr.errors.BaseZarrError) as error:
            msg = f"{self.path.name} is damaged: the region at {x}, {y} of level {level} cannot be read."
            raise SlideError(msg) from error
        return self._pixels.shown(raw)

    @contextmanager
    def _whole(self) -> Iterator[Reader]:
        """Reader that keeps the band of rows it decoded last: strips run over the whole width."""
        band: tuple[int, NDArray[np.uint8]] | None = None
        full = self._tiff.series[0].keyframe.imagewidth
        lock = threading.Lock()

        def read(x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
            nonlocal band
            with lock:
                if band is None or band[0] != y or band[1].shape[0] < height:
                    band = (y, self._read(0, y, full, height, 0))
                return band[1][:height, x : x + width]

        yield read

    def _preview(self) -> NDArray[np.uint8]:
        """A few strips of an image that has no random access."""
        if self.traits.random_access:
            return super()._preview()
        from napari_mclstexp.core.slide.orientation import turned

        page = self._tiff.series[0].keyframe
        step = max(1, page.imagelength // 96)
        rows = [
            self._read(0, y, page.imagewidth, 1, 0)[:, :: max(1, page.imagewidth // 1024)]
            for y in range(0, page.imagelength, step)
        ]
        return turned(np.concatenate(rows), self.traits.orientation)

    def close(self) -> None:
        """Close the file."""
        self.close_prepared()
        self._arrays = []  # uncompressed pixels are mapped from the file, which that holds open
        self._tiff.close()


def _open(path: Path, *, multifile: bool) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(path, _multifile=multifile)
    except Exception as error:
        msg = f"{path.name} is damaged or no TIFF: {error}. Check that the copy is complete."
        raise SlideError(msg) from error


def _array(series: tifffile.TiffPageSeries, level: int) -> Any:
    """Level of a series that is read when sliced: from the file's own bytes where they are not compressed."""
    pages = series.levels[level]
    if len(pages.pages) == 1 and pages.keyframe.is_memmappable and not pages.keyframe.is_tiled:
        return tifffile.memmap(pages.keyframe.parent.filehandle.path, page=pages.keyframe.index, mode="r")
    white = 0 if pages.keyframe.photometric == tifffile.PHOTOMETRIC.MINISWHITE else 255
    absent = white if pages.dtype == np.uint8 else 0  # tiles that a scanner left out are glass, not tissue
    return zarr.open(series.aszarr(level=level, fillvalue=absent), mode="r")


def _plane_names(axes: str, shape: tuple[int, ...], picture: str) -> tuple[str, ...]:
    """Name of each plane of a stack, in order; none for a single image."""
    stack = [(AXIS_NAMES.get(a, a), n) for a, n in zip(axes, shape, strict=True) if a not in picture]
    if not any(n > 1 for _, n in stack):
        return ()
    parts = [[f"{name} {i + 1}" for i in range(n)] if n > 1 else [""] for name, n in stack]
    return tuple(" ".join(filter(None, names)) for names in itertools.product(*parts))
