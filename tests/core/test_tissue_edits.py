"""A tissue mask that a person has painted: laid by, told of, and stored without loss."""

from __future__ import annotations

import base64
import dataclasses
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from steps import finish

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.pipeline import lay_spots, predict_and_label
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import TissueMask, edited, find_tissue, packed, tissue_of, unpacked
from napari_mclstexp.errors import GridError, NoTissueError, ResultError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_mclstexp.core.slide import Slide


@pytest.fixture
def slide(slide_path: Path) -> Generator[Slide]:
    with open_slide(slide_path) as opened:
        yield opened


def same(one: TissueMask, two: TissueMask) -> None:
    np.testing.assert_array_equal(one.mask, two.mask)
    assert one.mask.dtype == two.mask.dtype == np.bool_
    assert (one.downsample_y, one.downsample_x, one.edited_px) == (
        two.downsample_y, two.downsample_x, two.edited_px,
    )  # fmt: skip


def test_a_painted_mask_counts_its_changes_and_leaves_the_found_one() -> None:
    found = TissueMask(np.zeros((20, 30), bool), 7.5, 7.25)
    painted = found.mask.copy()
    painted[3:6, 4:9] = True
    mask = edited(found, painted)
    painted[:] = False  # what is painted on later is not the mask
    assert (mask.edited_px, int(mask.mask.sum()), int(found.mask.sum())) == (15, 15, 0)
    assert (mask.downsample_y, mask.downsample_x) == (7.5, 7.25)
    assert "15 px of the mask changed by hand, sha256 " in mask.story
    assert found.story == ""
    assert edited(found, found.mask).edited_px == 0
    assert edited(mask, found.mask).edited_px == 30
    with pytest.raises(GridError, match="Paint on the mask of this slide"):
        edited(found, painted.T)


def test_an_open_slides_tissue_is_looked_for_once(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    overview, looked, together = slide.overview, [], threading.Barrier(4)

    def counted(longest_px: int) -> np.ndarray:
        looked.append(longest_px)
        return overview(longest_px)

    def ask(_: int) -> TissueMask:
        together.wait(30)
        return tissue_of(slide, slide.scale)

    monkeypatch.setattr(slide, "overview", counted)
    with ThreadPoolExecutor(4) as threads:
        masks = list(threads.map(ask, range(4)))
    assert len(looked) == 1
    assert all(mask is masks[0] for mask in masks)
    same(masks[0], find_tissue(slide, slide.scale))
    twice = dataclasses.replace(slide.scale, mpp_x=2 * slide.scale.mpp_x, mpp_y=2 * slide.scale.mpp_y)
    spots = lay_spots(slide, slide.scale)
    assert len(looked) == 2
    assert len(lay_spots(slide, twice)) > len(spots)  # four times the area
    assert len(looked) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (13, 7), (1024, 1000)])
def test_a_packed_mask_comes_back_the_same(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for mask in (rng.random(shape) > 0.5, np.zeros(shape, bool), np.ones(shape, bool)):
        made = TissueMask(mask, 1300 / 867, 1500 / 1001, 41)
        same(unpacked(packed(made)), made)


def test_a_packed_mask_of_tissue_is_short(slide: Slide) -> None:
    mask = find_tissue(slide, slide.scale)
    same(unpacked(packed(mask)), mask)
    assert len(packed(mask)) < 5000


def test_damaged_and_swollen_masks_are_refused() -> None:
    whole = packed(TissueMask(np.eye(40, dtype=bool), 2.0, 2.0))
    head, bits = whole.rsplit(" ", 1)
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    short = base64.b64encode(zlib.compress(bytes(199))).decode()
    after = base64.b64encode(base64.b64decode(bits) + b"more").decode()
    texts = [
        "", "40 40", head, head + " ", f"{head} {bits[:-8]}", f"{head} {bits[:30]}!{bits[31:]}",
        f"{head} {bomb}", f"{head} {short}", f"{head} {after}", f"40 40 2.0 0.0 0 {bits}",
        f"40 40 nan 2.0 0 {bits}", f"40 40 2.0 inf 0 {bits}", f"40 41 2.0 2.0 0 {bits}",
        f"-40 -40 2.0 2.0 0 {bits}", f"0 0 2.0 2.0 0 {bits}", f"40 40 2.0 2.0 -1 {bits}",
        f"100000 100000 2.0 2.0 0 {bits}", f"{'9' * 5000} 1 2.0 2.0 0 {bits}",
    ]  # fmt: skip
    for text in texts:
        with pytest.raises(ResultError, match="tissue mask"):
            unpacked(text)
    with pytest.raises(ResultError, match="too large"):
        unpacked(whole, most_px=1599)
    same(unpacked(whole, most_px=1600), TissueMask(np.eye(40, dtype=bool), 2.0, 2.0))


def test_spots_are_laid_by_the_painted_mask(slide: Slide) -> None:
    found = find_tissue(slide, slide.scale)
    default = lay_spots(slide, slide.scale, grid="60")
    assert lay_spots(slide, slide.scale, grid="60", tissue=found).ids.tolist() == default.ids.tolist()
    painted = found.mask.copy()
    half = slide.width / 2
    painted[:, painted.shape[1] // 2 :] = False
    left = lay_spots(slide, slide.scale, grid="60", tissue=edited(found, painted))
    assert set(left.ids) == set(default.ids[default.centres_px[:, 1] < half]) != set()
    xy = np.array([[5.0, 5.0], [1400.0, 700.0]])
    given = given_grid(np.array(["a", "b"]), xy, (slide.width, slide.height), slide.scale)
    assert lay_spots(slide, slide.scale, grid=given, tissue=edited(found, painted)) is given


def test_masks_that_cannot_be_laid_by_are_refused(slide: Slide) -> None:
    found = find_tissue(slide, slide.scale)
    with pytest.raises(NoTissueError, match="mask is empty"):
        lay_spots(slide, slide.scale, tissue=edited(found, np.zeros_like(found.mask)))
    with pytest.raises(GridError, match="not of this slide"):
        lay_spots(slide, slide.scale, tissue=TissueMask(np.ones((50, 50), bool), 10.0, 10.0))


def test_a_result_keeps_the_mask_and_the_reference_mean(
    slide: Slide, bundle_path: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(bundle_path)
    found = find_tissue(slide, slide.scale)
    painted = found.mask.copy()
    painted[:200] = False
    mask = edited(found, painted)
    options = {"grid": "st", "domains": 2, "device": "cpu"}
    result = finish(predict_and_label(slide, bundle, slide.scale, tissue=mask, **options))[1]
    assert result.tissue is mask
    assert result.provenance.tissue_edits == mask.story != ""
    loaded = load_result(save_result(result, tmp_path / "r.h5ad"))
    assert loaded.tissue is not None
    same(loaded.tissue, mask)
    assert loaded.reference_mean is not None
    assert loaded.reference_mean.dtype == np.float32
    np.testing.assert_allclose(loaded.reference_mean, bundle.expression.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(loaded.reference_mean, result.reference_mean)
    assert loaded.provenance == result.provenance

    plain = finish(predict_and_label(slide, bundle, slide.scale, **options))[1]
    assert plain.tissue is not None
    same(plain.tissue, found)
    assert plain.provenance.tissue_edits == ""


def test_given_spots_have_no_mask(slide: Slide, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("spot_id,x_px,y_px\na,700,600\nb,800,700\n")
    mask = find_tissue(slide, slide.scale)
    steps = predict_and_label(
        slide, load_bundle(bundle_path), slide.scale, spots=tmp_path / "s.csv", tissue=mask, device="cpu"
    )
    result = finish(steps)[1]
    assert result.tissue is None
    assert load_result(save_result(result, tmp_path / "r.h5ad")).tissue is None


def test_results_of_former_versions_still_load(result_path: Path, tmp_path: Path) -> None:
    data = ad.read_h5ad(result_path)
    del data.var["reference_mean"]
    for name in ("tissue_mask", "regions", "tissue_edits", "edits", "partial"):
        del data.uns["mclstexp"][name]
    data.write_h5ad(tmp_path / "old.h5ad")
    old, new = load_result(tmp_path / "old.h5ad"), load_result(result_path)
    assert (old.tissue, old.reference_mean) == (None, None)
    assert old.provenance == new.provenance
    np.testing.assert_array_equal(old.expression, new.expression)


def test_spoilt_new_parts_of_a_result_are_refused(result_path: Path, tmp_path: Path) -> None:
    data = ad.read_h5ad(result_path)
    data.uns["mclstexp"]["tissue_mask"] = data.uns["mclstexp"]["tissue_mask"][:-9]
    data.write_h5ad(tmp_path / "mask.h5ad")
    with pytest.raises(ResultError, match="tissue mask"):
        load_result(tmp_path / "mask.h5ad")
    data = ad.read_h5ad(result_path)
    data.var["reference_mean"] = np.nan
    data.write_h5ad(tmp_path / "mean.h5ad")
    with pytest.raises(ResultError, match="reference mean"):
        load_result(tmp_path / "mean.h5ad")


def test_edits_of_domains_are_counted(result_path: Path) -> None:
    result = load_result(result_path)
    assert result.domains is not None
    assert result.provenance.edits == 0
    assert result.with_domains(result.domains, 3).provenance.edits == 3
    again = dataclasses.replace(result, provenance=dataclasses.replace(result.provenance, edits=3))
    assert again.with_domains(result.domains).provenance.edits == 0  # found anew
