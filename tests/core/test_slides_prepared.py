"""What a file lacks is made once, losslessly, in a bounded cache; a glance never waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from processes import ended_process

from napari_mclstexp.core.cache import cache_folder, clear, tidy
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.unfinished import Names, new_stem
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = (4300, 4000)


@pytest.fixture(scope="module")
def large(picture: Callable[..., np.ndarray]) -> np.ndarray:
    """A picture that is too large to be decoded on opening."""
    return np.tile(picture(8, SIZE[0] // 4, SIZE[1] // 4), (4, 4, 1))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, kind: str, picture: np.ndarray) -> Path:
    path = folder / f"Anna_Secret.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, picture, photometric="rgb", compression="deflate", metadata=None)
    else:
        Image.fromarray(picture).save(path, compress_level=1, quality=92)
    return path


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "jp2"])
def test_prepared_pixels_are_those_of_the_file(
    tmp_path: Path, cache: Path, large: np.ndarray, kind: str
) -> None:
    path = tmp_path / "p.jp2" if kind == "jp2" else write(tmp_path, kind, large)
    if kind == "jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(large, level=0, reversible=True))
    expected = imagecodecs.jpeg8_decode(path.read_bytes()) if kind == "jpg" else large
    with open_slide(path) as slide:
        assert not slide.prepared
        steps = list(slide.prepare())
        assert slide.prepared
        assert steps[-1][0] == steps[-1][1]
        for x, y in ((0, 0), (500, 480), (SIZE[0] - 300, SIZE[1] - 200)):
            np.testing.assert_array_equal(slide.read(x, y, 300, 200), expected[y : y + 200, x : x + 300])
        half = slide.read(100, 60, 200, 150, 1).astype(float)
        block = expected[120:420, 200:600].reshape(150, 2, 200, 2, 3).mean(axis=(1, 3))
        assert np.abs(half - block).max() <= 1
    (made,) = cache.iterdir()
    assert "Secret" not in made.name
    assert b"Secret" not in made.read_bytes()
    before = made.stat()
    with open_slide(path) as slide:  # instant: the copy is taken as it is
        assert list(slide.prepare()) == []
        np.testing.assert_array_equal(slide.read(9, 8, 50, 40), expected[8:48, 9:59])
    assert made.stat().st_ino == before.st_ino
    assert made.stat().st_size == before.st_size


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_a_glance_does_not_wait(tmp_path: Path, cache: Path, large: np.ndarray, kind: str) -> None:
    with open_slide(write(tmp_path, kind, large)) as slide:
        coarsest = slide.levels[-1]
        seen = slide.glance(0, 0, coarsest.width, coarsest.height, len(slide.levels) - 1).astype(int)
        near = slide.glance(1000, 900, 400, 300, 0)
        assert not slide.prepared
        assert not cache.exists()
        assert near.shape == (300, 400, 3)
        small = np.asarray(Image.fromarray(large).resize((43, 40), Image.Resampling.BOX)).astype(int)
        like = np.asarray(Image.fromarray(seen.astype(np.uint8)).resize((43, 40), Image.Resampling.BOX))
        assert np.corrcoef(small.ravel(), like.ravel())[0, 1] > 0.9


def test_a_cancelled_preparation_leaves_nothing(tmp_path: Path, cache: Path, large: np.ndarray) -> None:
    with open_slide(write(tmp_path, "jpg", large)) as slide:
        steps = slide.prepare()
        for _ in range(5):
            next(steps)
        steps.close()
        assert not slide.prepared
        assert list(cache.iterdir()) == []
        assert slide.read(0, 0, 20, 10).shape == (10, 20, 3)  # the next one makes it after all
        assert slide.prepared


def test_a_damaged_copy_is_made_again(tmp_path: Path, cache: Path, large: np.ndarray) -> None:
    path = write(tmp_path, "jpg", large)
    with open_slide(path) as slide:
        expected = slide.read(0, 0, 100, 80)
    (made,) = cache.iterdir()
    made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 100, 80), expected)


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: np.ndarray
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "file"))
    with open_slide(write(tmp_path, "png", large)) as slide:
        np.testing.assert_array_equal(slide.read(700, 600, 50, 40), large[600:640, 700:750])


def test_the_cache_is_bounded_and_swept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLSTEXP_CACHE_GB", "0.002")
    assert cache_folder() == cache
    cache.mkdir()
    for age, name in enumerate(("newest", "older", "oldest")):
        (cache / name).write_bytes(bytes(900_000))
        os.utime(cache / name, (2e9 - age * 100,) * 2)
    alive = Names.beside(cache / "x", new_stem()).part
    dead = cache / alive.name.replace(f"-{os.getpid()}-", f"-{ended_process()}-")
    for part in (alive, dead):
        part.write_bytes(b"x")
    tidy()
    assert {p.name for p in cache.iterdir()} == {"newest", "older", alive.name}
    assert clear() == 2 * 900_000 + 1
    assert list(cache.iterdir()) == []


def test_a_tiled_image_without_a_pyramid_gets_one(tmp_path: Path, cache: Path) -> None:
    """A sparse one of 72 Mpx; its full resolution is read from the file itself."""
    rng = np.random.default_rng(2)
    places = {(3, 4), (10, 11), (15, 17)}
    tiles = [
        rng.integers(0, 200, (512, 512, 3), dtype=np.uint8) if (row, column) in places else None
        for row in range(17)
        for column in range(18)
    ]
    whole = np.zeros((17 * 512, 18 * 512, 3), dtype=np.uint8)
    for i, tile in enumerate(tiles):
        if tile is not None:
            y, x = 512 * (i // 18), 512 * (i % 18)
            whole[y : y + 512, x : x + 512] = tile
    picture = whole[:8600, :9000]
    tifffile.imwrite(
        tmp_path / "flat.tif", picture, photometric="rgb", tile=(512, 512), compression="zstd", metadata=None
    )
    with open_slide(tmp_path / "flat.tif") as slide:
        assert not slide.prepared
        np.testing.assert_array_equal(slide.glance(2048, 1536, 90, 70), picture[1536:1606, 2048:2138])
        slide.glance(0, 0, 500, 500, len(slide.levels) - 1)
        assert not slide.prepared
        list(slide.prepare())
        for level, factor in ((2, 4), (3, 8)):
            got = slide.read(0, 0, 9000 // factor, 8600 // factor, level).astype(float)
            rows, columns = 8600 // factor * factor, 9000 // factor * factor
            blocks = picture[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor, 3)
            assert np.abs(got - blocks.mean(axis=(1, 3))).max() <= 1.5
    assert sum(p.stat().st_size for p in cache.iterdir()) < picture.nbytes / 16


def test_a_large_jpeg_that_is_cut_off_is_refused_on_opening(tmp_path: Path, large: np.ndarray) -> None:
    for kind in ("jpg", "png"):
        path = write(tmp_path, kind, large)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(SlideError, match="cut off"):
            open_slide(path)


MEASURE = """
import sys, threading, time, psutil
from napari_mclstexp.core.slide import open_slide
import imagecodecs, zarr, numpy
process, peak, stop = psutil.Process(), [0], threading.Event()
slide = open_slide(sys.argv[1])
before = process.memory_info().rss
def watch():
    while not stop.wait(0.003):
        peak[0] = max(peak[0], process.memory_info().rss - before)
threading.Thread(target=watch, daemon=True).start()
for _ in slide.prepare():
    pass
stop.set()
print(peak[0] / (slide.width * slide.height * 3))
"""


def test_memory_while_a_real_jpeg_is_prepared(real: Path) -> None:
    """At most one and a half times the decoded image, of a real one of 9,274 x 9,911 px."""
    command = [sys.executable, "-c", MEASURE, str(real / "her2st" / "C2.jpg")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 0.9 < float(ended.stdout) <= 1.5
