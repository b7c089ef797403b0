"""The spots of a reference bank that are nearest to a query by cosine, exactly, however large the bank."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

QUERY_ROWS, BANK_ROWS = 512, 2048
"""Queries, and spots of the bank, whose similarities a thread holds at once: 4 MiB of any bank."""
SPARE = 64
"""Spots beyond those asked for that the search in single precision keeps."""
DECIMALS = 12
"""Of a cosine that count in the order: the last digits go by how the sum was blocked."""
REFINED_BYTES = 64 * 2**20
"""Bound on what is gathered at once to be compared in double precision."""


def lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Euclidean lengths (M,) of embeddings (M, D), worked out in double precision."""
    found = np.empty(len(rows))
    for part in _blocks(len(rows), BANK_ROWS):
        found[part] = np.linalg.norm(rows[part].astype(np.float64), axis=1)
    return found


def nearest(
    queries: NDArray[np.floating],
    bank: NDArray[np.floating],
    k: int,
    bank_lengths: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the k most similar rows of a bank.

    The bank is searched in single precision for a few more than `k`; these are compared in double precision.
    Where rounding could have kept one of the nearest out, as among many that are equal, the query is
    compared with the whole bank in double precision.

    Parameters
    ----------
    queries : numpy.ndarray
        (N, D) embeddings of any length.
    bank : numpy.ndarray
        (M, D) embeddings of any length.
    k : int
        Rows a query, 1 to M.
    bank_lengths : numpy.ndarray
        (M,) float64; see :func:`lengths`.

    Returns
    -------
    indices : numpy.ndarray
        (N, k) int64, most similar first; those equal to 12 decimals in order of the rows.
    cosine : numpy.ndarray
        (N, k) float64.
    """
    unit = queries.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1), 1e-12)[:, None]
    inverse = 1.0 / np.maximum(bank_lengths, 1e-12)
    wide = min(k + SPARE, len(bank))
    near, least = np.empty((len(unit), wide), dtype=np.int64), np.empty(len(unit))
    rough = inverse.astype(np.float32)
    parts = [_Best(rows, wide) for rows in _blocks(len(unit), QUERY_ROWS)]

    def search(some: list[_Best]) -> None:
        asked = [unit[best.queries].astype(np.float32) for best in some]
        # Room that is used again and again: the system takes long to give new.
        scaled = np.empty((BANK_ROWS, bank.shape[1]), dtype=np.float32)
        room = np.empty(QUERY_ROWS * BANK_ROWS, dtype=np.float32)
        for spots in _blocks(len(bank), BANK_ROWS):
            block = scaled[: spots.stop - spots.start]
            np.multiply(bank[spots], rough[spots, None], out=block, casting="same_kind")
            for best, queries in zip(some, asked, strict=True):
                similarity = room[: len(queries) * len(block)].reshape(len(queries), len(block))
                best.take(np.matmul(queries, block.T, out=similarity), spots.start)
        for best in some:
            near[best.queries], least[best.queries] = best.end()

    threads = min(len(parts), torch.get_num_threads())
    if threads < 2:
        search(parts)
    else:  # each with a share of the queries, and one thread of the library beneath
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            list(pool.map(search, [parts[first::threads] for first in range(threads)]))
    indices, cosine = np.empty((len(unit), k), dtype=np.int64), np.empty((len(unit), k))
    for rows in _blocks(len(unit), max(1, REFINED_BYTES // (8 * wide * bank.shape[1]))):
        near[rows].sort(axis=1)  # so that equal ones come in order of the rows
        exact = _cosines(unit[rows], bank, near[rows], inverse)
        order = np.argsort(-np.round(exact, DECIMALS), axis=1, kind="stable")[:, :k]
        indices[rows] = np.take_along_axis(near[rows], order, axis=1)
        cosine[rows] = np.take_along_axis(exact, order, axis=1)
    if wide < len(bank):
        for query in np.flatnonzero(cosine[:, -1] - least <= 2 * _rounding(bank.shape[1])):
            indices[query], cosine[query] = _by_the_whole(unit[query], bank, k, inverse)
    return indices, cosine


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _rounding(width: int) -> float:
    """By how much a product of unit vectors of a width can be off in single precision, at most."""
    return (width + 8) * 2.0**-24


class _Best:
    """The spots of the bank that are nearest so far to some queries, with room for as many again.

    Parameters
    ----------
    queries : slice
        Which n of the queries.
    wide : int
        Spots to keep of each.
    """

    def __init__(self, queries: slice, wide: int) -> None:
        count = queries.stop - queries.start
        self.queries, self._wide = queries, wide
        self._spots = np.zeros((count, 2 * wide), dtype=np.int64)
        self._cosines = np.full((count, 2 * wide), -np.inf, dtype=np.float32)
        self._filled = np.zeros(count, dtype=np.int64)
        self._least = np.full(count, -np.inf, dtype=np.float32)  # what does not exceed it is none of them

    def take(self, similarity: NDArray[np.float32], start: int) -> None:
        """Let in a block of the bank.

        Parameters
        ----------
        similarity : numpy.ndarray
            (n, B) cosines with the block.
        start : int
            The block's first row in the bank.
        """
        query, spot = self._entering(similarity)
        if self._overflows(query):
            self._shrink()
            query, spot = self._entering(similarity)
            if self._overflows(query):  # of the first blocks more than can stay
                most = similarity.shape[1] - self._wide
                spot = np.argpartition(similarity, most, axis=1)[:, most:].ravel()
                query = np.arange(len(similarity)).repeat(self._wide)
        entering = np.bincount(query, minlength=len(similarity))
        place = np.arange(len(query)) - (np.cumsum(entering) - entering - self._filled)[query]
        self._spots[query, place] = start + spot
        self._cosines[query, place] = similarity[query, spot]
        self._filled += entering

    def end(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Spots (n, wide) in no order, and the least of their cosines (n,)."""
        self._shrink()
        return self._spots[:, : self._wide], self._least

    def _entering(self, similarity: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        query, spot = np.divmod(
            np.flatnonzero(similarity > self._least[:, None]), np.int64(similarity.shape[1])
        )
        return query, spot

    def _overflows(self, query: NDArray[np.int64]) -> bool:
        entering = np.bincount(query, minlength=len(self._filled))
        return bool((self._filled + entering).max() > 2 * self._wide)

    def _shrink(self) -> None:
        """Drop all but the nearest."""
        kept = np.argpartition(self._cosines, self._wide, axis=1)[:, self._wide :]
        wide = self._wide
        self._spots[:, :wide] = np.take_along_axis(self._spots, kept, axis=1)
        self._cosines[:, :wide] = np.take_along_axis(self._cosines, kept, axis=1)
        self._cosines[:, wide:] = -np.inf
        self._least = self._cosines[:, :wide].min(axis=1)
        self._filled[:] = wide


def _cosines(
    unit: NDArray[np.float64],
    bank: NDArray[np.floating],
    rows: NDArray[np.int64],
    inverse: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Cosines (n, K) of queries (n, D) with rows (n, K) of the bank."""
    members = bank[rows].astype(np.float64, copy=False)  # (n, K, D)
    return np.asarray((members @ unit[:, :, None])[:, :, 0] * inverse[rows])


def _by_the_whole(
    unit: NDArray[np.float64], bank: NDArray[np.floating], k: int, inverse: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest (k,) of one query (D,), and their cosines, from those with all spots."""
    cosine = np.empty(len(bank))
    for spots in _blocks(len(bank), BANK_ROWS):
        cosine[spots] = (bank[spots].astype(np.float64, copy=False) @ unit) * inverse[spots]
    order = np.argsort(-np.round(cosine, DECIMALS), kind="stable")[:k]
    return order, cosine[order]
