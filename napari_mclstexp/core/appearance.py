"""What a patch looks like, without a network: its colours, its stains, its texture.

These few numbers are what a flag for unlike tissue looks at beside the network's features, and what every
baseline that knows no deep learning is made of.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density (R, G, B) of haematoxylin, eosin and DAB, after Ruifrok and Johnston (2001)."""

SCALES = (0.0, 1.0, 2.0, 4.0)
"""Sigma in px of the smoothing before each measure of texture."""

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LEVELS = 512
"""Into how many levels stains are cut to tell quantiles of many windows of one picture."""

UNMIX = np.linalg.inv(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)).astype(np.float32)
"""From optical density to how much of each stain there is."""

DENSITY = -np.log(np.maximum(np.arange(256) / 255, 1 / 255)).astype(np.float32)
"""Optical density of each value of a pixel."""

REACH = 4.0
"""Sigmas after which smoothing ends."""

BAND_PX, TOGETHER_PX = 32, 2**16
"""Pixels of a line that are smoothed at once; of patches that are described at once: they fit a cache."""

COLOURS = 12 + 10
"""Numbers that describe a patch's colours; those of its texture follow."""

APPEARANCE = COLOURS + 2 * len(SCALES)
"""Numbers that describe a patch."""


def appearance(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe patches by colour and texture.

    Parameters
    ----------
    patches : numpy.ndarray
        (N, P, P, 3) uint8 RGB.

    Returns
    -------
    numpy.ndarray
        (N, APPEARANCE) float32: mean and spread of red, green and blue and of the three stains; the 10, 25,
        50, 75 and 90 % quantiles of haematoxylin and of eosin; mean and spread of the log gradient at each
        of `SCALES`.
    """
    found = np.empty((len(patches), APPEARANCE), dtype=np.float32)
    together = max(1, TOGETHER_PX // (patches.shape[1] * patches.shape[2]))
    for start in range(0, len(patches), together):
        rows = slice(start, start + together)
        planes = np.ascontiguousarray(np.moveaxis(patches[rows], 3, 1))  # (B, 3, P, P)
        pixels = planes.astype(np.float32) / np.float32(255)
        stains = UNMIX.T @ DENSITY[planes.reshape(*planes.shape[:2], -1)]  # (B, 3, P * P)
        grey = pixels.mean(axis=1)  # (B, P, P)
        spread = [part for values in (pixels, stains) for part in _moments_of_each(values)]
        told = [*spread, _quantiles_of_each(stains[:, :2])]
        for sigma in SCALES:
            steep = _steepness(_smoothed(grey, sigma) if sigma else grey)
            told += [part[:, None] for part in _moments_of_each(steep[:, None])]
        found[rows] = np.hstack([part.reshape(len(grey), -1) for part in told])
    return found


def _moments_of_each(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread (B, C) of planes (B, C, ...)."""
    values = planes.reshape(*planes.shape[:2], -1)
    mean = values.mean(axis=2)
    apart = values - mean[..., None]
    return mean, np.sqrt(np.vecdot(apart, apart) / values.shape[2])


def _quantiles_of_each(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The quantiles (B, 5, C) of values (B, C, n), between two of them in proportion."""
    ordered = np.sort(values, axis=2)
    rank = np.array(QUANTILES) * (values.shape[2] - 1)
    below = rank.astype(np.intp)
    above = np.minimum(below + 1, values.shape[2] - 1)
    share = (rank - below).astype(np.float32)
    return (ordered[..., below] * (1 - share) + ordered[..., above] * share).swapaxes(1, 2)


def _smoothed(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Pictures (B, H, W) smoothed down and along, a band of pixels at a time: the rest weighs nothing."""
    down, along = np.empty_like(grey), np.empty_like(grey)
    for rows, near, weights in _smoothing(grey.shape[1], sigma):
        np.matmul(weights, grey[:, near], out=down[:, rows])
    for columns, near, weights in _smoothing(grey.shape[2], sigma):
        along[:, :, columns] = down[:, :, near] @ weights.T
    return along


@lru_cache(maxsize=16)
def _smoothing(side: int, sigma: float) -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """Bands of a line of pixels that is mirrored at its ends: which, from which, and by what weights."""
    whole = ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0, truncate=REACH).astype(np.float32)
    reach, bands = round(REACH * sigma), []
    for start in range(0, side, BAND_PX):
        band = slice(start, min(start + BAND_PX, side))
        near = slice(max(0, start - reach), min(side, band.stop + reach))
        bands.append((band, near, np.ascontiguousarray(whole[band, near])))
    return bands


def _steepness(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log gradient (..., H - 1, W - 1) of pictures (..., H, W)."""
    corner = grey[..., :-1, :-1]
    steep, along = grey[..., 1:, :-1] - corner, grey[..., :-1, 1:] - corner
    steep *= steep
    along *= along
    steep += along
    np.sqrt(steep, out=steep)
    steep += np.float32(1e-3)
    return np.log(steep, out=steep)


def appearance_of_windows(
    picture: NDArray[np.uint8], corners: NDArray[np.int64], side: int
) -> NDArray[np.float32]:
    """Describe windows of one picture as :func:`appearance` describes patches, with sums that they share.

    It differs a little: quantiles are told from `LEVELS` levels, and the smoothing before a measure of
    texture goes on over a window's border.

    Parameters
    ----------
    picture : numpy.ndarray
        (H, W, 3) uint8 RGB.
    corners : numpy.ndarray
        (n, 2) int64 y, x of the windows' first pixels.
    side : int
        Pixels of a window's side.

    Returns
    -------
    numpy.ndarray
        (n, APPEARANCE) float32.
    """
    planes = np.ascontiguousarray(np.moveaxis(picture, 2, 0))
    colours = planes.astype(np.float32) / np.float32(255)  # (3, H, W)
    stains = np.tensordot(UNMIX.T, DENSITY[planes], 1)
    spread = [
        np.column_stack(p)
        for c in (colours, stains)
        for p in zip(*(_moments(v, corners, side) for v in c), strict=True)
    ]
    levels = np.dstack([_quantiles(stain, corners, side) for stain in stains[:2]])  # (n, 5, 2)
    grey = colours.mean(axis=0)
    texture: list[NDArray[np.float32]] = []
    for sigma in SCALES:
        smooth = _smoothed(grey[None], sigma)[0] if sigma else grey
        texture += _moments(_steepness(smooth), corners, side - 1)
    return np.column_stack([*spread, levels.reshape(len(corners), -1), *texture]).astype(np.float32)


def _moments(
    values: NDArray[np.float32], corners: NDArray[np.int64], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread (n,) of values (H, W) in each window."""
    middle = values.mean()
    table = values - middle
    mean, square = (_window_sums(part, corners, side) / side**2 for part in (table, table * table))
    return mean + middle, np.sqrt(np.maximum(square - mean**2, 0))


def _quantiles(values: NDArray[np.float32], corners: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """The quantiles (n, 5) of values (H, W) in each window, from histograms of the blocks it is made of."""
    block = int(np.gcd.reduce(np.append((corners - corners[0]).ravel(), side)))
    y0, x0 = (int(start) for start in corners[0] % block)
    inside = values[y0:, x0:]
    height, width = (length // block for length in inside.shape)
    inside = inside[: height * block, : width * block]
    low, high = float(inside.min()), float(inside.max())
    width_of = max(high - low, 1e-6) / LEVELS
    level = np.minimum(((inside - low) / width_of).astype(np.int64), LEVELS - 1)
    cell = np.arange(height).repeat(block)[:, None] * width + np.arange(width).repeat(block)
    counts = np.bincount((cell * LEVELS + level).ravel(), minlength=height * width * LEVELS).astype(
        np.float32
    )
    sums = _window_sums(counts.reshape(height, width, LEVELS), (corners - (y0, x0)) // block, side // block)
    below = sums.cumsum(axis=1)  # (n, LEVELS)
    found = []
    for share in QUANTILES:
        rank = share * (side**2 - 1) + 0.5  # the middle of the value of that rank
        at = (below < rank).sum(axis=1)[:, None]
        own = np.take_along_axis(sums, at, axis=1)
        before = np.take_along_axis(below, at, axis=1) - own
        found.append(low + width_of * (at + (rank - before) / np.maximum(own, 1)))
    return np.hstack(found)


def _window_sums(table: NDArray[np.float32], corners: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """Sums (n, ...) of a table (H, W, ...) over windows: products with which rows and columns each covers."""
    (tops, row), (lefts, column) = (np.unique(line, return_inverse=True) for line in corners.T)
    down = _covered(tops, side, table.shape[0]) @ table.reshape(len(table), -1)
    both = _covered(lefts, side, table.shape[1]) @ down.reshape(len(tops), table.shape[1], -1)
    found: NDArray[np.float32] = both[row, column].reshape(len(corners), *table.shape[2:])
    return found


def _covered(starts: NDArray[np.int64], side: int, length: int) -> NDArray[np.float32]:
    """Which pixels (m, length) of a line each of m windows covers: 1 or 0."""
    from_start = np.arange(length) - starts[:, None]
    return ((from_start >= 0) & (from_start < side)).astype(np.float32)
