"""Ways to group spots into domains; each gives the same labels for the same seed.

Sources: k-means on principal components as in mclSTExp (arXiv 2407.08216); Leiden communities (Traag et al.,
Scientific Reports 2019) by igraph through scanpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from napari_mclstexp.core.adjacency import adjacency, smoothing
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Result

METHODS = {
    "kmeans": "Expression (k-means)",
    "leiden": "Expression, space (Leiden)",
    "fused": "Expression, image, space",
}
"""Name -> what it goes by."""

COMPONENTS = 9
NEIGHBOURS = 15
"""Spots of like expression that each is joined to in the graph."""
IMAGE_SHARE = 0.1
"""Variance of the image's part over that of the expression's, in the fused method."""
SMOOTHINGS = 3
PIECES = 150
"""Small groups at most that the fused method joins to domains."""
RESOLUTIONS = 24
"""Leiden runs at most, to reach the number asked for."""


def check_method(method: str) -> str:
    """The method, where it is one.

    Raises
    ------
    DomainError
        It is none.
    """
    if method not in METHODS:
        msg = f"There is no way to find domains called {method!r}. Known are {', '.join(METHODS)}."
        raise DomainError(msg)
    return method


def describe(result: Result, method: str, seed: int) -> NDArray[np.float64]:
    """What of the spots a method compares.

    Parameters
    ----------
    result : Result
        Of N spots.
    method : str
        One of `METHODS`.
    seed : int
        Of the decomposition.

    Returns
    -------
    numpy.ndarray
        (N, D) float64: principal components of the expression; for ``fused`` joined with those of the image
        embeddings and averaged with those neighbouring spots that are like them.

    Raises
    ------
    DomainError
        ``fused`` needs the image embeddings, which results of former versions lack.
    """
    values = components(result.expression, seed)
    if check_method(method) != "fused":
        return values
    if result.image is None:
        msg = (
            "This result was made by a former version and holds no image embeddings, which the fused method "
            "needs. Predict again, or choose another method."
        )
        raise DomainError(msg)
    image = result.image.astype(np.float64)
    image *= np.sqrt(IMAGE_SHARE * values.var(axis=0).sum() / max(image.var(axis=0).sum(), 1e-12))
    joined = np.hstack([values, image])
    near = adjacency(result.grid)
    for _ in range(SMOOTHINGS):
        joined = smoothing(_alike(near, joined)) @ joined
    return joined


def _alike(near: sparse.csr_matrix, values: NDArray[np.float64]) -> sparse.csr_matrix:
    """Neighbours (N, N) weighted by how like they are, so that a border between tissues stays sharp."""
    from scipy import sparse

    pairs = near.tocoo()
    apart = ((values[pairs.row] - values[pairs.col]) ** 2).sum(axis=1)
    usual = np.median(apart) if len(apart) else 0.0
    weights = np.exp(-apart / (2 * usual)) if usual > 0 else pairs.data
    return sparse.csr_matrix((weights, (pairs.row, pairs.col)), shape=near.shape)


def components(expression: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Principal components (N, at most 9) of (N, G) values; the values themselves where all spots are one."""
    from sklearn.decomposition import PCA  # takes a second to load, which the window does not spend before

    values = expression.astype(np.float64)
    if len(np.unique(values, axis=0)) < 2:
        return values
    return PCA(min(COMPONENTS, *values.shape), svd_solver="full", random_state=seed).fit_transform(values)


def grouped(
    method: str, grid: SpotGrid, values: NDArray[np.float64], count: int, seed: int
) -> NDArray[np.int32]:
    """Label spots by a method, from what :func:`describe` says of them.

    Returns
    -------
    numpy.ndarray
        (N,) int32 from 1, the most frequent first; fewer labels than `count` where there are few spots.
    """
    if method == "leiden":
        return communities(grid, values, count, seed)
    return joined_pieces(values, count, seed) if method == "fused" else group(values, count, seed)


def group(values: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int32]:
    """Label spots by k-means, (N,) int32 from 1, the most frequent first."""
    from sklearn.cluster import KMeans

    scale = np.abs(values).max(initial=0) or 1.0
    distinct = len(np.unique(np.round(values / scale, 9), axis=0))  # equal spots differ by rounding
    count = min(count, distinct)
    return by_size(KMeans(count, n_init=10, random_state=seed).fit_predict(values))


def joined_pieces(values: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int32]:
    """Label spots by joining small groups of them, those first whose members are most alike on average.

    Unlike k-means it does not cut a large tissue in two where a small one is asked for.

    Returns
    -------
    numpy.ndarray
        (N,) int32 from 1, the most frequent first.
    """
    from sklearn.cluster import AgglomerativeClustering

    pieces = group(values, max(count, min(PIECES, len(values) // 4)), seed) - 1
    means = np.array([values[pieces == i].mean(axis=0) for i in range(pieces.max() + 1)])
    if len(means) <= count:
        return by_size(pieces)
    return by_size(AgglomerativeClustering(count, linkage="average").fit_predict(means)[pieces])


def communities(grid: SpotGrid, values: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int32]:
    """Label spots by Leiden communities of a graph of like expression and of neighbours on the slide.

    The resolution is sought that gives `count`; where none does, the next more are found and those most alike
    are joined.

    Returns
    -------
    numpy.ndarray
        (N,) int32 from 1, the most frequent first; fewer labels than `count` where there are few spots.
    """
    if len(values) <= NEIGHBOURS or count == 1:
        return group(values, count, seed)
    graph = _graph(grid, values, seed)
    low, high, best = 0.01, 4.0, None
    for _ in range(RESOLUTIONS):
        resolution = np.sqrt(low * high)
        found = _leiden(graph, resolution, seed)
        parts = int(found.max()) + 1
        if parts == count:
            return by_size(found)
        if parts > count:
            high, best = resolution, found
        else:
            low = resolution
    return by_size(_joined(values, best if best is not None else _leiden(graph, 8.0, seed), count))


def by_size(raw: NDArray[np.integer]) -> NDArray[np.int32]:
    """Labels from 0 of any order as labels from 1, the most frequent first."""
    _, raw = np.unique(raw, return_inverse=True)
    order = np.argsort(-np.bincount(raw), kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    return rank[raw].astype(np.int32)


def _graph(grid: SpotGrid, values: NDArray[np.float64], seed: int):  # type: ignore[no-untyped-def]
    """Weights (N, N) of like expression and of neighbours on the slide, both with the same sum.

    Numba, which scanpy computes with, sets OpenMP's threads when it starts its own: they are set back.
    """
    import anndata as ad
    import scanpy as sc

    table = ad.AnnData(values)
    with threadpool_limits(1, user_api="openmp"):
        sc.pp.neighbors(table, n_neighbors=NEIGHBOURS, use_rep="X", random_state=seed)
    alike, near = table.obsp["connectivities"], adjacency(grid)
    share = near.sum() / max(alike.sum(), 1e-12)
    return (alike + near / max(share, 1e-12)).tocsr()


def _leiden(graph, resolution: float, seed: int) -> NDArray[np.int64]:  # type: ignore[no-untyped-def]
    import anndata as ad
    import scanpy as sc

    table = ad.AnnData(np.zeros((graph.shape[0], 1), dtype=np.float32))
    sc.tl.leiden(
        table, resolution, adjacency=graph, flavor="igraph", n_iterations=2, directed=False, random_state=seed
    )
    return table.obs["leiden"].astype(int).to_numpy()


def _joined(values: NDArray[np.float64], raw: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    """Join the labels whose means are most alike, until `count` are left."""
    from sklearn.cluster import AgglomerativeClustering

    _, raw = np.unique(raw, return_inverse=True)
    means = np.array([values[raw == i].mean(axis=0) for i in range(raw.max() + 1)])
    if len(means) <= count:
        return raw
    return AgglomerativeClustering(count).fit_predict(means)[raw]
