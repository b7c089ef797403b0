"""Regions of a slide where alone to predict: read from GeoJSON as QuPath writes it, or drawn by hand.

shapely is loaded with the first area: the window, which knows of regions from its start, need not wait.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.geojson import Misshapen, area_of, one_line, read_areas, read_document, ring_of
from napari_mclstexp.errors import GridError, RegionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.geojson import Area
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale

FROM_FILE, DRAWN = "GeoJSON file", "drawn by hand"
NAMESPACE = uuid.UUID("3c0f5f0e-8f0c-4bd0-9d6a-6d636c535445")
"""Makes ids that are the same for the same regions."""


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
            found = [area_of([[ring_of(outline)[:, ::-1]]]) for outline in outlines]
        except Misshapen as error:
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
        import shapely

        rounded = shapely.transform(np.array(self.polygons), lambda xy: np.round(xy, 2) + 0.0)
        parts = sorted(shapely.to_wkb(shapely.normalize(rounded), byte_order=1).tolist())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def inside(self, grid: SpotGrid) -> NDArray[np.bool_]:
        """Which of N spots have their centre in a region or on its border, (N,) bool."""
        import shapely

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
        import shapely

        area_px = float(shapely.disjoint_subset_union_all(np.array(self.polygons)).area)
        return area_px * scale.mpp_x * scale.mpp_y / 1e6

    def story(self, scale: Scale | None, kept: int, of: int) -> str:
        """What a result tells of them: `kept` spots of how many, number, area where it is known, digest."""
        count = f"{len(self)} region{'' if len(self) == 1 else 's'}"
        area = "" if scale is None else f" of {self.area_mm2(scale):.4g} mm2"
        return f"{kept:,} of {of:,} spots inside {count}{area}, sha256 {self.digest}"

    def as_geojson(self) -> dict[str, Any]:
        """FeatureCollection of annotations as QuPath reads it; it tells nothing of the slide."""
        import shapely

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
    return regions_of(read_document(path), path.name)


def regions_of(document: Any, name: str = "The text") -> Regions:
    """Areas of a GeoJSON document that is read already; `name` is what errors call it.

    Raises
    ------
    RegionError
        It is no GeoJSON, or holds no area.
    """
    areas = [(_name(properties), area) for properties, area in read_areas(document, name)]
    return Regions(tuple(area for _, area in areas), _named([label for label, _ in areas]), FROM_FILE)


def _name(properties: dict[str, Any]) -> str:
    """Name of a feature, else of its class; empty where it has neither."""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        classification = classification.get("name")
    for name in (properties.get("name"), classification):
        if one_line(name):
            return one_line(name)
    return ""


def _named(names: list[str]) -> tuple[str, ...]:
    return tuple(name or f"Region {i}" for i, name in enumerate(names, 1))
