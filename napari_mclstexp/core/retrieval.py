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
    from numpy.typing import NDArray

Weighting = Literal["inverse-square", "softmax"]
WEIGHTINGS: tuple[Weighting, ...] = ("inverse-square", "softmax")

EPSILON = 1e-8
"""Added to squared distances, so that an exact match has a finite weight."""

BLOCK_BYTES = 128 * 2**20
"""Bound on the similarity matrix that is held at once."""


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
    bank64 = bank.astype(np.float64)
    bank_norm = np.linalg.norm(bank64, axis=1)
    unit_bank = (bank64 / np.maximum(bank_norm, 1e-12)[:, None]).T  # (D, M)
    query_norm = np.linalg.norm(queries64, axis=1)
    indices = np.empty((len(queries), k), dtype=np.int64)
    cosine = np.empty((len(queries), k), dtype=np.float64)
    step = max(1, BLOCK_BYTES // (8 * len(bank)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        similarity = queries64[rows] / np.maximum(query_norm[rows], 1e-12)[:, None] @ unit_bank
        top = np.sort(np.argpartition(-similarity, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(similarity, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(top, order, axis=1)
        cosine[rows] = np.take_along_axis(values, order, axis=1)
    if weighting == "softmax":
        raw = np.exp((cosine - cosine[:, :1]) / temperature)
    else:
        a, b = query_norm[:, None], bank_norm[indices]
        squared = np.maximum(a * a + b * b - 2.0 * a * b * cosine, 0.0)
        raw = 1.0 / (squared + EPSILON)
    return Matches(indices, cosine, raw / raw.sum(axis=1, keepdims=True))


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
    count, k = matches.indices.shape
    pointers = np.arange(0, count * k + 1, k)
    weights = sparse.csr_matrix(
        (matches.weights.ravel(), matches.indices.ravel(), pointers), shape=(count, len(expression))
    )
    values = expression.astype(np.float64)
    mean = weights @ values  # (N, G)
    variance = np.maximum(weights @ (values * values) - mean * mean, 0.0)
    return mean.astype(np.float32), np.sqrt(variance.mean(axis=1)).astype(np.float32)
