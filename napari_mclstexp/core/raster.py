"""Domains as a small picture: one pixel is a sixteenth of the spots' distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_mclstexp.core.cells import pitch_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid

PIXELS_A_PITCH = 16
REACH = {"hexagonal": 0.62, "square": 0.75, "given": 0.72}
"""How far from a spot, in pitches, its label goes: just over the corner of its cell."""
MAX_SIDE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A picture in a slide's place.

    Attributes
    ----------
    values : numpy.ndarray
        (h, w), of any dtype.
    origin_px : tuple of float
        y, x of the centre of its first pixel, in full-resolution pixels.
    step_px : tuple of float
        Full-resolution pixels a pixel, in y and x.
    """

    values: NDArray[np.generic]
    origin_px: tuple[float, float]
    step_px: tuple[float, float]


def raster_labels(grid: SpotGrid, labels: NDArray[np.int32]) -> Raster:
    """Give each pixel the label of the nearest spot within reach.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    labels : numpy.ndarray
        (N,) int32 labels; 0 is none.

    Returns
    -------
    Raster
        int32 values, 0 where there is no spot.
    """
    pitch = np.array(pitch_px(grid))
    low = grid.centres_px.min(axis=0) - pitch
    span = grid.centres_px.max(axis=0) + pitch - low
    step = np.maximum(pitch / PIXELS_A_PITCH, span.max() / MAX_SIDE)
    height, width = (int(n) for n in np.ceil(span / step))
    y, x = np.mgrid[:height, :width]
    pixels = low + np.column_stack([y.ravel(), x.ravel()]) * step
    distance, nearest = cKDTree(grid.centres_px / pitch).query(
        pixels / pitch, distance_upper_bound=REACH[grid.layout]
    )
    values = np.zeros(height * width, dtype=np.int32)
    near = np.isfinite(distance)
    if grid.layout == "square":  # its cells are squares, not discs
        offset = np.abs(pixels[near] - grid.centres_px[nearest[near]]) / pitch
        near[near] = (offset <= 0.5 + 0.5 / PIXELS_A_PITCH).all(axis=1)
    values[near] = labels[nearest[near]]
    return Raster(values.reshape(height, width), (low[0], low[1]), (step[0], step[1]))
