"""A cohort on one worker and on two, beside a plain loop over predictions; a thousand tiny slides."""

from __future__ import annotations

import csv
import os
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import torch

from napari_mclstexp.cohort.engine import Engine, local
from napari_mclstexp.cohort.plan import cohort_folder
from napari_mclstexp.cohort.request import Asked, Settings
from napari_mclstexp.cohort.run import run_cohort
from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.core.pipeline import open_slide, predict_and_label, save_result
from napari_mclstexp.samples import demo_bundle_path

from .ratios import interleaved, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS, SLIDES, TINY = 2, 8, 1000
BACKEND = "fused"
SETTINGS = Settings(domains=4, backend=BACKEND, device="cpu")


@contextmanager
def one_core() -> Iterator[None]:
    """This process, and those that it starts meanwhile, compute on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        torch.set_num_threads(len(before))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model at 112 px, so that the network is most of the work, as it is with a real model."""
    model = load_bundle(demo_bundle_path())
    spec = replace(model.spec, patch_px=112, context_um=None, mpp=1.0, dense={}, margin_px=0)
    return save_bundle(replace(model, spec=spec), tmp_path_factory.mktemp("bundle") / "bundle")


def slides(
    folder: Path, count: int, side: int, make: Callable[..., Path], paint: Callable[..., object]
) -> list[Asked]:
    """Slides of so many pixels a side, each of its own content."""
    base = np.asarray(paint(1, side, side))
    made = []
    for n in range(count):
        picture = base.copy()
        picture[0, :16, 0] = [n >> bit & 1 for bit in range(16)]
        made.append(Asked(make(folder / f"s{n:04}.tif", picture)))
    return made


def cohort(folder: Path, asked: Sequence[Asked], bundle: Path, engine: Engine) -> float:
    """Run a cohort; seconds until all slides are predicted, before domains, maps, AnnData and page."""
    began = predicted = time.perf_counter()
    with cohort_folder(folder):
        for step in run_cohort(folder, asked, bundle, SETTINGS, nullcontext(engine)):
            if step.stage == "Predicting":
                predicted = time.perf_counter()
    return predicted - began


def loop(folder: Path, asked: Sequence[Asked], bundle: Path) -> None:
    """What a shell's loop over ``mclstexp predict`` does, without its starts."""
    folder.mkdir()
    model = load_bundle(bundle)
    for slide in asked:
        with open_slide(slide.path) as opened:
            steps = predict_and_label(opened, model, opened.scale, domains=4, backend=BACKEND, device="cpu")
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    save_result(end.value, folder / f"{slide.path.stem}.h5ad")
                    break


def test_two_workers_beside_one(
    benchmark: BenchmarkFixture,
    bundle: Path,
    tmp_path: Path,
    make_slide: Callable[..., Path],
    picture: Callable[..., object],
) -> None:
    """Goals: two workers of one core at least 1.7 times as fast as one; at most 5 % slower than a loop."""
    asked = slides(tmp_path, SLIDES, 3400, make_slide, picture)
    taken = iter(range(100))
    predicted: list[float] = []
    with ExitStack() as started:
        two = started.enter_context(local(2))
        with one_core():
            one = started.enter_context(local(1))
        for workers in (one, two):
            _one_core_each(workers)

        def looped() -> None:
            with one_core():
                loop(tmp_path / f"out{next(taken)}", asked, bundle)

        ways = {
            "loop": looped,
            "one": lambda: predicted.append(cohort(tmp_path / f"out{next(taken)}", asked, bundle, one)),
            "two": lambda: cohort(tmp_path / f"out{next(taken)}", asked, bundle, two),
        }
        for warm in (one, two):
            cohort(tmp_path / f"out{next(taken)}", asked[:2], bundle, warm)
        before = _worker_bytes(two)
        seconds = interleaved(ways, ROUNDS)
        grown = _worker_bytes(two) - before
    benchmark.extra_info["ratios"] = {
        "cohort: one worker of one core / two": ratio(seconds["one"] / seconds["two"], "at least 1.7"),
        "cohort: one worker of one core until all are predicted / loop": ratio(
            float(np.median(predicted)) / seconds["loop"], "at most 1.05"
        ),
        "cohort: one worker of one core, domains and page too / loop": ratio(
            seconds["one"] / seconds["loop"], "", less=True
        ),
    }
    benchmark.extra_info["MB a worker, grown over 16 slides"] = grown / 1e6
    benchmark.pedantic(lambda: None, rounds=1)


def test_a_thousand_tiny_slides(
    benchmark: BenchmarkFixture,
    bundle: Path,
    tmp_path: Path,
    make_slide: Callable[..., Path],
    picture: Callable[..., object],
) -> None:
    """Goal: the scheduler, which is in this process, grows by at most 200 MB; the table is complete."""
    asked = slides(tmp_path, TINY, 500, make_slide, picture)
    with local(2) as two:
        cohort(tmp_path / "few", asked[:20], bundle, two)
        before = psutil.Process().memory_info().rss
        benchmark.pedantic(lambda: cohort(tmp_path / "out", asked, bundle, two), rounds=1)
        grown = psutil.Process().memory_info().rss - before
    with (tmp_path / "out" / "cohort.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == TINY
    assert {row["outcome"] for row in rows} == {"done"}
    benchmark.extra_info["MB of scheduler, 1,000 slides"] = grown / 1e6


def _one_core_each(engine: Engine) -> None:
    """Keep each worker, with all threads that it has and will start, to a core of its own."""
    cores = sorted(os.sched_getaffinity(0))

    def keep(core: int) -> None:  # within, so that it goes to the workers as it stands: they know no tests
        for thread in psutil.Process().threads():
            os.sched_setaffinity(thread.id, {core})

    for core, address in zip(cores, engine.client.scheduler_info(n_workers=-1)["workers"], strict=False):
        engine.client.run(keep, core, workers=[address])


def _worker_bytes(engine: Engine) -> int:
    """Memory of the largest worker."""
    return max(engine.client.run(lambda: psutil.Process().memory_info().rss).values())
