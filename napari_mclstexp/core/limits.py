"""Limits of a colour scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (1.0, 99.0)


def colour_limits(
    values: NDArray[np.floating], percentiles: tuple[float, float] = PERCENTILES
) -> tuple[float, float]:
    """Two percentiles of values, of any shape; the whole range where a sparse gene makes them equal.

    Values that are not finite count for nothing.
    """
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)


def centred_limits(
    values: NDArray[np.floating], percentiles: tuple[float, float] = PERCENTILES
) -> tuple[float, float]:
    """Limits as far below 0 as above it, so that the middle of a diverging scale is 0."""
    reach = max(map(abs, colour_limits(values, percentiles)))
    return -reach, reach
