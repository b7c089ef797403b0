"""Regions of a slide where alone to predict: read from GeoJSON as QuPath writes it, or drawn by hand.

Format: GeoJSON (RFC 7946) with coordinates in full-resolution pixels (x, y), as QuPath 0.2 and newer writes
it by File > Export objects as GeoJSON: a FeatureCollection, a Feature, or a bare list of Features.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely

from napari_mclstexp.errors import GridError, RegionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale

FROM_FILE, DRAWN = "GeoJSON file", "drawn by hand"
MAX_BYTES, MAX_NAME = 100 * 10**6, 200
MAX_PX = 1e8
"""Coordinates beyond are on no slide."""

NAMESPACE = uuid.UUID("3c0f5f0e-8f0c-4bd0-9d6a-6d636c535445")
"""Makes ids that are the same for the same regions."""

Area: TypeAlias = shapely.Polygon | shapely.MultiPolygon


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Where to predict.

    Attributes
    ----------
    polygons : tuple of shapely.Polygon or shapely.MultiPolygon
        Valid areas, full-resolution pixels (x, y); they may overlap.
    names : tuple of str
        Name of each.
    source : str
        `FROM_FILE` or `DRAWN`; never a file's name.
    """

    polygons: tuple[Area, ...]
    names: tuple[str, ...]
    source: str

    @classmethod
    def from_outlines(cls, outlines: Sequence[NDArray[np.floating]]) -> Regions:
        """Regions of polygons that were drawn.

        Parameters
        ----------
        outlines : sequence of numpy.ndarray
            Each (n, 2) y, x in full-resolution pixels, closed or not.

        Returns
        -------
        Regions
            One for each outline that encloses an area; all loops of one that crosses itself are inside.

        Raises
        ------
        RegionError
            No outline encloses an area, or one has coordinates that are on no slide.
        """
        try:
            found = [_area([[_ring(outline)[:, ::-1]]]) for outline in outlines]
        except _Misshapen as error:
            msg = f"A drawn region cannot be used: {error}. Draw it again."
            raise RegionError(msg) from error
        areas = tuple(area for area in found if area is not None)
        if not areas:
            msg = "No region was drawn: an outline needs three corners or more that enclose an area."
            raise RegionError(msg)
        return cls(areas, _named([""] * len(areas)), DRAWN)

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def digest(self) -> str:
        """SHA-256 of the coordinates to a hundredth of a pixel, whatever the regions' order and names."""
        rounded = shapely.transform(np.array(self.polygons), lambda xy: np.round(xy, 2) + 0.0)
        parts = sorted(shapely.to_wkb(shapely.normalize(rounded), byte_order=1).tolist())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def inside(self, grid: SpotGrid) -> NDArray[np.bool_]:
        """Which of N spots have their centre in a region or on its border, (N,) bool."""
        centres = shapely.points(grid.centres_px[:, ::-1])
        _, rows = shapely.STRtree(centres).query(np.array(self.polygons), predicate="covers")
        within = np.zeros(len(grid), dtype=bool)
        within[rows] = True
        return within

    def kept(self, grid: SpotGrid) -> SpotGrid:
        """Spots of a grid that lie inside, in their order.

        Raises
        ------
        GridError
            There are none.
        """
        rows = np.flatnonzero(self.inside(grid))
        if len(rows) == 0:
            msg = (
                f"No spot lies inside the regions: none of {len(grid):,} has its centre there. Regions are "
                "in full-resolution px (x, y): check that they were drawn on this slide and on tissue, or "
                "take a narrower pitch."
            )
            raise GridError(msg)
        return grid.take(rows)

    def area_mm2(self, scale: Scale) -> float:
        """Area of all regions in mm2; where they overlap it counts once."""
        area_px = float(shapely.disjoint_subset_union_all(np.array(self.polygons)).area)
        return area_px * scale.mpp_x * scale.mpp_y / 1e6

    def story(self, scale: Scale | None, kept: int, of: int) -> str:
        """What a result tells of them: `kept` spots of how many, number, area where it is known, digest."""
        count = f"{len(self)} region{'' if len(self) == 1 else 's'}"
        area = "" if scale is None else f" of {self.area_mm2(scale):.4g} mm2"
        return f"{kept:,} of {of:,} spots inside {count}{area}, sha256 {self.digest}"

    def as_geojson(self) -> dict[str, Any]:
        """FeatureCollection of annotations as QuPath reads it; it tells nothing of the slide."""
        digest = self.digest
        features = [
            {
                "type": "Feature",
                "id": str(uuid.uuid5(NAMESPACE, f"{digest} {i}")),
                "geometry": json.loads(shapely.to_geojson(polygon)),
                "properties": {"objectType": "annotation", "name": name, "isLocked": False},
            }
            for i, (polygon, name) in enumerate(zip(self.polygons, self.names, strict=True))
        ]
        return {"type": "FeatureCollection", "features": features}


def read_regions(path: Path) -> Regions:
    """Read the areas of a GeoJSON file; points and lines in it are passed over.

    Parameters
    ----------
    path : pathlib.Path
        A FeatureCollection, a Feature, a geometry, or a list of them, of at most 100 MB. Coordinates are
        full-resolution pixels (x, y).

    Returns
    -------
    Regions
        One for each Feature (or bare geometry) with an area, repaired where its outline crosses itself.

    Raises
    ------
    RegionError
        The file is not there, is no GeoJSON, or holds no area.
    """
    try:
        document = _document(path)
    except (_Misshapen, RecursionError) as error:
        raise _no_geojson(path.name, error) from error
    return regions_of(document, path.name)


def regions_of(document: Any, name: str = "The text") -> Regions:
    """Areas of a GeoJSON document that is read already; `name` is what errors call it.

    Raises
    ------
    RegionError
        It is no GeoJSON, or holds no area.
    """
    try:
        found = [(label, _area(rings)) for label, rings in _features(document)]
    except (_Misshapen, RecursionError) as error:
        raise _no_geojson(name, error) from error
    areas = [(label, area) for label, area in found if area is not None]
    if not areas:
        msg = (
            f"{name} holds no area, only points, lines or nothing at all. Draw the regions as polygons, "
            "rectangles or with the brush, and export them again."
        )
        raise RegionError(msg)
    return Regions(tuple(area for _, area in areas), _named([label for label, _ in areas]), FROM_FILE)


class _Misshapen(ValueError):
    """A part of the document is not what GeoJSON says; becomes a RegionError at the door."""


def _no_geojson(name: str, error: Exception) -> RegionError:
    why = error if isinstance(error, _Misshapen) else "its parts are nested without end"
    return RegionError(f"{name} is no GeoJSON of regions: {why}. Export the annotations from QuPath again.")


def _document(path: Path) -> Any:
    """What a file's JSON says."""
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path.name} has over {MAX_BYTES / 1e6:.0f} MB. Export annotations alone, without cells."
            raise RegionError(msg)
        return json.loads(path.read_text(encoding="utf-8-sig"))  # QuPath writes NaN among its measurements
    except FileNotFoundError as error:
        msg = f"There is no file of regions at {path}."
        raise RegionError(msg) from error
    except (OSError, ValueError) as error:
        msg = "it cannot be read, is empty or no JSON"
        raise _Misshapen(msg) from error


def _features(item: Any) -> Iterator[tuple[str, list[list[NDArray[np.float64]]]]]:
    """Name and polygons, each of its rings, of every feature and bare geometry."""
    if isinstance(item, list):
        for each in item:
            yield from _features(each)
        return
    kind = _kind(item)
    if kind == "FeatureCollection":
        yield from _features(_listed(item.get("features"), "features"))
    elif kind == "Feature":
        if item.get("geometry") is not None:
            yield _name(item.get("properties")), _polygons(item["geometry"])
    else:
        yield "", _polygons(item)


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
    return [[_ring(ring) for ring in rings] for rings in polygons]


def _kind(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    if not isinstance(kind, str):
        msg = "it has a part that tells no type"
        raise _Misshapen(msg)
    return kind


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        msg = f"its {what} are no list"
        raise _Misshapen(msg)
    return value


def _ring(positions: Any) -> NDArray[np.float64]:
    """Closed ring (n, 2) x, y; (0, 2) where fewer than three corners enclose nothing."""
    try:
        ring = np.asarray(positions)
    except ValueError:  # positions of unequal length
        ring = np.empty(())
    if ring.size == 0:
        return np.empty((0, 2))
    if ring.ndim != 2 or ring.shape[1] < 2 or ring.dtype.kind not in "iuf":
        msg = "a ring is no list of positions x, y in numbers"
        raise _Misshapen(msg)
    ring = ring[:, :2].astype(np.float64)
    if not (np.abs(ring) <= MAX_PX).all():  # NaN compares false
        msg = f"a coordinate is not finite, or beyond {MAX_PX:.0e} px"
        raise _Misshapen(msg)
    if len(ring) < 3:
        return np.empty((0, 2))
    return ring if (ring[0] == ring[-1]).all() and len(ring) > 3 else np.vstack((ring, ring[:1]))


def _name(properties: Any) -> str:
    """Name of a feature, else of its class; empty where it has neither."""
    if not isinstance(properties, dict):
        return ""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        classification = classification.get("name")
    for name in (properties.get("name"), classification):
        if isinstance(name, str) and name.strip():
            return " ".join(name.split())[:MAX_NAME]
    return ""


def _named(names: list[str]) -> tuple[str, ...]:
    return tuple(name or f"Region {i}" for i, name in enumerate(names, 1))


def _area(polygons: list[list[NDArray[np.float64]]]) -> Area | None:
    """One valid area of polygons by their rings; None where they enclose none."""
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
