"""Tiles that cannot be decoded: masked, counted, and their spots left out of a prediction, visibly."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from steps import finish

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.dense import BATCH, dense_grid
from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.laying import lay_spots
from napari_mclstexp.core.pipeline import predict_and_label
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.slide.tiles import TileReader
from napari_mclstexp.core.slide.watch import Watch
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.slide import Slide

SCALE = Scale(0.5, 0.5, "test")


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


def spoil_tile(path: Path, number: int, level: int = 0, *, keep: int = 0) -> tuple[int, int, int, int]:
    """Fill a tile's bytes with 0xA5, all but the first `keep`; its window, full-resolution px."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.series[0].levels[level].keyframe
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        across = -(-page.imagewidth // page.tilewidth)
        place = (number % across * page.tilewidth, number // across * page.tilelength)
        size = (page.tilewidth, page.tilelength)
        factor = round(tiff.series[0].levels[0].keyframe.imagewidth / page.imagewidth)
    with path.open("r+b") as file:
        file.seek(offset + keep)
        file.write(b"\xa5" * (count - keep))
    x, y, width, height = (n * factor for n in (*place, *size))
    return x, y, width, height


def touched(centres: np.ndarray, tile: tuple[int, int, int, int], half_px: float) -> np.ndarray:
    """Which fields around centres (N, 2) y, x overlap with a tile."""
    x, y, width, height = tile
    inside_x = (centres[:, 1] + half_px > x) & (centres[:, 1] - half_px < x + width)
    return inside_x & (centres[:, 0] + half_px > y) & (centres[:, 0] - half_px < y + height)


def predicted(slide: Slide, bundle: Bundle, xy: np.ndarray) -> Result:
    grid = given_grid(np.arange(len(xy)).astype(str), xy, (slide.width, slide.height), SCALE)
    return finish(predict(slide, bundle, grid, SCALE, device="cpu"))[1]


def test_spots_on_a_tile_that_cannot_be_decoded_are_left_out_and_counted(
    tmp_path: Path, slide_path: Path, bundle: Bundle
) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(slide_path.read_bytes())
    tile = spoil_tile(path, 14, 1)  # the level that the model reads
    xy = np.random.default_rng(3).uniform(60, (1440, 1240), (150, 2))
    with open_slide(slide_path) as slide:
        sound = predicted(slide, bundle, xy)
    with open_slide(path) as slide:
        result = predicted(slide, bundle, xy)
    half = bundle.spec.field_um / SCALE.mpp_x / 2
    on_it = touched(xy[:, ::-1], tile, half)
    near = touched(xy[:, ::-1], tile, half + 8)
    kept = np.array([int(i) for i in result.grid.ids])
    assert 0 < on_it.sum() < 75
    assert not on_it[kept].any()
    assert set(np.flatnonzero(~near)) <= set(kept.tolist())
    note = f"{150 - len(kept)} of 150 spots left out, the slide cannot be decoded there"
    assert result.provenance.slide_notes == note
    assert np.isfinite(result.expression).all()
    alone = near.nonzero()[0]
    far = np.array(
        [i for i in kept if np.hypot(*(xy[i] - xy[alone]).T).min() > 1000]
    )  # seen with none of them
    assert len(result.trust.patients) == len(kept)
    if len(far):
        rows = np.searchsorted(kept, far)
        np.testing.assert_allclose(result.expression[rows], sound.expression[far], atol=1e-4)
    assert load_result(save_result(result, tmp_path / "r.h5ad")).provenance.slide_notes == note


def test_a_dense_map_leaves_out_the_same_spots_as_patch_by_patch(
    tmp_path: Path, slide_path: Path, bundle: Bundle
) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(slide_path.read_bytes())
    x, y, width, height = spoil_tile(path, 14, 1)
    wide = replace(bundle, spec=replace(bundle.spec, margin_px=32))
    with open_slide(slide_path) as slide:
        whole = lay_spots(slide, SCALE, grid=dense_grid(wide.spec))
    off = whole.centres_px - (y + height / 2, x + width / 2)
    grid = whole.take(np.flatnonzero((np.abs(off) < (1.6 * height, 1.6 * width)).all(axis=1)))
    with open_slide(path) as slide:
        runs = {b: finish(predict(slide, wide, grid, SCALE, backend=b)) for b in ("dense", "torch")}
    results = {backend: result for backend, (_, result) in runs.items()}
    encoded = [step.done for step in runs["dense"][0] if step.stage == "Predicting"]
    assert np.diff(sorted(set(encoded))).max() <= BATCH, "such a region can be stopped in between"
    dense, alone = (set(results[name].grid.ids.tolist()) for name in ("dense", "torch"))
    assert dense == alone
    assert 0 < len(dense) < len(grid)
    note = f"{len(grid) - len(dense):,} of {len(grid):,} spots left out, the slide cannot be decoded there"
    assert results["dense"].provenance.slide_notes == note
    assert np.isfinite(results["dense"].expression).all()


def test_a_mask_is_found_and_spots_are_laid_around_a_damaged_tile(
    tmp_path: Path, slide_path: Path, bundle: Bundle
) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(slide_path.read_bytes())
    tile = spoil_tile(path, 62)
    spoil_tile(path, 14, 1)
    with open_slide(path) as slide:
        overview = slide.overview(2000)
        x, y, width, height = tile
        assert (overview[y + 4 : y + height - 4, x + 4 : x + width - 4] == 255).all()
        assert (overview[y - 140, x : x + width] < 255).any()
        steps = predict_and_label(slide, bundle, SCALE, grid="60", domains=2, device="cpu")
        result = finish(steps)[1]
    assert "left out" in result.provenance.slide_notes
    assert len(result.grid) > 50


def test_the_command_tells_of_spots_that_are_left_out(
    run: Callable, tmp_path: Path, slide_path: Path, bundle_path: Path
) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(slide_path.read_bytes())
    spoil_tile(path, 14, 1)
    words = ["predict", path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--device", "cpu"]
    ended = run(*words, "--domains", 2, "--grid", "60")
    assert ended.code == 0, ended.err
    assert "The slide is damaged: " in ended.out
    assert "spots left out, the slide cannot be decoded there." in ended.out


def test_a_damaged_tile_of_a_real_svs(tmp_path: Path, real: Path, bundle: Bundle) -> None:
    path = tmp_path / "CMU.svs"
    path.write_bytes((real / "aperio-cmu" / "CMU-1-Small-Region.svs").read_bytes())
    tile = spoil_tile(path, 45)
    xy = np.array([(x, y) for x in range(200, 2100, 100) for y in range(200, 2800, 100)], dtype=float)
    with open_slide(path) as slide:
        result = predicted(slide, bundle, xy)
        assert slide.overview(1000).min() < 200
    on_it = touched(xy[:, ::-1], tile, bundle.spec.field_um / SCALE.mpp_x / 2)
    kept = [int(i) for i in result.grid.ids]
    assert on_it.any()
    assert not on_it[kept].any()
    assert result.provenance.slide_notes.startswith(f"{len(xy) - len(kept)} of {len(xy)} spots left out")
    assert len(xy) - len(kept) < 60


def test_a_jpeg_tile_whose_second_half_is_lost_is_a_known_limit(tmp_path: Path, real: Path) -> None:
    """libjpeg fills up what it cannot decode with grey, and OpenSlide does not hand on its warning."""
    path = tmp_path / "CMU.svs"
    path.write_bytes((real / "aperio-cmu" / "CMU-1-Small-Region.svs").read_bytes())
    x, y, width, height = spoil_tile(path, 45, keep=2500)
    with open_slide(path) as slide:
        region = slide.read(x, y, width, height)
    assert region.shape == (height, width, 3)


def test_what_is_lost_throughout_is_refused(tmp_path: Path, slide_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(slide_path.read_bytes())
    for number in range(36):
        spoil_tile(path, number, 1)
    xy = np.random.default_rng(3).uniform(60, (1440, 1240), (100, 2))
    before = set(threading.enumerate())
    with open_slide(path) as slide:
        with pytest.raises(SlideError, match="cannot be decoded at any of 64 spots"):
            predicted(slide, bundle, xy)
        left = [t for t in set(threading.enumerate()) - before if t.name.startswith("mclstexp")]
        assert not left, "none reads on while the error is told and the slide is closed"


def test_a_screen_shows_all_around_a_damaged_tile(tmp_path: Path, slide_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(slide_path.read_bytes())
    x, y, width, height = spoil_tile(path, 40)
    with open_slide(path) as slide, open_slide(slide_path) as sound:
        region, error = TileReader().read(slide, (0, 0, 1500, 1300), 0)
        expected = sound.read(0, 0, 1500, 1300)
    assert "damaged" in str(error)
    assert (region[y : y + height, x : x + width] == 255).all()
    different = (region != expected).any(axis=2)
    assert different[:, :x].sum() + different[:, x + width :].sum() == 0


def test_levels_that_are_made_keep_in_mind_what_was_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(60, 200, (290, 290, 3), dtype=np.uint8)
    picture = np.kron(small, np.ones((30, 30, 1), dtype=np.uint8))
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, picture, tile=(512, 512), photometric="rgb", compression="deflate", metadata=None)
    x, y, width, height = spoil_tile(path, 40)
    for _ in range(2):  # made, then found in the cache
        with open_slide(path) as slide:
            assert not slide.prepared
            for _ in slide.prepare():
                pass
            made = next(i for i, level in enumerate(slide.levels) if level.downsample == 4)
            with pytest.raises(SlideError, match="cannot be read"):
                slide.read(x // 4 - 5, y // 4 - 5, 50, 50, made)
            assert slide.read(0, 0, 100, 100, made).max() < 255
            region, holes = slide.read_around(0, 0, 2000, 2000, made)
            assert holes
            assert (region[y // 4 : (y + height) // 4, x // 4 : (x + width) // 4] == 255).all()
            assert slide.overview(1000).min() < 200


def test_tiles_that_a_tiff_leaves_out_are_glass(tmp_path: Path) -> None:
    """Of OpenSlide's and of tifffile's kind alike."""
    for name in ("a.tif", "a.ome.tif"):
        tiles = [np.full((128, 128, 3), 90, dtype=np.uint8)] * 16
        tiles[5] = None
        tifffile.imwrite(
            tmp_path / name,
            iter(tiles),
            shape=(512, 512, 3),
            dtype=np.uint8,
            photometric="rgb",
            tile=(128, 128),
            compression="deflate",
            ome=name.endswith(".ome.tif"),
            metadata={"axes": "YXS"} if name.endswith(".ome.tif") else None,
        )
        with open_slide(tmp_path / name) as slide:
            assert (slide.read(128, 128, 128, 128) == 255).all(), name
            assert (slide.read(0, 0, 128, 128) == 90).all(), name


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("version", [2, 3])
def test_chunks_that_a_zarr_lacks(tmp_path: Path, bundle: Bundle, fill: int, version: int) -> None:
    path = tmp_path / "p.zarr"
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"] + [
        {"name": "c", "type": "channel"}
    ]
    scale = {"type": "scale", "scale": [0.5, 0.5, 1]}
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    about = {"multiscales": [image]} if version == 2 else {"ome": {"version": "0.5", "multiscales": [image]}}
    group = zarr.create_group(path, zarr_format=version, attributes=about)
    picture = np.random.default_rng(0).integers(50, 200, (600, 700, 3), dtype=np.uint8)
    group.create_array("0", data=picture, chunks=(100, 100, 3), fill_value=fill)
    for at in ((2, 3), (5, 6)):
        key = f"{at[0]}.{at[1]}.0" if version == 2 else f"c/{at[0]}/{at[1]}/0"
        (path / "0" / key).unlink()
    with open_slide(path) as slide:
        assert slide.notes == ("2 of 42 chunks are absent",)
        region, holes = slide.read_around(0, 0, 700, 600)
        assert (region[200:300, 300:400] == 255).all()
        np.testing.assert_array_equal(region[:128, :128], picture[:128, :128])
        assert bool(holes) == (fill == 0)
        xy = np.array([(x, y) for x in range(100, 650, 50) for y in range(100, 550, 50)], dtype=float)
        result = predicted(slide, bundle, xy)
    assert "2 of 42 chunks are absent" in result.provenance.slide_notes
    assert ("left out" in result.provenance.slide_notes) == (fill == 0)


def test_a_slide_that_vanishes_or_is_replaced_in_mid_run(
    tmp_path: Path, slide_path: Path, bundle: Bundle
) -> None:
    xy = np.random.default_rng(3).uniform(60, (1440, 1240), (40, 2))
    for other, why in ((None, "no longer there"), (b"another", "was replaced meanwhile")):
        path = tmp_path / "s.tif"
        path.write_bytes(slide_path.read_bytes())
        with open_slide(path) as slide:
            grid = given_grid(np.arange(40).astype(str), xy, (slide.width, slide.height), SCALE)
            assert slide.fingerprint
            steps = predict(slide, bundle, grid, SCALE, device="cpu", batch_size=4)
            for step in steps:
                if step.done >= 8:
                    path.unlink()
                    if other:
                        path.write_bytes(other)
                    break
            with pytest.raises(SlideError, match=why):
                finish(steps)


def test_a_slide_that_was_only_touched_is_the_same(tmp_path: Path, slide_path: Path) -> None:
    path = tmp_path / "s.tif"
    path.write_bytes(slide_path.read_bytes())
    with open_slide(path) as slide:
        watch = Watch(slide)
        path.write_bytes(path.read_bytes())
        watch.check()
