"""Which spots of a grid are neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.reach import pitch_px

if TYPE_CHECKING:
    from scipy import sparse

    from napari_mclstexp.core.grid import SpotGrid

REACH = {"hexagonal": 1.25, "square": 1.25, "given": 1.6}
"""Distance in pitches within which spots are neighbours: 6 on a hexagonal grid, 4 on a square one."""


def adjacency(grid: SpotGrid) -> sparse.csr_matrix:
    """Neighbours of each spot.

    Parameters
    ----------
    grid : SpotGrid
        N spots.

    Returns
    -------
    scipy.sparse.csr_matrix
        (N, N) float32, symmetric: 1 where two different spots lie within `REACH` pitches, else 0.
    """
    from scipy import sparse
    from scipy.spatial import cKDTree

    pairs = cKDTree(grid.centres_px / np.array(pitch_px(grid))).query_pairs(
        REACH[grid.layout], output_type="ndarray"
    )
    both = np.concatenate([pairs, pairs[:, ::-1]])
    ones = np.ones(len(both), dtype=np.float32)
    return sparse.csr_matrix((ones, (both[:, 0], both[:, 1])), shape=(len(grid), len(grid)))


def smoothing(near: sparse.csr_matrix) -> sparse.csr_matrix:
    """Weights (N, N) of the mean over each spot and its neighbours; each row sums to 1."""
    from scipy import sparse

    whole = near + sparse.identity(near.shape[0], dtype=np.float32, format="csr")
    return sparse.diags(1 / np.asarray(whole.sum(axis=1)).ravel()) @ whole
