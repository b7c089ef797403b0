"""Checkpoints: a training that was killed, or ran out of disk, goes on to the same weights."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from steps import finish

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.patches import Field
from napari_mclstexp.errors import ExportError
from napari_mclstexp.training.checkpoint import CheckpointError, Checkpoints, Kept, fingerprint
from napari_mclstexp.training.data import load_training_data
from napari_mclstexp.training.network import fit_network
from napari_mclstexp.training.options import TrainingOptions, recipe_of
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingProgress

OPTIONS = TrainingOptions(epochs=3, patch_px=32, batch_size=4, top_k=3, device="cpu")
WORDS = ("--epochs", 3, "--patch-px", 32, "--batch-size", 4, "--top-k", 3, "--device", "cpu")
CLI = "from napari_mclstexp.cli import main\nmain()\n"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks are trained faster so, where other processes want the cores too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, make_section: Callable[..., Path]) -> Path:
    """A section of 9 spots: two steps an epoch."""
    return make_section(tmp_path_factory.mktemp("small"), "S", seed=1, spots=(3, 3))


@pytest.fixture(scope="module")
def data(small: Path) -> TrainingData:
    section = read_section(str(small))
    return load_training_data([section], section.genes, Field(32, 72.0), 200)


def kept(data: TrainingData, target: Path, *, resume: bool = False) -> Kept:
    return Kept(
        Checkpoints(target, resume=resume), fingerprint(data, ("A", "B"), recipe_of(OPTIONS), processes=1)
    )


def fit(
    data: TrainingData, keep: Kept | None, steps: int | None = None
) -> tuple[list[TrainingProgress], dict]:
    """Train to the end, or break off after some steps; what was told, and the weights."""
    training = fit_network(data, OPTIONS, torch.device("cpu"), keep)
    if steps is None:
        seen, fitted = finish(training)
        return seen, fitted.model.state_dict()
    seen = [next(training) for _ in range(steps)]
    training.close()
    return seen, {}


@pytest.fixture(scope="module")
def unbroken(data: TrainingData) -> dict[str, torch.Tensor]:
    return fit(data, None)[1]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_training_that_was_broken_off_goes_on_to_the_same_weights(
    data: TrainingData, unbroken: dict, tmp_path: Path
) -> None:
    fit(data, kept(data, tmp_path / "b"), steps=3)  # in the middle of the second epoch
    seen, weights = fit(data, kept(data, tmp_path / "b", resume=True))
    assert seen[0].note == "The training goes on after epoch 1."
    assert [(p.epoch, p.step) for p in seen[1:]] == [(2, 1), (2, 2), (3, 1), (3, 2)]
    assert same(weights, unbroken)
    files = sorted(p.name for p in (tmp_path / "b.training").iterdir())
    assert files == ["epoch-00002.ckpt", "epoch-00003.ckpt"]
    seen, weights = fit(data, kept(data, tmp_path / "b", resume=True))  # nothing is left to do
    assert [p.note for p in seen] == ["The training goes on after epoch 3."]
    assert same(weights, unbroken)


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_taken(
    data: TrainingData, unbroken: dict, tmp_path: Path
) -> None:
    fit(data, kept(data, tmp_path / "b"), steps=5)
    first, second = sorted((tmp_path / "b.training").iterdir())
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of one weight
    second.write_bytes(content)
    seen, weights = fit(data, kept(data, tmp_path / "b", resume=True))
    assert re.match("The checkpoint epoch-00002.ckpt is damaged: .* after epoch 1", seen[0].note)
    assert same(weights, unbroken)
    for file in (tmp_path / "b.training").iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"damaged.*No older one is whole.*--restart"):
        fit(data, kept(data, tmp_path / "b", resume=True))
    first.write_bytes(b"mclstexp checkpoint 9 " + 64 * b"0" + b"\n")
    for file in set((tmp_path / "b.training").iterdir()) - {first}:
        file.unlink()
    with pytest.raises(CheckpointError, match="format 9; this version reads format 1"):
        fit(data, kept(data, tmp_path / "b", resume=True))


def test_nothing_but_tensors_and_plain_values_is_unpickled(data: TrainingData, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    keep = kept(data, tmp_path / "b", resume=True)
    keep.save(1, {"history": Trap()})
    with pytest.raises(CheckpointError, match="something else than a training"):
        keep.load()
    assert not (tmp_path / "sprung").exists()


def test_another_training_is_refused_by_what_differs(data: TrainingData, tmp_path: Path) -> None:
    ours = kept(data, tmp_path / "b", resume=True)
    ours.save(1, {})
    assert ours.load()[0] == {}
    other = fingerprint(data, ("A", "C"), recipe_of(OPTIONS) | {"seed": 7}, processes=2)
    del other["section S"]
    other["section T"] = "9 spots"
    with pytest.raises(CheckpointError, match="it differs in") as error:
        ours.checkpoints.load(other)
    for words in (
        "seed (0 then, 7 now)",
        "genes (2, ",
        "processes (1",
        "section S (9 spots",
        "section T (none",
    ):
        assert words in str(error.value)
    changed = np.array(data.patches)
    changed[0, 0, 0, 0] ^= 1
    picture = dataclasses.replace(data, patches=changed)
    with pytest.raises(CheckpointError, match=r"differs in section S \("):
        ours.checkpoints.load(fingerprint(picture, ("A", "B"), recipe_of(OPTIONS), processes=1))


def test_an_unfinished_training_is_never_overwritten_unasked(data: TrainingData, tmp_path: Path) -> None:
    target = tmp_path / "b"
    Checkpoints(target).refuse_unfinished()
    kept(data, target).save(2, {})
    with pytest.raises(CheckpointError, match=r"after epoch 2\. Add --resume .*--restart"):
        Checkpoints(target).refuse_unfinished()
    with pytest.raises(CheckpointError, match="exclude each other"):
        Checkpoints(target, resume=True, restart=True).refuse_unfinished()
    Checkpoints(target, resume=True).refuse_unfinished()
    Checkpoints(target, restart=True).refuse_unfinished()
    assert Checkpoints(target).epoch == 2


def test_a_full_disk_stops_the_training_and_loses_nothing(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = kept(data, tmp_path / "b", resume=True)
    keep.save(1, {"x": torch.ones(3)})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(
            ExportError, match=r"after epoch 2.*No space left.*until epoch 1 is kept.*--resume"
        ):
            keep.save(2, {"x": torch.zeros(3)})
    state, _ = keep.load()
    assert state is not None
    assert torch.equal(state["x"], torch.ones(3))
    assert [p.name for p in keep.checkpoints.folder.iterdir()] == ["epoch-00001.ckpt"]


def command(program: str, small: Path, target: Path, *words: object) -> subprocess.Popen[str]:
    told = ["train", small, "--out", target, *WORDS, *words]
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, told)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def whole(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of a run by the command line that nothing broke."""
    target = tmp_path_factory.mktemp("whole") / "b"
    child = command(CLI, small, target)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert "epoch 3/3" in out
    assert not target.with_name("b.training").exists()
    return target


KILLED_WITHIN_AN_EPOCH = """
import os, signal
from napari_mclstexp.training import loop
step, done = loop.Loop._step, []
def deadly(self, rows):
    done.append(step(self, rows))
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return done[-1]
loop.Loop._step = deadly
"""

FULL_AT_THE_SECOND_CHECKPOINT = """
import resource
from napari_mclstexp.training.checkpoint import Checkpoints
save = Checkpoints.save
def cramped(self, epoch, state, whose):
    if epoch == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    save(self, epoch, state, whose)
Checkpoints.save = cramped
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and RLIMIT_FSIZE")
@pytest.mark.parametrize("end", ["after a line", "within an epoch", "disk full"])
def test_a_process_that_ended_early_goes_on_to_the_same_bundle(
    small: Path, whole: Path, tmp_path: Path, end: str
) -> None:
    before = {"within an epoch": KILLED_WITHIN_AN_EPOCH, "disk full": FULL_AT_THE_SECOND_CHECKPOINT}
    child = command(before.get(end, "") + CLI, small, tmp_path / "b")
    if end == "after a line":
        assert child.stdout is not None
        while not child.stdout.readline().startswith("epoch 1/3"):
            assert child.poll() is None
        child.kill()
    _, err = child.communicate(timeout=300)
    if end == "disk full":
        assert child.returncode == 2
        assert re.search(r"Error: The training stopped after epoch 2.*until epoch 1 is kept", err)
        assert "Traceback" not in err
    else:
        assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "b").exists()
    child = command(CLI, small, tmp_path / "b", "--resume")
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert "The training goes on after epoch" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]
    names = ("weights.safetensors", "beside.safetensors")
    assert all((tmp_path / "b" / n).read_bytes() == (whole / n).read_bytes() for n in names)
    np.testing.assert_array_equal(load_bundle(tmp_path / "b").embeddings, load_bundle(whole).embeddings)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar_and_after_ctrl_c_what_is_kept(small: Path, tmp_path: Path) -> None:
    import pty

    screen, end = pty.openpty()
    told = ["train", small, "--out", tmp_path / "b", *WORDS, "--epochs", 400]
    child = subprocess.Popen(
        [sys.executable, "-c", CLI, *map(str, told)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", "COLUMNS": "150"},
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    seen, pressed = b"", False
    try:
        while part := os.read(screen, 65536):
            seen += part
            if not pressed and re.search(rb"epoch 3/400 step 1/2  loss \d", seen):
                child.send_signal(signal.SIGINT)
                pressed = True
    except OSError:  # Linux tells so that the other end is closed
        pass
    finally:
        os.close(screen)
        assert child.wait(timeout=60) == 130
    assert re.search(rb"epoch 1/400  loss \S+  accuracy in the batch \S+  left ", seen)
    assert re.search(rb"Interrupted after epoch [23], which is kept at", seen)
    assert b"nothing unfinished was kept" not in seen
    assert Checkpoints(tmp_path / "b").epoch >= 2


def test_the_command_asks_what_shall_become_of_an_unfinished_training(
    small: Path, data: TrainingData, tmp_path: Path, run: Callable
) -> None:
    target = tmp_path / "b"
    words = ["train", small, "--out", target, *WORDS]
    kept(data, target).save(9, {})  # of some other training
    refused = run(*words)
    assert (refused.code, "Add --resume" in refused.err) == (2, True)
    refused = run(*words, "--resume")
    assert (refused.code, "is another one" in refused.err) == (2, True)
    assert run(*words, "--restart").code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]
    anew = run(*words, "--resume", "--overwrite")  # as in a script that always says so
    assert anew.code == 0
    assert "No unfinished training is there: it begins anew." in anew.out
