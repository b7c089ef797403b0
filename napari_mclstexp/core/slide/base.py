"""What every slide offers, whatever reads it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from napari_mclstexp.core.slide.fingerprint import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.scale import Scale

OVERVIEW_PX = 2048
"""A pyramid goes down to a level of at most this size; missing levels are made when read."""

STRIP_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of the pyramid.

    Attributes
    ----------
    width, height : int
        Pixels of this level.
    downsample : float
        Full-resolution pixels a pixel of this level.
    """

    width: int
    height: int
    downsample: float


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
        Levels in the file, finest first.
    scale : Scale or None
        um per px by the file's own fields, None where they are absent or implausible.
    """

    def __init__(self, path: Path, format: str, native: list[Level], scale: Scale | None) -> None:
        self.path = path
        self.format = format
        self.scale = scale
        self._native = len(native)
        self.levels = (*native, *_made_levels(native))

    @classmethod
    @abstractmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether this backend reads the file, by its content."""

    @abstractmethod
    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Read a region (height, width, 3) within a native level; pixels of that level."""

    @abstractmethod
    def close(self) -> None:
        """Release the file; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def width(self) -> int:
        """Full-resolution pixels across."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Full-resolution pixels down."""
        return self.levels[0].height

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 that stands for the content; see :func:`.fingerprint.fingerprint`."""
        return fingerprint(self.path)

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Read a region; white where it runs beyond the border.

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

    def overview(self, max_px: int = OVERVIEW_PX) -> NDArray[np.uint8]:
        """Whole slide as (h, w, 3) uint8 RGB, its longer side at most `max_px`."""
        longest = max(self.width, self.height)
        fits = [i for i, lv in enumerate(self.levels) if max(lv.width, lv.height) >= max_px]
        level = fits[-1] if fits else 0
        size = self.levels[level]
        whole = self.read(0, 0, size.width, size.height, level)
        factor = min(1.0, max_px / longest)
        target = (max(1, round(self.width * factor)), max(1, round(self.height * factor)))
        if target == (size.width, size.height):
            return whole
        return np.asarray(Image.fromarray(whole).resize(target, Image.Resampling.BOX))

    def _read_any(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        if level < self._native:
            return self._read(x, y, width, height, level)
        # A level that the file lacks: average blocks of the coarsest one that it has, strip by strip.
        source = self._native - 1
        factor = 2 ** (level - source)
        limit = self.levels[source]
        rows = max(1, STRIP_BYTES // (3 * factor * factor * max(width, 1)))
        region = np.empty((height, width, 3), dtype=np.uint8)
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            fine_x, fine_y = x * factor, (y + start) * factor
            fine_w = min(width * factor, limit.width - fine_x)
            fine_h = min((stop - start) * factor, limit.height - fine_y)
            fine = Image.fromarray(self._read(fine_x, fine_y, fine_w, fine_h, source))
            region[start:stop] = np.asarray(fine.reduce(factor))
        return region


def _made_levels(native: list[Level]) -> list[Level]:
    last = native[-1]
    made = []
    factor = 1
    while max(last.width, last.height) / factor > OVERVIEW_PX:
        factor *= 2
        made.append(
            Level(
                math.ceil(last.width / factor),
                math.ceil(last.height / factor),
                last.downsample * factor,
            )
        )
    return made
