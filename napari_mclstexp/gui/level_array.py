"""Levels of a slide as arrays that napari slices, read by tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.slide.tiles import TILE_PX, TileReader
from napari_mclstexp.gui.telling import tell_in_words

if TYPE_CHECKING:
    from napari_mclstexp.core.slide import Slide

_told: set[str] = set()
_tiles = TileReader()


class LevelArray:
    """One level of a slide as an array that is read when sliced.

    Parameters
    ----------
    slide : Slide
        What to read.
    level : int
        Which level.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3
    chunks = (TILE_PX, TILE_PX, 3)

    def __init__(self, slide: Slide, level: int) -> None:
        self._slide, self._level = slide, level
        self.shape = (slide.levels[level].height, slide.levels[level].width, 3)
        self.size = int(np.prod(self.shape))
        self.colour_managed = False

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        whole = (*(k for k in key if k is not Ellipsis), slice(None), slice(None), slice(None))[:3]
        spans = [_span(k, n) for k, n in zip(whole, self.shape, strict=True)]
        (top, bottom, _), (left, right, _), _ = spans
        region, error = _tiles.read(
            self._slide,
            (left, top, max(0, right - left), max(0, bottom - top)),
            self._level,
            managed=self.colour_managed,
        )
        if error is not None and self._slide.picture_key not in _told:  # once: panning meets them again
            _told.add(self._slide.picture_key)
            tell_in_words(f"{error} Such parts are shown white.")
        inside = tuple(
            slice(None, None, step) if isinstance(k, slice) else 0
            for k, (_, _, step) in zip(whole[:2], spans[:2], strict=True)
        )
        return region[(*inside, whole[2])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :, :], dtype=dtype)


def _span(key: Any, size: int) -> tuple[int, int, int]:
    if isinstance(key, slice):
        return key.indices(size)
    at = int(key) % size
    return at, at + 1, 1
