"""Exports, read back by the tools that they are for."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import re
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import geopandas
import h5py
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image
from results import build, laid
from scipy import ndimage

from napari_mclstexp.core.cells import spot_cells
from napari_mclstexp.core.domain_edits import Assign, Merge, Split
from napari_mclstexp.core.domain_history import applied
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.raster import raster_labels
from napari_mclstexp.core.result import Domains, Result
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.errors import ExportError, GeneError, ResultError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SUFFIXES = (
    ".geojson", ".csv", ".loupe.csv", ".h5ad", ".ome.tif", ".png", ".svg", ".figure.pdf", ".html", ".pdf",
)  # fmt: skip
SLIVER = 2e-5
"""Corners are rounded to 0.01 px: so much of the area may overlap along a border."""


@pytest.fixture(scope="module")
def result(result_path: Path) -> Result:
    return load_result(result_path)


def alike(one: Result, two: Result) -> None:
    """Demand that two results say the same."""
    assert one.genes == two.genes
    for field in ("expression", "similarity", "spread", "effective_k", "hires", "lowres"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field), err_msg=field)
    for field in ("ids", "centres_px", "array_row", "array_col"):
        np.testing.assert_array_equal(getattr(one.grid, field), getattr(two.grid, field), err_msg=field)
    np.testing.assert_equal(one.grid.pitch_px, two.grid.pitch_px)
    np.testing.assert_equal(one.provenance.as_dict(), two.provenance.as_dict())
    assert (one.domains is None) == (two.domains is None)
    if one.domains is not None and two.domains is not None:
        np.testing.assert_array_equal(one.domains.labels, two.domains.labels)
        assert dict(one.domains.names) == dict(two.domains.names)
        assert dict(one.domains.colours) == dict(two.domains.colours)


# --- GeoJSON ---------------------------------------------------------------------


def geojson(result: Result, path: Path) -> tuple[list[dict[str, Any]], geopandas.GeoDataFrame]:
    export_result(result, path)

    def none(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=none)
    assert document["type"] == "FeatureCollection"
    frame = geopandas.GeoDataFrame.from_features(document["features"])
    assert len(geopandas.read_file(path)) == len(frame) == len(document["features"])
    return document["features"], frame


@pytest.mark.parametrize("layout", ["hexagonal", "square", "given"])
@pytest.mark.parametrize("mpp", [(0.5, 0.5), (0.45, 0.55)])
@pytest.mark.parametrize("painted", [False, True])
def test_geojson_domains_are_valid_disjoint_and_cover_the_spots(
    tmp_path: Path, layout: str, mpp: tuple[float, float], painted: bool
) -> None:
    result = laid(layout, mpp)
    if painted:
        rows = np.random.default_rng(1).permutation(len(result.grid))
        edits = (
            Assign(tuple(rows[:20].tolist()), 2),
            Split(tuple(rows[20:26].tolist()), "New", "#123456"),
            Merge((1, 3)),
        )
        result = result.with_domains(applied(result.domains, edits))
    features, frame = geojson(result, tmp_path / "d.geojson")
    assert frame.is_valid.all()
    assert not frame.is_empty.any()
    ids = [f["id"] for f in features]
    assert len(set(ids)) == len(ids)
    assert all(str(uuid.UUID(i)) == i for i in ids)
    domains = frame[frame["objectType"] == "annotation"]
    spots = frame[frame["objectType"] == "detection"]
    assert result.domains is not None
    assert len(domains) == len(result.domains.names)
    assert len(spots) == len(result.grid)
    areas = domains.geometry.to_numpy()
    assert shapely.union_all(areas).area == pytest.approx(shapely.area(areas).sum(), rel=SLIVER)
    whole = shapely.area(spot_cells(result.grid)).sum()
    assert shapely.area(areas).sum() == pytest.approx(whole, rel=SLIVER), "a gap, or an overlap"
    names = dict(zip(domains["name"], areas, strict=True))
    for i, (y, x) in enumerate(result.grid.centres_px):
        name = result.domains.names[int(result.domains.labels[i])]
        assert names[name].buffer(0.05).covers(shapely.Point(x, y))
        assert shapely.Point(spots.geometry.iloc[i].centroid).distance(shapely.Point(x, y)) < 0.1
    total = sum(
        f["properties"]["measurements"]["Spots"]
        for f in features
        if f["properties"]["objectType"] == "annotation"
    )
    assert total == len(result.grid)


def test_geojson_is_what_qupath_takes(tmp_path: Path, result: Result) -> None:
    features, _ = geojson(result, tmp_path / "d.geojson")
    assert result.domains is not None
    kinds = {"annotation": 0, "detection": 0}
    for feature in features:
        properties = feature["properties"]
        kinds[properties["objectType"]] += 1
        colour = properties["classification"]["color"]
        assert len(colour) == 3
        assert all(isinstance(c, int) and 0 <= c <= 255 for c in colour)
        assert isinstance(properties["classification"]["name"], str)
        assert properties["measurements"]
        for value in properties["measurements"].values():
            assert isinstance(value, (int, float))
            assert math.isfinite(value)
        geometry = feature["geometry"]
        rings = (
            geometry["coordinates"]
            if geometry["type"] == "Polygon"
            else [r for polygon in geometry["coordinates"] for r in polygon]
        )
        assert geometry["type"] == "Polygon" or len(geometry["coordinates"]) > 1
        for ring in rings:
            assert ring[0] == ring[-1]
            assert len(ring) >= 4
    assert kinds == {"annotation": len(result.domains.names), "detection": len(result.grid)}
    spot = next(f for f in features if f["properties"]["objectType"] == "detection")
    assert spot["geometry"]["isEllipse"] is True
    assert set(result.genes) < spot["properties"]["measurements"].keys()
    assert spot["properties"]["measurements"]["ERBB2"] == pytest.approx(
        float(result.gene_values("ERBB2")[0]), rel=1e-4
    )
    label = int(result.domains.labels[0])
    assert spot["properties"]["classification"]["color"] == list(rgb(result.domains.colours[label]))
    domain = next(f for f in features if f["properties"]["objectType"] == "annotation")
    metadata = domain["properties"]["metadata"]
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["slide_fingerprint"] == result.provenance.slide_fingerprint
    assert metadata["bundle_hash"] == result.provenance.bundle_hash
    assert "not measured" in metadata["statement"]


def test_geojson_has_the_form_that_qupath_itself_writes(tmp_path: Path, real: Path, result: Result) -> None:
    theirs = json.loads((real / "qupath-geojson" / "dlup_qupath05.geojson").read_text(encoding="utf-8"))
    ours = json.loads(export_result(result, tmp_path / "d.geojson").read_text(encoding="utf-8"))
    assert theirs["type"] == ours["type"]
    wanted = theirs["features"][0]
    assert "objectType" in wanted["properties"]
    for feature in ours["features"]:
        assert wanted.keys() <= feature.keys()
        assert {"objectType", "name"} <= feature["properties"].keys()
        assert len(feature["id"]) == len(wanted["id"])


@pytest.mark.parametrize(
    "xy",
    [
        [(500.0, 500.0)],
        [(100.0, 100.0), (300.0, 100.0)],
        [(100.0 * i, 700.0) for i in range(1, 9)],  # on one line
        [(100.0 * i, 100.0 * i) for i in range(1, 9)],
        [(100.0, 100.0), (100.0, 100.0), (300.0, 100.0), (300.0, 300.0), (100.0, 300.0)],  # two at one place
        [(0.0, 0.0), (999.0, 0.0), (0.0, 999.0), (999.0, 999.0)],
    ],
    ids=["one", "two", "line", "diagonal", "double", "corners"],
)
def test_geojson_of_odd_spots_is_valid(tmp_path: Path, xy: list[tuple[float, float]]) -> None:
    points = np.array(xy)
    grid = given_grid(np.arange(len(xy)).astype(str), points, (1000, 1000), None)
    _, frame = geojson(build(grid, (1000, 1000), (math.nan, math.nan)), tmp_path / "o.geojson")
    assert frame.is_valid.all()
    areas = frame[frame["objectType"] == "annotation"].geometry.to_numpy()
    assert shapely.union_all(areas).area == pytest.approx(shapely.area(areas).sum(), rel=SLIVER)
    assert shapely.union_all(areas).buffer(0.1).covers(shapely.multipoints(points))


@pytest.mark.parametrize("layout", ["hexagonal", "square", "given"])
def test_cells_are_disjoint_and_hold_their_spots(layout: str) -> None:
    grid = laid(layout).grid
    cells = spot_cells(grid)
    assert shapely.is_valid(cells).all()
    assert shapely.covers(cells, shapely.points(grid.centres_px[:, ::-1])).all()
    assert shapely.union_all(cells).area == pytest.approx(shapely.area(cells).sum(), rel=SLIVER)
    inner = np.median(shapely.area(cells))
    if layout == "hexagonal":
        assert inner == pytest.approx(100.0**2 * math.sqrt(3) / 2, rel=1e-3)
    elif layout == "square":
        assert inner == pytest.approx(120.0**2, rel=1e-3)


def test_spots_off_their_places_leave_no_gaps_between_them() -> None:
    """As measured ones lie, up to a tenth of a pitch off; where one is missing there is a hole."""
    rng = np.random.default_rng(1)
    row, col = (a.ravel() for a in np.mgrid[:14, :12])
    xy = np.column_stack([col, row]) * 270.0 + 500 + rng.uniform(-25, 25, (14 * 12, 2))
    size = 5000, 5000
    for missing in ((), (77,)):
        kept = np.delete(np.arange(len(xy)), missing)
        grid = given_grid(kept.astype(str), xy[kept], size, Scale(0.7, 0.7, "t"))
        area = shapely.union_all(spot_cells(grid), grid_size=0.01)
        assert area.geom_type == "Polygon"
        holes = [shapely.Polygon(ring) for ring in area.interiors]
        assert len(holes) == len(missing)
        assert all(hole.contains(shapely.Point(xy[i])) for hole, i in zip(holes, missing, strict=True))
        far = shapely.distance(shapely.points(shapely.get_coordinates(area)), shapely.MultiPoint(xy[kept]))
        assert far.max() < 0.8 * grid.pitch_px[0], "it spreads beyond the outermost"
        # The picture of labels has the same gaps.
        raster = raster_labels(grid, np.ones(len(grid), np.int32))
        _, gaps = ndimage.label(raster.values == 0, np.ones((3, 3)))
        assert gaps == 1 + len(missing)


# --- AnnData ----------------------------------------------------------------------


def test_the_result_file_is_what_the_contract_lists(
    result_path: Path, slide_path: Path, bundle_path: Path
) -> None:
    data = ad.read_h5ad(result_path)
    about = data.uns["mclstexp"]
    wanted = {
        "schema_version", "slide_fingerprint", "width", "height", "mpp_x", "mpp_y", "mpp_source", "layout",
        "pitch_um", "bundle_id", "bundle_hash", "mode", "backend", "batch_size", "threads", "seed",
    }  # fmt: skip
    assert wanted <= set(about)
    assert (about["width"], about["height"]) == (1500, 1300)
    assert (about["layout"], about["pitch_um"], about["mode"], about["seed"]) == (
        "hexagonal",
        100.0,
        "corrected",
        0,
    )
    assert about["mpp_x"] == pytest.approx(0.5)
    assert len(about["slide_fingerprint"]) == 64
    assert {"domain", "similarity", "spread", "effective_k", "in_tissue", "array_row", "array_col"} <= set(
        data.obs
    )
    assert isinstance(data.obs["domain"].dtype, pd.CategoricalDtype)
    assert len(data.uns["domain_colors"]) == len(data.obs["domain"].cat.categories) == 3
    assert all(isinstance(name, str) for name in data.obs_names)
    assert data.obsm["spatial"].dtype == np.float64
    assert data.obsm["spatial"].shape == (data.n_obs, 2)
    assert (data.obsm["spatial"] < (1500, 1300)).all()
    assert np.isfinite(data.X).all()
    spec = json.loads((bundle_path / "bundle.json").read_text(encoding="utf-8"))
    assert data.var_names.tolist() == spec["genes"]
    (library,) = data.uns["spatial"].values()
    assert max(library["images"]["hires"].shape) <= 2000
    assert library["images"]["hires"].dtype == np.uint8
    assert max(library["images"]["lowres"].shape) <= 600
    factors = library["scalefactors"]
    for size in ("hires", "lowres"):
        height, width = library["images"][size].shape[:2]
        assert factors[f"tissue_{size}_scalef"] == pytest.approx(width / 1500, rel=1e-3)
        assert factors[f"tissue_{size}_scalef"] == pytest.approx(height / 1300, rel=1e-2)
    assert factors["spot_diameter_fullres"] == pytest.approx(55 / 0.5, rel=1e-3)
    np.testing.assert_allclose(
        data.obsm["spatial"][:, 1], (data.obs["array_row"] + 0.5) * 50 * math.sqrt(3) / 0.5
    )


def test_scanpy_draws_the_result(result_path: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own, on import and on its deprecated plot
        import matplotlib as mpl

        mpl.use("agg")
        import matplotlib.pyplot as plt
        import scanpy as sc

        data = sc.read_h5ad(result_path)
        axes = sc.pl.spatial(data, color=["ERBB2", "domain"], show=False)
    try:
        assert len(axes) == 2
        shown = axes[0].get_images()[0].get_array()
        (library,) = data.uns["spatial"].values()
        assert shown.shape[:2] == library["images"]["hires"].shape[:2]
        factor = library["scalefactors"]["tissue_hires_scalef"]
        left, right = sorted(axes[0].get_xlim())
        x = data.obsm["spatial"][:, 0] * factor
        assert left <= x.min() < x.max() <= right  # spots lie on the picture
        handles = axes[1].get_legend().legend_handles
        assert len(handles) == 3
    finally:
        plt.close("all")


@pytest.mark.parametrize("layout", ["hexagonal", "square", "given"])
def test_a_result_reads_back_as_it_was_saved(tmp_path: Path, layout: str) -> None:
    made = laid(layout)
    alike(load_result(save_result(made, tmp_path / "r.h5ad")), made)


def test_a_result_of_the_command_line_exports_to_itself(tmp_path: Path, result: Result) -> None:
    alike(load_result(export_result(result, tmp_path / "again.h5ad")), result)


def test_unknown_scale_one_spot_odd_ids_and_no_domains_read_back(tmp_path: Path) -> None:
    grid = given_grid(np.array(["007"]), np.array([[5.0, 6.0]]), (100, 80), None)
    one = build(grid, (100, 80), (math.nan, math.nan))
    alike(load_result(save_result(one, tmp_path / "1.h5ad")), one)
    bare = dataclasses.replace(one, domains=None)
    alike(load_result(save_result(bare, tmp_path / "2.h5ad")), bare)
    ids = np.array(["007", "NA", "", "a/b", "ä", "1e5", "=SUM(A1)", "x" * 300])
    grid = given_grid(ids, np.random.default_rng(0).uniform(0, 80, (8, 2)), (100, 80), None)
    odd = build(grid, (100, 80), (math.nan, math.nan))
    alike(load_result(save_result(odd, tmp_path / "3.h5ad")), odd)


def test_edited_domains_read_back(tmp_path: Path) -> None:
    made = laid("square")
    labels = made.domains.labels.copy()
    labels[:5] = 0
    renamed = made.with_domains(
        Domains(labels, {1: "tumour / DCIS", 2: "Ünïcode", 3: "=x", 4: "fat"}, made.domains.colours)
    )
    loaded = load_result(save_result(renamed, tmp_path / "r.h5ad"))
    alike(loaded, renamed)
    for suffix in SUFFIXES:
        assert export_result(loaded, tmp_path / f"out{suffix}").stat().st_size > 0


def test_two_domains_of_one_name_are_saved_or_refused(tmp_path: Path) -> None:
    made = laid("square")
    doubled = made.with_domains(
        Domains(made.domains.labels, dict.fromkeys(range(1, 5), "tumour"), made.domains.colours)
    )
    try:
        loaded = load_result(save_result(doubled, tmp_path / "r.h5ad"))
    except (ExportError, ResultError):
        return
    assert set(loaded.domains.names.values()) == {"tumour"}


@pytest.mark.parametrize(
    "spoil",
    [
        "schema", "schema text", "no provenance", "no width", "no spatial", "no pictures", "no similarity",
        "similarity nan", "X nan", "obsm nan", "text X", "colours", "no file", "empty", "half", "no h5",
    ],
)  # fmt: skip
def test_other_files_are_no_results(result_path: Path, tmp_path: Path, run: Callable, spoil: str) -> None:
    path = tmp_path / "r.h5ad"
    content = result_path.read_bytes()
    if spoil != "no file":
        path.write_bytes(
            {"empty": b"", "half": content[: len(content) // 2], "no h5": b"x" * 999}.get(spoil, content)
        )
    if spoil not in ("no file", "empty", "half", "no h5"):
        data = ad.read_h5ad(path)
        if spoil == "schema":
            data.uns["mclstexp"]["schema_version"] = 99
        elif spoil == "schema text":
            data.uns["mclstexp"]["schema_version"] = "newest"
        elif spoil == "no provenance":
            del data.uns["mclstexp"]
        elif spoil == "no width":
            del data.uns["mclstexp"]["width"]
        elif spoil == "no spatial":
            del data.obsm["spatial"]
        elif spoil == "no pictures":
            del data.uns["spatial"]
        elif spoil == "no similarity":
            del data.obs["similarity"]
        elif spoil == "similarity nan":
            data.obs["similarity"] = np.nan
        elif spoil == "X nan":
            data.X[0, 0] = np.nan
        elif spoil == "obsm nan":
            data.obsm["spatial"][0, 0] = np.inf
        elif spoil == "text X":
            data.obs["spread"] = ["wide"] * data.n_obs
        elif spoil == "colours":
            data.uns["domain_colors"] = ["javascript:alert(1)"] * 3
        data.write_h5ad(path)
    for suffix in SUFFIXES:
        ended = run("export", path, "--to", tmp_path / f"out{suffix}")
        if spoil == "colours" and ended.code == 0:
            continue  # drawn in our own colours
        if spoil == "similarity nan" and ended.code == 0 and suffix != ".geojson":
            continue
        assert ended.code == 2, (suffix, ended.err)
        assert len(ended.err.strip().splitlines()) <= 2
        assert not (tmp_path / f"out{suffix}").exists()


def test_a_result_that_points_elsewhere_is_refused(result_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.h5ad"
    path.write_bytes(result_path.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = h5py.ExternalLink(str(result_path), "X")
    with pytest.raises(ResultError, match="link"):
        load_result(path)


def test_a_damaged_result_never_ends_in_another_error(result_path: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = result_path.read_bytes()
    with h5py.File(result_path) as file:
        spread = file["obs/spread"].id.get_offset() or 2000
    for trial in range(40):
        damaged = bytearray(content)
        low, high = (0, len(content)) if trial % 2 else (0, max(spread, 4000))
        for at in rng.integers(low, high, 8):
            damaged[at] ^= int(rng.integers(1, 256))
        (tmp_path / "r.h5ad").write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ResultError):
                load_result(tmp_path / "r.h5ad")


# --- CSV ---------------------------------------------------------------------------


def test_the_csv_reads_back(tmp_path: Path, result: Result) -> None:
    export_result(result, tmp_path / "s.csv")
    table = pd.read_csv(tmp_path / "s.csv", dtype={"spot_id": str})
    assert table.columns.tolist() == ["spot_id", "x_px", "y_px", "x_um", "y_um", "domain", *result.genes]
    assert table["spot_id"].tolist() == result.grid.ids.tolist()
    np.testing.assert_allclose(table[["y_px", "x_px"]], result.grid.centres_px, atol=0.01)
    np.testing.assert_allclose(table["x_um"], result.grid.centres_px[:, 1] * 0.5, atol=0.01)
    np.testing.assert_allclose(table[list(result.genes)], result.expression, rtol=1e-4, atol=1e-5)
    assert result.domains is not None
    assert table["domain"].tolist() == [result.domains.names[int(n)] for n in result.domains.labels]
    facts = json.loads((tmp_path / "s.provenance.json").read_text(encoding="utf-8"))
    assert facts["slide_fingerprint"] == result.provenance.slide_fingerprint
    assert "not measured" in facts["statement"]


def test_csv_places_on_a_large_slide_keep_their_hundredths(tmp_path: Path) -> None:
    xy = np.array([[123456.78, 98765.43], [234567.89, 198765.43], [250000.12, 150000.34]])
    made = build(
        given_grid(np.array(list("abc")), xy, (300_000, 200_000), Scale(0.25, 0.25, "t")), (300_000, 200_000)
    )
    export_result(made, tmp_path / "s.csv")
    table = pd.read_csv(tmp_path / "s.csv")
    np.testing.assert_allclose(table[["x_px", "y_px"]], xy, atol=0.006)


def test_csv_text_that_looks_like_a_formula_is_text_and_numbers_are_numbers(tmp_path: Path) -> None:
    ids = np.array(["=1+1", "+A1", "-A1", "@SUM", "\tx", "plain", "a=1", 'q"uo,te'])
    grid = given_grid(ids, np.random.default_rng(0).uniform(0, 80, (8, 2)), (100, 80), None)
    made = build(grid, (100, 80), (math.nan, math.nan))
    genes = ("=GENE", "-X", "HLA-A", "@G")
    names = dict.fromkeys(made.domains.names, "")
    names = {n: f"=cmd{n}" for n in names}
    made = dataclasses.replace(
        made,
        genes=genes,
        expression=-made.expression,
        domains=Domains(made.domains.labels, names, made.domains.colours),
    )
    export_result(made, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[6:] == ["'=GENE", "'-X", "HLA-A", "'@G"]
    assert [row[0] for row in rows] == ["'=1+1", "'+A1", "'-A1", "'@SUM", "'\tx", "plain", "a=1", 'q"uo,te']
    assert all(row[5].startswith("'=cmd") for row in rows)
    assert all(row[3] == row[4] == "" for row in rows)  # um unknown
    values = np.array([[float(v) for v in row[6:]] for row in rows])
    assert (values < 0).all()  # a minus is no formula
    np.testing.assert_allclose(values, made.expression, rtol=1e-4)


# --- pictures and names ------------------------------------------------------------


@pytest.mark.parametrize("gene", [None, "ERBB2"])
def test_pictures_show_something_at_their_size(tmp_path: Path, result: Result, gene: str | None) -> None:
    small, large = (export_result(result, tmp_path / f"{d}.png", gene=gene, dpi=d) for d in (40, 80))
    with Image.open(small) as one, Image.open(large) as two:
        assert two.size[0] == pytest.approx(2 * one.size[0], abs=2)
        assert "not measured" in one.info["Description"]
        assert np.asarray(one.convert("RGB")).std() > 20


def test_the_longest_known_suffix_wins_in_any_case(tmp_path: Path, result: Result) -> None:
    export_result(result, tmp_path / "a.csv.GeoJSON")
    assert json.loads((tmp_path / "a.csv.GeoJSON").read_text(encoding="utf-8"))["type"] == "FeatureCollection"
    for name in ("a", "a.xyz", "geojson", ".csv", "a.csv.bak"):
        with pytest.raises(ExportError, match="Known are"):
            export_result(result, tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_existing_targets_are_kept(tmp_path: Path, result: Result, suffix: str) -> None:
    target = tmp_path / f"t{suffix}"
    target.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export_result(result, target)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["mine"]
    export_result(result, target, overwrite=True)
    assert target.read_bytes() != b"mine"


def test_unknown_genes_are_named_with_their_like(tmp_path: Path, result: Result) -> None:
    with pytest.raises(GeneError, match=r"'ERBB'.*ERBB2"):
        export_result(result, tmp_path / "a.png", gene="ERBB")
    assert not list(tmp_path.iterdir())
    with pytest.raises(GeneError):
        result.gene_values("")


def test_nothing_of_a_patient_or_path_is_in_any_export(
    tmp_path: Path, slide_path: Path, bundle_path: Path, result: Result
) -> None:
    for suffix in SUFFIXES:
        export_result(result, tmp_path / f"out{suffix}")
    texts = {p.name: p.read_bytes().lower() for p in tmp_path.iterdir()}
    pixels = rb"base64,[^\"']*"  # letters of any kind, by chance
    for name in ("out.svg", "out.html"):
        texts[name] = re.sub(pixels, b"", texts[name])
    with h5py.File(tmp_path / "out.h5ad") as file:
        words: list[str] = []

        def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
            words.append(name)
            if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype):
                words.extend(np.ravel(item.asstr()[()]).tolist())

        file.visititems(collect)
    texts["words of out.h5ad"] = "\n".join(words).lower().encode()
    assert "erbb2" in texts["words of out.h5ad"].decode()
    for part in bundle_path.iterdir():
        texts[part.name] = part.read_bytes().lower()
    for name, text in texts.items():
        for secret in ("anna", "secret_1961", str(slide_path.parent).lower(), "/tmp/"):
            assert secret.encode() not in text, f"{secret} in {name}"
