"""From counts to expression: the one place of normalisation."""

from __future__ import annotations

import numpy as np
from scipy import sparse

TARGET = 1e4
MIN_COUNTS = 200
"""Spots below are noise: a single count would normalise to 9.2."""

NORMALISATION = "log1p of counts per 10,000 of the spot's whole library"


def normalise(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale each spot to 10,000 counts of its whole library, then log1p.

    Parameters
    ----------
    counts : scipy.sparse.csr_matrix
        (N, G) raw counts over all genes.

    Returns
    -------
    scipy.sparse.csr_matrix
        (N, G) float32; a spot without counts stays zero.
    """
    library = np.asarray(counts.sum(axis=1)).ravel()
    factor = np.divide(TARGET, library, out=np.zeros_like(library, dtype=np.float64), where=library > 0)
    return sparse.csr_matrix(sparse.diags(factor) @ counts).log1p().astype(np.float32)
