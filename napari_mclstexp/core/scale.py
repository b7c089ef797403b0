"""The scale of a slide: micrometres a pixel (mpp), in x and y, and where it was learned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from napari_mclstexp.errors import ScaleError

PLAUSIBLE_MPP = (0.1, 2.0)
"""um per px at which histology is scanned; a 72-dpi tag, for one, reads as 352."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Micrometres a full-resolution pixel.

    Attributes
    ----------
    mpp_x, mpp_y : float
        um per px along each axis.
    source : str
        Where it was learned, such as ``"openslide.mpp-x"`` or ``"given by the user"``.
    """

    mpp_x: float
    mpp_y: float
    source: str

    def __post_init__(self) -> None:
        low, high = PLAUSIBLE_MPP
        for value in (self.mpp_x, self.mpp_y):
            if not (math.isfinite(value) and low <= value <= high):
                msg = (
                    f"{value:g} um per pixel is not plausible for a histology slide "
                    f"({low:g} to {high:g} is). Check the value; 20x scans have about 0.5, 40x about 0.25."
                )
                raise ScaleError(msg)

    @property
    def mean(self) -> float:
        """Geometric mean of both axes, um per px."""
        return math.sqrt(self.mpp_x * self.mpp_y)


def scale_or_none(mpp_x: float | None, mpp_y: float | None, source: str) -> Scale | None:
    """Scale of a file's own fields, or None where they are absent or implausible."""
    try:
        return None if mpp_x is None or mpp_y is None else Scale(mpp_x, mpp_y, source)
    except ScaleError:
        return None


def parse_mpp(text: str) -> Scale:
    """Read ``M`` or ``MX,MY`` as a user typed it.

    Raises
    ------
    ScaleError
        It is no number, two numbers, or implausible.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        msg = f"{text!r} is no scale. Give um per pixel, such as 0.5, or 0.50,0.51 for x and y."
        raise ScaleError(msg)
    return Scale(values[0], values[-1], "given by the user")


def median_spacing(points: np.ndarray) -> float:
    """Median nearest-neighbour distance of points (N, 2), in their unit; NaN for fewer than two."""
    if len(points) < 2:
        return math.nan
    return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))
