"""Every export of a real section, read by the tools of others: spots lie on the tissue, values are the same.

The spots, the picture and the values are those of the section C2 of her2st; only what a model says of its own
(similarity and the like) is made up, so that none need run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import anndata as ad
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from PIL import Image
from results import build

from napari_mclstexp.core.domains import find_domains
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.scale import Scale

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

MPP = 0.737
SIZE = 9274, 9911
GENES = ("ERBB2", "COL1A1", "COL3A1", "KRT19", "FASN", "CD3D", "VIM", "ACTB", "HLA-A", "IGKC", "SCD", "DCN")
READERS = pytest.mark.filterwarnings("ignore")
"""What the outside libraries say of themselves while they read is none of ours."""


@pytest.fixture(scope="module")
def result(real: Path) -> Result:
    """Measured values at the measured spots, in five domains."""
    folder = real / "her2st"
    table = pd.read_csv(folder / "spots" / "C2_selection.tsv", sep="\t")
    ids = table["x"].astype(str) + "x" + table["y"].astype(str)
    counts = pd.read_csv(folder / "cnts" / "C2.tsv.gz", sep="\t", index_col=0).loc[ids]
    values = np.log1p(counts.div(counts.sum(axis=1), axis=0) * 1e4)[list(GENES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(folder / "C2.jpg") as picture:
            assert picture.size == SIZE
            picture.draft("RGB", (SIZE[0] // 4, SIZE[1] // 4))
            hires = np.asarray(picture.resize((1871, 2000)))
    grid = given_grid(
        ids.to_numpy(dtype=str), table[["pixel_x", "pixel_y"]].to_numpy(), SIZE, Scale(MPP, MPP, "test")
    )
    made = replace(
        build(grid, SIZE, (MPP, MPP)),
        genes=GENES,
        expression=values.to_numpy(dtype=np.float32),
        hires=hires,
        lowres=np.asarray(Image.fromarray(hires).resize((561, 600))),
    )
    return find_domains(made, 5)


def names(result: Result) -> list[str]:
    """Domain of each spot."""
    return [result.domains.names[label] for label in result.domains.labels]


def on_tissue(picture: NDArray[np.uint8], places: NDArray[np.float64]) -> float:
    """Share of places (N, 2) y, x px that are darker than the empty glass, which is most of a picture."""
    grey = picture.mean(axis=2)
    glass = np.percentile(grey, 50)
    around = [grey[int(y) - 10 : int(y) + 11, int(x) - 10 : int(x) + 11].mean() for y, x in places]
    return float((np.array(around) < glass - 15).mean())


def test_geojson_in_geopandas(result: Result, tmp_path: Path) -> None:
    frame = geopandas.read_file(export_result(result, tmp_path / "d.geojson")).set_crs(
        None, allow_override=True
    )
    assert frame.is_valid.all()
    spots, areas = (frame[frame["objectType"] == kind] for kind in ("detection", "annotation"))
    assert (len(spots), len(areas)) == (187, 5)
    middles = np.column_stack([spots.geometry.centroid.y, spots.geometry.centroid.x])
    np.testing.assert_allclose(middles, result.grid.centres_px, atol=0.05)
    for name, area in zip(areas["name"], areas.geometry, strict=True):
        inside = shapely.covers(area, shapely.points(result.grid.centres_px[:, ::-1]))
        assert inside.tolist() == [name == other for other in names(result)]
    whole = shapely.union_all(areas.geometry.to_numpy(), grid_size=0.01)
    assert sum(len(part.interiors) for part in shapely.get_parts(whole)) == 0, "gaps between the spots"
    assert whole.area * MPP**2 / 1e6 == pytest.approx(187 * 0.2**2, rel=0.25)


@READERS
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_anndata_on_the_tissue(result: Result, tmp_path: Path, suffix: str) -> None:
    read = ad.read_h5ad if suffix == ".h5ad" else ad.read_zarr
    data = read(export_result(result, tmp_path / f"d{suffix}"))
    np.testing.assert_array_equal(data.X, result.expression)
    assert data.obs["domain"].tolist() == names(result)
    (section,) = data.uns["spatial"].values()
    assert section["scalefactors"]["spot_diameter_fullres"] == pytest.approx(100 / MPP, rel=0.02)
    for kind in ("hires", "lowres"):
        shown = section["images"][kind]
        at = data.obsm["spatial"][:, ::-1] * section["scalefactors"][f"tissue_{kind}_scalef"]
        assert on_tissue(shown, at) > 0.98, kind
        assert on_tissue(shown, at[:, ::-1]) < 0.9, "x and y are told apart by this section"


@READERS
def test_spatialdata_on_the_tissue(result: Result, tmp_path: Path) -> None:
    import spatialdata

    data = spatialdata.read_zarr(export_result(result, tmp_path / "d.spatialdata.zarr"))
    spots = data.shapes["spots"]
    assert spots["radius"].mean() * MPP == pytest.approx(50, rel=0.02)
    centres = np.column_stack([spots.geometry.y, spots.geometry.x])
    picture = np.asarray(data.images["overview"]).transpose(1, 2, 0)
    assert on_tissue(picture, centres * picture.shape[0] / SIZE[1]) > 0.98
    labels = np.asarray(data.labels["domains_labels"])
    step = spatialdata.transformations.get_transformation(data.labels["domains_labels"]).scale
    at = np.floor(centres / step).astype(int)
    np.testing.assert_array_equal(labels[at[:, 0], at[:, 1]], result.domains.labels)
    assert data.tables["table"].obs["domain"].tolist() == names(result)
    assert len(data.tables["domains_table"]) == 5


@READERS
def test_ome_zarr_by_its_validator(result: Result, tmp_path: Path) -> None:
    import zarr
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader
    from ome_zarr_models.v05.image import Image as OmeImage
    from ome_zarr_models.v05.image_label import ImageLabel

    path = export_result(result, tmp_path / "d.ome.zarr")
    OmeImage.from_zarr(zarr.open_group(path, mode="r"))  # asks for as many levels of the labels, too
    ImageLabel.from_zarr(zarr.open_group(path / "labels" / "domains", mode="r"))
    nodes = list(Reader(parse_url(str(path)))())
    picture, labels = nodes[0], next(node for node in nodes if "labels/domains" in str(node.zarr.path))
    assert [level.shape for level in picture.data] == [(3, 2000, 1871), (3, 1000, 936), (3, 500, 468)]
    um = result.grid.centres_px * MPP
    for node in (picture, labels):
        for level, (scale, shift) in zip(node.data, node.metadata["coordinateTransformations"], strict=True):
            step, first = np.array(scale["scale"])[-2:], np.array(shift["translation"])[-2:]
            at, values = (um - first) / step, np.asarray(level)
            if node is picture:
                if values.shape[1] > 600:
                    assert on_tissue(values.transpose(1, 2, 0), at) > 0.9
                middle = first + step * (np.array(values.shape[1:]) - 1) / 2
                np.testing.assert_allclose(middle, np.array(SIZE[::-1]) * MPP / 2, atol=1.1 * step.max())
            else:
                found = values[tuple(np.rint(at).astype(int).T)]
                assert (found == result.domains.labels).mean() > 0.99


def test_ome_tiff_by_tifffile_and_its_model(result: Result, tmp_path: Path) -> None:
    import ome_types

    path = export_result(result, tmp_path / "d.ome.tif")
    pixels = ome_types.from_tiff(path).images[0].pixels
    step = np.array([pixels.physical_size_y, pixels.physical_size_x])
    extent = step * (pixels.size_y, pixels.size_x)
    assert (extent - np.array(SIZE[::-1]) * MPP < step).all()
    with tifffile.TiffFile(path) as tiff:
        labels = tiff.series[0].asarray()
    at = np.floor(result.grid.centres_px * MPP / step).astype(int)
    np.testing.assert_array_equal(labels[at[:, 0], at[:, 1]], result.domains.labels)


def test_tables_by_pandas(result: Result, tmp_path: Path) -> None:
    table = pd.read_csv(export_result(result, tmp_path / "d.csv"))
    np.testing.assert_allclose(table[list(GENES)], result.expression, atol=1e-6)
    np.testing.assert_allclose(table[["y_px", "x_px"]], result.grid.centres_px, atol=1e-3)
    np.testing.assert_allclose(table["x_um"], table["x_px"] * MPP, atol=2e-3)
    assert table["domain"].tolist() == names(result)
    told = json.loads((tmp_path / "d.provenance.json").read_text(encoding="utf-8"))
    assert told["mpp_x"] == MPP
    categories = pd.read_csv(export_result(result, tmp_path / "d.loupe.csv"))
    assert categories.to_numpy().tolist() == [
        [i, n] for i, n in zip(result.grid.ids, names(result), strict=True)
    ]


@pytest.mark.parametrize("suffix", [".png", ".figure.pdf", ".html", ".pdf"])
def test_pictures_and_pages_show_tissue_and_domains(result: Result, tmp_path: Path, suffix: str) -> None:
    """Read by Pillow or drawn by poppler, each domain's colour is seen over the tissue."""
    path = export_result(result, tmp_path / f"d{suffix}")
    if suffix == ".html":
        text = path.read_text(encoding="utf-8")
        assert all(name in text for name in result.domains.names.values())
        png = b64decode(text.split("base64,")[1].split("'")[0])
        with Image.open(BytesIO(png)) as first:
            shown = np.asarray(first.convert("RGB"))
    else:
        with Image.open(path if suffix == ".png" else _drawn(path)) as picture:
            shown = np.asarray(picture.convert("RGB"))
    for colour in result.domains.colours.values():
        near = (np.abs(shown.astype(int) - rgb(colour)) <= 12).all(axis=2)  # outline and legend
        assert near.sum() > 20, colour
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 5000, "the picture of the slide is not there"


def _drawn(path: Path) -> Path:
    """The page as a picture, by poppler."""
    if shutil.which("pdftoppm") is None:
        pytest.skip("pdftoppm of poppler is not installed")
    target = path.with_name("drawn")
    subprocess.run(["pdftoppm", "-r", "100", "-png", "-singlefile", path, target], check=True)
    return target.with_suffix(".png")


def test_the_drawing_holds_tissue_and_domains(result: Result, tmp_path: Path) -> None:
    path = export_result(result, tmp_path / "d.svg")
    root = ET.parse(path).getroot()
    assert root.tag.endswith("}svg")
    pictures = [part for part in root.iter() if part.tag.endswith("}image")]
    assert pictures
    text = path.read_text(encoding="utf-8")
    assert all(colour in text for colour in result.domains.colours.values())
