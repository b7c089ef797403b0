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

DECIMALS = 12
"""Of a cosine that count in the order: the last digits go by how the sum was blocked."""

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
    unit, length = _unit(queries)
    indices = np.zeros((len(queries), k), dtype=np.int64)
    cosine = np.full((len(queries), k), -np.inf)
    bank_length = np.empty(len(bank))
    for start in range(0, len(bank), BANK_ROWS):
        spots = slice(start, start + BANK_ROWS)
        block, bank_length[spots] = _unit(bank[spots])
        for rows in _query_rows(len(queries)):
            _keep_nearest(indices[rows], cosine[rows], unit[rows] @ block.T, start)
    weights = np.empty_like(cosine)
    for rows in _query_rows(len(queries)):
        near = cosine[rows]
        if weighting == "softmax":
            raw = np.exp((near - near[:, :1]) / temperature)
        else:
            a, b = length[rows, None], bank_length[indices[rows]]
            raw = 1.0 / (np.maximum(a * a + b * b - 2.0 * a * b * near, 0.0) + EPSILON)
        weights[rows] = raw / raw.sum(axis=1, keepdims=True)
    return Matches(indices, cosine, weights)


def _query_rows(count: int) -> list[slice]:
    return [slice(start, start + QUERY_ROWS) for start in range(0, count, QUERY_ROWS)]


def _unit(rows: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (N, D) in float64 at unit length, and their lengths (N,)."""
    values = rows.astype(np.float64)
    length = np.linalg.norm(values, axis=1)
    values /= np.maximum(length, 1e-12)[:, None]
    return values, length


def _keep_nearest(
    indices: NDArray[np.int64], cosine: NDArray[np.float64], similarity: NDArray[np.float64], start: int
) -> None:
    """Let a block of the bank into the nearest so far, in place.

    What is as near as the last of them comes later in the bank and stays out: equal ones are taken in order
    of the rows, however many they are.

    Parameters
    ----------
    indices, cosine : numpy.ndarray
        (n, k) rows of the bank and their cosines, nearest first; -inf where there is none yet.
    similarity : numpy.ndarray
        (n, B) cosines with the block.
    start : int
        The block's first row in the bank.
    """
    (count, width), k = similarity.shape, cosine.shape[1]
    margin = 0.5 * 10.0**-DECIMALS
    enters = similarity > np.round(cosine[:, -1:], DECIMALS) + margin
    most = enters.sum(axis=1).max(initial=0)
    if most > 2 * k:  # the first blocks: of a block, no more than its own k nearest and their equals
        last = np.partition(similarity, width - k, axis=1)[:, width - k, None]
        enters &= similarity > last - 2 * margin
        most = enters.sum(axis=1).max()
    if most == 0:
        return
    query, spot = np.nonzero(enters)
    place = k + np.arange(len(query)) - np.searchsorted(query, np.arange(count))[query]
    known = np.pad(indices, ((0, 0), (0, most)))
    values = np.pad(cosine, ((0, 0), (0, most)), constant_values=-np.inf)
    known[query, place], values[query, place] = start + spot, similarity[query, spot]
    nearest = np.argsort(-np.round(values, DECIMALS), axis=1, kind="stable")[:, :k]
    indices[:] = np.take_along_axis(known, nearest, axis=1)
    cosine[:] = np.take_along_axis(values, nearest, axis=1)


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
