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
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_mclstexp.core import cache
from napari_mclstexp.core.slide.around import Window, read_around
from napari_mclstexp.errors import ExportError, SlideError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

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
HOLES = "holes"
MOST_HOLES = 100
"""A slide with more of them in which whole blocks are lost, too, is refused."""
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
    name : callable
        Gives the name in the cache, made of the slide's fingerprint.
    size : tuple of int, optional
        Width and height of the source, where what cannot be decoded is read around: it is white in the
        levels, and kept in mind.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        factor: int,
        source: Callable[[], AbstractContextManager[Reader]],
        name: Callable[[], str],
        size: tuple[int, int] | None = None,
    ) -> None:
        self._size = size
        self._holes: list[Window] = []
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
                with cache.making(name, self._verify) as path:
                    yield from self._fill(ZipStore(path, mode="w"))
            except (OSError, ExportError) as error:
                why = getattr(error, "strerror", error)
                log.warning("The cache cannot be written (%s); levels are kept in memory", why)
            if not self._found():
                self._store = MemoryStore()
                yield from self._fill(self._store)
                self._open(self._store)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        """Read a region of a level, counted from the first of these; makes them first where needed.

        Raises
        ------
        SlideError
            The source could not be read there, or the copy is damaged.
        """
        if not self.ready:
            for _ in self.make():
                pass
        of_source = self._factor * 2**level
        if any(_touch(hole, (x, y, width, height), of_source) for hole in self._holes):
            msg = f"The slide is damaged: the region at {x}, {y} of level 1/{of_source} cannot be read."
            raise SlideError(msg)
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

    def _block(self, read: Reader, window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Block of a source of that size, white where it cannot be decoded."""
        x, y, width, height = window
        window = (x, y, min(width, size[0] - x), min(height, size[1] - y))
        try:
            block, holes = read_around(read, window)
        except SlideError:
            if len(self._holes) > MOST_HOLES:
                raise
            block, holes = np.full((window[3], window[2], 3), WHITE, dtype=np.uint8), [window]
        self._holes += holes
        return block

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

    def _verify(self, path: Path) -> None:
        """Raise OSError unless a file of the cache opens."""
        from zarr.storage import ZipStore

        store = ZipStore(path, mode="r")
        try:
            self._read(store)
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
            msg = "it does not read back as it was written"
            raise OSError(msg) from error
        finally:
            _close(store)

    def _open(self, store: ZipStore | MemoryStore) -> None:
        arrays, self._holes = self._read(store)
        self._arrays = arrays

    def _read(self, store: ZipStore | MemoryStore) -> tuple[list[Any], list[Window]]:
        """Levels in a store, and what could not be decoded of them."""
        import zarr

        group = zarr.open_group(store, mode="r")
        if group.attrs["version"] != VERSION:
            msg = "made by another version"
            raise ValueError(msg)
        arrays = [group[str(i)] for i in range(len(self._levels))]
        if [a.shape for a in arrays] != [(lv.height, lv.width, 3) for lv in self._levels]:  # type: ignore[union-attr]
            msg = "of another size"
            raise ValueError(msg)
        holes = [tuple(hole) for hole in group[HOLES][:].tolist()] if HOLES in group else []  # type: ignore[index,union-attr]
        return arrays, holes

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
        self._holes = []
        try:
            with self._source() as read:
                for _ in self._fill_level(arrays[0], read, self._factor, self._size):
                    done += 1
                    yield done, total
            for finer, array in itertools.pairwise(arrays):
                for _ in self._fill_level(array, _reader(finer), 2):
                    done += 1
                    yield done, total
            if self._holes:
                group.create_array(HOLES, data=np.array(self._holes, dtype=np.int64))
        finally:
            if isinstance(store, ZipStore):
                _close(store)

    def _fill_level(
        self, array: Any, read: Reader, factor: int, size: tuple[int, int] | None = None
    ) -> Generator[None, None, None]:
        height, width = array.shape[:2]

        def put(tile: tuple[int, int]) -> None:
            y, x = tile
            rows, columns = min(TILE, height - y), min(TILE, width - x)
            window = (x * factor, y * factor, columns * factor, rows * factor)
            block = read(*window) if size is None else self._block(read, window, size)
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


def _touch(hole: Window, window: Window, factor: int) -> bool:
    """Whether a hole, in pixels of the source, lies in a window of a level `factor` times as coarse."""
    x, y, width, height = (n * factor for n in window)
    left, top, across, down = hole
    return left < x + width and x < left + across and top < y + height and y < top + down


def _reader(array: Any) -> Reader:
    return lambda x, y, width, height: array[y : y + height, x : x + width]


def _tiles(level: Level) -> list[tuple[int, int]]:
    return _tiles_of(level.height, level.width)


def _close(store: ZipStore) -> None:
    """Close a file; zarr fails to close one that it has not come to open."""
    with suppress(AttributeError):
        store.close()


def _tiles_of(height: int, width: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]
