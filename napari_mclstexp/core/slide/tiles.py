"""Tiles of slides for the screen: read in parallel, kept in a bounded memory cache."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from napari_mclstexp.core.slide.around import read_around
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.base import Slide

TILE_PX = 512
THREADS = 4
DEFAULT_BYTES = 64 * 2**20

Key = tuple[str, int, int, int, bool]


class TileReader:
    """Regions of slides, put together from tiles.

    Parameters
    ----------
    bound : int
        Bytes of tiles to keep, the most recently used ones.
    """

    def __init__(self, bound: int = DEFAULT_BYTES) -> None:
        self._bound, self._held = bound, 0
        self._tiles: OrderedDict[Key, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tiles")

    @property
    def held_bytes(self) -> int:
        """Bytes of the tiles that are kept."""
        return self._held

    def read(
        self, slide: Slide, window: tuple[int, int, int, int], level: int, *, managed: bool = False
    ) -> tuple[NDArray[np.uint8], SlideError | None]:
        """Read a window within a level, at once: where a level is not prepared yet, its preview.

        Parameters
        ----------
        slide : Slide
            What to read.
        window : tuple of int
            x, y, width, height in pixels of `level`.
        level : int
            Index into its levels.
        managed : bool
            Whether colours are converted to sRGB by the slide's ICC profile.

        Returns
        -------
        numpy.ndarray
            (height, width, 3) uint8 RGB; tiles that cannot be read are white.
        SlideError or None
            Why a tile could not be read.
        """
        x, y, width, height = window
        region = np.full((height, width, 3), 255, dtype=np.uint8)
        at = [
            (row, column)
            for row in range(y // TILE_PX, -(-(y + height) // TILE_PX))
            for column in range(x // TILE_PX, -(-(x + width) // TILE_PX))
        ]

        def place(tile_at: tuple[int, int]) -> SlideError | None:
            try:
                tile, error = self._tile(slide, level, *tile_at, managed)
            except SlideError as nothing:
                return nothing
            top, left = tile_at[0] * TILE_PX, tile_at[1] * TILE_PX
            y0, x0 = max(top, y), max(left, x)
            y1, x1 = min(top + tile.shape[0], y + height), min(left + tile.shape[1], x + width)
            region[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
            return error

        errors = [place(at[0])] if len(at) == 1 else list(self._pool.map(place, at))
        return region, next((error for error in errors if error is not None), None)

    def _tile(
        self, slide: Slide, level: int, row: int, column: int, managed: bool
    ) -> tuple[NDArray[np.uint8], SlideError | None]:
        key = (slide.picture_key, level, row, column, managed)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key], None
        size = slide.levels[level]
        x, y = column * TILE_PX, row * TILE_PX
        final = slide.prepared  # a preview is not kept
        window = (x, y, min(TILE_PX, size.width - x), min(TILE_PX, size.height - y))
        tile, holes = read_around(lambda x, y, w, h: slide.glance(x, y, w, h, level), window)
        if managed and slide.traits.icc_profile:
            tile = to_srgb(tile, slide.traits.icc_profile)
        if final:
            self._keep(key, tile)
        if not holes:
            return tile, None
        msg = f"{slide.path.name} is damaged: the region at {x}, {y} of level {level} cannot be read."
        return tile, SlideError(msg)

    def _keep(self, key: Key, tile: NDArray[np.uint8]) -> None:
        tile = np.ascontiguousarray(tile)
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._held += tile.nbytes
            while self._held > self._bound:
                _, oldest = self._tiles.popitem(last=False)
                self._held -= oldest.nbytes


def to_srgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Colours (h, w, 3) of a profile as sRGB; unchanged where the profile cannot be used."""
    try:
        transform = _transform(profile)
    except (ImageCms.PyCMSError, OSError):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(ImageCms.applyTransform(image, transform))


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
