"""Which spots a person means who draws over a slide: by a brush, inside an outline, or a whole patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.adjacency import adjacency
from napari_mclstexp.core.reach import pitch_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid

NEAR = 0.75
"""Pitches from a spot within which a place is its own."""
STEP = 0.4
"""Pitches between the places of a stroke that are looked at."""


class Strokes:
    """Finds the spots of a grid that are meant.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    """

    def __init__(self, grid: SpotGrid) -> None:
        from scipy.spatial import cKDTree

        self.grid = grid
        self._unit = np.array(pitch_px(grid))
        self._tree = cKDTree(grid.centres_px / self._unit)

    def under(self, places_px: NDArray[np.float64], across: int) -> NDArray[np.intp]:
        """Rows of the spots under a brush.

        Parameters
        ----------
        places_px : numpy.ndarray
            (P, 2) where it was, y, x in full-resolution px.
        across : int
            Its width in spots; 1 takes the spot that it is on.
        """
        at = np.asarray(places_px, dtype=np.float64) / self._unit
        if across <= 1:
            distance, nearest = self._tree.query(at)
            return np.unique(nearest[distance <= NEAR])
        found = self._tree.query_ball_point(at, across / 2)
        return np.unique(np.concatenate([np.asarray(rows, dtype=np.intp) for rows in found]))

    def between(self, start: tuple[float, float], end: tuple[float, float]) -> NDArray[np.float64]:
        """Places (P, 2) on the way from one to another, so close that no spot is passed by."""
        steps = np.abs((np.array(end) - start) / self._unit).max() / STEP
        return np.linspace(start, end, int(steps) + 2)

    def inside(self, outline_px: NDArray[np.float64]) -> NDArray[np.intp]:
        """Rows of the spots whose centres lie inside an outline (n, 2), y, x in full-resolution px.

        Of one that crosses itself, inside any of its loops.
        """
        import shapely

        if len(outline_px) < 3:
            return np.zeros(0, dtype=np.intp)
        area = shapely.make_valid(shapely.Polygon(np.asarray(outline_px)[:, ::-1]))
        shapely.prepare(area)
        return np.flatnonzero(shapely.covers(area, shapely.points(self.grid.centres_px[:, ::-1])))

    def patch(self, labels: NDArray[np.int32], row: int) -> NDArray[np.intp]:
        """Rows of the spots that have a spot's label (of (N,) labels) and hang together with it."""
        from scipy.sparse.csgraph import connected_components

        own = np.flatnonzero(labels == labels[row])
        _, part = connected_components(adjacency(self.grid)[own][:, own], directed=False)
        return own[part == part[np.searchsorted(own, row)]]


class Stroke:
    """One stroke of a brush.

    Parameters
    ----------
    strokes : Strokes
        Of the grid.
    labels : numpy.ndarray
        (N,) int32 labels before it.
    spared : frozenset of int
        Labels whose spots it leaves alone.
    across : int
        Width of the brush in spots.
    careful : bool
        It changes only spots of the label that it begins on, so that it does not eat into a neighbour.
    """

    def __init__(
        self,
        strokes: Strokes,
        labels: NDArray[np.int32],
        spared: frozenset[int],
        across: int,
        *,
        careful: bool,
    ) -> None:
        self._strokes, self._labels, self._across = strokes, labels, across
        self._open = ~np.isin(labels, list(spared))
        self._careful, self._begun = careful, False
        self._at: tuple[float, float] | None = None

    @property
    def rows(self) -> NDArray[np.intp]:
        """Spots that it has changed."""
        return np.flatnonzero(self._taken) if self._begun else np.zeros(0, dtype=np.intp)

    def to(self, y_px: float, x_px: float) -> NDArray[np.intp]:
        """Go on to a place; rows of the spots that are new."""
        here = (y_px, x_px)
        places = self._strokes.between(self._at or here, here)
        self._at = here
        found = self._strokes.under(places, self._across)
        if not self._begun:
            first = self._strokes.under(np.array([here]), 1)
            if len(first) == 0 and len(found) == 0:
                return found
            self._begun = True
            self._taken = np.zeros(len(self._labels), dtype=bool)
            if self._careful:
                start = first if len(first) else found
                self._open &= self._labels == self._labels[start[0]]
        new = found[self._open[found] & ~self._taken[found]]
        self._taken[new] = True
        return new
