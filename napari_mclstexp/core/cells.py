"""The area that each spot stands for, and areas of domains, as polygons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from napari_mclstexp.core.reach import GIVEN_REACH, JOINED, middles_of, pitch_px, triangles_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Domains

SNAP_PX = 0.01
"""Corners closer than this become one, so that neighbouring areas join without slivers."""
BEYOND = 1.02
SHIFT = 0.317
SIDES = 24
"""Of the outline around a spot that is on no grid."""
WITHIN = GIVEN_REACH * math.cos(math.pi / SIDES)
"""Pitches from a spot within which its outline holds everything."""


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
    outlines = points[:, None, :] + _outline(grid.layout)[None]
    if grid.layout == "given":
        return _apart(points, outlines, unit)
    return np.asarray(shapely.polygons(_snapped(outlines * unit)))


def _snapped(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners on a lattice of `SNAP_PX`, so that the same one of two neighbours is the same number.

    The lattice is shifted a little: no corner that is a plain fraction lies between two of its points.
    """
    return np.round(xy / SNAP_PX + SHIFT) * SNAP_PX


def _filled(
    points: NDArray[np.float64], cut: NDArray[np.intp], own: NDArray[np.object_]
) -> NDArray[np.object_]:
    """Widen the outlines of some points to just beyond the middle of each gap that they would leave.

    Parameters
    ----------
    points : numpy.ndarray
        (N, 2) all points, pitches.
    cut : numpy.ndarray
        (C,) rows of those whose outlines count.
    own : numpy.ndarray
        (C,) their outlines.

    Returns
    -------
    numpy.ndarray
        (C,) polygons.
    """
    from scipy.spatial import cKDTree

    apart, _ = cKDTree(points[cut]).query(points, distance_upper_bound=2 * JOINED)
    near = np.flatnonzero(np.isfinite(apart))  # no other is within a circle through a point that is cut
    found = triangles_of(points[near])
    if found is None:
        return own
    triangles, radius = found
    gaps = (radius > 0.98 * GIVEN_REACH) & (radius <= JOINED)  # an outline is a polygon within its circle
    at = near[triangles.simplices[gaps].ravel()]
    beyond = points[at] + BEYOND * (np.repeat(middles_of(triangles)[gaps], 3, axis=0) - points[at])
    row = np.full(len(points), -1)
    row[cut] = np.arange(len(cut))
    at, beyond = row[at[row[at] >= 0]], beyond[row[at] >= 0]
    corners, of = shapely.get_coordinates(own, return_index=True)
    rows = np.concatenate([of, at])
    order = np.argsort(rows, kind="stable")
    spread = shapely.multipoints(np.concatenate([corners, beyond])[order], indices=rows[order])
    return np.asarray(shapely.convex_hull(spread))


def _apart(
    points: NDArray[np.float64], outlines: NDArray[np.float64], unit: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Cells where each point is the nearest, within its outline; of several at one place the first has all.

    Most cells lie inside their outlines: these are taken as they are, with the corners of their neighbours.
    """
    places, first, of = np.unique(points.round(6), axis=0, return_index=True, return_inverse=True)
    if len(places) == 1:
        cells = shapely.polygons(_snapped(outlines * unit))
    else:
        extent = shapely.box(*(points.min(axis=0) - 2), *(points.max(axis=0) + 2))
        nearest = shapely.voronoi_polygons(shapely.multipoints(places), extend_to=extent, ordered=True)
        parts = np.array(shapely.get_parts(nearest))[of.ravel()]
        xy, at = shapely.get_coordinates(parts, return_index=True)
        outside = np.hypot(*(xy - points[at]).T) > WITHIN
        cut = np.zeros(len(points), dtype=bool)
        cut[at[outside]] = True
        cells = shapely.transform(parts, lambda corners: _snapped(corners * unit))
        cut |= ~shapely.is_valid(cells)
        own = _filled(points, np.flatnonzero(cut), shapely.polygons(outlines[cut]))
        clipped = shapely.intersection(own, shapely.make_valid(parts[cut]))
        in_px = shapely.transform(clipped, lambda corners: corners * unit)
        cells[cut] = shapely.set_precision(in_px, SNAP_PX, mode="valid_output")
    later = np.ones(len(points), dtype=bool)
    later[first] = False
    cells[later] = shapely.Polygon()
    return np.asarray(cells)


def joined(cells: NDArray[np.object_]) -> shapely.Geometry:
    """Union of cells that overlap nowhere: those that share the corners of their borders by these, which is
    fast, and the others by overlay.
    """
    cells = cells[~shapely.is_empty(cells)]
    apart = ~shapely.is_empty(shapely.coverage_invalid_edges(cells))
    parts = shapely.get_parts(shapely.coverage_union_all(cells[~apart]))
    if apart.any():
        touched = np.zeros(len(parts), dtype=bool)
        touched[shapely.STRtree(parts).query(cells[apart], predicate="intersects")[1]] = True
        overlaid = shapely.union_all([*parts[touched], *cells[apart]], grid_size=SNAP_PX)
        parts = np.append(parts[~touched], shapely.get_parts(shapely.make_valid(overlaid)))
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


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
        if not shapely.is_empty(members).all():
            areas[label] = joined(members)
    return areas


def _outline(layout: str) -> NDArray[np.float64]:
    """Closed outline around one spot, in pitches."""
    if layout == "square":
        return np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])
    sides, radius = (6, 1 / math.sqrt(3)) if layout == "hexagonal" else (SIDES, GIVEN_REACH)
    angle = np.pi / 2 + np.arange(sides + 1) % sides * 2 * np.pi / sides
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])
