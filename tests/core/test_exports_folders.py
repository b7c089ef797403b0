"""Exports of domains as labels, and as folders, read back by the tools that they are for."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import geopandas
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import shapely
import tifffile
from results import laid

from napari_mclstexp.core.annotations import annotation, read_annotations
from napari_mclstexp.core.domain_edits import Annotate, Lock
from napari_mclstexp.core.domain_history import applied
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result

READERS = pytest.mark.filterwarnings("ignore")
"""What the outside libraries say of themselves while they read is none of ours."""
FOLDERS = (".zarr", ".spatialdata.zarr", ".ome.zarr")
HOLED = shapely.Polygon(
    [(100, 100), (900, 120), (800, 900)], [[(500, 300), (600, 300), (600, 400), (500, 400)]]
)


@pytest.fixture(scope="module", params=["hexagonal", "given"])
def result(request: pytest.FixtureRequest) -> Result:
    """With an annotation and a locked domain."""
    made = laid(request.param, (0.45, 0.55))
    note = annotation(
        HOLED, name="DCIS", of_class="Tumour", note="two\nlines", author="A. B.", colour="#aa3377"
    )
    edits = (Annotate(**{k: getattr(note, k) for k in type(note).__dataclass_fields__}), Lock(2, locked=True))
    return made.with_domains(applied(made.domains, edits), len(edits))


def label_at(values: np.ndarray, places: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Values of a picture at full-resolution places (N, 2) y, x."""
    at = np.floor(places / step).astype(int)
    return values[at[:, 0], at[:, 1]]


def test_ome_tiff_is_a_pyramid_of_labels_in_um(result: Result, tmp_path: Path) -> None:
    import ome_types

    path = export_result(result, tmp_path / "d.ome.tif")
    about = result.provenance
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        assert tiff.is_ome
        assert series.axes == "YX"
        assert series.dtype == np.uint16
        values = series.asarray()
        for level, picture in enumerate(series.levels):
            np.testing.assert_array_equal(picture.asarray(), values[:: 2**level, :: 2**level])
    told = ome_types.from_tiff(path).images[0]
    pixels = told.pixels
    assert pixels.physical_size_x_unit.value == "µm"
    step = np.array(
        [pixels.physical_size_y / about.mpp_y, pixels.physical_size_x / about.mpp_x]
    )  # full-resolution px a pixel
    assert np.abs(values.shape * step - (about.height, about.width)).max() <= step.max()
    np.testing.assert_array_equal(label_at(values, result.grid.centres_px, step), result.domains.labels)
    facts = json.loads(told.description)
    assert facts["provenance"]["slide_fingerprint"] == about.slide_fingerprint
    assert facts["provenance"]["statement"].startswith("Predicted from H&E, not measured")
    assert facts["domains"] == {str(k): v for k, v in result.domains.names.items()}


@READERS
def test_ome_zarr_is_valid_and_its_labels_lie_over_the_picture(result: Result, tmp_path: Path) -> None:
    import ome_zarr.io
    import ome_zarr.reader
    import zarr
    from ome_zarr_models.v05.image import Image
    from ome_zarr_models.v05.image_label import ImageLabel

    path = export_result(result, tmp_path / "d.ome.zarr")
    Image.from_zarr(zarr.open_group(path, mode="r"))
    ImageLabel.from_zarr(zarr.open_group(path / "labels" / "domains", mode="r"))
    nodes = list(ome_zarr.reader.Reader(ome_zarr.io.parse_url(str(path)))())
    picture, labels = nodes[0], next(n for n in nodes if "labels/domains" in str(n.zarr.path))
    np.testing.assert_array_equal(np.asarray(picture.data[0]), result.hires.transpose(2, 0, 1))
    values = np.asarray(labels.data[0])
    about = result.provenance
    first, second = labels.metadata["coordinateTransformations"][0]
    scale, shift = np.array(first["scale"]), np.array(second["translation"])
    um = result.grid.centres_px * (about.mpp_y, about.mpp_x)
    at = np.rint((um - shift) / scale).astype(int)
    np.testing.assert_array_equal(values[at[:, 0], at[:, 1]], result.domains.labels)
    over = np.array(picture.metadata["coordinateTransformations"][0][0]["scale"])[1:] * result.hires.shape[:2]
    np.testing.assert_allclose(over, [about.height * about.mpp_y, about.width * about.mpp_x])
    assert {axis.get("unit") for axis in picture.metadata["axes"]} == {None, "micrometer"}
    told = zarr.open_group(path / "labels" / "domains", mode="r").attrs["ome"]["image-label"]
    assert {c["label-value"]: tuple(c["rgba"][:3]) for c in told["colors"]} == {
        label: rgb(colour) for label, colour in result.domains.colours.items()
    }
    assert zarr.open_group(path, mode="r").attrs["mclstexp"]["bundle_hash"] == about.bundle_hash


@READERS
def test_anndata_zarr_is_what_the_h5ad_is_and_scanpy_plots_it(result: Result, tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    stored = ad.read_zarr(export_result(result, tmp_path / "d.zarr"))
    whole = ad.read_h5ad(export_result(result, tmp_path / "d.h5ad"))
    np.testing.assert_array_equal(stored.X, whole.X)
    pd.testing.assert_frame_equal(stored.obs, whole.obs)
    assert stored.uns["mclstexp"]["edits"] == 2
    axes = sc.pl.embedding(stored, "spatial", color=["ERBB2", "domain"], show=False)
    drawn = axes[0].collections[0]
    shown = np.column_stack([drawn.get_offsets(), drawn.get_array()])  # in the order of their values
    wanted = np.column_stack([result.grid.centres_px[:, ::-1], result.gene_values("ERBB2")])
    np.testing.assert_allclose(shown[np.lexsort(shown.T)], wanted[np.lexsort(wanted.T)])


@READERS
def test_spatialdata_reads_back_with_everything_in_one_place(result: Result, tmp_path: Path) -> None:
    import spatialdata

    data = spatialdata.read_zarr(export_result(result, tmp_path / "d.spatialdata.zarr"))
    assert set(data.images) == {"overview"}
    assert set(data.labels) == {"domains_labels"}
    assert set(data.shapes) == {"spots", "domains", "annotations"}
    assert data.coordinate_systems == ["global"]
    extent = spatialdata.get_extent(data.images["overview"])
    np.testing.assert_allclose(extent["x"], (0, result.provenance.width))
    np.testing.assert_allclose(extent["y"], (0, result.provenance.height))
    table = data.tables["table"]
    spots = data.shapes["spots"]
    assert table.obs["instance"].tolist() == spots.index.tolist() == result.grid.ids.tolist()
    np.testing.assert_allclose(np.column_stack([spots.geometry.y, spots.geometry.x]), result.grid.centres_px)
    _, joined = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names="spots", table_name="table"
    )
    assert len(joined) == len(result.grid)
    np.testing.assert_array_equal(table.X, result.expression)
    for name, group in data.shapes["domains"].groupby("name"):
        area = group.geometry.union_all()
        label = next(i for i, n in result.domains.names.items() if n == name)
        centres = shapely.points(result.grid.centres_px[result.domains.labels == label][:, ::-1])
        assert shapely.covers(area, centres).all()
    called = data.tables["domains_table"]
    _, joined = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names="domains_labels", table_name="domains_table"
    )
    names, colours = result.domains.names, result.domains.colours
    assert dict(zip(joined.obs["instance"], joined.obs["domain"], strict=True)) == names
    assert dict(zip(called.obs["instance"], called.uns["domain_colors"], strict=True)) == colours
    assert set(np.unique(data.labels["domains_labels"])) == {0, *called.obs["instance"]}
    assert data.shapes["annotations"].geometry.iloc[0].equals(result.domains.annotations[0].area)
    assert data.attrs["mclstexp"]["statement"].startswith("Predicted from H&E, not measured")


def test_without_its_library_spatialdata_says_what_to_install(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(ExportError, match=r"pip install .napari-mclstexp\[spatialdata\]"):
        export_result(result, tmp_path / "d.spatialdata.zarr")
    assert list(tmp_path.iterdir()) == []


def test_loupe_categories(result: Result, tmp_path: Path) -> None:
    path = export_result(result, tmp_path / "d.loupe.csv")
    table = pd.read_csv(path, dtype=str)
    assert table.columns.tolist() == ["Barcode", "Domain"]
    assert table["Barcode"].tolist() == result.grid.ids.tolist()
    assert table["Domain"].tolist() == [result.domains.names[i] for i in result.domains.labels]
    beside = json.loads((tmp_path / "d.loupe.provenance.json").read_text(encoding="utf-8"))
    assert beside["slide_fingerprint"] == result.provenance.slide_fingerprint


@pytest.mark.parametrize("suffix", FOLDERS)
def test_a_folder_there_is_kept_or_replaced_whole(result: Result, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"d{suffix}"
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export_result(result, target)
    assert [p.name for p in target.iterdir()] == ["mine"]
    export_result(result, target, overwrite=True)
    assert not (target / "mine").exists()
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr", ".loupe.csv"])
def test_labels_need_domains(result: Result, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ExportError, match="no domains"):
        export_result(replace(result, domains=None), tmp_path / f"d{suffix}")


@pytest.mark.parametrize("suffix", FOLDERS)
def test_an_unknown_scale_is_written_as_such(tmp_path: Path, suffix: str) -> None:
    made = laid("square", (0.5, 0.5))
    about = replace(made.provenance, mpp_x=math.nan, mpp_y=math.nan)
    export_result(replace(made, provenance=about), tmp_path / f"d{suffix}")
    if suffix == ".ome.zarr":
        import zarr

        axes = zarr.open_group(tmp_path / f"d{suffix}", mode="r").attrs["ome"]["multiscales"][0]["axes"]
        assert all("unit" not in axis for axis in axes)


def test_annotations_and_locks_survive_every_way(result: Result, tmp_path: Path) -> None:
    loaded = load_result(save_result(result, tmp_path / "r.h5ad"))
    assert loaded.domains.annotations == result.domains.annotations
    assert loaded.domains.locked == {2}
    frame = geopandas.read_file(export_result(result, tmp_path / "d.geojson"))
    drawn = frame[frame["name"] == "DCIS"]
    assert drawn.geometry.iloc[0].equals(HOLED)
    assert frame[frame["name"] == result.domains.names[2]]["isLocked"].tolist() == [True]
    back = [note for note in read_annotations(tmp_path / "d.geojson") if note.name == "DCIS"]
    same = ("wkt", "of_class", "note", "author", "colour")
    (own,) = result.domains.annotations
    assert [getattr(back[0], key) for key in same] == [getattr(own, key) for key in same]


@pytest.mark.parametrize("suffix", [".html", ".pdf"])
def test_the_report_tells_all_of_it_on_one_page(result: Result, tmp_path: Path, suffix: str) -> None:
    import subprocess

    path = export_result(result, tmp_path / f"r{suffix}", gene="ERBB2")
    if suffix == ".pdf":
        pages = subprocess.run(["pdfinfo", path], capture_output=True, text=True, check=True).stdout
        assert re.search(r"Pages:\s+1\n", pages)
        words = ["pdftotext", "-layout", path, "-"]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    else:
        text = path.read_text(encoding="utf-8")
        assert "http" not in text.partition("<body>")[0], "it needs no other file"
        assert text.count("data:image/png;base64,") == 2
    for word in (*result.domains.names.values(), "DCIS", "ERBB2", "Predicted from H&", "not evaluated"):
        assert word in text, word
    assert result.provenance.slide_fingerprint in "".join(text.split())
