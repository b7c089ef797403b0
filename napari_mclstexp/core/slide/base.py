"""What every slide offers, whatever reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide.around import Window, read_around
from napari_mclstexp.core.slide.fingerprint import fingerprint
from napari_mclstexp.core.slide.levels import OVERVIEW_PX, Level, made_levels, mosaic
from napari_mclstexp.core.slide.orientation import exchanges_axes, stored_window, turned
from napari_mclstexp.core.slide.prepared import PreparedLevels
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.prepared import Reader
    from napari_mclstexp.core.slide.traits import Companion, Traits

LAZY_PX = 2**26
"""Missing levels of an image up to this size are made while reading; those of a larger one are prepared."""

NAMED_PLANES = 12
"""Of a stack, in messages."""

PREPARED_FROM = 2
"""The first prepared level of a large image is its half's half: its half is made while reading."""


class Slide(ABC):
    """A whole-slide image whose pixels are read when asked for.

    Full-resolution pixel coordinates start at the upper left of the scanned area. Reading is safe from
    several threads.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    format : str
        Name of the format, such as ``"aperio"``.
    native : list of Level
        Levels in the file, as they are stored, finest first.
    traits : Traits
        What else the file tells.
    """

    companion: Companion | None = None
    """Measured expression that was opened with the slide."""

    _prepared: PreparedLevels | None = None

    def __init__(self, path: Path, format: str, native: Sequence[Level], traits: Traits) -> None:
        self.path, self.format = path, format
        self.traits = traits
        if exchanges_axes(traits.orientation):
            native = [Level(lv.height, lv.width, lv.downsample) for lv in native]
        self._native = len(native)
        self.levels = (*native, *made_levels(native[-1]))
        self._prepared, self._prepared_from = self._preparation()

    @classmethod
    @abstractmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether this backend reads the file, by its content."""

    @abstractmethod
    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Read a region (height, width, 3) within a native level, as stored; pixels of that level."""

    @abstractmethod
    def close(self) -> None:
        """Release the file; a second call does nothing."""

    @contextmanager
    def _whole(self) -> Iterator[Reader]:
        """Context with a reader of the finest level, for files without random access."""
        yield lambda x, y, width, height: self._read(x, y, width, height, 0)

    def _preview(self) -> NDArray[np.uint8]:
        """Whole image (h, w, 3), as shown, small and at once; what a glance sees until levels are made."""
        coarsest = self._native - 1
        return mosaic(self.levels[coarsest], lambda x, y, w, h: self._read_native(x, y, w, h, coarsest))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        try:  # noqa: SIM105 - what is imported may be gone at the end of the program
            self.close()
        except Exception:  # noqa: BLE001
            pass  # a slide that was dropped, or never opened wholly

    @property
    def width(self) -> int:
        """Full-resolution pixels across."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Full-resolution pixels down."""
        return self.levels[0].height

    @property
    def title(self) -> str:
        """Name of the file or folder, for the window."""
        return self.path.name

    @property
    def scale(self) -> Scale | None:
        """Um per px by the file's own fields, None where they are absent, implausible or contradictory."""
        scale = self.traits.scale.scale
        if scale is None or not exchanges_axes(self.traits.orientation):
            return scale
        return Scale(scale.mpp_y, scale.mpp_x, scale.source)

    @property
    def not_for_model(self) -> str:
        """Why no prediction can be made from this picture as it is, empty where it can."""
        if self.traits.planes and self.traits.plane is None and not self.traits.not_for_model:
            first = self.traits.planes[:NAMED_PLANES]
            names = ", ".join(first) + (", ..." if len(first) < len(self.traits.planes) else "")
            return f"This is a stack of {len(self.traits.planes)} planes ({names}). Choose one of them first."
        return self.traits.not_for_model

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the stored pixels on reading, and which plane was chosen: part of a provenance."""
        about = self.traits
        chosen = () if about.plane is None else (f"plane {about.planes[about.plane]}",)
        turned_ = () if about.orientation == 1 else (f"turned by orientation tag {about.orientation}",)
        return (*about.notes, *chosen, *turned_)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 that stands for the content; see :func:`.fingerprint.fingerprint`."""
        return fingerprint(*self.files)

    @property
    def picture_key(self) -> str:
        """Names the picture, fingerprint and plane, in caches and in the metadata of layers."""
        return self.fingerprint + ("" if self.traits.plane is None else f"-{self.traits.plane}")

    @property
    def files(self) -> tuple[Path, ...]:
        """Files and folders that hold the picture."""
        return (self.path,)

    @property
    def opened(self) -> tuple[Path, ...]:
        """Files and folders that hold the picture, and what was measured; none of them is ever replaced."""
        measured = () if self.companion is None else (self.companion.path,)
        return (*self.files, *measured)

    @property
    def prepared(self) -> bool:
        """Whether every level can be read without making it first."""
        return self._prepared is None or self._prepared.ready

    def prepare(self) -> Generator[tuple[int, int], None, None]:
        """Make what the file lacks, once, in the cache on disk: its pixels where they have no random
        access, its coarse levels where a large image has none. Closing the generator cancels.

        Yields
        ------
        tuple of int
            Tiles done and to do.

        Raises
        ------
        SlideError
            The file is damaged.
        """
        if self._prepared is not None:
            yield from self._prepared.make()

    def close_prepared(self) -> None:
        """Close the cache's file."""
        if self._prepared is not None:
            self._prepared.close()

    def check_for_model(self) -> None:
        """Refuse pixels that the model cannot be given.

        Raises
        ------
        SlideError
            With :attr:`not_for_model`.
        """
        if self.not_for_model:
            raise SlideError(self.not_for_model)

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Read a region; white where it runs beyond the border. Prepares first where needed.

        Parameters
        ----------
        x, y : int
            Upper left corner, in pixels of `level`.
        width, height : int
            Size in pixels of `level`.
        level : int
            Index into `levels`.

        Returns
        -------
        numpy.ndarray
            (height, width, 3) uint8 RGB.

        Raises
        ------
        SlideError
            The file cannot be read there.
        """
        size = self.levels[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, size.width), min(y + height, size.height)
        if (left, top, right, bottom) == (x, y, x + width, y + height):
            return self._read_any(x, y, width, height, level)
        region = np.full((height, width, 3), 255, dtype=np.uint8)
        if left < right and top < bottom:
            inside = self._read_any(left, top, right - left, bottom - top, level)
            region[top - y : bottom - y, left - x : right - x] = inside
        return region

    def read_around(
        self, x: int, y: int, width: int, height: int, level: int = 0
    ) -> tuple[NDArray[np.uint8], list[Window]]:
        """Read a region that may hold tiles that cannot be decoded; see :func:`.around.read_around`."""
        return read_around(lambda x, y, w, h: self.read(x, y, w, h, level), (x, y, width, height))

    def glance(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Read a region within a level without waiting for levels that are not prepared yet: those show
        the preview, enlarged. Parameters and outcome as of :meth:`read`.
        """
        if self.prepared or level < self._prepared_from:
            return self._read_any(x, y, width, height, level)
        size, preview = self.levels[level], self._preview_shown
        rows = np.arange(y, y + height) * preview.shape[0] // size.height
        columns = np.arange(x, x + width) * preview.shape[1] // size.width
        return preview[rows[:, None], columns]

    @cached_property
    def _preview_shown(self) -> NDArray[np.uint8]:
        return self._preview()

    def overview(self, max_px: int = OVERVIEW_PX) -> NDArray[np.uint8]:
        """Whole slide as (h, w, 3) uint8 RGB, its longer side at most `max_px`; white where it cannot be
        read.
        """
        longest = max(self.width, self.height)
        fits = [i for i, lv in enumerate(self.levels) if max(lv.width, lv.height) >= max_px]
        level = fits[-1] if fits else 0
        size = self.levels[level]
        whole, _ = self.read_around(0, 0, size.width, size.height, level)
        factor = min(1.0, max_px / longest)
        target = (max(1, round(self.width * factor)), max(1, round(self.height * factor)))
        if target == (size.width, size.height):
            return whole
        return np.asarray(Image.fromarray(whole).resize(target, Image.Resampling.BOX))

    def _preparation(self) -> tuple[PreparedLevels | None, int]:
        """Levels to prepare, None for none, and the index of their first."""
        coarsest = self.levels[self._native - 1]
        if not self.traits.random_access:
            first, factor, source = 0, 1, self._turned_whole
        elif coarsest.width * coarsest.height > LAZY_PX:
            first, factor, source = self._native - 1 + PREPARED_FROM, 2**PREPARED_FROM, self._coarsest
        else:
            return None, len(self.levels)
        name = "pixels" if first == 0 else "levels"
        levels = self.levels[first:]
        size = (coarsest.width, coarsest.height) if first else None
        return PreparedLevels(levels, factor, source, lambda: f"{self.picture_key}.{name}.zip", size), first

    @contextmanager
    def _coarsest(self) -> Iterator[Reader]:
        level = self._native - 1
        size = self.levels[level]
        yield lambda x, y, width, height: self._read_native(
            x, y, min(width, size.width - x), min(height, size.height - y), level
        )

    @contextmanager
    def _turned_whole(self) -> Iterator[Reader]:
        shown, lies = (self.width, self.height), self.traits.orientation
        with self._whole() as read:
            yield lambda *window: turned(read(*stored_window(window, shown, lies)), lies)

    def _read_native(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        lies = self.traits.orientation
        if lies == 1:
            return self._read(x, y, width, height, level)
        size = self.levels[level]
        stored = stored_window((x, y, width, height), (size.width, size.height), lies)
        return turned(self._read(*stored, level), lies)

    def _read_any(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        if self._prepared is not None and level >= self._prepared_from:
            return self._prepared.read(x, y, width, height, level - self._prepared_from)
        if level < self._native:
            return self._read_native(x, y, width, height, level)
        # A level that the file lacks: average blocks of the coarsest one that it has.
        source = self._native - 1
        factor = 2 ** (level - source)
        limit = self.levels[source]
        x, y, width, height = (n * factor for n in (x, y, width, height))
        fine = self._read_native(x, y, min(width, limit.width - x), min(height, limit.height - y), source)
        return np.asarray(Image.fromarray(fine).reduce(factor))
