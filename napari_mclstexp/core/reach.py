"""How far a spot goes: the pitch of a grid in pixels, and which spots that are on no grid join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.spatial import Delaunay

    from napari_mclstexp.core.grid import SpotGrid

LONE_PITCH_PX = 200.0
GIVEN_REACH = 0.72
"""How far the area of a spot that was given goes, in pitches: just over the corner of a square."""
JOINED = 0.9
"""Three such spots on a circle of at most this radius, in pitches, join without a gap amid them: measured
spots lie up to a tenth of a pitch off their places, and around a spot that is missing the radius is 1."""


def pitch_px(grid: SpotGrid) -> tuple[float, float]:
    """Distance between neighbours in y and x px; 200 px where a single spot tells of none."""
    y, x = grid.pitch_px
    return (y, x) if y > 0 and x > 0 else (LONE_PITCH_PX, LONE_PITCH_PX)


def triangles_of(points: NDArray[np.float64]) -> tuple[Delaunay, NDArray[np.float64]] | None:
    """Delaunay triangles of points (N, 2) and the radius (T,) of the circle through the corners of each.

    None for fewer than three points. Of four spots in a square a triangle is half, with their circle.
    """
    from scipy.spatial import Delaunay

    if len(points) < 3:
        return None
    triangles = Delaunay(points, qhull_options="QJ")  # points in one line, too
    return triangles, np.linalg.norm(middles_of(triangles) - points[triangles.simplices[:, 0]], axis=1)


def middles_of(triangles: Delaunay) -> NDArray[np.float64]:
    """(T, 2) middle of the circle through the corners of each triangle; inf where they lie in one line."""
    a, b, c = triangles.points[triangles.simplices].transpose(1, 0, 2)
    ab, ac = b - a, c - a
    twice = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    ab2, ac2 = (ab**2).sum(axis=1), (ac**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = (
            np.column_stack([ac[:, 1] * ab2 - ab[:, 1] * ac2, ab[:, 0] * ac2 - ac[:, 0] * ab2])
            / twice[:, None]
        )
    return np.asarray(a + np.where(np.isfinite(offset), offset, np.inf))
