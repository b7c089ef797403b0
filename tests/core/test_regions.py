"""Regions of a slide: read as QuPath writes them, checked by shapely and geopandas, kept to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pytest
import shapely
from steps import finish

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.grid import given_grid, make_grid
from napari_mclstexp.core.pipeline import lay_spots, predict_and_label
from napari_mclstexp.core.regions import Regions, read_regions
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.errors import GridError, RegionError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.grid import SpotGrid

SCALE = Scale(0.5, 0.4, "test")
SQUARE = [[[100, 200], [500, 200], [500, 700], [100, 700], [100, 200]]]
RING = [*SQUARE, [[200, 300], [300, 300], [300, 400], [200, 400], [200, 300]]]
FAR = [[[900, 900], [990, 900], [990, 990], [900, 900]]]


def polygon(rings: list, **more: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": rings, **more}


def feature(geometry: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def written(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def grid(width: int = 1000, height: int = 1000, pitch_um: float = 20.0) -> SpotGrid:
    mask = TissueMask(np.ones((height // 10, width // 10), bool), 10.0, 10.0)
    return make_grid(mask, SCALE, "hexagonal", pitch_um)


QUPATH_02 = [
    {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": polygon(RING),
        "properties": {
            "classification": {"name": "Tumor", "colorRGB": -3670016},
            "isLocked": False,
            "measurements": [],
        },
    },
    {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": {"type": "LineString", "coordinates": [[0, 0], [10, 10]]},
        "properties": {"name": "a ruler"},
    },
]
QUPATH_03 = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "1d8ad1a0-6d54-4cf3-a7bb-2b1d7e1d1b37",
            "geometry": polygon(RING, plane={"c": -1, "z": 0, "t": 0}),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tumor", "colorRGB": -3670016},
                "isLocked": True,
            },
        },
        feature({"type": "Point", "coordinates": [10, 20]}, objectType="annotation"),
        feature({"type": "MultiPoint", "coordinates": [[10, 20], [3, 4]]}, objectType="annotation"),
    ],
}
QUPATH_05 = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "1d8ad1a0-6d54-4cf3-a7bb-2b1d7e1d1b37",
                "geometry": polygon(RING),
                "nucleusGeometry": polygon(FAR),
                "properties": {
                    "objectType": "annotation",
                    "name": "Tumor",
                    "color": [200, 0, 0],
                    "classification": {"names": ["Stroma", "Positive"], "color": [1, 2, 3]},
                    "measurements": {"Area": math.nan, "Ratio": math.inf},
                    "metadata": {"ANNOTATION_DESCRIPTION": "x"},
                },
            }
        ],
    },
    indent=1,
)


@pytest.mark.parametrize(
    "document",
    [
        QUPATH_02,
        QUPATH_03,
        QUPATH_05,
        "\ufeff" + json.dumps(QUPATH_03),
        QUPATH_03["features"][0],
        [feature(polygon([[[*xy, 0.0] for xy in ring] for ring in RING]), name=" Tumor\n")],
        feature(polygon([ring[:-1] for ring in RING]), classification="Tumor"),  # rings left open
        feature({"type": "MultiPolygon", "coordinates": [RING]}, name="Tumor"),
        feature(
            {
                "type": "GeometryCollection",
                "geometries": [polygon(RING), {"type": "Point", "coordinates": [1, 2]}],
            },
            name="Tumor",
        ),
    ],
    ids=["0.2", "0.3", "0.5", "mark", "feature", "three numbers", "open", "multi", "collection"],
)  # fmt: skip
def test_one_area_with_a_hole_however_it_is_written(tmp_path: Path, document: Any) -> None:
    regions = read_regions(written(tmp_path / "r.geojson", document))
    assert regions.names == ("Tumor",)
    (area,) = regions.polygons
    assert area.equals(shapely.Polygon(RING[0], [RING[1]]))
    assert regions.area_mm2(SCALE) == pytest.approx((400 * 500 - 100 * 100) * 0.5 * 0.4 / 1e6)


def test_a_bare_geometry_is_one_region_and_nameless_ones_are_numbered(tmp_path: Path) -> None:
    for bare in (polygon(SQUARE), [polygon(SQUARE)]):
        assert read_regions(written(tmp_path / "r.json", bare)).names == ("Region 1",)
    several = [feature(polygon(SQUARE), name="a"), feature(None), feature(polygon(FAR), name=None)]
    regions = read_regions(written(tmp_path / "r.json", several))
    assert (regions.names, len(regions)) == (("a", "Region 2"), 2)


def test_spots_inside_are_those_that_shapely_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 40))
    star = 500 + (rng.uniform(150, 480, 40) * np.array([np.cos(angle), np.sin(angle)])).T
    document = [feature(polygon(RING)), feature(polygon([star.tolist()]))]
    regions, spots = read_regions(written(tmp_path / "r.geojson", document)), grid()
    truth = shapely.Polygon(RING[0], [RING[1]]).union(shapely.Polygon(star))
    y, x = spots.centres_px.T
    inside = regions.inside(spots)
    np.testing.assert_array_equal(inside, shapely.intersects_xy(truth, x, y))
    assert 0 < inside.sum() < len(spots)
    kept = regions.kept(spots)
    assert kept.ids.tolist() == spots.ids[inside].tolist()
    np.testing.assert_array_equal(kept.centres_px, spots.centres_px[inside])
    np.testing.assert_array_equal(kept.array_row, spots.array_row[inside])
    assert (kept.pitch_px, kept.layout) == (spots.pitch_px, spots.layout)
    assert regions.area_mm2(SCALE) == pytest.approx(truth.area * 0.2 / 1e6)  # overlaps once


def test_a_spot_in_a_hole_is_out_and_one_on_a_shared_border_is_in() -> None:
    xy = np.array([[250.0, 350.0], [150.0, 350.0], [500.0, 400.0], [501.0, 400.0]])
    spots = given_grid(np.array(list("abcd")), xy, (1000, 1000), None)
    right = shapely.box(500, 200, 600, 700)
    regions = Regions((shapely.Polygon(RING[0], [RING[1]]), right), ("a", "b"), "test")
    assert regions.inside(spots).tolist() == [False, True, True, True]


def test_outlines_that_were_drawn_are_y_before_x() -> None:
    outline = np.array(SQUARE[0][:-1], dtype=float)[:, ::-1]
    bow = np.array([[0.0, 0], [100, 100], [100, 0], [0, 100]])  # crosses itself: two triangles
    loop = np.array([[0.0, 0], [0, 100], [100, 100], [100, 50], [-50, 50], [-50, 20], [100, 20], [100, 0]])
    regions = Regions.from_outlines([outline, np.zeros((2, 2)), bow, loop])
    assert len(regions) == 3
    assert regions.names == ("Region 1", "Region 2", "Region 3")
    assert regions.polygons[0].equals(shapely.Polygon(SQUARE[0]))
    assert regions.polygons[1].area == pytest.approx(5000)
    assert all(shapely.is_valid(regions.polygons))
    assert regions.polygons[2].contains(shapely.Point(60, 30))  # where the drawn line overlaps itself
    for nothing in ([], [np.zeros((4, 2))], [np.array([[0.0, 0], [5, 5], [9, 9]])]):
        with pytest.raises(RegionError, match="three corners"):
            Regions.from_outlines(nothing)
    with pytest.raises(RegionError, match="not finite"):
        Regions.from_outlines([np.array([[0.0, 0], [5, np.nan], [9, 0]])])


def test_crossing_outlines_are_repaired_to_areas_alone(tmp_path: Path) -> None:
    spike = [[[0, 0], [100, 0], [100, 100], [100, 900], [100, 100], [0, 100], [0, 0]]]  # with a bare line
    (area,) = read_regions(written(tmp_path / "r.json", polygon(spike))).polygons
    assert area.is_valid
    assert area.geom_type == "Polygon"
    assert area.equals(shapely.box(0, 0, 100, 100))
    twice = {
        "type": "MultiPolygon",
        "coordinates": [SQUARE, [[[400, 600], [600, 600], [600, 800], [400, 600]]]],
    }
    (area,) = read_regions(written(tmp_path / "r.json", twice)).polygons
    parts = [shapely.Polygon(SQUARE[0]), shapely.Polygon([[400, 600], [600, 600], [600, 800]])]
    assert area.is_valid
    assert area.symmetric_difference(shapely.union_all(parts)).area == pytest.approx(0, abs=1e-6)


def test_regions_come_back_by_geopandas_and_by_ourselves(tmp_path: Path) -> None:
    parts = shapely.MultiPolygon([shapely.box(10.25, 20.5, 80, 90), shapely.box(200, 200, 300.125, 260)])
    regions = Regions((shapely.Polygon(RING[0], [RING[1]]), parts), ("Tumor", "Ärger & <b>"), "test")
    path = written(tmp_path / "SecretName.geojson", regions.as_geojson())
    frame = geopandas.read_file(path)
    assert frame["name"].tolist() == list(regions.names)
    assert [a.equals(b) for a, b in zip(frame.geometry, regions.polygons, strict=True)] == [True, True]
    again = read_regions(path)
    assert again.names == regions.names
    assert again.digest == regions.digest
    assert json.loads(json.dumps(again.as_geojson())) == regions.as_geojson()
    assert "Secret" not in json.dumps(again.as_geojson()) + again.source


def test_the_digest_is_of_the_place_alone() -> None:
    one, two = shapely.box(0, 0, 100, 100), shapely.box(50, 50, 300, 200)
    digest = Regions((one, two), ("a", "b"), "x").digest
    turned = shapely.Polygon([(100, 100), (100, 0), (0, 0), (0, 100.0004)])
    assert Regions((two, turned), ("c", "d"), "y").digest == digest
    assert Regions((two,), ("c",), "y").digest != digest
    assert Regions((shapely.box(0, 0, 100, 100.1), two), ("a", "b"), "x").digest != digest


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "empty"),
        ("not json", "no JSON"),
        ("{", "no JSON"),
        ("[" * 100_000, "nested"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        ('{"type":"GeometryCollection","geometries":[' * 5000 + "]}" * 5000, "nested"),
        ("[]", "no area"),
        ('{"type": "FeatureCollection", "features": []}', "no area"),
        ('{"type": "FeatureCollection", "features": {}}', "no list"),
        ('{"type": "FeatureCollection"}', "no list"),
        ("3", "no type"),
        ("null", "no type"),
        ('{"a": 1}', "no type"),
        (feature({"type": "Point", "coordinates": [1, 2]}), "no area"),
        (feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}), "no area"),
        (feature(polygon([])), "no area"),
        (feature(polygon([[[1, 2], [3, 4]]])), "no area"),
        (feature(polygon([[[1, 1], [2, 2], [3, 3], [1, 1]]])), "no area"),
        (feature(polygon([[[1, 1], [2, 2], [3, math.nan], [1, 1]]])), "not finite"),
        (feature(polygon([[[1, 1], [2, 2], [math.inf, 3], [1, 1]]])), "not finite"),
        ('{"type": "Polygon", "coordinates": [[[1, 1], [1e999, 2], [3, 3], [1, 1]]]}', "not finite"),
        (feature(polygon([[[1, 1], [2, 2e9], [3, 3], [1, 1]]])), "beyond"),
        (feature(polygon([[[1, 1], [2, 10**400], [3, 3], [1, 1]]])), "numbers"),
        ('{"type": "Polygon", "coordinates": [[[1, 1], [2, ' + "9" * 5000 + "], [3, 3]]]}", "no JSON"),
        (feature(polygon([[["1", "1"], ["2", "2"], ["3", "3"]]])), "numbers"),
        (feature(polygon([[[1, 1], [2], [3, 3], [1, 1]]])), "numbers"),
        (feature(polygon([[1, 2, 3]])), "numbers"),
        (feature(polygon("coordinates")), "no list"),  # type: ignore[arg-type]
        (feature({"type": "MultiPolygon", "coordinates": [7]}), "no list"),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) > 40 else str(value)[:60],
)  # fmt: skip
def test_files_that_hold_no_regions_are_refused(tmp_path: Path, document: Any, why: str) -> None:
    with pytest.raises(RegionError, match=why) as error:
        read_regions(written(tmp_path / "r.geojson", document))
    assert "r.geojson" in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="no file of regions"):
        read_regions(tmp_path / "absent.geojson")
    with pytest.raises(RegionError, match="cannot be read"):
        read_regions(tmp_path)
    (tmp_path / "binary.geojson").write_bytes(b"\x80\xff\x00PK")
    with pytest.raises(RegionError, match="no JSON"):
        read_regions(tmp_path / "binary.geojson")
    with (tmp_path / "large.geojson").open("wb") as file:
        file.truncate(100 * 10**6 + 1)
    with pytest.raises(RegionError, match="over 100 MB"):
        read_regions(tmp_path / "large.geojson")


def test_a_grid_and_given_spots_are_kept_to_the_regions(slide_path: Path) -> None:
    regions = Regions((shapely.box(300, 300, 800, 700),), ("a",), "test")
    away = Regions((shapely.box(5000, 5000, 6000, 6000),), ("a",), "test")
    rng = np.random.default_rng(1)
    with open_slide(slide_path) as slide:
        xy = rng.uniform(0, (slide.width, slide.height), (200, 2))
        given = given_grid(np.arange(200).astype(str), xy, (slide.width, slide.height), slide.scale)
        for grids in ({"grid": "st"}, {"grid": "40"}, {"grid": given}):
            whole = lay_spots(slide, slide.scale, **grids)
            kept = lay_spots(slide, slide.scale, **grids, regions=regions)
            assert 0 < len(kept) < len(whole)
            assert kept.ids.tolist() == whole.ids[regions.inside(whole)].tolist()
            with pytest.raises(GridError, match="No spot lies inside the regions"):
                lay_spots(slide, slide.scale, **grids, regions=away)


def test_a_prediction_inside_regions_tells_of_them(
    slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    regions = Regions((shapely.box(300, 300, 900, 800), shapely.box(900, 300, 1000, 800)), ("a", "b"), "test")
    with open_slide(slide_path) as slide:
        whole = lay_spots(slide, slide.scale, grid="60")
        steps = predict_and_label(
            slide, load_bundle(bundle_path), slide.scale, grid="60", regions=regions, domains=2, device="cpu"
        )
        seen, result = finish(steps)
    count = int(regions.inside(whole).sum())
    assert len(result.grid) == count == seen[-1].total
    told = f"{count} of {len(whole)} spots inside 2 regions of 0.0875 mm2, sha256 {regions.digest}"
    assert result.provenance.regions == told
    loaded = load_result(save_result(result, tmp_path / "r.h5ad"))
    assert loaded.provenance == result.provenance
