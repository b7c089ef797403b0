"""Levels that a file cannot give at once: made one time, losslessly, and kept in the cache on disk.

A plain JPEG has no random access, and a large image without a pyramid no coarse levels. Both are read
through once, block by block, into one zip of compressed tiles (zarr), which has both.
"""

from __future__ import annotations

import itertools
import logging
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_mclstexp.core import cache
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from zarr.storage import MemoryStore, ZipStore

    from napari_mclstexp.core.slide.levels import Level

    Reader = Callable[[int, int, int, int], NDArray[np.uint8]]
    """Reads (height, width, 3) at x, y, width, height."""

log = logging.getLogger(__name__)

TILE = 512
THREADS = 2
VERSION = 1
WHITE = 255
"""Tiles that are white throughout, such as glass that was not scanned, are not stored."""


class PreparedLevels:
    """Consecutive levels of a slide, each half as wide as the one before.

    Parameters
    ----------
    levels : sequence of Level
        Finest first.
    factor : int
        How many pixels of the source a pixel of the first of them spans.
    source : callable
        Gives a context with a reader of the source's pixels.
    name : str
        Name in the cache, made of the slide's fingerprint.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        factor: int,
        source: Callable[[], AbstractContextManager[Reader]],
        name: Callable[[], str],
    ) -> None:
        self._levels, self._factor, self._source, self._name = levels, factor, source, name
        self._lock = threading.Lock()
        self._store: ZipStore | MemoryStore | None = None
        self._arrays: list[Any] = []

    @property
    def ready(self) -> bool:
        """Whether the levels can be read at once."""
        return bool(self._arrays)

    def make(self) -> Generator[tuple[int, int], None, None]:
        """Open the levels from the cache, or make them; closing the generator leaves nothing behind.

        Yields
        ------
        tuple of int
            Tiles done and to do.

        Raises
        ------
        SlideError
            The source is damaged.
        """
        from zarr.storage import MemoryStore, ZipStore

        with self._lock:
            if self.ready or self._found():
                return
            yield 0, self._count()
            name = self._name()
            try:
                with cache.making(name) as path:
                    yield from self._fill(ZipStore(path, mode="w"))
            except OSError as error:
                log.warning("The cache cannot be written (%s); levels are kept in memory", error.strerror)
            if not self._found():
                self._store = MemoryStore()
                yield from self._fill(self._store)
                self._open(self._store)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Read a region of a level, counted from the first of these; makes them first where needed."""
        if not self.ready:
            for _ in self.make():
                pass
        try:
            region: NDArray[np.uint8] = self._arrays[level][y : y + height, x : x + width]
        except (OSError, zipfile.BadZipFile, ValueError, KeyError, RuntimeError) as error:
            cache.forget(self._name())
            msg = "The slide's copy in the cache is damaged. It was removed: open the slide again."
            raise SlideError(msg) from error
        return region

    def close(self) -> None:
        """Close the file."""
        from zarr.storage import ZipStore

        with self._lock:
            self._arrays = []
            if isinstance(self._store, ZipStore):
                self._store.close()
            self._store = None

    def _count(self) -> int:
        return sum(len(_tiles(level)) for level in self._levels)

    def _found(self) -> bool:
        from zarr.storage import ZipStore

        path = cache.cached(self._name())
        if path is None:
            return False
        try:
            store = ZipStore(path, mode="r")
            self._open(store)
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError):
            self._arrays = []
            cache.forget(self._name())
            return False
        self._store = store
        return True

    def _open(self, store: ZipStore | MemoryStore) -> None:
        import zarr

        group = zarr.open_group(store, mode="r")
        if group.attrs["version"] != VERSION:
            msg = "made by another version"
            raise ValueError(msg)
        arrays = [group[str(i)] for i in range(len(self._levels))]
        if [a.shape for a in arrays] != [(lv.height, lv.width, 3) for lv in self._levels]:  # type: ignore[union-attr]
            msg = "of another size"
            raise ValueError(msg)
        self._arrays = arrays

    def _fill(self, store: ZipStore | MemoryStore) -> Generator[tuple[int, int], None, None]:
        import zarr
        from zarr.codecs import BloscCodec
        from zarr.storage import ZipStore

        group = zarr.create_group(store, attributes={"version": VERSION})
        arrays = [
            group.create_array(
                str(i),
                shape=(level.height, level.width, 3),
                chunks=(TILE, TILE, 3),
                dtype="uint8",
                fill_value=WHITE,
                compressors=BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle"),
            )
            for i, level in enumerate(self._levels)
        ]
        done, total = 0, self._count()
        try:
            with self._source() as read:
                for _ in self._fill_level(arrays[0], read, self._factor):
                    done += 1
                    yield done, total
            for finer, array in itertools.pairwise(arrays):
                for _ in self._fill_level(array, _reader(finer), 2):
                    done += 1
                    yield done, total
        finally:
            if isinstance(store, ZipStore):
                store.close()

    def _fill_level(self, array: Any, read: Reader, factor: int) -> Generator[None, None, None]:
        height, width = array.shape[:2]

        def put(tile: tuple[int, int]) -> None:
            y, x = tile
            rows, columns = min(TILE, height - y), min(TILE, width - x)
            block = read(x * factor, y * factor, columns * factor, rows * factor)
            if factor > 1:
                block = np.asarray(Image.fromarray(block).reduce(factor))
            if block.min() < WHITE:
                array[y : y + rows, x : x + columns] = block

        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mclstexp-prepare")
        try:
            for _ in pool.map(put, _tiles_of(height, width)):
                yield
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _reader(array: Any) -> Reader:
    return lambda x, y, width, height: array[y : y + height, x : x + width]


def _tiles(level: Level) -> list[tuple[int, int]]:
    return _tiles_of(level.height, level.width)


def _tiles_of(height: int, width: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
