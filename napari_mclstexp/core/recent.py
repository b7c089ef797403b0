"""Spots on their way through a prediction: encoded one after the other, then seen among their neighbours.

What the image encoder tells of a spot, 4 kB, outweighs all that is told of it in the end. It is held only
until the last of its neighbours has been seen with it, so that memory hardly grows with the slide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.context import Queries
from napari_mclstexp.core.model import EMBEDDING, IMAGE_FEATURES

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_mclstexp.core.context import Around, Seen

SLACK = 1 + 1e-6
"""Rounding leaves no neighbour out."""


class Recent:
    """What is known of N spots, and which of them can be seen among their neighbours already.

    Parameters
    ----------
    total : int
        N.
    parts : list of slice
        Rows that are seen together, one part after the other; all N, in order.
    around : Neighbours, Disc or None
        Who is near whom; None: each spot is seen alone, by others than this.
    absent : numpy.ndarray
        (N,) bool: spots that are left out. Those that are not encoded yet may join them.

    Attributes
    ----------
    absent : numpy.ndarray
        As given.
    embeddings : numpy.ndarray
        (N, 256) float32 in the space of the bank.
    looks : numpy.ndarray
        (N, APPEARANCE) float32; see :mod:`.appearance`.
    """

    def __init__(
        self, total: int, parts: list[slice], around: Around | None, absent: NDArray[np.bool_]
    ) -> None:
        self.embeddings = np.empty((total, EMBEDDING), np.float32)
        self.looks = np.empty((total, APPEARANCE), np.float32)
        self.absent = absent
        self._around, self._parts = around, parts
        self._starts = np.array([part.start for part in parts])
        self._until = [] if around is None else _until(around, parts)
        self._features: dict[int, NDArray[np.float32]] = {}
        self._next = 0

    def put(self, rows: slice, found: Queries) -> None:
        """Keep what is found of the next spots."""
        self.embeddings[rows], self.looks[rows] = found.embeddings, found.looks
        if self._around is None:
            return
        for n in range(self._part_of(rows.start), self._part_of(rows.stop - 1) + 1):
            part = self._parts[n]
            start, stop = max(rows.start, part.start), min(rows.stop, part.stop)
            if n not in self._features:
                self._features[n] = np.empty((part.stop - part.start, IMAGE_FEATURES), np.float32)
            own = slice(start - part.start, stop - part.start)
            self._features[n][own] = found.features[start - rows.start : stop - rows.start]

    def seen(self, encoded: int) -> Generator[tuple[slice, NDArray[np.intp], Seen], None, None]:
        """See the next parts whose neighbours are all among the first so many spots.

        Yields
        ------
        part : slice
            Rows of a part.
        of : numpy.ndarray
            (n,) intp: those that are not absent, at least one.
        seen : Seen
            These n.
        """
        while self._around is not None and self._next < len(self._parts):
            if self._parts[self._until[self._next]].stop > encoded:
                return
            part = self._parts[self._next]
            of = part.start + np.flatnonzero(~self.absent[part])
            if len(of):
                yield part, of, self.rows(of).seen_with(self._around.means(self.rows, of, self.absent))
            self._next += 1
            for n in [n for n in self._features if self._until[n] < self._next]:
                del self._features[n]

    def rows(self, at: NDArray[np.intp]) -> Queries:
        """What is known of some spots, all of them encoded and still near one that is to be seen."""
        features = np.empty((len(at), IMAGE_FEATURES), np.float32)
        part = np.searchsorted(self._starts, at, side="right") - 1
        for n in np.unique(part).tolist():
            own = part == n
            features[own] = self._features[n][at[own] - self._starts[n]]
        return Queries(features, self.embeddings[at], self.looks[at])

    def _part_of(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, side="right")) - 1


def _until(around: Around, parts: list[slice]) -> list[int]:
    """Of each part, the last one that a spot of it may have a neighbour in: no spot lies outside its box."""
    low, high = (np.array([kind(around.at[part], axis=0) for part in parts]) for kind in (np.min, np.max))
    last = []
    for n in range(len(parts)):
        gap = np.maximum(np.maximum(low - high[n], low[n] - high), 0)
        last.append(int(np.flatnonzero(np.hypot(*gap.T) <= around.radius * SLACK)[-1]))
    return last
