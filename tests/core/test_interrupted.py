"""A prediction that was killed or cancelled goes on from its finished spots, to the same result."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from steps import finish

from napari_mclstexp.core import interrupted
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.pipeline import predict_and_label
from napari_mclstexp.core.progress import Enough
from napari_mclstexp.core.slide import open_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

CHILD = """
import sys
from napari_mclstexp import cli
from napari_mclstexp.core import interrupted
interrupted.FIRST_S = 0.3
cli.main(sys.argv[1:])
"""
OPTIONS = {"grid": "90", "batch_size": 4, "device": "cpu", "backend": "torch", "domains": 2}
WORDS = ("--grid", 60, "--batch-size", 4, "--device", "cpu", "--backend", "torch", "--domains", 2)


@pytest.fixture
def kept(own_data: Path) -> Callable[[], list[Path]]:
    """The parts that are kept."""
    return lambda: sorted(own_data.glob("unfinished/*/[0-9]*.safetensors"))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are written after every batch."""
    monkeypatch.setattr(interrupted, "FIRST_S", 0.0)
    monkeypatch.setattr(interrupted, "SHARE", 1e9)


@pytest.fixture
def predicting(slide_path: Path, bundle_path: Path) -> Generator[Callable]:
    with open_slide(slide_path) as slide:
        bundle = load_bundle(bundle_path)
        yield lambda **more: predict_and_label(slide, bundle, slide.scale, **OPTIONS, resumable=True, **more)


def until(steps: Generator, spots: int) -> None:
    """Let a prediction do so many spots, and leave it there."""
    for step in steps:
        if step.stage == "Predicting" and step.done >= spots:
            return
    raise AssertionError("it ended before")


def taken(steps: list) -> int:
    return max(step.taken for step in steps)


def test_killed_and_run_again(
    slide_path: Path, bundle_path: Path, tmp_path: Path, run: Callable, kept: Callable
) -> None:
    words = ["predict", slide_path, "--bundle", bundle_path, *WORDS, "--out"]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *map(str, words), str(tmp_path / "killed.h5ad")])
    ends = time.monotonic() + 120
    while not kept() and child.poll() is None and time.monotonic() < ends:
        time.sleep(0.02)
    child.kill()
    assert child.wait() == -9, "it was killed in mid-run"
    assert list(tmp_path.iterdir()) == []
    assert kept(), "nothing was kept"
    told = run(*words, tmp_path / "resumed.h5ad")
    assert told.code == 0, told.err
    assert kept() == [], "it is kept no longer than the run lasts"
    whole = run(*words, tmp_path / "whole.h5ad")
    assert "taken from the interrupted run" in told.err
    assert "taken from the interrupted run" not in whole.err
    resumed, usual = (ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("resumed", "whole"))
    spots = int(told.err.split(" of ")[0].split()[-1].replace(",", ""))
    assert 0 < spots < usual.n_obs
    np.testing.assert_allclose(resumed.X, usual.X, rtol=0, atol=1e-6)
    assert resumed.obs["domain"].tolist() == usual.obs["domain"].tolist()
    assert {**resumed.uns["mclstexp"]} == {**usual.uns["mclstexp"]}


@pytest.mark.usefixtures("at_once")
def test_cancelled_and_begun_again(predicting: Callable, kept: Callable) -> None:
    steps = predicting()
    until(steps, 28)
    steps.close()
    assert kept()
    again, result = finish(predicting())
    assert taken(again) >= 24
    first = next(step for step in again if step.taken)
    assert first.notes == (f"{first.taken:,} of {first.total:,} spots taken from the interrupted run.",)
    assert first.expression is not None, "the map shows them"
    assert kept() == []
    fresh, whole = finish(predicting())
    assert taken(fresh) == 0
    np.testing.assert_allclose(result.expression, whole.expression, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("at_once")
def test_other_settings_do_not_take_it(predicting: Callable, kept: Callable) -> None:
    steps = predicting()
    until(steps, 28)
    steps.close()
    steps, _ = finish(predicting(top_k=3))
    assert taken(steps) > 0, "how many references are averaged does not change what is encoded"
    steps = predicting()
    until(steps, 28)
    steps.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIONS, "grid", "93")
        steps, _ = finish(predicting())
    assert taken(steps) == 0
    assert kept(), "that of the other grid is still there"


@pytest.mark.usefixtures("at_once")
def test_stopped_here_is_not_kept(predicting: Callable, kept: Callable) -> None:
    steps = predicting()
    until(steps, 28)
    steps.throw(Enough())
    _, result = finish(steps)
    assert result.provenance.partial
    assert kept() == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_nan(path: Path) -> None:
    held = load_file(path)
    held["features"][0, 0] = np.nan
    save_file(held, path)


def narrower(path: Path) -> None:
    held = load_file(path)
    save_file({**held, "looks": np.ascontiguousarray(held["looks"][:, :-1])}, path)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("spoil", [cut, emptied, of_nan, narrower])
def test_damaged_parts_are_passed_over(
    predicting: Callable, kept: Callable, spoil: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    steps = predicting()
    until(steps, 28)
    steps.close()
    parts = kept()
    assert len(parts) > 2
    spoil(parts[1])
    again, _ = finish(predicting())
    assert taken(again) == int(parts[1].stem), "up to the damaged one"
    assert "is damaged" in caplog.text


@pytest.mark.usefixtures("at_once")
def test_one_keeps_it_at_a_time(predicting: Callable, kept: Callable) -> None:
    """Two windows predict the same: the second neither takes nor deletes what the first keeps."""
    first = predicting()
    until(first, 28)
    held = kept()
    second, result = finish(predicting())
    assert taken(second) == 0
    assert set(held) <= set(kept())
    first.close()
    again, resumed = finish(predicting())
    assert taken(again) > 0
    np.testing.assert_allclose(resumed.expression, result.expression, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("at_once")
def test_few_runs_are_kept(predicting: Callable, own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupted, "KEPT_RUNS", 2)
    for pitch in (90, 91, 92):
        monkeypatch.setitem(OPTIONS, "grid", str(pitch))
        steps = predicting()
        until(steps, 8)
        steps.close()
    folders = [path for path in (own_data / "unfinished").iterdir() if path.is_dir()]
    assert len(folders) == 2
