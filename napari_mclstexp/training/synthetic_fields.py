"""Fields that synthetic tissue is built of: noise, distances, masks and points on the layout grid.

Fields (float32) and masks (bool) are (rows, columns) of layout pixels; points (float64) are (n, 2), x
before y. Distances are um. What is drawn depends on the generator that is given, and on nothing else.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = [
    "STEP",
    "Floats",
    "Mask",
    "Points",
    "Shape",
    "blobs",
    "noise",
    "pick",
    "ramp",
    "scatter",
    "signed_distance",
    "tidy",
    "top",
    "unit",
]

Floats: TypeAlias = npt.NDArray[np.float32]
Points: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Shape: TypeAlias = tuple[int, int]

STEP = 4
"""Full-resolution pixels per side of a layout pixel."""
_FAR = 120.0  # um from a disc where its signed distance stops falling


def noise(rng: np.random.Generator, shape: Shape, scale: float, octaves: int = 1) -> Floats:
    """Draw smooth noise of zero mean and unit deviation.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns.
    scale
        Size of the features in pixels.
    octaves
        Number of layers, each of half the scale and 0.55 of the amplitude of the last.
    """
    out = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(scale / 2**octave, 1.5)
        basis = [_spline(n, cell) for n in shape]
        knots = rng.standard_normal((basis[0].shape[1], basis[1].shape[1]), dtype=np.float32)
        out += (basis[0] @ knots @ basis[1].T) * np.float32(0.55**octave)
    out -= out.mean()
    out /= max(float(out.std()), 1e-6)
    return out


def _spline(n: int, cell: float) -> Floats:
    """Weights of the cubic B-spline knots, ``cell`` pixels apart, on ``n`` pixels."""
    knots = np.arange(int(n / cell) + 4)
    t = np.abs((np.arange(n) / cell + 1.0)[:, None] - knots[None])
    inner, outer = 2 / 3 - t**2 + t**3 / 2, (2 - t) ** 3 / 6
    weights: Floats = np.where(t < 1, inner, np.where(t < 2, outer, 0)).astype(np.float32)
    return weights


def ramp(distance: Floats, width: float) -> Floats:
    """Soft 0-to-1 step at zero, ``width`` wide."""
    step: Floats = np.clip(distance / width + 0.5, 0, 1).astype(np.float32)
    return step


def unit(values: Floats) -> Floats:
    """Squash noise of unit deviation into 0 to 1."""
    squashed: Floats = (0.5 * (1 + np.tanh(0.9 * values))).astype(np.float32)
    return squashed


def signed_distance(mask: Mask, um: float) -> Floats:
    """Smoothed signed distance in um from the edge of a mask, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -1e4, np.float32)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    depth: Floats = ndimage.gaussian_filter((inside - outside).astype(np.float32) * um, 1.2)
    return depth


def top(values: Floats, where: Mask, share: float) -> Mask:
    """Pixels of ``where`` with the highest values, a ``share`` of them."""
    if share <= 0 or not where.any():
        return np.zeros_like(where)
    return where & (values > np.quantile(values[where], 1 - share))


def tidy(mask: Mask, smallest: float) -> Mask:
    """Drop the islands and fill the holes of fewer than ``smallest`` pixels."""
    for _ in range(2):
        labels, count = ndimage.label(mask)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        mask = ~(mask & (sizes[labels] >= smallest))
    return mask


def blobs(rng: np.random.Generator, grid: Shape, discs: Points, um: float) -> Floats:
    """Signed distance in um of lobed discs, each a layout x, y and a radius in um."""
    height, width = grid
    depth = np.full(grid, -_FAR, np.float32)
    for x, y, radius in discs:
        reach = int((1.5 * radius + _FAR) / um) + 3
        rows = slice(max(int(y) - reach, 0), min(int(y) + reach, height))
        cols = slice(max(int(x) - reach, 0), min(int(x) + reach, width))
        dy, dx = np.mgrid[rows, cols].astype(np.float32)
        dy, dx = (dy - y) * um, (dx - x) * um
        phi, squeeze = np.arctan2(dy, dx), rng.uniform(0.05, 0.32)
        lobes = squeeze * np.cos(2 * (phi - rng.uniform(0, np.pi)))
        lobes += 0.06 * np.cos(3 * phi + rng.uniform(0, 6)) + 0.04 * np.cos(5 * phi)
        level = radius * (1 + lobes) - np.hypot(dx, dy)
        depth[rows, cols] = np.maximum(depth[rows, cols], level)
    return depth


def pick(rng: np.random.Generator, where: Mask, count: int) -> Points:
    """Random x, y, in layout pixels, of up to ``count`` pixels of a mask."""
    rows, cols = np.nonzero(where)
    chosen = rng.integers(0, len(rows), count) if len(rows) else np.zeros(0, int)
    return np.column_stack([cols[chosen], rows[chosen]]).astype(float)


def scatter(rng: np.random.Generator, density: Floats, spacing: float | Floats, um: float) -> Points:
    """Scatter points on a density, none closer than a spacing.

    Parameters
    ----------
    rng
        Source of randomness.
    density
        Candidates per square um, on the layout grid.
    spacing
        Smallest distance in um, for the whole grid or per layout pixel.
    um
        Micrometres per layout pixel.

    Returns
    -------
    Points
        Full-resolution x, y.
    """
    total = np.cumsum(density, dtype=np.float64)
    count = int(total[-1] * um**2)
    flat = np.searchsorted(total, rng.random(count) * total[-1])
    rows, cols = np.divmod(np.minimum(flat, density.size - 1), density.shape[1])
    points = np.column_stack([cols, rows]) + rng.random((count, 2))
    if count < 2:
        return points * STEP
    apart = np.broadcast_to(np.asarray(spacing, np.float32), density.shape)[rows, cols] / um
    pairs = cKDTree(points).query_pairs(float(apart.max()), output_type="ndarray")
    gap = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    pairs = np.sort(pairs[gap < apart[pairs].mean(1)], axis=1)
    kept, open_ = np.zeros(count, bool), np.ones(count, bool)
    while len(pairs):  # the lower index of a close pair wins, in rounds
        wins = open_.copy()
        wins[pairs[:, 1]] = False
        kept |= wins
        open_ &= ~wins
        open_[pairs[wins[pairs[:, 0]], 1]] = False
        pairs = pairs[open_[pairs].all(axis=1)]
    return points[kept | open_] * STEP
