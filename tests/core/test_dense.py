"""Dense maps: the same network over regions instead of patches, near what it says patch by patch."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from steps import finish

from napari_mclstexp.core import pipeline
from napari_mclstexp.core.appearance import COLOURS, QUANTILES, STAINS, appearance, appearance_of_windows
from napari_mclstexp.core.backends import maps_backend, told_as
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.bundle_files import makes_dense_maps
from napari_mclstexp.core.dense import REGION, by_region, dense_grid, dense_queries, share_of
from napari_mclstexp.core.encode import encode_patches
from napari_mclstexp.core.fused import FusedEncoder
from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.progress import Enough
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import BundleError, DeviceMemoryError, SectionError
from napari_mclstexp.samples import demo_bundle_path, sample_slide_path
from napari_mclstexp.training.fit import train
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from napari_mclstexp.core.backends import Maps
    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.slide import Slide

CPU = torch.device("cpu")
SCALE = Scale(0.5, 0.5, "test")
OF_TORCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The sample's model, its patches read with a margin that it was not trained with."""
    found = load_bundle(demo_bundle_path())
    return replace(found, spec=replace(found.spec, margin_px=32))


@pytest.fixture(scope="module")
def slide() -> Generator[Slide]:
    with open_slide(sample_slide_path()) as opened:
        yield opened


@pytest.fixture(scope="module")
def grid(slide: Slide, bundle: Bundle) -> SpotGrid:
    """A part of the sample, over some regions."""
    whole = pipeline.lay_spots(slide, SCALE, grid=dense_grid(bundle.spec))
    y, x = whole.centres_px.T
    return whole.take(np.flatnonzero((y > 2500) & (y < 3100) & (x > 1500) & (x < 6500)))


@pytest.mark.parametrize("share", [1, 2, 4, 8])
def test_maps_between_two_steps_are_those_of_the_shifted_picture(share: int) -> None:
    torch.manual_seed(0)
    network = MclSTExp(3, margin_px=32).eval()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
    encoder, step, side = FusedEncoder(network.image_encoder), 32 // share, 32 * 18
    pixels = torch.rand(1, 3, side + 32 - step, side + 32 - step)
    found = encoder.maps(pixels, share)
    assert found.shape == (share * share, 1024, 18, 18)
    for y, x in {(0, 0), (share - 1, 0), (share // 2, share - 1)}:
        shifted = pixels[:, :, y * step : y * step + side, x * step : x * step + side]
        with torch.inference_mode():
            alone = torch.relu(network.image_encoder.features((shifted - encoder._mean) / encoder._std))
        inner = np.s_[:, 8:10, 8:10]  # nearer to the border zeros are seen
        off = (found[y * share + x][inner] - alone[0][inner]).abs().max() / alone.std()
        assert off < 1e-3, (y, x)


def test_windows_look_as_their_patches_do(picture: Callable[[int, int, int], np.ndarray]) -> None:
    whole, side = picture(7, 400, 360), 96
    y, x = np.mgrid[3 : 360 - side : 16, 5 : 400 - side : 16]
    corners = np.column_stack([y.ravel(), x.ravel()])
    patches = np.stack([whole[b : b + side, a : a + side] for b, a in corners])
    alone = appearance(patches)
    found = appearance_of_windows(whole, corners, side)
    np.testing.assert_allclose(found[:, :12], alone[:, :12], atol=1e-5)
    unmix = np.linalg.inv(STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True))
    stains = -np.log(np.maximum(patches.reshape(len(patches), -1, 3) / 255, 1 / 255)) @ unmix
    for number, told in enumerate(found[:, 12:COLOURS].T):  # between two values any number is the quantile
        values, share = stains[:, :, number % 2], QUANTILES[number // 2]
        assert ((values < told[:, None] - 0.02).mean(axis=1) <= share + 0.005).all()
        assert ((values < told[:, None] + 0.02).mean(axis=1) >= share - 0.005).all()
    off = np.abs(found[:, COLOURS:] - alone[:, COLOURS:])
    assert np.median(off) < 0.02
    assert off.max() < 0.3  # of single windows, whose border a wide smoothing crosses


def test_a_grid_goes_region_by_region_and_loses_nothing(grid: SpotGrid, bundle: Bundle) -> None:
    ordered, regions = by_region(grid, share_of(grid, bundle.spec))
    assert sorted(ordered.ids.tolist()) == sorted(grid.ids.tolist())
    assert [rows.start for rows in regions] == [0, *[rows.stop for rows in regions[:-1]]]
    assert regions[-1].stop == len(grid)
    assert len(regions) > 1
    by_name = dict(zip(grid.ids, grid.centres_px, strict=True))
    np.testing.assert_array_equal(ordered.centres_px, [by_name[name] for name in ordered.ids])
    assert by_region(grid.first(0), 2)[1] == []


def test_each_spot_has_the_features_of_its_own_place(slide: Slide, grid: SpotGrid, bundle: Bundle) -> None:
    spec, network = bundle.spec, bundle.network()
    ordered, regions = by_region(grid, share_of(grid, spec))
    dense = np.concatenate(
        [
            q.features
            for _, q in dense_queries(
                slide, ordered, regions, spec, SCALE, network, np.zeros(len(ordered), dtype=bool)
            )
        ]
    )
    some = np.random.default_rng(0).permutation(len(ordered))[:60]
    field = Field(spec.patch_px, spec.field_um).widened(spec.margin_px)
    patches = np.concatenate([p for _, p in read_batches(slide, ordered.centres_px[some], field, SCALE, 20)])
    alone = encode_patches(network, patches, CPU).features
    far = [np.linalg.norm(dense - one, axis=1) for one in alone]
    own = np.array([distance[row] for distance, row in zip(far, some, strict=True)])
    rank = np.array([(distance < d).sum() for distance, d in zip(far, own, strict=True)])
    assert np.median(rank) <= 2, "the nearest of all places should be the spot's own, or one beside it"
    assert np.corrcoef(dense[some].ravel(), alone.ravel())[0, 1] > 0.9


def test_a_dense_map_is_near_patch_by_patch(slide: Slide, grid: SpotGrid, bundle: Bundle) -> None:
    grid = grid.take(np.random.default_rng(1).permutation(len(grid))[:150])
    dense = finish(predict(slide, bundle, grid, SCALE, device="cpu"))[1]
    alone = finish(predict(slide, bundle, grid, SCALE, device="cpu", backend="torch"))[1]
    assert dense.provenance.backend == told_as("dense")
    assert sorted(dense.grid.ids) == sorted(alone.grid.ids)
    order, other = np.argsort(dense.grid.ids), np.argsort(alone.grid.ids)
    np.testing.assert_array_equal(dense.grid.centres_px[order], alone.grid.centres_px[other])
    pairs = zip(dense.expression[order].T, alone.expression[other].T, strict=True)
    pcc = [np.corrcoef(a, b)[0, 1] for a, b in pairs if np.ptp(b) > 0]
    assert np.median(pcc) > 0.95


@contextmanager
def room_for(pixels: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A device whose memory holds a region of so many pixels at once; gives the sizes of those that came."""
    came: list[int] = []

    def small(network: MclSTExp) -> Maps:
        maps_of = maps_backend(network)

        def refuse(picture: torch.Tensor, share: int) -> torch.Tensor:
            came.append(picture.shape[2] * picture.shape[3])
            if came[-1] > pixels:
                raise OF_TORCH
            return maps_of(picture, share)

        return refuse

    with monkeypatch.context() as patch:
        patch.setattr("napari_mclstexp.core.dense.maps_backend", small)
        yield came


def test_a_region_that_does_not_fit_is_halved(
    slide: Slide, grid: SpotGrid, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each half again, to the same numbers; what has not fitted is not tried again."""
    with room_for(10**9, monkeypatch) as whole:
        usual = finish(predict(slide, bundle, grid, SCALE, device="cpu"))[1]
    room = round(0.6 * max(whole))
    with room_for(room, monkeypatch) as came:
        steps, result = finish(predict(slide, bundle, grid, SCALE, device="cpu"))
    failed = [size for size in came if size > room]
    assert len(failed) >= 2
    assert failed == sorted(set(failed), reverse=True)
    assert len(came) - len(failed) > len(whole)
    np.testing.assert_array_equal(result.grid.ids, usual.grid.ids)
    np.testing.assert_allclose(result.expression, usual.expression, atol=1e-3)
    np.testing.assert_allclose(result.similarity, usual.similarity, atol=1e-3)
    (told,) = {step.note for step in steps if step.done == len(grid) and step.stage == "Predicting"}
    assert re.fullmatch(
        r"This computer has no room for [\d,]+ x [\d,]+ pixels at once: smaller regions are taken\.", told
    )


def test_not_even_a_stride_of_spots_fits(
    slide: Slide, grid: SpotGrid, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with room_for(1000, monkeypatch) as came, pytest.raises(DeviceMemoryError, match="even at one") as told:
        finish(predict(slide, bundle, grid, SCALE, device="cpu"))
    assert told.value.__cause__ is OF_TORCH
    assert came[-1] < came[0] / 2


def test_a_dense_map_is_told_of_while_it_is_made(
    slide: Slide, grid: SpotGrid, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each spot once, as soon as those around it are there, as it stands in the result."""
    monkeypatch.setattr("napari_mclstexp.core.dense.REGION", dict.fromkeys(REGION, 4))
    steps, result = finish(predict(slide, bundle, grid, SCALE, device="cpu"))
    parts = [step for step in steps if step.rows is not None]
    assert any(step.done < len(grid) for step in parts)
    told = np.concatenate([np.arange(step.rows.start, step.rows.stop) for step in parts])
    np.testing.assert_array_equal(told, np.arange(len(grid)))
    np.testing.assert_array_equal(np.concatenate([step.expression for step in parts]), result.expression)


def test_a_dense_map_can_be_ended_early(slide: Slide, grid: SpotGrid, bundle: Bundle) -> None:
    steps = predict(slide, bundle, grid, SCALE, device="cpu")
    step = next(s for s in steps if s.done)
    steps.throw(Enough())
    _, partial = finish(steps)
    assert len(partial.grid) == step.done < len(grid)
    np.testing.assert_array_equal(partial.grid.ids, step.grid.ids[: step.done])
    assert partial.expression.any(axis=1).all()


def test_a_model_is_trained_with_a_margin_and_makes_dense_maps(
    run: Callable[..., object], section: Path, slide_path: Path, tmp_path: Path
) -> None:
    bundle_path = tmp_path / "wide"
    how = ("--epochs", 1, "--patch-px", 32, "--margin-px", 32, "--batch-size", 10, "--top-k", 8)
    assert run("train", section, "--out", bundle_path, *how, "--device", "cpu").code == 0
    told = load_bundle(bundle_path).spec
    assert told.margin_px == 32
    assert told.dense["sections"] == 1
    assert told.dense["spots"] > 20
    assert -1 <= told.dense["pcc_low"] <= told.dense["pcc"] <= 1
    assert makes_dense_maps(bundle_path)
    out = tmp_path / "dense.h5ad"
    done = run("predict", slide_path, "--bundle", bundle_path, "--grid", "dense", "--out", out)
    assert done.code == 0, done.err
    result = load_result(out)
    assert result.grid.layout == "square"
    assert result.grid.pitch_um <= 32
    assert result.provenance.backend.startswith("dense")
    shown = run("bundle", "show", bundle_path)
    assert "margin       32 px around a patch; dense maps agree with patch by patch at PCC" in shown.out
    refused = run(
        "predict", slide_path, "--bundle", bundle_path, "--backend", "dense", "--out", tmp_path / "b.h5ad"
    )
    assert refused.code == 2
    assert "no feature map in common" in refused.err


def test_without_a_margin_a_dense_map_goes_patch_by_patch(
    slide_path: Path, trained: tuple[Bundle, bool]
) -> None:
    assert dense_grid(trained[0].spec) == "square:32.0"
    with open_slide(slide_path) as slide:
        steps = pipeline.predict_and_label(slide, trained[0], SCALE, grid="dense", device="cpu")
        result = finish(steps)[1]
    assert result.grid.pitch_um == 32
    assert not result.provenance.backend.startswith("dense")


@pytest.mark.parametrize("margin", [31, -32, 288])
def test_a_margin_that_cannot_be_is_refused(
    margin: int, bundle_path: Path, section: Path, tmp_path: Path
) -> None:
    with pytest.raises(SectionError, match=rf"--margin-px is {margin}\. Choose a multiple of 32"):
        finish(train([read_section(str(section))], TrainingOptions(margin_px=margin)))
    assert not makes_dense_maps(bundle_path)
    target = tmp_path / "bad"
    shutil.copytree(bundle_path, target)
    told = json.loads((target / "bundle.json").read_text())
    (target / "bundle.json").write_text(json.dumps({**told, "margin_px": margin}))
    with pytest.raises(BundleError, match="out of its range"):
        load_bundle(target)
