"""Tests of the generator of synthetic sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import tifffile

from napari_mclstexp.training.synthetic import make_section
from napari_mclstexp.training.synthetic_fields import noise
from napari_mclstexp.training.synthetic_spots import GENES, SPOT_UM
from napari_mclstexp.training.synthetic_tissue import REGIONS, lay_out

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 2400, 2000


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small synthetic section."""
    folder = tmp_path_factory.mktemp("synthetic")
    return make_section(folder / "new", "small", seed=3, width_px=WIDTH, height_px=HEIGHT)


def test_the_table_describes_the_spots(section: Path) -> None:
    data = ad.read_h5ad(section)
    assert list(data.var_names) == list(GENES)
    assert len(set(GENES)) == 60
    assert data.obs_names.is_unique
    assert set(data.obs["in_tissue"]) == {1}
    assert list(data.obs["region"].cat.categories) == list(REGIONS)
    counts = data.X.toarray()
    assert (counts == np.rint(counts)).all()
    np.testing.assert_array_equal(counts, data.layers["counts"].toarray())
    assert 2000 < np.median(counts.sum(1)) < 8000
    recorded = dict(data.uns["mclstexp_section"])
    assert recorded == {
        "slide": "small.tif",
        "mpp": 0.5,
        "section": "small",
        "patient": "synthetic-1",
    }
    assert "synthetic" in str(data.uns["synthetic"]).lower()


def test_spots_are_hexagonal_on_the_slide(section: Path) -> None:
    data = ad.read_h5ad(section)
    points = data.obsm["spatial"]
    assert points.dtype == np.float64
    margin = SPOT_UM / 2 / 0.5
    assert (points >= margin).all()
    assert (points <= np.array([WIDTH, HEIGHT]) - margin).all()
    expected = np.column_stack(
        [
            margin + data.obs["array_col"] * 100.0,
            margin + data.obs["array_row"] * 200.0 * np.sqrt(0.75),
        ]
    )
    np.testing.assert_allclose(points, expected)


def test_markers_follow_the_tissue(section: Path) -> None:
    data = ad.read_h5ad(section)
    share = data.X.toarray() / data.X.toarray().sum(1, keepdims=True)
    region = data.obs["region"].to_numpy()

    def mean(gene: str, where: str) -> float:
        return float(share[region == where, GENES.index(gene)].mean())

    assert mean("KRT8", "tumour") > 2 * mean("KRT8", "stroma")
    assert mean("COL1A1", "stroma") > 2 * mean("COL1A1", "tumour")


def test_the_slide_is_a_labelled_pyramid(section: Path) -> None:
    with tifffile.TiffFile(section.with_suffix(".tif")) as tiff:
        first, *rest = tiff.pages
        assert first.shape == (HEIGHT, WIDTH, 3)
        assert "synthetic" in first.description.lower()
        assert [page.shape[1] for page in rest] == [WIDTH // 2, WIDTH // 4]
        for factor, page in zip((1, 2, 4), tiff.pages, strict=True):
            assert page.is_tiled
            assert page.compression == tifffile.COMPRESSION.JPEG
            assert bool(page.subfiletype & 1) == (factor > 1)
            assert page.resolutionunit == tifffile.RESUNIT.CENTIMETER
            assert page.get_resolution()[0] == pytest.approx(20_000 / factor)
        picture = first.asarray()
    corner = picture[:60, :60].reshape(-1, 3).mean(0)
    assert (corner > 230).all()
    assert picture[HEIGHT // 2 - 300 : HEIGHT // 2 + 300, 900:1500].mean() < 220


def test_openslide_reads_every_level_and_the_scale(section: Path) -> None:
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(section.with_suffix(".tif")) as slide:
        assert slide.level_dimensions == ((2400, 2000), (1200, 1000), (600, 500))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)


def test_the_seed_decides_pixels_and_counts(tmp_path: Path) -> None:
    def draw(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        path = make_section(tmp_path, name, seed=seed, width_px=1200, height_px=1000, layout="square")
        return tifffile.imread(path.with_suffix(".tif")), ad.read_h5ad(path).X.toarray()

    picture, counts = draw("a", 1)
    again, same = draw("b", 1)
    np.testing.assert_array_equal(picture, again)
    np.testing.assert_array_equal(counts, same)
    other, _ = draw("c", 2)
    assert (picture != other).any()


@pytest.mark.parametrize("seed", range(6))
def test_a_small_section_has_tumour_and_stroma(seed: int) -> None:
    tissue = lay_out(np.random.default_rng([seed, 0]), (1000, 1200), 0.5)
    assert tissue.cover["tumour"].mean() > 0.05
    assert tissue.cover["stroma"].mean() > 0.05
    total = sum(tissue.cover.values())
    assert 0 <= np.min(total) <= np.max(total) <= 1 + 1e-5


def test_noise_is_standardised() -> None:
    values = noise(np.random.default_rng(0), (200, 300), 20, 3)
    assert values.shape == (200, 300)
    assert abs(float(values.mean())) < 1e-3
    assert float(values.std()) == pytest.approx(1, abs=1e-3)


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layout must be"):
        make_section(tmp_path, "x", seed=0, width_px=600, height_px=600, layout="round")
