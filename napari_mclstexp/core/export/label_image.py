"""Domains as one picture of labels over the whole slide, which the label formats share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.raster import Raster, raster_labels
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

SMALLEST = 512
"""Pixels of the longer side, at which a pyramid ends."""


def label_image(result: Result) -> Raster:
    """Label of each pixel, from the slide's first corner on.

    Returns
    -------
    Raster
        (h, w) uint16, or uint32 for more than 65,535 labels; 0 where there is no domain; ``origin_px`` is the
        centre of the first pixel.

    Raises
    ------
    ExportError
        The result has no domains.
    """
    if result.domains is None:
        msg = "There are no domains to write. Find them first."
        raise ExportError(msg)
    near = raster_labels(result.grid, result.domains.labels)
    step = np.array(near.step_px)
    size = np.array([result.provenance.height, result.provenance.width])
    shape = np.ceil(size / step).astype(int)
    y, x = (
        np.rint(((np.arange(count) + 0.5) * each - first) / each).astype(int)
        for count, each, first in zip(shape, step, near.origin_px, strict=True)
    )
    inside = [(at >= 0) & (at < count) for at, count in zip((y, x), near.values.shape, strict=True)]
    values = np.zeros(shape, dtype=np.uint16 if near.values.max(initial=0) < 2**16 else np.uint32)
    values[np.ix_(*inside)] = near.values[np.ix_(y[inside[0]], x[inside[1]])]
    return Raster(values, (step[0] / 2, step[1] / 2), near.step_px)


def pyramid(values: NDArray[np.unsignedinteger]) -> list[NDArray[np.unsignedinteger]]:
    """Levels of labels, each half of the one before by every second pixel, for labels have no mean."""
    levels = [values]
    while max(levels[-1].shape) > SMALLEST:
        levels.append(half(levels[-1]))
    return levels


def half(values: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """Every second pixel of labels in both directions."""
    return np.ascontiguousarray(values[::2, ::2])
