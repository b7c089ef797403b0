"""What stands beside each predicted spot: how far to believe it.

None of these is a calibrated confidence: they describe the matches, not the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.retrieval import Matches


def similarity(matches: Matches) -> NDArray[np.float32]:
    """Weighted mean cosine of the matches, (N,) float32 in [-1, 1]."""
    return (matches.weights * matches.cosine).sum(axis=1).astype(np.float32)


def effective_k(matches: Matches) -> NDArray[np.float32]:
    """Number of matches that carry the weight, 1 / sum(w^2): (N,) float32 from 1 to k."""
    return (1.0 / np.square(matches.weights).sum(axis=1)).astype(np.float32)
