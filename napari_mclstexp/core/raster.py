"""Spots as a small picture in the slide's place: which spot each pixel shows, and values over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.reach import GIVEN_REACH, JOINED, pitch_px, triangles_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.tissue import TissueMask

PIXELS_A_PITCH = 16
FINE_PIXELS_A_PITCH, FINE_PIXELS = 48, 1_000_000
"""Where the whole picture then has no more pixels than these: borders of few, large spots look smooth."""
SMOOTH_PIXELS_A_PITCH = 8
REACH = {"hexagonal": 0.62, "square": 0.75, "given": JOINED}
"""How far from a spot, in pitches, its label goes: just over the corner of its cell, here or amid others."""
FAR = 1.8
"""Pitches from spot to spot: between those that lie farther apart nothing is smoothed."""

MAX_PIXELS = 4_000_000
"""Of a picture: with more spots, a spot has fewer pixels."""


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

    def centres_px(self) -> NDArray[np.float64]:
        """(h * w, 2) y, x of the pixels' centres, in full-resolution pixels."""
        y, x = np.mgrid[: self.values.shape[0], : self.values.shape[1]]
        return self.origin_px + np.column_stack([y.ravel(), x.ravel()]) * self.step_px


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A raster that can be given any values of its spots, fast.

    Attributes
    ----------
    raster : Raster
        (h, w) int32 row of the nearest spot; -1 where there is none.
    corners, weights : numpy.ndarray or None
        (P, 3) int32 rows of spots and float32 weights of the P pixels that a spot is near, in their order,
        for values that run smoothly from spot to spot; None to show each spot as its cell.
    """

    raster: Raster
    corners: NDArray[np.int32] | None = None
    weights: NDArray[np.float32] | None = None

    @property
    def smooth(self) -> bool:
        """Whether values run smoothly from spot to spot."""
        return self.corners is not None

    def paint(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Picture (h, w) float32 of values (N,); NaN where there is no spot or its value is NaN."""
        index = self.raster.values.astype(np.int32, copy=False)
        values = values.astype(np.float32, copy=False)
        if self.corners is None or self.weights is None:
            return np.append(values, np.float32(np.nan))[index]
        known = np.isfinite(values[self.corners])
        weights = np.where(known, self.weights, 0)
        total = weights.sum(axis=1)
        mixed = (weights * np.where(known, values[self.corners], 0)).sum(axis=1)
        near = index >= 0
        own = np.isfinite(values[index[near]])  # a spot that is not told of is not filled from beside it
        picture = np.full(index.shape, np.nan, dtype=np.float32)
        picture[near] = np.where(own & (total > 0), mixed / np.maximum(total, 1e-6), np.nan)
        return picture


def raster_spots(grid: SpotGrid, pixels_a_pitch: int = 0) -> Raster:
    """Give each pixel the nearest spot within reach.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    pixels_a_pitch : int
        Pixels from spot to spot, at most; 0 for 16, or up to 48 where spots are few.

    Returns
    -------
    Raster
        int32 rows of spots, -1 where there is none.
    """
    from scipy.spatial import cKDTree

    pitch = np.array(pitch_px(grid))
    low = grid.centres_px.min(axis=0) - pitch
    span = grid.centres_px.max(axis=0) + pitch - low
    if not pixels_a_pitch:
        fine = int(np.sqrt(FINE_PIXELS / (span / pitch).prod()))
        pixels_a_pitch = min(FINE_PIXELS_A_PITCH, max(PIXELS_A_PITCH, fine))
    step = np.maximum(pitch / pixels_a_pitch, np.sqrt(span.prod() / MAX_PIXELS))
    height, width = (int(n) for n in np.ceil(span / step))
    raster = Raster(np.full((height, width), -1, np.int32), (low[0], low[1]), (step[0], step[1]))
    pixels = raster.centres_px()
    distance, nearest = cKDTree(grid.centres_px / pitch).query(
        pixels / pitch, distance_upper_bound=REACH[grid.layout], workers=-1
    )
    near = np.isfinite(distance)
    if grid.layout == "square":  # its cells are squares, not discs
        offset = np.abs(pixels[near] - grid.centres_px[nearest[near]]) / pitch
        near[near] = (offset <= 0.5 + 0.5 * step / pitch).all(axis=1)
    elif grid.layout == "given":
        far = near & (distance > GIVEN_REACH)
        near[far] = False
        found = triangles_of(grid.centres_px / pitch)
        if found is not None:
            triangles, radius = found
            inside = triangles.find_simplex(pixels[far] / pitch)
            near[far] = (inside >= 0) & (radius[inside] <= JOINED)
    raster.values.ravel()[near] = nearest[near]
    return raster


def raster_labels(grid: SpotGrid, labels: NDArray[np.int32], spots: Raster | None = None) -> Raster:
    """Give each pixel the label of the nearest spot within reach.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    labels : numpy.ndarray
        (N,) int32 labels; 0 is none.
    spots : Raster, optional
        What :func:`raster_spots` made of the grid, where it is there already.

    Returns
    -------
    Raster
        Values of the smallest unsigned type that holds them, 0 where there is no spot.
    """
    spots = raster_spots(grid) if spots is None else spots
    values = np.append(labels, 0).astype(np.min_scalar_type(labels.max(initial=0)))[spots.values]
    return Raster(values, spots.origin_px, spots.step_px)


def canvas_of(grid: SpotGrid, *, smooth: bool = False, tissue: TissueMask | None = None) -> Canvas:
    """Raster that takes values of the spots.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    smooth : bool
        Linear interpolation between the spots of each triangle of the Delaunay triangulation.
    tissue : TissueMask, optional
        Pixels off the tissue stay empty.

    Returns
    -------
    Canvas
        With at most four million pixels.
    """
    from scipy.spatial import Delaunay

    raster = raster_spots(grid, SMOOTH_PIXELS_A_PITCH)
    if tissue is not None:
        raster.values[~_on(tissue, raster)] = -1
    shown = raster.values.astype(np.int32, copy=False).ravel()
    near = shown >= 0
    if not smooth or not near.any():
        return Canvas(raster)
    points = raster.centres_px()[near]
    nearest = shown[near]
    corners = np.repeat(nearest[:, None], 3, axis=1).astype(np.int32)
    weights = np.zeros(corners.shape, np.float32)
    weights[:, 0] = 1  # outside of all triangles: the nearest spot alone
    if len(grid) > 3:
        unit = np.array(pitch_px(grid))
        triangles = Delaunay(grid.centres_px / unit, qhull_options="QJ")  # spots in one line, too
        found = triangles.find_simplex(points / unit)
        inside = found >= 0
        inside[inside] = ~_wide(triangles.points[triangles.simplices])[found[inside]]
        affine = triangles.transform[found[inside]]
        offset = points[inside] / unit - affine[:, 2]
        share = np.einsum("pij,pj->pi", affine[:, :2], offset)
        corners[inside] = triangles.simplices[found[inside]]
        weights[inside] = np.column_stack([share, 1 - share.sum(axis=1)]).clip(0, 1)
    return Canvas(raster, corners, weights)


def _wide(triangles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which triangles (T, 3, 2), in pitches, join spots that are far apart, as over a bay of the border."""
    a, b, c = triangles.transpose(1, 0, 2)
    sides = [np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a))]
    return np.asarray(np.max(sides, axis=0) > FAR)


def _on(tissue: TissueMask, raster: Raster) -> NDArray[np.bool_]:
    """Which pixels of a raster lie on tissue, (h, w) bool."""
    height, width = raster.values.shape
    rows = (raster.origin_px[0] + np.arange(height) * raster.step_px[0]) / tissue.downsample_y
    cols = (raster.origin_px[1] + np.arange(width) * raster.step_px[1]) / tissue.downsample_x
    inside = ((rows >= 0) & (rows < tissue.mask.shape[0]))[:, None] & (
        (cols >= 0) & (cols < tissue.mask.shape[1])
    )
    row = np.clip(rows.astype(int), 0, tissue.mask.shape[0] - 1)
    col = np.clip(cols.astype(int), 0, tissue.mask.shape[1] - 1)
    return np.asarray(tissue.mask[np.ix_(row, col)] & inside)
