"""Annotations: read as QuPath writes them, edited, locked, and taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from results import laid

from napari_mclstexp.core.annotations import Annotation, annotation, read_annotations
from napari_mclstexp.core.domain_edits import Annotate, Assign, Import, Lock, Merge, Split, Unannotate
from napari_mclstexp.core.domain_history import History, edit_as_dict, edit_from_dict
from napari_mclstexp.core.export import export_result
from napari_mclstexp.errors import DomainError, RegionError

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]]}


def as_edit(note: Annotation) -> Annotate:
    return Annotate(**{key: getattr(note, key) for key in Annotation.__dataclass_fields__})


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("properties", "of_class", "colour", "name", "note"),
    [
        ({"classification": {"name": "Tumor", "colorRGB": -3670016}}, "Tumor", "#c80000", "", ""),  # 0.2
        (
            {
                "objectType": "annotation",
                "name": "A",
                "classification": {"name": "Stroma", "color": [150, 200, 150]},
            },
            "Stroma", "#96c896", "A", "",
        ),  # 0.3, 0.4
        (
            {
                "objectType": "annotation",
                "classification": {"names": ["Tumor", "Positive"], "color": [1, 2, 3]},
                "metadata": {"ANNOTATION_DESCRIPTION": "line one\nline two"},
            },
            "Tumor: Positive", "#010203", "", "line one\nline two",
        ),  # 0.5
        ({"object_type": "annotation", "color": [255, 0, 0], "name": "plain"}, "", "#ff0000", "plain", ""),
        ({}, "", "#d55e00", "", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("style", ["collection", "feature", "array"])
def test_each_style_of_qupath(
    tmp_path: Path, properties: dict, of_class: str, colour: str, name: str, note: str, style: str
) -> None:
    feature = {"type": "Feature", "id": "PathAnnotationObject", "geometry": SQUARE, "properties": properties}
    document = {"collection": {"type": "FeatureCollection", "features": [feature]}, "feature": feature}.get(
        style, [feature]
    )
    (read,) = read_annotations(write(tmp_path / "a.geojson", document))
    assert (read.of_class, read.colour, read.name, read.note) == (of_class, colour, name, note)
    assert read.area.equals(shapely.box(0, 0, 100, 100))


def test_real_files_of_qupath(real: Path) -> None:
    for name, count in (("dlup_qupath05.geojson", None), ("histoqc_geojson_example.json", None)):
        path = real / "qupath-geojson" / name
        notes = read_annotations(path)
        document = json.loads(path.read_text(encoding="utf-8"))
        features = document if isinstance(document, list) else document["features"]
        areas = [f for f in features if f["geometry"]["type"] in ("Polygon", "MultiPolygon")]
        assert len(notes) == (count or len(areas))
        for feature, note in zip(areas, notes, strict=True):
            outline = shapely.make_valid(shapely.from_geojson(json.dumps(feature["geometry"])))
            assert note.area.symmetric_difference(outline).area < 1e-3 * outline.area
            assert note.of_class == feature["properties"].get("classification", {}).get("name", "")


def test_detections_are_passed_over(tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "geometry": SQUARE, "properties": {"objectType": kind}}
        for kind in ("detection", "cell", "tile", "annotation")
    ]
    assert len(read_annotations(write(tmp_path / "a.geojson", features))) == 1
    with pytest.raises(RegionError, match="holds no area"):
        read_annotations(write(tmp_path / "b.geojson", features[:3]))
    with pytest.raises(RegionError, match="no GeoJSON"):
        read_annotations(write(tmp_path / "c.geojson", {"type": "Feature", "geometry": {"type": 3}}))


def test_annotations_are_edits_like_others() -> None:
    history = History(laid("square").domains)
    note = annotation(shapely.box(0, 0, 500, 500), name="DCIS", author="A. B.")
    history = history.do(as_edit(note))
    changed = Annotation(**{**{k: getattr(note, k) for k in Annotation.__dataclass_fields__}, "note": "why"})
    history = history.do(as_edit(changed))
    assert history.domains.annotations == (changed,)
    history = history.undo()
    assert history.domains.annotations == (note,)
    history = history.redo().do(Unannotate(note.identity))
    assert history.domains.annotations == ()
    brought = tuple(annotation(shapely.box(i, 0, i + 1, 1)) for i in range(3))
    history = history.do(Import(brought))
    assert history.domains.annotations == brought
    assert history.undo().domains.annotations == (), "a file is taken back in one step"
    for edit in history.done:
        assert edit_from_dict(json.loads(json.dumps(edit_as_dict(edit)))) == edit
    with pytest.raises(DomainError, match="no such annotation"):
        history.do(Unannotate("other"))
    for none in ((), brought[:1]):
        with pytest.raises(DomainError, match="there already"):
            history.do(Import(none))


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"wkt": "POINT (1 1)"}, "three corners"),
        ({"wkt": "POLYGON ((0 0, 1 1, 0 1, 1 0, 0 0))"}, "three corners"),
        ({"wkt": "nonsense"}, "cannot be read"),
        ({"wkt": "POLYGON ((0 0, 9 0, 9 9, 0 0))", "colour": "red"}, "no colour"),
        ({"wkt": "POLYGON ((0 0, 9 0, 9 9, 0 0))", "name": "two\nlines"}, "one line"),
        ({"wkt": "POLYGON ((0 0, 9 0, 9 9, 0 0))", "note": "x" * 2001}, "at most 2,000"),
    ],
)
def test_what_is_no_annotation_is_refused(about: dict[str, str], said: str) -> None:
    history = History(laid("square").domains)
    with pytest.raises(DomainError, match=said):
        history.do(Annotate("i", **about))


def test_a_locked_domain_keeps_its_spots() -> None:
    history = History(laid("square").domains).do(Lock(2, locked=True))
    before = history.domains.labels == 2
    every = tuple(range(len(before)))
    painted = history.do(Assign(every, 1))
    np.testing.assert_array_equal(painted.domains.labels == 2, before)
    assert (painted.domains.labels[~before] == 1).all()
    split = history.do(Split(every, "new", "#123456"))
    np.testing.assert_array_equal(split.domains.labels == 2, before)
    for refused in (Assign((0,), 2), Merge((1, 2)), Assign(tuple(np.flatnonzero(before)), 1)):
        with pytest.raises(DomainError, match="locked"):
            history.do(refused)
    free = history.do(Lock(2, locked=False)).do(Assign(every, 1))
    assert (free.domains.labels == 1).all()
    assert edit_from_dict(edit_as_dict(Lock(2, locked=True))) == Lock(2, locked=True)


boxes = st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 400), st.integers(1, 400)).map(
    lambda b: shapely.box(b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=6))
def test_areas_come_back_as_they_went(tmp_path_factory: pytest.TempPathFactory, pairs: list) -> None:
    """Boxes with others cut out of them: holes, pieces and touching neighbours."""
    areas = [one.difference(other) for one, other in pairs]
    notes = [annotation(area, name=f"n{i}") for i, area in enumerate(areas) if area.area > 0]
    if not notes:
        return
    result = laid("square")
    history = History(result.domains)
    for note in notes:
        history = history.do(as_edit(note))
    path = tmp_path_factory.mktemp("round") / "a.geojson"
    export_result(result.with_domains(history.domains, history.count), path)
    back = {note.name: note for note in read_annotations(path)}
    frame = geopandas.read_file(path).set_index("name")
    for note in notes:
        assert back[note.name].wkt == note.wkt
        assert frame.loc[note.name].geometry.equals(note.area)


def test_a_thousand_regions_come_back(tmp_path: Path) -> None:
    result = laid("square")
    domains = result.domains
    for i in range(1000):
        area = shapely.box(i % 40 * 50, i // 40 * 50, i % 40 * 50 + 50, i // 40 * 50 + 50)  # they touch
        domains = as_edit(annotation(area, name=f"n{i}")).apply(domains)
    path = export_result(result.with_domains(domains, 1000), tmp_path / "a.geojson")
    back = [note for note in read_annotations(path) if note.name.startswith("n")]
    assert [note.wkt for note in back] == [note.wkt for note in domains.annotations]
