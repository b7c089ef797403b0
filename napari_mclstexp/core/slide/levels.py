"""The levels of a pyramid: those that a file lacks, and a first look at one that is large."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.prepared import Reader

OVERVIEW_PX = 2048
"""A pyramid goes down to a level of at most this size; missing levels are made."""

GLANCE_BLOCKS = 24
"""Places looked at along the longer side, where nothing coarser can be had at once."""

GLANCE_THREADS = 4

LEVEL_TOLERANCE = 0.05
"""By which a level may be longer or wider than the finest one's shape, besides a rounded pixel."""


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


def made_levels(last: Level) -> list[Level]:
    """Levels that continue a pyramid whose coarsest is `last`, each half as wide as the one before."""
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


def fitting_levels(sizes: Sequence[tuple[int, int]]) -> int:
    """How many levels, from the finest on, are of one pyramid: ever smaller, and alike in shape.

    Parameters
    ----------
    sizes : sequence of tuple of int
        Width and height of each.
    """
    width, height = sizes[0]
    for count, (finer, (w, h)) in enumerate(itertools.pairwise(sizes), start=1):
        by_x, by_y = width / w, height / h
        alike = abs(by_x - by_y) <= LEVEL_TOLERANCE * max(by_x, by_y) + by_x / w + by_y / h
        if w > finer[0] or h > finer[1] or not alike:
            return count
    return len(sizes)


def mosaic(size: Level, read: Reader) -> NDArray[np.uint8]:
    """Blurred picture of a level from a few blocks of it, (h, w, 3); white where they cannot be read."""
    cell = max(size.width, size.height) / GLANCE_BLOCKS
    columns, rows = (max(1, round(n / cell)) for n in (size.width, size.height))

    def colour(at: tuple[int, int]) -> NDArray[np.floating]:
        y = int((at[0] + 0.5) * size.height / rows)
        x = int((at[1] + 0.5) * size.width / columns)
        try:
            return read(x, y, 1, 1)[0, 0]
        except SlideError as error:
            failed.append(error)
            return np.full(3, 255, dtype=np.uint8)

    failed: list[SlideError] = []

    with ThreadPoolExecutor(GLANCE_THREADS, thread_name_prefix="mclstexp-glance") as pool:
        colours = list(pool.map(colour, np.ndindex(rows, columns)))
    if len(failed) == len(colours):
        raise failed[0]
    mosaic = Image.fromarray(np.array(colours, dtype=np.uint8).reshape(rows, columns, 3))
    return np.asarray(mosaic.resize((columns * 16, rows * 16), Image.Resampling.BICUBIC))
