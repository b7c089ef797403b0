"""Training by two processes: the gradient of one, equal weights, one voice."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.patches import Field
from napari_mclstexp.errors import SectionError
from napari_mclstexp.training.data import load_training_data
from napari_mclstexp.training.distributed import ALONE, Processes, started
from napari_mclstexp.training.network import fit_network
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun there lacks libuv")

WORDS = ("--epochs", 4, "--patch-px", 32, "--batch-size", 10, "--top-k", 3, "--device", "cpu")

BY_HAND = """
import sys
import torch
from steps import finish
from torch import nn
from napari_mclstexp.core.patches import Field
from napari_mclstexp.training import loop, network
from napari_mclstexp.training.data import load_training_data
from napari_mclstexp.core.patches import Field
from napari_mclstexp.errors import SectionError
from napari_mclstexp.training.data import load_training_data
from napari_mclstexp.training.network import fit_network
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.sections import read_section
from napari_mclstexp.training.distributed import ALONE, started
from napari_mclstexp.training.network import fit_network
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.sections import read_section

path, out = sys.argv[1:]
section = read_section(path)
data = load_training_data([section], section.genes, Field(32, 72.0), 200)
device = torch.device("cpu")


def gradients(mode, processes):
    '''Of one step from the same weights, batch normalisation apart (it sees a share alone).'''
    torch.manual_seed(1)
    options = TrainingOptions(mode=mode, patch_px=32, batch_size=10, device="cpu")
    rows = network.position_rows(data, options)
    model = network.MclSTExp(data.expression.shape[1], mode, rows)
    run = loop.Loop(model, data, options, device, processes)
    model.eval()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    loss, accuracy = run._step(torch.arange(10))
    return loss, accuracy, {n: p.grad.clone() for n, p in model.named_parameters()}


with started("cpu") as processes:
    told = {"gradients": {}}
    loop.patch_side = lambda options: 32
    for mode in ("corrected", "paper"):
        told["gradients"][mode] = gradients(mode, processes), gradients(mode, ALONE)
    options = TrainingOptions(epochs=4, patch_px=32, batch_size=10, device="cpu")
    _, fitted = finish(fit_network(data, options, device, None, processes))
    told["weights"], told["history"] = fitted.model.state_dict(), fitted.history
    torch.save(told, f"{out}/{processes.rank}.pt")
"""


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    helpers = os.path.join(os.path.dirname(os.path.dirname(__file__)), "helpers")  # noqa: PTH118, PTH120
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    return subprocess.run(
        [sys.executable, *map(str, launch), *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": helpers},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, make_section: Callable[..., Path]) -> Path:
    return make_section(tmp_path_factory.mktemp("small"), "S", seed=6, spots=(6, 5))


@pytest.fixture(scope="module")
def told(small: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of two processes found by `BY_HAND`."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "by_hand.py").write_text(BY_HAND)
    ended = torchrun(folder / "by_hand.py", small, folder)
    assert ended.returncode == 0, ended.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("mode", ["corrected", "paper"])
def test_two_processes_have_the_gradient_of_one(told: list[dict], mode: str) -> None:
    for rank in (0, 1):
        (loss, accuracy, shared), (whole_loss, whole_accuracy, whole) = told[rank]["gradients"][mode]
        assert loss == pytest.approx(whole_loss, rel=1e-5)
        assert accuracy == whole_accuracy
        assert shared.keys() == whole.keys()
        for name, gradient in whole.items():
            scale = float(gradient.abs().max())
            assert torch.allclose(shared[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-8), name


def test_two_processes_end_with_equal_weights_after_a_falling_loss(told: list[dict]) -> None:
    one, other = (t["weights"] for t in told)
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert told[0]["history"] == told[1]["history"]
    losses = [epoch["loss"] for epoch in told[0]["history"]]
    assert losses[-1] < losses[0]


@pytest.fixture(scope="module")
def spoken(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Bundle by two processes on the command line, and what was said."""
    target = tmp_path_factory.mktemp("whole") / "b"
    ended = torchrun("-m", "napari_mclstexp.cli", "train", small, "--out", target, *WORDS)
    assert ended.returncode == 0, ended.stderr
    return target, ended.stdout


def test_the_command_under_torchrun_speaks_once_and_its_bundle_loads(
    small: Path, spoken: tuple[Path, str]
) -> None:
    target, said = spoken
    for epoch in (1, 2, 3, 4):
        assert said.count(f"epoch {epoch}/4") == 1
    assert said.count("Wrote ") == 1
    assert sorted(p.name for p in target.parent.iterdir()) == ["b"]
    assert len(load_bundle(target).expression) == 30
    ended = torchrun("-m", "napari_mclstexp.cli", "train", small, "--out", target, *WORDS)  # it is there now
    assert ended.returncode != 0
    assert ended.stderr.count("Error: b exists already") == 1
    assert "A defect of mclstexp" not in ended.stderr


FAILS_ON_THE_SECOND = """
import os
from napari_mclstexp.cli import main
from napari_mclstexp.training import loop, network
from napari_mclstexp.errors import ModelError
step, done = loop.Loop._step, []
def fails(self, rows):
    done.append(rows)
    if os.environ["RANK"] == "1" and len(done) == 5:  # in the second epoch
        raise ModelError("The second process has had enough.")
    return step(self, rows)
loop.Loop._step = fails
main()
"""


def test_an_error_in_one_process_ends_all_is_told_once_and_can_be_resumed(
    small: Path, tmp_path: Path, spoken: tuple[Path, str]
) -> None:
    (tmp_path / "fails.py").write_text(FAILS_ON_THE_SECOND)
    words = ("train", small, "--out", tmp_path / "made" / "b", *WORDS)
    (tmp_path / "made").mkdir()
    ended = torchrun(tmp_path / "fails.py", *words)
    assert ended.returncode != 0
    assert ended.stderr.count("Error: The second process has had enough.") == 1
    assert "A defect of mclstexp" not in ended.stderr
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["b.training"]
    ended = torchrun("-m", "napari_mclstexp.cli", *words, "--resume")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("The training goes on after epoch 1.") == 1
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["b"]
    one, other = (load_bundle(b).weights for b in (tmp_path / "made" / "b", spoken[0]))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_too_many_processes_are_refused(small: Path) -> None:
    section = read_section(str(small))
    data = load_training_data([section], section.genes, Field(32, 72.0), 200)
    options = TrainingOptions(patch_px=32, batch_size=5, device="cpu")
    with pytest.raises(SectionError, match="too small for 3 processes: each needs 2"):
        next(fit_network(data, options, torch.device("cpu"), None, Processes(1, 3)))


def test_without_torchrun_a_process_is_alone() -> None:
    with started("cpu") as processes:
        assert processes is ALONE
    assert ALONE.share(7) == slice(0, 7)
    own = torch.ones(2, 3)
    assert ALONE.gather(own) is own
    assert [Processes(r, 3).share(9) for r in range(3)] == [slice(0, 3), slice(3, 6), slice(6, 9)]
