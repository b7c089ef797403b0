"""What a patch is together with its surroundings, and what a section is apart from its own level.

A spot's expression goes with that of the tissue around it, and its reference spot was encoded with its
neighbourhood; so a query, too, is seen with the spots around it. And a section's sequencing and staining
shift all its spots alike; so the bank gives what lies above or below its own section's mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.model import IMAGE_FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

DESCRIBED = 2 * (IMAGE_FEATURES + APPEARANCE)
"""Numbers that describe a query to the ridge head: features and appearance, its own and around it."""


class Around(Protocol):
    """Who is near whom among N spots."""

    @property
    def at(self) -> NDArray[np.float64] | NDArray[np.int64]:
        """(N, 2) where they lie."""

    @property
    def radius(self) -> float:
        """How far a neighbour may lie, in the same unit."""

    def means(
        self,
        known: Callable[[NDArray[np.intp]], Queries],
        of: NDArray[np.intp],
        absent: NDArray[np.bool_] | None = None,
    ) -> Queries:
        """Means over the spots around some, and themselves.

        Parameters
        ----------
        known : callable
            Given rows, what is known of these spots.
        of : numpy.ndarray
            (n,) intp rows, ascending, of spots that are there.
        absent : numpy.ndarray, optional
            (N,) bool: spots that count as neighbours of none.

        Returns
        -------
        Queries
            Of n spots.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """What is known of N patches.

    Attributes
    ----------
    features : numpy.ndarray
        (N, 1024) float32 image features.
    embeddings : numpy.ndarray
        (N, 256) float32 in the space of the bank.
    looks : numpy.ndarray
        (N, APPEARANCE) float32; see :mod:`.appearance`.
    """

    features: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    looks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.embeddings)

    @classmethod
    def joined(cls, parts: Sequence[Queries]) -> Queries:
        """All of some parts, in their order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def rows(self, at: slice | NDArray[np.intp]) -> Queries:
        """Some of them."""
        return Queries(self.features[at], self.embeddings[at], self.looks[at])

    def each(self, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Queries:
        """Features, embeddings and looks, each changed."""
        return Queries(change(self.features), change(self.embeddings), change(self.looks))

    def seen_among(self, around: Around | None, at: slice = slice(None)) -> Seen:
        """Some patches, each with its surroundings.

        Parameters
        ----------
        around : Neighbours, Disc or None
            Who is near whom among the N; None: each patch is seen alone.
        at : slice
            Which n of the N patches.
        """
        own = self.rows(at)
        return own.seen_with(own if around is None else around.means(self.rows, np.arange(len(self))[at]))

    def seen_with(self, means: Queries) -> Seen:
        """These patches, each with the means around it; with themselves where they are seen alone."""
        described = np.hstack((self.features, means.features, self.looks, means.looks))
        if means is self:
            return Seen(self.embeddings, described)
        both = self.embeddings + means.embeddings
        both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)
        return Seen(both, described)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Patches as the heads see them.

    Attributes
    ----------
    embeddings : numpy.ndarray
        (N, 256) float32, each joined with the mean around it.
    described : numpy.ndarray
        (N, DESCRIBED) float32: features, their mean around, appearance, its mean around.
    """

    embeddings: NDArray[np.float32]
    described: NDArray[np.float32]

    def rows(self, at: slice | NDArray[np.intp]) -> Seen:
        """Some of them."""
        return Seen(self.embeddings[at], self.described[at])


class Neighbours:
    """Spots within a radius of each spot.

    Parameters
    ----------
    xy_um : numpy.ndarray
        (N, 2) x, y of spots of one section or slide.
    radius_um : float
        How far a neighbour may lie.
    """

    def __init__(self, xy_um: NDArray[np.float64], radius_um: float) -> None:
        from scipy.spatial import cKDTree

        self.at, self.radius, self._tree = xy_um, radius_um, cKDTree(xy_um)

    def means(
        self,
        known: Callable[[NDArray[np.intp]], Queries],
        of: NDArray[np.intp],
        absent: NDArray[np.bool_] | None = None,
    ) -> Queries:
        """Means over the spots around some, and themselves; see :class:`Around`."""
        weights = self.weights(of, absent)
        near, column = np.unique(weights.indices, return_inverse=True)
        shape = (len(of), len(near))
        weights = sparse.csr_matrix((weights.data, column, weights.indptr), shape=shape)
        return known(near.astype(np.intp)).each(lambda values: np.asarray(weights @ values, np.float32))

    def weights(
        self, of: NDArray[np.intp] | slice = slice(None), absent: NDArray[np.bool_] | None = None
    ) -> sparse.csr_matrix:
        """Weights (n, N) of the means, float32; each row sums to 1."""
        found = self._tree.query_ball_point(self.at[of], self.radius, return_sorted=True)
        if absent is not None and absent.any():
            found = [[spot for spot in near if not absent[spot]] for near in found]
        counts = np.array([len(near) for near in found])
        pointers = np.concatenate(([0], np.cumsum(counts)))
        share = np.repeat(1 / counts, counts).astype(np.float32)
        shape = (len(counts), len(self.at))
        return sparse.csr_matrix((share, np.concatenate(found).astype(np.int64), pointers), shape=shape)


class Disc:
    """As :class:`Neighbours`, of spots on a square lattice: far fewer sums where many are near each other.

    Parameters
    ----------
    at : numpy.ndarray
        (N, 2) int64 steps, y and x; no two spots at one.
    radius : float
        How far a neighbour may lie, in steps.
    """

    def __init__(self, at: NDArray[np.int64], radius: float) -> None:
        self.radius, self._reach = radius, int(radius)
        self.at = at - at.min(axis=0) + self._reach
        self._half = [int(math.sqrt(radius**2 - y**2)) for y in range(-self._reach, self._reach + 1)]
        self._row = np.full(self.at.max(axis=0) + self._reach + 1, -1, dtype=np.intp)
        self._row[tuple(self.at.T)] = np.arange(len(at))

    def means(
        self,
        known: Callable[[NDArray[np.intp]], Queries],
        of: NDArray[np.intp],
        absent: NDArray[np.bool_] | None = None,
    ) -> Queries:
        """Means over the spots around some, and themselves; see :class:`Around`."""
        steps = self.at[of]
        low, high = steps.min(axis=0) - self._reach, steps.max(axis=0) + self._reach + 1
        row = self._row[low[0] : high[0], low[1] : high[1]]  # (h, w)
        there = row >= 0
        if absent is not None:
            there &= ~absent[row]
        y, x = (steps - low).T
        count = self._sums(there[..., None].astype(np.float32), y, x)

        def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
            table = np.zeros((*there.shape, values.shape[1]), dtype=np.float32)
            table[there] = values
            return self._sums(table, y, x) / count

        return known(row[there]).each(mean)

    def _sums(
        self, table: NDArray[np.float32], y: NDArray[np.int64], x: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Sums (n, C) of a table (h, w, C) over the disc around each of the steps: row by row of it."""
        before = np.zeros((table.shape[0], table.shape[1] + 1, table.shape[2]), dtype=np.float32)
        np.cumsum(table, axis=1, out=before[:, 1:])
        total = np.zeros((len(y), table.shape[2]), dtype=np.float32)
        for off, half in zip(range(-self._reach, self._reach + 1), self._half, strict=True):
            total += before[y + off, x + half + 1]
            total -= before[y + off, x - half]
        return total


def centred(expression: NDArray[np.float32], section: NDArray[np.str_]) -> NDArray[np.float32]:
    """Expression (M, G) float32 with every section's mean moved to the mean of them all."""
    values = expression.astype(np.float32, copy=True)
    level = expression.mean(axis=0, dtype=np.float64)
    for name in np.unique(section):
        rows = section == name
        values[rows] += (level - expression[rows].mean(axis=0, dtype=np.float64)).astype(np.float32)
    return values
