"""Measured sections: opened with their slide, laid on it, and compared with a prediction."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from steps import finish
from visium_folder import FACTOR, PITCH_PX, write_visium

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.measured.on_slide import pair_spots
from napari_mclstexp.core.measured.reading import read_measured
from napari_mclstexp.core.pipeline import predict_and_label
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import GeneError, GridError, SectionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome


@pytest.fixture
def counts() -> np.ndarray:
    values = np.random.default_rng(0).poisson(30, (25, 12))
    values[3] = 0
    values[3, 0] = 1  # one count: it would normalise to 9.2
    return values


def test_a_visium_folder_opens_the_full_resolution_image_in_it(
    tmp_path: Path, picture: Callable[..., np.ndarray], counts: np.ndarray
) -> None:
    pixels = picture(1, 1000, 900)
    write_visium(tmp_path / "outs", pixels, counts)
    Image.new("RGB", (640, 480), "red").save(tmp_path / "outs" / "web_summary.png")  # of another size
    with open_slide(tmp_path) as slide:
        assert (slide.width, slide.height) == (1000, 900)
        assert slide.companion.factor == 1.0
        assert not slide.not_for_model
        np.testing.assert_array_equal(slide.read(300, 200, 50, 40), pixels[200:240, 300:350])
        measured = read_measured(slide.companion.path, slide, slide.companion.factor)
    assert measured.scale.mpp_x == pytest.approx(100 / PITCH_PX)


def test_without_it_the_small_picture_opens_in_its_own_scale(
    tmp_path: Path,
    picture: Callable[..., np.ndarray],
    counts: np.ndarray,
    run: Callable[..., Outcome],
    bundle_path: Path,
) -> None:
    table = write_visium(tmp_path / "outs", picture(1, 1000, 900), counts, full=False)
    with open_slide(tmp_path / "outs") as slide:
        assert slide.title == f"{tmp_path.name}/outs"
        assert (slide.width, slide.height) == (250, 225)
        assert slide.scale.mpp_x == pytest.approx(100 / PITCH_PX / FACTOR)
        measured = read_measured(slide.companion.path, slide, slide.companion.factor)
    xy = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * FACTOR
    np.testing.assert_allclose(measured.grid.centres_px, xy[:, ::-1])
    told = run("info", tmp_path / "outs")
    assert told.code == 0
    assert "too coarse for the model" in told.out
    ended = run("predict", tmp_path / "outs", "--bundle", bundle_path, "--out", tmp_path / "r.h5ad")
    assert ended.code == 2
    assert "too coarse for the model" in ended.err
    assert not (tmp_path / "r.h5ad").exists()


def test_values_are_normalised_and_spots_of_few_counts_left_out(
    tmp_path: Path, picture: Callable[..., np.ndarray], counts: np.ndarray
) -> None:
    write_visium(tmp_path / "v", picture(1, 1000, 900), counts)
    with open_slide(tmp_path / "v") as slide:
        measured = read_measured(tmp_path / "v", slide)
    expected = np.log1p(1e4 * counts[:, 5] / counts.sum(axis=1)).astype(np.float32)
    expected[3] = np.nan
    np.testing.assert_allclose(measured.gene_values("GENE5"), expected, rtol=1e-6)
    assert measured.note == "1 with under 200 counts are left out."
    assert measured.unit.startswith("log1p of counts per 10,000")
    with pytest.raises(GeneError, match="'NOPE' was not measured"):
        measured.gene_values("NOPE")
    log = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))[np.arange(25) != 3]
    assert measured.top_gene == f"GENE{log.var(axis=0).argmax()}"


def test_where_no_spot_has_enough_counts_all_are_shown(
    tmp_path: Path, picture: Callable[..., np.ndarray], counts: np.ndarray
) -> None:
    write_visium(tmp_path / "v", picture(1, 1000, 900), np.minimum(counts, 3))
    with open_slide(tmp_path / "v") as slide:
        measured = read_measured(tmp_path / "v", slide)
    assert np.isfinite(measured.gene_values("GENE5")).all()
    assert measured.note.startswith("No spot has 200 counts")


def test_an_h5ad_opens_the_slide_that_it_names(section: Path) -> None:
    with open_slide(section) as slide:
        assert slide.path == section.with_suffix(".tif")
        assert slide.companion.path == section
        measured = read_measured(section, slide)
    data = ad.read_h5ad(section)
    np.testing.assert_allclose(measured.grid.centres_px, data.obsm["spatial"][:, ::-1])
    assert measured.genes == tuple(data.var_names)


def test_values_that_are_no_counts_are_shown_as_stored(real: Path, slide_path: Path) -> None:
    path = real / "squidpy" / "test_data.h5ad"
    stored = ad.read_h5ad(path)
    with open_slide(slide_path) as slide:
        measured = read_measured(path, slide, 0.1)
    assert measured.scale is None  # 0.1 says that the slide is a reduced picture
    assert measured.unit == "as stored in the file"
    gene = measured.top_gene
    np.testing.assert_allclose(measured.gene_values(gene), np.ravel(stored[:, gene].X.toarray()), rtol=1e-6)


def test_the_picture_in_an_h5ad_is_shown(real: Path) -> None:
    path = real / "squidpy" / "test_data.h5ad"
    (library,) = ad.read_h5ad(path).uns["spatial"].values()
    with open_slide(path) as slide:
        np.testing.assert_array_equal(
            slide.read(0, 0, 100, 100), np.rint(np.clip(library["images"]["hires"], 0, 1) * 255)
        )
        factors = library["scalefactors"]
        diameter = factors["spot_diameter_fullres"] * factors["tissue_hires_scalef"]
        assert slide.scale.mpp_x == pytest.approx(65 / diameter)
        with pytest.raises(GridError, match="outside its small picture"):  # of an excerpt
            read_measured(path, slide, slide.companion.factor)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data.uns.pop("mclstexp_section"), "neither names its slide nor holds a picture"),
        (lambda data: data.uns["mclstexp_section"].update(slide="../secret.tif"), "only a file in its own"),
        (lambda data: data.uns["mclstexp_section"].update(slide="/etc/hostname"), "only a file in its own"),
        (lambda data: data.uns["mclstexp_section"].update(slide="gone.tif"), "which is not beside it"),
        (lambda data: data.uns.update(mclstexp={"schema_version": 1}), "holds a prediction, no measurement"),
    ],
)
def test_an_h5ad_that_cannot_be_opened_says_why(
    section: Path, tmp_path: Path, change: Callable, why: str
) -> None:
    shutil.copy(section.with_suffix(".tif"), tmp_path)
    data = ad.read_h5ad(section)
    change(data)
    data.write_h5ad(tmp_path / "changed.h5ad")
    with pytest.raises(SectionError, match=why):
        open_slide(tmp_path / "changed.h5ad")


def test_spots_without_positions_are_refused(section: Path, tmp_path: Path) -> None:
    """The slide that they name opens; reading them says what is missing."""
    shutil.copy(section.with_suffix(".tif"), tmp_path)
    data = ad.read_h5ad(section)
    del data.obsm["spatial"]
    data.write_h5ad(tmp_path / "bare.h5ad")
    with (
        open_slide(tmp_path / "bare.h5ad") as slide,
        pytest.raises(SectionError, match=r'lacks obsm\["spatial"\]'),
    ):
        read_measured(slide.companion.path, slide)


def test_a_prediction_is_no_measurement(result_path: Path, slide_path: Path) -> None:
    with open_slide(slide_path) as slide, pytest.raises(SectionError, match="holds a prediction"):
        read_measured(result_path, slide)


@pytest.mark.parametrize(("name", "why"), [("a.txt", "no measured section"), ("gone", "There is no")])
def test_other_files_are_no_measured_sections(tmp_path: Path, slide_path: Path, name: str, why: str) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    with open_slide(slide_path) as slide:
        with pytest.raises(SectionError, match=why):
            read_measured(tmp_path / name, slide)
        with pytest.raises(SectionError, match="no Visium folder"):
            read_measured(tmp_path, slide)


def test_the_correlation_is_that_of_numpy(section: Path, bundle_path: Path) -> None:
    """At the measured spots themselves, and by the nearest of another grid."""
    with open_slide(section) as slide:
        measured = read_measured(section, slide)
        bundle = load_bundle(bundle_path)
        options = {"device": "cpu", "domains": 2}
        same = finish(
            predict_and_label(slide, bundle, slide.scale, grid=measured.grid_at(slide.scale), **options)
        )[1]
        other = finish(predict_and_label(slide, bundle, slide.scale, grid="50", **options))[1]
    assert same.provenance.pitch_um == pytest.approx(60)
    np.testing.assert_array_equal(same.grid.ids, measured.grid.ids)
    pairing = pair_spots(measured, same)
    assert pairing.same
    truth = measured.gene_values("ERBB2")
    expected = np.corrcoef(truth, same.gene_values("ERBB2"))[0, 1]
    assert pairing.pcc(measured, same, "ERBB2") == pytest.approx(expected)
    assert math.isnan(pairing.pcc(measured, same, "NOPE"))

    pairing = pair_spots(measured, other)
    assert not pairing.same
    distance = np.linalg.norm(measured.grid.centres_px[:, None] - other.grid.centres_px[None], axis=2)
    near = np.flatnonzero(distance.min(axis=1) <= max(other.grid.pitch_px) / 2)
    np.testing.assert_array_equal(pairing.measured, near)
    paired = other.gene_values("ERBB2")[distance.argmin(axis=1)[near]]
    assert pairing.pcc(measured, other, "ERBB2") == pytest.approx(np.corrcoef(truth[near], paired)[0, 1])


def test_a_real_section_of_breast(real: Path) -> None:
    """C2 of her2st: counts and positions by pandas alone."""
    folder = real / "her2st"
    with open_slide(folder / "C2.jpg") as slide:
        measured = read_measured(folder / "cnts" / "C2.tsv.gz", slide)
    counts = pd.read_csv(folder / "cnts" / "C2.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(folder / "spots" / "C2_selection.tsv", sep="\t")
    spots.index = [f"{x}x{y}" for x, y in zip(spots["x"], spots["y"], strict=True)]
    counts = counts.loc[[i for i in counts.index if i in spots.index]]
    np.testing.assert_array_equal(measured.grid.ids, counts.index)
    expected = spots.loc[counts.index, ["pixel_y", "pixel_x"]]
    np.testing.assert_allclose(measured.grid.centres_px, expected)
    library = counts.sum(axis=1)
    values = np.log1p(1e4 * counts["ERBB2"] / library).where(library >= 200)
    np.testing.assert_allclose(measured.gene_values("ERBB2"), values, rtol=1e-6)
    assert measured.scale.mpp_x == pytest.approx(0.737, abs=0.001)
