"""Writing: whole or not at all, whatever fails on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_mclstexp.core.atomic import write_file, write_folder
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD = b"what was there before"


def listing(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def half_then_fail(error: BaseException) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"half of it")
        raise error

    return write


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("h5py: write failed")]
)
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, error: Exception) -> None:
    target = tmp_path / "t.bin"
    target.write_bytes(OLD)
    with pytest.raises(ExportError, match="untouched"):
        write_file(target, half_then_fail(error), overwrite=True)
    assert listing(tmp_path) == {"t.bin": OLD}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a defect"), GeneratorExit()])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "t.bin"
    target.write_bytes(OLD)
    with pytest.raises(type(error)):
        write_file(target, half_then_fail(error), overwrite=True)
    assert listing(tmp_path) == {"t.bin": OLD}


def test_a_file_that_does_not_read_back_is_not_kept(tmp_path: Path) -> None:
    def verify(path: Path) -> None:
        assert path.read_bytes() == b"new"
        msg = "it reads back as something else"
        raise OSError(msg)

    target = tmp_path / "t.bin"
    target.write_bytes(OLD)
    with pytest.raises(ExportError, match="something else"):
        write_file(target, lambda p: p.write_bytes(b"new"), overwrite=True, verify=verify)
    assert listing(tmp_path) == {"t.bin": OLD}


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_failure_at_the_last_step_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "t.bin"
    target.write_bytes(OLD)

    def fail(*_: object) -> None:
        raise PermissionError(13, "target is locked")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ExportError, match="locked"):
        write_file(target, lambda p: p.write_bytes(b"new"), overwrite=True)
    monkeypatch.undo()
    assert listing(tmp_path) == {"t.bin": OLD}


def test_a_good_write_replaces_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "größe.bin"
    target.write_bytes(OLD)
    write_file(target, lambda p: p.write_bytes(b"new"), overwrite=True)
    assert listing(tmp_path) == {"größe.bin": b"new"}


def test_targets_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        write_file(tmp_path / "no" / "t.bin", lambda p: p.touch())
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match="folder"):
        write_file(tmp_path / "folder", lambda p: p.touch(), overwrite=True)
    (tmp_path / "t.bin").write_bytes(OLD)
    with pytest.raises(ExportError, match="--overwrite"):
        write_file(tmp_path / "t.bin", lambda p: p.touch())
    assert listing(tmp_path) == {"t.bin": OLD}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_bytes(OLD)

    def write(folder: Path) -> None:
        (folder / "new").write_bytes(b"new")
        raise error

    with pytest.raises((ExportError, KeyboardInterrupt)):
        write_folder(target, write, overwrite=True)
    assert listing(tmp_path) == {"bundle/old": OLD}
    write_folder(target, lambda folder: (folder / "new").write_bytes(b"new"), overwrite=True)
    assert listing(tmp_path) == {"bundle/new": b"new"}
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("suffix", [".csv", ".geojson", ".h5ad", ".png"])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_exports_that_fail_leave_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result_path: Path, suffix: str, call: str
) -> None:
    result = load_result(result_path)
    (tmp_path / f"t{suffix}").write_bytes(OLD)
    real_call, calls = getattr(os, call), []

    def fail_from(nth: int) -> Callable[..., None]:
        def maybe(*words: object) -> None:
            calls.append(words)
            if len(calls) > nth:
                raise OSError(28, "No space left on device")
            real_call(*words)

        return maybe

    before = listing(tmp_path)
    monkeypatch.setattr(os, call, fail_from(0))
    with pytest.raises(ExportError, match="No space"):
        export_result(result, tmp_path / f"t{suffix}", overwrite=True)
    assert listing(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, result_path: Path) -> None:
    target = tmp_path / "t.h5ad"  # HDF5 fails otherwise than a plain file does
    target.write_bytes(OLD)
    script = (
        "import resource, signal, sys\n"
        "from napari_mclstexp.cli import main\n"
        "import napari_mclstexp.core.pipeline\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "main(sys.argv[1:])\n"
    )
    words = ["export", str(result_path), "--to", str(target), "--overwrite"]
    ended = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2, ended.stderr
    assert "was not written" in ended.stderr
    assert target.read_bytes() == OLD
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
