"""Opening and reading large slides, beside peers on the same slide in the same run: ``make bench``.

Times are compared within a run only, as ratios; nothing here passes or fails on a time.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pytest

from napari_mclstexp.core.patches import Field, read_patch
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide

from .slides import write_large

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

PATCHES = 400
SIDE = 224
SCRIPT = Path(__file__).with_name("first_picture.py")
PEERS = {"ours": "napari-mclstexp", "napari": "napari", "napari-wsi": "napari-wsi"}


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("large")
    return {
        "pyramid": write_large(folder / "pyramid.tif", 30_000, 35_000),
        "flat": write_large(folder / "flat.tif", 30_000, 35_000, levels=1),
        "sparse": write_large(folder / "sparse.tif", 100_000, 100_000, levels=5, sparse=True),
        "small": write_large(folder / "small.tif", 4_000, 4_000, levels=2),
    }


def _first_picture(slide: Path, plugin: str, *options: str) -> dict[str, float]:
    command = [sys.executable, str(SCRIPT), str(slide), plugin, *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if ended.returncode or not ended.stdout.strip():
        pytest.skip(f"{plugin}: {ended.stderr.strip()[-300:]}")
    told: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
    return told


@pytest.mark.parametrize("slide", ["pyramid", "flat", "sparse", "small"])
@pytest.mark.parametrize("peer", PEERS)
def test_first_picture(benchmark: BenchmarkFixture, large: dict[str, Path], slide: str, peer: str) -> None:
    """Seconds until the first picture, and memory at the end; napari's own reader only where it fits."""
    if peer == "napari" and slide in ("sparse", "flat"):
        pytest.skip("napari's own reader loads 3 GB and more")
    try:
        importlib.metadata.version(PEERS[peer])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{peer} is not installed")
    options = ["--pan"] if slide == "pyramid" and peer != "napari" else []
    told: list[dict[str, float]] = []
    benchmark.group = f"first picture: {slide}"
    benchmark.pedantic(
        lambda: told.append(_first_picture(large[slide], PEERS[peer], *options)), rounds=3, iterations=1
    )
    benchmark.extra_info.update({k: float(np.median([t[k] for t in told])) for k in told[0]})


def _centres() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.column_stack([rng.uniform(300, 34_700, PATCHES), rng.uniform(300, 29_700, PATCHES)])


@pytest.mark.parametrize("reader", ["raw OpenSlide", "ours, 1 thread", "ours, 2 threads"])
def test_patches(benchmark: BenchmarkFixture, large: dict[str, Path], reader: str) -> None:
    """First reads of 224-px patches at the model's native field."""
    centres = _centres()
    benchmark.group = "400 patches of 224 px"

    def raw() -> None:
        with openslide.OpenSlide(large["pyramid"]) as slide:
            for y, x in centres:
                corner = (round(x) - SIDE // 2, round(y) - SIDE // 2)
                np.asarray(slide.read_region(corner, 0, (SIDE, SIDE)).convert("RGB"))

    def ours(threads: int) -> Callable[[], None]:
        def read() -> None:
            scale = Scale(0.5, 0.5, "benchmark")
            with open_slide(large["pyramid"]) as slide, ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda c: read_patch(slide, c, Field(SIDE, None), scale), centres))

        return read

    run = raw if reader.startswith("raw") else ours(2 if "2" in reader else 1)
    benchmark.pedantic(run, rounds=5, iterations=1, warmup_rounds=1)
