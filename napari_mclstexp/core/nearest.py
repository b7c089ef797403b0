"""The spots of a reference bank that are nearest to a query by cosine, exactly, however large the bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

QUERY_ROWS, BANK_ROWS = 1024, 8_192
"""Queries, and spots of the bank, whose similarities are held at once: 32 MiB, however large the bank."""
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
    near = np.zeros((len(unit), wide), dtype=np.int64)
    rough = np.full((len(unit), wide), -np.inf, dtype=np.float32)
    for spots in _blocks(len(bank), BANK_ROWS):
        block = (bank[spots] * inverse[spots, None].astype(np.float32)).astype(np.float32, copy=False).T
        for rows in _blocks(len(unit), QUERY_ROWS):
            _keep_nearest(near[rows], rough[rows], unit[rows].astype(np.float32) @ block, spots.start)
    indices, cosine = np.empty((len(unit), k), dtype=np.int64), np.empty((len(unit), k))
    for rows in _blocks(len(unit), max(1, REFINED_BYTES // (8 * wide * bank.shape[1]))):
        near[rows].sort(axis=1)  # so that equal ones come in order of the rows
        exact = _cosines(unit[rows], bank, near[rows], inverse)
        order = np.argsort(-np.round(exact, DECIMALS), axis=1, kind="stable")[:, :k]
        indices[rows] = np.take_along_axis(near[rows], order, axis=1)
        cosine[rows] = np.take_along_axis(exact, order, axis=1)
    if wide < len(bank):
        for query in np.flatnonzero(cosine[:, -1] - rough.min(axis=1) <= 2 * _rounding(bank.shape[1])):
            indices[query], cosine[query] = _by_the_whole(unit[query], bank, k, inverse)
    return indices, cosine


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _rounding(width: int) -> float:
    """By how much a product of unit vectors of a width can be off in single precision, at most."""
    return (width + 8) * 2.0**-24


def _keep_nearest(
    near: NDArray[np.int64], rough: NDArray[np.float32], similarity: NDArray[np.float32], start: int
) -> None:
    """Let a block of the bank into the nearest so far (n, K), in place, in no order.

    Parameters
    ----------
    near, rough : numpy.ndarray
        (n, K) rows of the bank and their cosines; -inf where there is none yet.
    similarity : numpy.ndarray
        (n, B) cosines with the block.
    start : int
        The block's first row in the bank.
    """
    (count, width), wide = similarity.shape, rough.shape[1]
    query, spot = np.divmod(np.flatnonzero(similarity > rough.min(axis=1)[:, None]), width)
    entering = np.bincount(query, minlength=count)
    most = int(entering.max(initial=0))
    if most > wide and width > wide:  # of the first blocks no more than can stay
        best = np.argpartition(similarity, width - wide, axis=1)[:, width - wide :]
        added, values = best + start, np.take_along_axis(similarity, best, axis=1)
    elif most:
        place = np.arange(len(query)) - (np.cumsum(entering) - entering)[query]
        added = np.zeros((count, most), dtype=np.int64)
        values = np.full((count, most), -np.inf, dtype=np.float32)
        added[query, place], values[query, place] = start + spot, similarity[query, spot]
    else:
        return
    known, cosines = np.hstack([near, added]), np.hstack([rough, values])
    kept = np.argpartition(cosines, cosines.shape[1] - wide, axis=1)[:, cosines.shape[1] - wide :]
    near[:] = np.take_along_axis(known, kept, axis=1)
    rough[:] = np.take_along_axis(cosines, kept, axis=1)


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
