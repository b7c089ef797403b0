"""Retrieval: a query embedding against the reference bank -> weighted reference expression.

Source: the inference of mclSTExp (arXiv 2407.08216): cosine top-k, weights from the L2 distance of the
raw embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Weighting = Literal["inverse-square", "softmax"]
WEIGHTINGS: tuple[Weighting, ...] = ("inverse-square", "softmax")

EPSILON = 1e-8
"""Added to squared distances, so that an exact match has a finite weight."""

QUERY_ROWS, BANK_ROWS = 512, 16_384
"""Queries, and spots of the bank, whose similarities are held at once: 64 MiB, however large the bank."""

TIES = 32
"""So many more are kept than are asked for, that equal ones at the end are taken in order of the rows."""

BLOCK_BYTES = 64 * 2**20
"""Bound on the expression that is gathered at once."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The k nearest reference spots of each query.

    Attributes
    ----------
    indices : numpy.ndarray
        (N, k) int64 rows of the bank, most similar first; equal similarities in order of the rows.
    cosine : numpy.ndarray
        (N, k) float64 cosine similarities.
    weights : numpy.ndarray
        (N, k) float64, each row sums to 1.
    """

    indices: NDArray[np.int64]
    cosine: NDArray[np.float64]
    weights: NDArray[np.float64]


def match(
    queries: NDArray[np.floating],
    bank: NDArray[np.floating],
    k: int,
    *,
    weighting: Weighting = "inverse-square",
    temperature: float = 0.1,
) -> Matches:
    """Find the k most similar bank rows of each query, exactly.

    Parameters
    ----------
    queries : numpy.ndarray
        (N, D) raw embeddings of patches.
    bank : numpy.ndarray
        (M, D) raw embeddings of reference spots.
    k : int
        Matches a query; at most M are returned.
    weighting : {"inverse-square", "softmax"}
        1 / d^2 over L2 distances of the raw embeddings (the paper's), or softmax of cosine over
        `temperature`.
    temperature : float
        Of the softmax.

    Returns
    -------
    Matches
        Indices, cosines and weights, each (N, k).
    """
    k = min(k, len(bank))
    queries64 = queries.astype(np.float64)
    query_norm = np.linalg.norm(queries64, axis=1)
    unit = queries64 / np.maximum(query_norm, 1e-12)[:, None]
    indices = np.empty((len(queries), k), dtype=np.int64)
    cosine = np.empty((len(queries), k), dtype=np.float64)
    for start in range(0, len(queries), QUERY_ROWS):
        rows = slice(start, start + QUERY_ROWS)
        indices[rows], cosine[rows] = _nearest(unit[rows], bank, k)
    if weighting == "softmax":
        raw = np.exp((cosine - cosine[:, :1]) / temperature)
    else:
        a, b = query_norm[:, None], _norms(bank)[indices]
        squared = np.maximum(a * a + b * b - 2.0 * a * b * cosine, 0.0)
        raw = 1.0 / (squared + EPSILON)
    return Matches(indices, cosine, raw / raw.sum(axis=1, keepdims=True))


def _nearest(
    unit: NDArray[np.float64], bank: NDArray[np.floating], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (N, k) of the bank, and cosines, block by block with the best so far."""
    best = np.empty((len(unit), 0), dtype=np.int64)
    values = np.empty((len(unit), 0), dtype=np.float64)
    for start in range(0, len(bank), BANK_ROWS):
        block = bank[start : start + BANK_ROWS].astype(np.float64)
        block /= np.maximum(np.linalg.norm(block, axis=1), 1e-12)[:, None]
        similarity = np.hstack((values, unit @ block.T))
        keep = min(k + TIES, similarity.shape[1])
        # sorted, those of former blocks come first, so that equal ones stay in the order of the rows
        top = np.sort(np.argpartition(-similarity, keep - 1, axis=1)[:, :keep], axis=1)
        values = np.take_along_axis(similarity, top, axis=1)
        former = best.shape[1]
        known = np.hstack((best, np.full((len(unit), 1), -1)))  # a place to look at for new ones
        old = np.take_along_axis(known, np.minimum(top, former), axis=1)
        best = np.where(top < former, old, top - former + start)
    order = np.argsort(-np.round(values, 12), axis=1, kind="stable")[:, :k]  # the last digits go by the block
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)


def _norms(bank: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lengths (M,) of the bank's embeddings."""
    norms = np.empty(len(bank), dtype=np.float64)
    for start in range(0, len(bank), BANK_ROWS):
        block = slice(start, start + BANK_ROWS)
        norms[block] = np.linalg.norm(bank[block].astype(np.float64), axis=1)
    return norms


def gather(
    matches: Matches, expression: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted mean of the matched spots' expression, and the spread among them.

    Parameters
    ----------
    matches : Matches
        For N queries over a bank of M spots.
    expression : numpy.ndarray
        (M, G) expression of the bank.

    Returns
    -------
    mean : numpy.ndarray
        (N, G) float32 predicted expression.
    spread : numpy.ndarray
        (N,) float32 root of the gene-mean weighted variance among the matches.
    """
    count, genes = len(matches.indices), expression.shape[1]
    mean = np.empty((count, genes), dtype=np.float32)
    spread = np.empty(count, dtype=np.float32)
    for rows, weights, values in _blocks(matches, expression):
        level = weights @ values  # (n, G)
        variance = np.maximum(weights @ (values * values) - level * level, 0.0)
        mean[rows], spread[rows] = level, np.sqrt(variance.mean(axis=1))
    return mean, spread


def gene_spread(matches: Matches, expression: NDArray[np.floating]) -> NDArray[np.float32]:
    """Weighted spread of each gene among the matches.

    Parameters
    ----------
    matches : Matches
        For N queries over a bank of M spots.
    expression : numpy.ndarray
        (M, G) expression of the bank.

    Returns
    -------
    numpy.ndarray
        (N, G) float32 root of the weighted variance.
    """
    found = np.empty((len(matches.indices), expression.shape[1]), dtype=np.float32)
    for rows, weights, values in _blocks(matches, expression):
        level = weights @ values
        found[rows] = np.sqrt(np.maximum(weights @ (values * values) - level * level, 0.0))
    return found


def _blocks(
    matches: Matches, expression: NDArray[np.floating]
) -> Iterator[tuple[slice, sparse.csr_matrix, NDArray[np.float64]]]:
    """Some queries at a time: weights (n, m) over the m spots that they match, and their expression."""
    count, k = matches.indices.shape
    step = max(1, BLOCK_BYTES // (8 * k * max(1, expression.shape[1])))
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        spots, places = np.unique(matches.indices[rows], return_inverse=True)
        pointers = np.arange(0, places.size + 1, k)
        weights = sparse.csr_matrix(
            (matches.weights[rows].ravel(), places.ravel(), pointers), shape=(rows.stop - start, len(spots))
        )
        yield rows, weights, expression[spots].astype(np.float64)
