"""Which chunks of a zarr array lie on disk: an absent one reads as its fill value, without a word."""

from __future__ import annotations

import itertools
import math
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_FILE = re.compile(r"[0-9]+(\.[0-9]+)*$|c$|c[./][0-9./]+$")
MAX_CHUNK_BYTES = 2**30
"""Bound on a chunk, or shard, once decoded: it is decoded whole."""


class Chunks:
    """Chunks of one array, or shards where it has them.

    Parameters
    ----------
    folder : pathlib.Path
        Of the array.
    array : zarr.Array
        Open for reading.

    Raises
    ------
    ValueError
        A chunk would take too much memory.
    """

    def __init__(self, folder: Path, array: Any) -> None:
        self._folder, self._array = folder, array
        self._sizes = tuple(array.shards or array.chunks)
        grid = [math.ceil(n / size) for n, size in zip(array.shape, self._sizes, strict=True)]
        self.expected = math.prod(grid)
        held = math.prod(self._sizes) * array.dtype.itemsize
        if held > MAX_CHUNK_BYTES:
            msg = f"a chunk of {held / 2**30:.1f} GiB; write it in smaller ones"
            raise ValueError(msg)
        self.absent = max(0, self.expected - _count(folder))

    def lacks(self, window: tuple[slice | int, ...]) -> bool:
        """Whether a chunk is absent that a window, one slice or index an axis, needs."""
        if not self.absent:
            return False
        spans = []
        for at, size, n in zip(window, self._sizes, self._array.shape, strict=True):
            first, last, _ = at.indices(n) if isinstance(at, slice) else (at, at + 1, 1)
            spans.append(range(first // size, (last - 1) // size + 1))
        key = self._array.metadata.encode_chunk_key
        return not all((self._folder / key(place)).is_file() for place in itertools.product(*spans))


def _count(folder: Path) -> int:
    """How many chunk files there are; each is looked at by its name alone."""
    return sum(1 for _, _, files in os.walk(folder) for name in files if CHUNK_FILE.match(name))
