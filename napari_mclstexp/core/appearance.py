"""What a patch looks like, without a network: its colours, its stains, its texture.

These few numbers are what a flag for unlike tissue looks at beside the network's features, and what every
baseline that knows no deep learning is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density (R, G, B) of haematoxylin, eosin and DAB, after Ruifrok and Johnston (2001)."""

SCALES = (0.0, 1.0, 2.0, 4.0)
"""Sigma in px of the smoothing before each measure of texture."""

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
    count = len(patches)
    found = np.empty((count, APPEARANCE), dtype=np.float32)
    unmix = np.linalg.inv(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)).astype(np.float32)
    for start in range(0, count, 64):
        rows = slice(start, start + 64)
        pixels = np.moveaxis(patches[rows], 3, 1).astype(np.float32, order="C") / 255.0  # (B, 3, P, P)
        colours = pixels.reshape(len(pixels), 3, -1)  # (B, 3, P * P)
        stains = unmix.T @ -np.log(np.maximum(colours, 1 / 255))
        spread = [a for c in (colours, stains) for a in (c.mean(axis=2), c.std(axis=2))]
        levels = np.quantile(stains[:, :2], (0.1, 0.25, 0.5, 0.75, 0.9), axis=2)  # (5, B, 2)
        texture = []
        grey = pixels.mean(axis=1)  # (B, P, P)
        for sigma in SCALES:
            smooth = grey if sigma == 0 else ndimage.gaussian_filter(grey, (0, sigma, sigma))
            steep = np.log(
                np.hypot(np.diff(smooth, axis=1)[:, :, :-1], np.diff(smooth, axis=2)[:, :-1]) + 1e-3
            )
            texture += [steep.mean(axis=(1, 2)), steep.std(axis=(1, 2))]
        found[rows] = np.column_stack([*spread, levels.transpose(1, 0, 2).reshape(len(grey), -1), *texture])
    return found
