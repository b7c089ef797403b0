"""Limits of a colour scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (1.0, 99.0)


def colour_limits(values: NDArray[np.floating]) -> tuple[float, float]:
    """1st and 99th percentile of values (N,); the whole range where a sparse gene makes them equal.

    Values that are not finite count for nothing.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, PERCENTILES))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)
