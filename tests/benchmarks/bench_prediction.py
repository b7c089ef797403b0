"""A whole prediction beside the loop that follows the paper, and beside the bare forward pass; its stages.

All ways of a comparison run in turn on the same slide and spots. The loop is written after the paper's
method: the whole image in memory, patches cut from it, the plain network in batches of 128, one product with
the whole reference.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch

from napari_mclstexp.core import backends
from napari_mclstexp.core.backends import DENSE, fastest, image_backend
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.dense import dense_grid
from napari_mclstexp.core.domains import find_domains
from napari_mclstexp.core.drawing import drawing_of
from napari_mclstexp.core.encode import encode_patches
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.how import default_batch_size
from napari_mclstexp.core.laying import lay_spots
from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.retrieval import gather, match
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import find_tissue
from napari_mclstexp.samples import demo_bundle_path, sample_slide_path
from napari_mclstexp.training.scores import pearson

from .ratios import interleaved, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Result

SCALE = Scale(0.5, 0.5, "benchmark")
DEVICE = torch.device(os.environ.get("MCLSTEXP_BENCH_DEVICE") or "cpu")
"""Where the network runs: make bench DEVICE=cuda."""
FAST = "fused" if DEVICE.type == "cpu" else "half"
"""A backend that needs no preparation."""
ROUNDS = 3
LOOP_BATCH = 128
SPOTS = {224: 384, 112: 1024}
"""By pixels a side of a patch: how many spots."""
ALONE = 1000
"""Spots of a dense map that are timed patch by patch."""


@pytest.fixture(autouse=True)
def all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(os.cpu_count() or 1)


def model(patch_px: int) -> Bundle:
    """The demo's model, which reads a field of 112 um by so many pixels a side."""
    bundle = load_bundle(demo_bundle_path())
    return replace(bundle, spec=replace(bundle.spec, patch_px=patch_px, context_um=None, mpp=112 / patch_px))


def laid(spots: int) -> SpotGrid:
    """The first spots of a fine grid on the sample's tissue."""
    with open_slide(sample_slide_path()) as slide:
        return lay_spots(slide, SCALE, grid="48").first(spots)


def run(bundle: Bundle, grid: SpotGrid, backend: str | None = None) -> Result:
    with open_slide(sample_slide_path()) as slide:
        steps = predict(slide, bundle, grid, SCALE, device=DEVICE.type, backend=backend)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value


@torch.no_grad()
def loop_after_the_paper(bundle: Bundle, grid: SpotGrid) -> np.ndarray:
    """Expression (N, G)."""
    network, side = bundle.network().to(DEVICE), bundle.spec.patch_px
    picture = tifffile.imread(sample_slide_path())
    step = max(1, 224 // side)  # what stands for a smaller patch: every other pixel
    found = []
    for start in range(0, len(grid), LOOP_BATCH):
        patches = []
        for y, x in grid.centres_px[start : start + LOOP_BATCH].round().astype(int):
            patch = picture[y - 112 : y + 112 : step, x - 112 : x + 112 : step]
            patches.append(torch.from_numpy(np.ascontiguousarray(patch)).permute(2, 0, 1).float() / 255)
        found.append(network.encode_images(torch.stack(patches).to(DEVICE)).cpu())
    unit = torch.nn.functional.normalize(torch.cat(found))
    reference = torch.nn.functional.normalize(torch.from_numpy(bundle.embeddings))
    nearest = (unit @ reference.T).topk(bundle.spec.top_k).indices.numpy()
    return bundle.expression[nearest].mean(axis=1)


def chosen(bundle: Bundle, grid: SpotGrid, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fastest backend here, which a person's first long prediction finds."""
    monkeypatch.setattr(backends, "WORTH_PX", 0)
    side = bundle.spec.patch_px
    steps = fastest(bundle.network().to(DEVICE), DEVICE, side, default_batch_size(side, DEVICE), len(grid))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("side", SPOTS)
def test_whole(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """Opening, reading, embedding and retrieval, beside the loop and the bare forward pass."""
    bundle, grid = model(side), laid(SPOTS[side])
    name = chosen(bundle, grid, monkeypatch)
    network = bundle.network().to(DEVICE)
    encode = image_backend(name, network)
    with open_slide(sample_slide_path()) as slide:
        field = Field(side, bundle.spec.field_um)
        size = default_batch_size(side, DEVICE)
        in_memory = [part for _, part in read_batches(slide, grid.centres_px, field, SCALE, size)]

    def bare() -> None:
        with torch.inference_mode():
            for patches in in_memory:
                pixels = torch.from_numpy(patches).to(DEVICE).permute(0, 3, 1, 2).float() / 255.0
                network.embed_features(encode(pixels).float()).cpu()

    ways = {
        "whole": lambda: run(bundle, grid, name),
        "loop": lambda: loop_after_the_paper(bundle, grid),
        "bare": bare,
    }
    took: dict[str, float] = {}
    benchmark.group = "whole prediction"
    benchmark.pedantic(lambda: took.update(interleaved(ways, ROUNDS)), rounds=1)
    whole = side == 224
    benchmark.extra_info["backend"] = name
    benchmark.extra_info["patches a second"] = {way: round(len(grid) / s, 2) for way, s in took.items()}
    benchmark.extra_info["ratios"] = {
        f"{side} px: loop after the paper / whole prediction": ratio(
            took["loop"] / took["whole"], "at least 1.6" if whole else ""
        ),
        f"{side} px: whole prediction / bare forward pass": ratio(
            took["whole"] / took["bare"], "at most 1.1" if whole else "", less=True
        ),
    }


@pytest.mark.parametrize("name", [name for name in backends.backend_names(DEVICE) if name != "torch"])
def test_backend(benchmark: BenchmarkFixture, name: str) -> None:
    """Each backend beside the network as it is written."""
    network = model(224).network().to(DEVICE)
    encode, pixels = image_backend(name, network), torch.rand(8, 3, 224, 224, device=DEVICE)
    took: dict[str, float] = {}

    @torch.inference_mode()
    def plain() -> None:
        network.image_encoder(pixels).cpu()

    benchmark.group = "backends, 8 patches of 224 px"
    benchmark.pedantic(
        lambda: took.update(interleaved({"plain": plain, "other": lambda: encode(pixels).cpu()}, 5)), rounds=1
    )
    benchmark.extra_info["ratios"] = {f"224 px: torch / {name}": ratio(took["plain"] / took["other"], "")}


@pytest.mark.parametrize("side", [64, 112, 224])
def test_dense_map(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """Time a spot of a dense map beside patch by patch without a margin, and how far it agrees with one."""
    plain = load_bundle(demo_bundle_path()) if side == 64 else model(side)
    wide = replace(plain, spec=replace(plain.spec, margin_px=32))
    with open_slide(sample_slide_path()) as slide:
        whole = lay_spots(slide, SCALE, grid=dense_grid(wide.spec))
    y, x = whole.centres_px.T
    reach = 50 * whole.pitch_px[0]
    grid = whole.take(np.flatnonzero((abs(y - 3000) < reach) & (abs(x - 4000) < reach)))
    some = grid.take(np.sort(np.random.default_rng(0).permutation(len(grid))[:ALONE]))
    name = chosen(plain, grid, monkeypatch)
    took: dict[str, float] = {}
    ways = {"dense": lambda: run(wide, grid), "alone": lambda: run(plain, some, name)}
    benchmark.group = "dense map"
    benchmark.pedantic(lambda: took.update(interleaved(ways, ROUNDS)), rounds=1)
    benchmark.extra_info["spots"] = {"dense": len(grid), "patch by patch": len(some)}
    benchmark.extra_info["ratios"] = {
        f"{side} px: patch by patch / dense map of {grid.pitch_um:g} um, time a spot": ratio(
            took["alone"] / len(some) / (took["dense"] / len(grid)), "at least 8" if side == 224 else ""
        )
    }
    if side == 64:  # the model's own scale
        dense, alone = (run(wide, some, way) for way in (DENSE, "torch"))
        order = [np.argsort(result.grid.ids) for result in (dense, alone)]
        pcc = np.median(pearson(dense.expression[order[0]], alone.expression[order[1]]))
        benchmark.extra_info["ratios"]["64 px: PCC of dense map and patch by patch, median of genes"] = ratio(
            float(pcc), "at least 0.95"
        )


def test_time_a_spot(benchmark: BenchmarkFixture) -> None:
    """4,000 spots against 1,000, a spot."""
    bundle = model(64)
    few, many = laid(1000), laid(4000)
    took: dict[str, float] = {}
    ways = {"few": lambda: run(bundle, few, FAST), "many": lambda: run(bundle, many, FAST)}
    benchmark.pedantic(lambda: took.update(interleaved(ways, ROUNDS)), rounds=1)
    benchmark.extra_info["spots"] = [len(few), len(many)]
    benchmark.extra_info["ratios"] = {
        "time a spot: 4,000 / 1,000 spots": ratio(
            took["many"] / len(many) / (took["few"] / len(few)), "at most 1.1"
        )
    }


def test_memory(benchmark: BenchmarkFixture) -> None:
    """How far the peak of a process rises by a prediction of 1,000 and of 4,000 spots, after one of 64."""
    script = (
        "import resource, sys\n"
        "from tests.benchmarks.bench_prediction import laid, model, run\n"
        "bundle, grid = model(64), laid(int(sys.argv[1]))\n"
        "run(bundle, grid.first(64))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "run(bundle, grid)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown: dict[int, float] = {}

    def measure() -> None:
        for spots in (1000, 4000):
            words = [sys.executable, "-c", script, str(spots)]
            told = subprocess.run(words, capture_output=True, text=True, check=True)
            grown[spots] = int(told.stdout.split()[-1]) * 1024 / 1e6

    benchmark.group = "memory"
    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["MB of peak memory"] = {spots: round(mb, 1) for spots, mb in grown.items()}


def test_stages(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Seconds of each stage on the sample at the Visium grid."""
    took: dict[str, float] = {}
    bundle = load_bundle(demo_bundle_path())
    network = bundle.network().to(DEVICE)

    def stages() -> None:
        began = [time.perf_counter()]

        def done(name: str) -> None:
            took[name] = round(time.perf_counter() - began[0], 3)
            began[0] = time.perf_counter()

        slide = open_slide(sample_slide_path())
        done("open")
        tissue = find_tissue(slide, SCALE)
        done("tissue")
        grid = lay_spots(slide, SCALE, tissue=tissue)
        done("grid")
        field = Field(bundle.spec.patch_px, bundle.spec.field_um)
        parts = [part for _, part in read_batches(slide, grid.centres_px, field, SCALE, 64)]
        done("read")
        encode = image_backend(FAST, network)
        queries = [encode_patches(network, part, DEVICE, encode).embeddings for part in parts]
        done("embed")
        gather(match(np.concatenate(queries), bundle.embeddings, bundle.spec.top_k), bundle.expression)
        done("retrieve")
        slide.close()
        result = run(bundle, grid, FAST)
        done("whole prediction")
        result = find_domains(result, 7, 0)
        done("domains")
        drawing_of(result.grid)
        done("raster")
        for ending in ("h5ad", "geojson", "csv"):
            export_result(result, tmp_path / f"out.{ending}", overwrite=True)
            done(f"export .{ending}")

    benchmark.pedantic(stages, rounds=1)
    benchmark.extra_info["seconds"] = took
