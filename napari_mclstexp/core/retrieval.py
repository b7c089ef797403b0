"""Retrieval: a query embedding against the reference bank -> weighted reference expression.

Source: the inference of mclSTExp (arXiv 2407.08216): cosine top-k, weights from the L2 distance of the
raw embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from napari_mclstexp.core.nearest import lengths, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Weighting = Literal["inverse-square", "softmax"]
WEIGHTINGS: tuple[Weighting, ...] = ("inverse-square", "softmax")

EPSILON = 1e-8
"""Added to squared distances, so that an exact match has a finite weight."""

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
    bank_lengths: NDArray[np.float64] | None = None,
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
    bank_lengths : numpy.ndarray, optional
        (M,) float64 of :func:`.nearest.lengths`, where they are known.

    Returns
    -------
    Matches
        Indices, cosines and weights, each (N, k).
    """
    k = min(k, len(bank))
    if bank_lengths is None:
        bank_lengths = lengths(bank)
    indices, cosine = nearest(queries, bank, k, bank_lengths)
    if weighting == "softmax":
        weights = np.exp((cosine - cosine[:, :1]) / temperature)
    else:
        a, b = lengths(queries)[:, None], bank_lengths[indices]
        weights = 1.0 / (np.maximum(a * a + b * b - 2.0 * a * b * cosine, 0.0) + EPSILON)
    return Matches(indices, cosine, weights / weights.sum(axis=1, keepdims=True))


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
