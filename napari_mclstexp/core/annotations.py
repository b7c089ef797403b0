"""Annotations: areas that a pathologist draws or imports, which are no cluster of spots.

Format read: GeoJSON of QuPath 0.2 to 0.5: a class with ``name`` or ``names``, its colour as ``color`` (red,
green, blue) or ``colorRGB`` (a signed 32-bit ARGB), a description in the metadata.

shapely is loaded with the first area: the window, which knows of annotations from its start, need not wait.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.geojson import one_line, read_areas, read_document
from napari_mclstexp.core.palette import is_colour
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_mclstexp.core.geojson import Area

COLOUR = "#d55e00"
"""Of an annotation that brings none."""
MAX_NOTE = 2000
NOTE, AUTHOR = "ANNOTATION_DESCRIPTION", "Author"
"""Keys of QuPath's metadata; the first is its own for an annotation's description."""
WKT_DIGITS = 2
"""Of a pixel, in which an area is kept."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """An area with what a person says of it.

    Attributes
    ----------
    identity : str
        UUID.
    wkt : str
        Valid polygon or multipolygon as well-known text, full-resolution pixels (x, y).
    name, of_class, note, author : str
        May be empty; the note alone may have several lines.
    colour : str
        ``#rrggbb``.
    """

    identity: str
    wkt: str
    name: str = ""
    of_class: str = ""
    note: str = ""
    author: str = ""
    colour: str = COLOUR

    @property
    def area(self) -> Area:
        """The area."""
        import shapely

        return shapely.from_wkt(self.wkt)

    @property
    def title(self) -> str:
        """What to call it in a list."""
        return self.name or self.of_class or "Annotation"

    def checked(self) -> Annotation:
        """The annotation itself.

        Raises
        ------
        DomainError
            It encloses no area, or a part of it is of the wrong kind.
        """
        import shapely

        try:
            area = self.area
        except (shapely.errors.ShapelyError, TypeError) as error:
            msg = "An annotation's outline cannot be read. Draw it again."
            raise DomainError(msg) from error
        if area.geom_type not in ("Polygon", "MultiPolygon") or not area.is_valid or not area.area > 0:
            msg = "An annotation needs an outline of three corners or more that encloses an area."
            raise DomainError(msg)
        if not is_colour(self.colour):
            msg = f"{self.colour!r} is no colour. Give one such as #0072b2."
            raise DomainError(msg)
        if len(self.note) > MAX_NOTE or any(
            one_line(t) != t for t in (self.name, self.of_class, self.author)
        ):
            msg = f"Name, class and author have one line each, and the note at most {MAX_NOTE:,} letters."
            raise DomainError(msg)
        return self


def annotation(area: Area, **about: str) -> Annotation:
    """Annotation of an area; `about` as the attributes of :class:`Annotation`.

    Raises
    ------
    DomainError
        See :meth:`Annotation.checked`.
    """
    import shapely

    rounded = shapely.normalize(shapely.set_precision(area, 10.0**-WKT_DIGITS))
    wkt = shapely.to_wkt(rounded, rounding_precision=WKT_DIGITS)
    about.setdefault("identity", str(uuid.uuid4()))
    return Annotation(wkt=wkt, **about).checked()


def read_annotations(path: Path) -> list[Annotation]:
    """Annotations of a GeoJSON file; detections, cells, tiles, points and lines in it are passed over.

    Raises
    ------
    RegionError
        The file is not there, is no GeoJSON, or holds no annotation with an area.
    """
    found = read_areas(read_document(path), path.name, wanted=_is_annotation)
    return [_annotation(properties, area) for properties, area in found]


def _is_annotation(properties: Mapping[str, Any]) -> bool:
    kind = properties.get("objectType", properties.get("object_type", "annotation"))
    return not isinstance(kind, str) or kind.lower() in ("annotation", "unknown", "")


def _annotation(properties: Mapping[str, Any], area: Area) -> Annotation:
    classification, metadata = properties.get("classification"), properties.get("metadata")
    classification = classification if isinstance(classification, dict) else {"name": classification}
    metadata = metadata if isinstance(metadata, dict) else {}
    names = classification.get("names")
    of_class = ": ".join(filter(None, map(one_line, names))) if isinstance(names, list) else ""
    note = metadata.get(NOTE)
    return annotation(
        area,
        name=one_line(properties.get("name")),
        of_class=of_class or one_line(classification.get("name")),
        note=note[:MAX_NOTE] if isinstance(note, str) else "",
        author=one_line(metadata.get(AUTHOR)),
        colour=_colour(classification) or _colour(properties) or COLOUR,
    )


def _colour(told: Mapping[str, Any]) -> str:
    """``#rrggbb`` of a QuPath colour; empty where there is none."""
    rgb, packed = told.get("color"), told.get("colorRGB")
    if isinstance(rgb, list) and len(rgb) >= 3 and all(type(c) is int and 0 <= c <= 255 for c in rgb[:3]):
        return "#{:02x}{:02x}{:02x}".format(*rgb[:3])
    if type(packed) is int:
        return f"#{packed & 0xFFFFFF:06x}"
    return ""
