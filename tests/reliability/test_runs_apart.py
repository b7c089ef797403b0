"""Runs that know nothing of each other, and of no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from results import laid

from napari_mclstexp.core.saved import load_work

ROOT = Path(__file__).parents[2]


def words(slide: Path, bundle: Path, out: Path, *more: object) -> list[str]:
    given = ("predict", slide, "--bundle", bundle, "--out", out, "--device", "cpu", "--domains", 2, *more)
    return [sys.executable, "-m", "napari_mclstexp.cli", *map(str, given)]


def test_predictions_of_one_slide_at_once(slide_path: Path, bundle_path: Path, tmp_path: Path) -> None:
    """Each is whole; of two to one target, one is there whole."""
    outs = [tmp_path / name for name in ("a.h5ad", "a.h5ad", "b.h5ad")]
    runs = [
        subprocess.Popen(
            words(slide_path, bundle_path, out, "--overwrite"), stderr=subprocess.PIPE, text=True
        )
        for out in outs
    ]
    for run in runs:
        _, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
    found = [ad.read_h5ad(out) for out in outs[1:]]
    np.testing.assert_array_equal(found[0].X, found[1].X)
    assert found[0].n_obs > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({out.name for out in outs})


KEEPS = """
import sys
from napari_mclstexp.core.domain_edits import Rename
from napari_mclstexp.core.domain_history import History
from napari_mclstexp.core.saved import State, keep_work
from results import laid
from dataclasses import replace

name, of = sys.argv[1], float(sys.argv[2])
made = laid("square")
made = replace(made, expression=made.expression * of)
history = History(made.domains)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(12):
    history = history.do(Rename(1, f"{name} {turn}"))
    result = made.with_domains(history.domains, history.count)
    keep_work("f" * 64, result, State(gene=name, zoom=turn), history, anew=turn == 0)
"""


def test_two_windows_keep_their_work_on_one_slide(own_data: Path) -> None:
    """What is kept then is the whole of one of them: prediction, gene, view and all its edits."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", KEEPS, name, of],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])},
        )
        for name, of in (("ERBB2", "1"), ("CD3D", "2"))
    ]  # fmt: skip
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:  # both begin at once
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    work = load_work("f" * 64)
    name = work.state.gene
    assert name in ("ERBB2", "CD3D"), "the state was lost"
    np.testing.assert_allclose(work.result.expression, laid("square").expression * (1 + (name == "CD3D")))
    assert work.result.domains.names[1] == f"{name} {work.state.zoom:.0f}"
    assert work.history.count == work.state.zoom + 1 == 12
    assert not list(own_data.rglob("*.part*")), "something half written was left"


def test_the_command_predicts_without_a_network(slide_path: Path, bundle_path: Path, tmp_path: Path) -> None:
    """In a network namespace of its own, which has not even a loopback that is up."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not there: it comes with util-linux, on Linux alone")
    alone = [unshare, "-r", "-n"]
    probe = subprocess.run([*alone, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"a network namespace cannot be made here: {probe.stderr.strip()}")
    done = subprocess.run(
        [*alone, *words(slide_path, bundle_path, tmp_path / "r.h5ad")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.h5ad").is_file()


def test_a_whole_session_of_the_window_asks_no_network(tmp_path: Path) -> None:
    """Every connection and look-up of the process is heard by Python's audit hook."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        pytest.skip("there is no display")
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.audited", str(tmp_path)],
        capture_output=True, text=True, timeout=400, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["exported"], "the session was not whole"
    assert told["heard"] > 0, "the hook hears nothing: it proves nothing"
    assert told["outside"] == []


def test_cycles_leave_nothing_behind() -> None:
    """The quick share of ``make soak-cycles``."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        pytest.skip("there is no display")
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.cycles", "7", "150"],
        capture_output=True, text=True, timeout=500, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
