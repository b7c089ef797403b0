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
from napari_mclstexp.core.model import EMBEDDING, IMAGE_FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DESCRIBED = 2 * (IMAGE_FEATURES + APPEARANCE)
"""Numbers that describe a query to the ridge head: features and appearance, its own and around it."""


class Around(Protocol):
    """Who is near whom among N spots."""

    def means(self, values: tuple[NDArray[np.float32], ...], at: slice) -> list[NDArray[np.float32]]:
        """Means (n, C) of values (N, C), of several kinds, over the spots around some and themselves."""


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
    def empty(cls, count: int) -> Queries:
        """Room for `count` patches."""
        return cls(
            *(np.empty((count, width), np.float32) for width in (IMAGE_FEATURES, EMBEDDING, APPEARANCE))
        )

    @classmethod
    def joined(cls, parts: Sequence[Queries]) -> Queries:
        """All of some parts, in their order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def rows(self, at: slice | NDArray[np.intp]) -> Queries:
        """Some of them."""
        return Queries(self.features[at], self.embeddings[at], self.looks[at])

    def put(self, at: slice, found: Queries) -> None:
        """Fill some of them in."""
        self.features[at], self.embeddings[at], self.looks[at] = found.features, found.embeddings, found.looks

    def seen_among(self, around: Around | None, at: slice = slice(None)) -> Seen:
        """Some patches, each with its surroundings.

        Parameters
        ----------
        around : Neighbours, Disc or None
            Who is near whom among the N; None: each patch is seen alone.
        at : slice
            Which n of the N patches.
        """
        features, embeddings, looks = self.features[at], self.embeddings[at], self.looks[at]
        if around is None:
            return Seen(embeddings, np.hstack((features, features, looks, looks)))
        means = around.means((self.features, self.embeddings, self.looks), at)
        both = embeddings + means[1]
        both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)
        return Seen(both, np.hstack((features, means[0], looks, means[2])))


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

        self._xy, self._radius, self._tree = xy_um, radius_um, cKDTree(xy_um)

    def means(self, values: tuple[NDArray[np.float32], ...], at: slice) -> list[NDArray[np.float32]]:
        """Means (n, C) of values (N, C), of several kinds, over the spots around some and themselves."""
        weights = self.weights(at)
        return [np.asarray(weights @ part, np.float32) for part in values]

    def weights(self, at: slice = slice(None)) -> sparse.csr_matrix:
        """Weights (n, N) of the means, float32; each row sums to 1."""
        found = self._tree.query_ball_point(self._xy[at], self._radius, return_sorted=True)
        counts = np.array([len(near) for near in found])
        pointers = np.concatenate(([0], np.cumsum(counts)))
        share = np.repeat(1 / counts, counts).astype(np.float32)
        shape = (len(counts), len(self._xy))
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
        self._reach = int(radius)
        self._at = at - at.min(axis=0) + self._reach
        self._half = [int(math.sqrt(radius**2 - y**2)) for y in range(-self._reach, self._reach + 1)]
        self._row = np.full(self._at.max(axis=0) + self._reach + 1, -1, dtype=np.int64)
        self._row[tuple(self._at.T)] = np.arange(len(at))

    def means(self, values: tuple[NDArray[np.float32], ...], at: slice) -> list[NDArray[np.float32]]:
        """Means (n, C) of values (N, C), of several kinds, over the spots around some and themselves."""
        steps = self._at[at]
        low, high = steps.min(axis=0) - self._reach, steps.max(axis=0) + self._reach + 1
        row = self._row[low[0] : high[0], low[1] : high[1]]  # (h, w)
        y, x = (steps - low).T
        count = self._sums((row >= 0)[..., None].astype(np.float32), y, x)
        found = []
        for part in values:
            table = part[row]
            table[row < 0] = 0
            found.append(self._sums(table, y, x) / count)
        return found

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
