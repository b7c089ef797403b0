"""What drawing the spots of a grid takes: made on a worker, for it takes a while, and used for every map."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_mclstexp.core.raster import Canvas, Raster, canvas_of, raster_spots

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.tissue import TissueMask

POINTS_AT_MOST = 20_000
"""More spots than these are drawn as a picture, which is faster than points."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What drawing the spots of one grid takes.

    Attributes
    ----------
    cells : Raster
        (h, w) int32 row of the nearest spot; -1 where there is none.
    canvas : Canvas or None
        For maps that are drawn as a picture; None where points do.
    """

    cells: Raster
    canvas: Canvas | None = None


def drawing_of(grid: SpotGrid, *, smooth: bool = False, tissue: TissueMask | None = None) -> Drawing:
    """What drawing N spots takes; see :func:`.raster.canvas_of` for `smooth` and `tissue`."""
    picture = smooth or len(grid) > POINTS_AT_MOST
    return Drawing(raster_spots(grid), canvas_of(grid, smooth=smooth, tissue=tissue) if picture else None)


class Watched:
    """A prediction's steps, each with what drawing its spots takes; and the speed at which spots come.

    What is thrown into the generator goes on into the steps.
    """

    def __init__(self) -> None:
        self._grid: SpotGrid | None = None
        self._drawing: Drawing | None = None
        self._first: tuple[int, float] | None = None
        self._loaded, self._most = time.monotonic(), 0
        self.spots_a_second = 0.0

    def __call__(self, steps: Generator[Progress, None, Result]) -> Generator[Progress, None, Result]:
        """Steps of `steps`, and its result."""
        ask: Callable[..., Progress] = steps.__next__
        thrown: tuple[Exception, ...] = ()
        while True:
            try:
                step = ask(*thrown)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            try:
                yield self._seen(step)
                ask, thrown = steps.__next__, ()
            except GeneratorExit:
                steps.close()
                raise
            except Exception as error:  # noqa: BLE001 - handed on
                ask, thrown = steps.throw, (error,)

    def _seen(self, step: Progress) -> Progress:
        if step.grid is not None and step.grid is not self._grid:
            self._grid = step.grid
            self._drawing = drawing_of(step.grid)
        if step.grid is not None:
            self._time(step.done - step.taken, time.monotonic())
        return replace(step, drawing=self._drawing)

    def _time(self, done: int, now: float) -> None:
        """Note the speed from the first spots on, for before them the network is loaded."""
        if not done:
            self._loaded = now
            return
        self._first = self._first or (done, now)
        self._most = max(self._most, done)
        first, began = self._first if self._most > self._first[0] else (0, self._loaded)  # all came at once
        if now > began:
            self.spots_a_second = (self._most - first) / (now - began)

    def drawing(self, grid: SpotGrid) -> Drawing:
        """What drawing the result's spots takes: not all that were laid, where it ended early."""
        if self._drawing is None or grid is not self._grid:
            return drawing_of(grid)
        return self._drawing
