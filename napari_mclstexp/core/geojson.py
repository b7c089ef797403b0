"""GeoJSON as QuPath and others write it, read into valid areas.

Format: GeoJSON (RFC 7946) with coordinates in full-resolution pixels (x, y): a FeatureCollection, a Feature,
a geometry, or a bare list of them, as QuPath 0.2 and newer writes it by File > Export objects as GeoJSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.errors import RegionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import shapely
    from numpy.typing import NDArray

MAX_BYTES, MAX_NAME = 100 * 10**6, 200
MAX_PX = 1e8
"""Coordinates beyond are on no slide."""

Area: TypeAlias = "shapely.Polygon | shapely.MultiPolygon"


class Misshapen(ValueError):
    """A part of the document is not what GeoJSON says."""


def read_document(path: Path) -> Any:
    """What a GeoJSON file's JSON says.

    Raises
    ------
    RegionError
        The file is not there, too large, or no JSON.
    """
    keep_private(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path.name} has over {MAX_BYTES / 1e6:.0f} MB. Export annotations alone, without cells."
            raise RegionError(msg)
        return json.loads(path.read_text(encoding="utf-8-sig"))  # QuPath writes NaN among its measurements
    except FileNotFoundError as error:
        msg = f"There is no file of regions at {path}."
        raise RegionError(msg) from error
    except (OSError, ValueError, RecursionError) as error:
        raise no_geojson(path.name, error) from error


def read_areas(
    document: Any, name: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[tuple[dict[str, Any], Area]]:
    """Properties and area of each Feature (and bare geometry) that has an area.

    Parameters
    ----------
    document : object
        What the JSON says.
    name : str
        What errors call it.
    wanted : callable
        Takes a Feature's properties; those that it refuses are passed over.

    Raises
    ------
    RegionError
        It is no GeoJSON, or holds no area.
    """
    try:
        found = [
            (properties, area_of(rings)) for properties, rings in _features(document) if wanted(properties)
        ]
    except (Misshapen, RecursionError) as error:
        raise no_geojson(name, error) from error
    areas = [(properties, area) for properties, area in found if area is not None]
    if not areas:
        msg = (
            f"{name} holds no area, only points, lines or nothing at all. Draw the regions as polygons, "
            "rectangles or with the brush, and export them again."
        )
        raise RegionError(msg)
    return areas


def no_geojson(name: str, error: Exception) -> RegionError:
    """Error that says why a document is no GeoJSON."""
    why = "it cannot be read, is empty or no JSON"
    if isinstance(error, Misshapen):
        why = str(error)
    elif isinstance(error, RecursionError):
        why = "its parts are nested without end"
    return RegionError(f"{name} is no GeoJSON of regions: {why}. Export the annotations from QuPath again.")


def one_line(value: Any) -> str:
    """Text on one line, no longer than a name may be; empty for what is no text."""
    return " ".join(value.split())[:MAX_NAME] if isinstance(value, str) else ""


def _features(item: Any) -> Iterator[tuple[dict[str, Any], list[list[NDArray[np.float64]]]]]:
    """Properties and polygons, each of its rings, of every feature and bare geometry."""
    if isinstance(item, list):
        for each in item:
            yield from _features(each)
        return
    kind = _kind(item)
    if kind == "FeatureCollection":
        yield from _features(_listed(item.get("features"), "features"))
    elif kind == "Feature":
        if item.get("geometry") is not None:
            properties = item.get("properties")
            yield properties if isinstance(properties, dict) else {}, _polygons(item["geometry"])
    else:
        yield {}, _polygons(item)


def _polygons(geometry: Any) -> list[list[NDArray[np.float64]]]:
    """Polygons of a geometry as rings; of points and lines none."""
    kind = _kind(geometry)
    if kind == "GeometryCollection":
        inner = _listed(geometry.get("geometries"), "geometries")
        return [polygon for each in inner for polygon in _polygons(each)]
    if kind not in ("Polygon", "MultiPolygon"):
        return []
    coordinates = _listed(geometry.get("coordinates"), "coordinates")
    polygons = [coordinates] if kind == "Polygon" else [_listed(c, "coordinates") for c in coordinates]
    return [[ring_of(ring) for ring in rings] for rings in polygons]


def _kind(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(kind, str):
        msg = "it has a part that tells no type"
        raise Misshapen(msg)
    return kind


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        msg = f"its {what} are no list"
        raise Misshapen(msg)
    return value


def ring_of(positions: Any) -> NDArray[np.float64]:
    """Closed ring (n, 2) x, y; (0, 2) where fewer than three corners enclose nothing."""
    try:
        ring = np.asarray(positions)
    except ValueError:  # positions of unequal length
        ring = np.empty(())
    if ring.size == 0:
        return np.empty((0, 2))
    if ring.ndim != 2 or ring.shape[1] < 2 or ring.dtype.kind not in "iuf":
        msg = "a ring is no list of positions x, y in numbers"
        raise Misshapen(msg)
    ring = ring[:, :2].astype(np.float64)
    if not (np.abs(ring) <= MAX_PX).all():  # NaN compares false
        msg = f"a coordinate is not finite, or beyond {MAX_PX:.0e} px"
        raise Misshapen(msg)
    if len(ring) < 3:
        return np.empty((0, 2))
    return ring if (ring[0] == ring[-1]).all() and len(ring) > 3 else np.vstack((ring, ring[:1]))


def area_of(polygons: list[list[NDArray[np.float64]]]) -> Area | None:
    """One valid area of polygons by their rings; None where they enclose none."""
    import shapely

    made = [
        shapely.Polygon(rings[0], [hole for hole in rings[1:] if len(hole)])
        for rings in polygons
        if rings and len(rings[0])
    ]
    whole = made[0] if len(made) == 1 else shapely.MultiPolygon(made)
    if not whole.is_valid:  # what an outline that crosses itself encloses is inside, overlaps included
        whole = shapely.make_valid(whole, method="structure", keep_collapsed=False)
    pieces = shapely.get_parts(shapely.get_parts(whole))
    parts = [p for p in pieces if p.geom_type == "Polygon" and p.area > 0]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
