"""The area that each spot stands for, and areas of domains, as polygons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Domains

LONE_PITCH_PX = 200.0
SNAP_PX = 0.01
"""Corners closer than this become one, so that neighbouring areas join without slivers."""


def pitch_px(grid: SpotGrid) -> tuple[float, float]:
    """Distance between neighbours in y and x px; 200 px where a single spot tells of none."""
    y, x = grid.pitch_px
    return (y, x) if y > 0 and x > 0 else (LONE_PITCH_PX, LONE_PITCH_PX)


def spot_cells(grid: SpotGrid) -> NDArray[np.object_]:
    """Area that is nearest to each spot, no further than half a pitch beyond the outermost.

    Parameters
    ----------
    grid : SpotGrid
        N spots.

    Returns
    -------
    numpy.ndarray
        (N,) shapely polygons in full-resolution pixels (x, y), disjoint but for their borders.
        Hexagons on a hexagonal grid, squares on a square one, clipped Voronoi cells elsewhere.
    """
    height, width = pitch_px(grid)
    unit = np.array([width, height])
    points = grid.centres_px[:, ::-1] / unit  # isotropic, in pitches
    own = shapely.polygons(points[:, None, :] + _outline(grid.layout)[None])
    if grid.layout == "given":
        own = _apart(points, own)
    return np.asarray(
        shapely.set_precision(shapely.transform(own, lambda xy: xy * unit), SNAP_PX, mode="valid_output")
    )


def _apart(points: NDArray[np.float64], own: NDArray[np.object_]) -> NDArray[np.object_]:
    """Clip outlines to where their own point is nearest; of several points at one place the first has all."""
    places, first, of = np.unique(points.round(6), axis=0, return_index=True, return_inverse=True)
    cells = own.copy()
    if len(places) > 1:
        area = shapely.box(*(points.min(axis=0) - 2), *(points.max(axis=0) + 2))
        nearest = shapely.voronoi_polygons(shapely.multipoints(places), extend_to=area, ordered=True)
        parts = shapely.make_valid(np.array(shapely.get_parts(nearest)))
        cells = shapely.intersection(own, parts[of.ravel()])
    later = np.ones(len(points), dtype=bool)
    later[first] = False
    cells[later] = shapely.Polygon()
    return np.asarray(cells)


def domain_areas(grid: SpotGrid, domains: Domains) -> dict[int, shapely.Geometry]:
    """Union of the cells of each domain.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    domains : Domains
        Their labels.

    Returns
    -------
    dict of int to shapely.Geometry
        Valid Polygon or MultiPolygon, full-resolution pixels (x, y), of each label that has spots.
    """
    cells = spot_cells(grid)
    areas = {}
    for label in sorted(domains.names):
        members = cells[domains.labels == label]
        if len(members) and not shapely.is_empty(members).all():
            areas[label] = shapely.make_valid(shapely.union_all(members, grid_size=SNAP_PX))
    return areas


def _outline(layout: str) -> NDArray[np.float64]:
    """Closed outline around one spot, in pitches."""
    if layout == "square":
        return np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])
    sides, radius = (6, 1 / math.sqrt(3)) if layout == "hexagonal" else (24, 0.72)
    angle = np.pi / 2 + np.arange(sides + 1) % sides * 2 * np.pi / sides
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])
