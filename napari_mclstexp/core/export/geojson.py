"""QuPath GeoJSON: domains as annotations, spots as detections with measurements.

Format: the GeoJSON that QuPath 0.3 and newer reads by File > Import objects. Coordinates are
full-resolution pixels (x, y).
"""

from __future__ import annotations

import json
import math
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from napari_mclstexp.core.annotations import AUTHOR, NOTE
from napari_mclstexp.core.atomic import write_text
from napari_mclstexp.core.cells import domain_areas
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.result_file import SPOT_TO_PITCH

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.result import Result

NO_DOMAIN_RGB = [128, 128, 128]
NAMESPACE = uuid.UUID("6d2e1f3c-5a0b-4e0e-9a52-6d636c535445")
"""Makes ids that are the same for the same result."""


def write_geojson(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write a FeatureCollection.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_text`.
    """
    document = {"type": "FeatureCollection", "features": [*_annotations(result), *_detections(result)]}
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return write_text(path, text, overwrite=overwrite)


def _annotations(result: Result) -> list[dict[str, Any]]:
    if result.domains is None:
        return []
    about = result.provenance
    metadata = {key: str(value) for key, value in about.as_dict().items()}
    um2 = about.mpp_x * about.mpp_y
    features = []
    for label, area in domain_areas(result.grid, result.domains).items():
        name = result.domains.names[label]
        measurements = {"Spots": int((result.domains.labels == label).sum())}
        if math.isfinite(um2):
            measurements["Area mm^2"] = round(area.area * um2 / 1e6, 6)
        features.append(
            {
                "type": "Feature",
                "id": _identity(result, f"domain {label}"),
                "geometry": _geometry(area),
                "properties": {
                    "objectType": "annotation",
                    "name": name,
                    "classification": {"name": name, "color": list(rgb(result.domains.colours[label]))},
                    "isLocked": label in result.domains.locked,
                    "measurements": measurements,
                    "metadata": metadata,
                },
            }
        )
    return [*features, *(_drawn(note, um2, metadata) for note in result.domains.annotations)]


def _drawn(note: Annotation, um2: float, metadata: dict[str, str]) -> dict[str, Any]:
    """An annotation that was drawn or imported, as it came."""
    properties: dict[str, Any] = {
        "objectType": "annotation",
        "name": note.name,
        "isLocked": False,
        "measurements": {"Area mm^2": round(note.area.area * um2 / 1e6, 6)} if math.isfinite(um2) else {},
        "metadata": metadata
        | {key: value for key, value in ((NOTE, note.note), (AUTHOR, note.author)) if value},
    }
    colour = list(rgb(note.colour))
    if note.of_class:
        properties["classification"] = {"name": note.of_class, "color": colour}
    else:
        properties["color"] = colour
    geometry = _geometry(note.area)
    return {"type": "Feature", "id": note.identity, "geometry": geometry, "properties": properties}


def _detections(result: Result) -> list[dict[str, Any]]:
    grid, domains = result.grid, result.domains
    pitch = math.sqrt(grid.pitch_px[0] * grid.pitch_px[1])
    radius = SPOT_TO_PITCH[grid.layout] * (pitch if pitch > 0 else 200.0) / 2
    angle = np.linspace(0, 2 * np.pi, 25)[:24]
    outline = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    features = []
    for i, (y, x) in enumerate(grid.centres_px):
        ring = np.round(outline + np.array([x, y]), 2).tolist()
        label = 0 if domains is None else int(domains.labels[i])
        classification = {
            "name": domains.names[label] if domains and label else "No domain",
            "color": list(rgb(domains.colours[label])) if domains and label else NO_DOMAIN_RGB,
        }
        measurements = {
            "Similarity": _number(result.similarity[i]),
            "Spread": _number(result.spread[i]),
            "Effective k": _number(result.effective_k[i]),
            **{g: _number(v) for g, v in zip(result.genes, result.expression[i], strict=True)},
        }
        features.append(
            {
                "type": "Feature",
                "id": _identity(result, f"spot {grid.ids[i]}"),
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]], "isEllipse": True},
                "properties": {
                    "objectType": "detection",
                    "name": str(grid.ids[i]),
                    "classification": classification,
                    "measurements": measurements,
                },
            }
        )
    return features


def _geometry(area: shapely.Geometry) -> dict[str, Any]:
    polygons = [p for p in shapely.get_parts(area) if p.geom_type == "Polygon" and p.area > 0]
    whole = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    geometry: dict[str, Any] = json.loads(shapely.to_geojson(whole))
    return geometry


def _number(value: np.floating) -> float:
    return float(f"{float(value):.6g}")


def _identity(result: Result, what: str) -> str:
    about = result.provenance
    return str(uuid.uuid5(NAMESPACE, f"{about.slide_fingerprint} {about.bundle_hash} {what}"))
