"""What a process that died was writing is brought to an end by the next; what a live one writes stays."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from processes import ended_process

from napari_mclstexp.core.atomic import write_file, write_folder
from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.core.remembered import FILE, Remembered, recall, remember
from napari_mclstexp.core.unfinished import Names, mark_whole, new_stem, repair
from napari_mclstexp.errors import ExportError


def dead(target: Path) -> Names:
    """Names of a write of a process that has ended."""
    stem = new_stem().replace(f"-{os.getpid()}-", f"-{ended_process()}-")
    return Names.beside(target, stem)


def folder_of(path: Path, content: str) -> None:
    path.mkdir()
    (path / "a").write_text(content, encoding="utf-8")


def said(target: Path) -> str:
    return (target / "a").read_text(encoding="utf-8")


def only(target: Path) -> bool:
    return [path.name for path in target.parent.iterdir()] == [target.name]


def test_what_a_dead_process_left_is_swept_by_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    names = dead(target)
    names.part.write_bytes(b"half of it")
    names.old.write_bytes(b"what was there")
    write_file(target, lambda part: part.write_bytes(b"new"))
    assert only(target)


def test_what_a_live_process_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"

    def write(part: Path) -> None:
        part.write_bytes(b"new")
        repair(tmp_path)
        write_file(tmp_path / "other.csv", lambda other: other.write_bytes(b"other"))

    write_file(target, write)
    assert target.read_bytes() == b"new"


def test_the_number_of_a_dead_process_may_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names.beside(tmp_path / "t.csv", new_stem())
    names.part.write_bytes(b"mine")
    repair(tmp_path)
    assert names.part.exists()
    # When a file changed cannot be set: as if it were older than this process.
    monkeypatch.setattr("napari_mclstexp.core.unfinished.SLACK_S", -1e9)
    repair(tmp_path)
    assert not names.part.exists()


def test_what_another_computer_writes_stays_for_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stem = new_stem()
    other = "0" * 8 if stem[10] != "0" else "1" * 8
    names = Names.beside(tmp_path / "t.csv", stem[:10] + other + stem[18:])
    names.part.write_bytes(b"theirs")
    repair(tmp_path)
    assert names.part.exists()
    later = time.time() + 8 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    repair(tmp_path)
    assert not names.part.exists()


@pytest.mark.parametrize("step", range(6))
def test_a_folder_is_whole_wherever_its_swap_was_cut_off(tmp_path: Path, step: int) -> None:
    target = tmp_path / "t.zarr"
    folder_of(target, "old")
    names = dead(target)
    folder_of(names.part, "new")
    steps = (
        lambda: mark_whole({names.part: target}, names.swap),
        lambda: target.rename(names.old),
        lambda: names.part.rename(target),
        lambda: (names.old / "a").unlink(),
        lambda: names.old.rmdir(),
    )
    for do in steps[:step]:
        do()
    repair(tmp_path)
    assert said(target) == ("old" if step < 2 else "new")
    assert only(target)


def test_an_old_folder_comes_back_where_the_new_one_is_lost(tmp_path: Path) -> None:
    target = tmp_path / "t.zarr"
    names = dead(target)
    folder_of(names.old, "old")
    mark_whole({names.part: target}, names.swap)
    repair(tmp_path)
    assert said(target) == "old"
    assert only(target)


def test_a_new_folder_without_a_mark_is_not_believed(tmp_path: Path) -> None:
    target = tmp_path / "t.zarr"
    folder_of(dead(target).part, "half of it")
    write_folder(target, lambda part: (part / "a").write_text("new", encoding="utf-8"))
    assert said(target) == "new"
    assert only(target)


def test_a_folder_that_cannot_be_put_back_is_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark and the older are put in place, then nothing can be renamed any more."""
    target = tmp_path / "t.zarr"
    folder_of(target, "old")
    usual, calls = Path.rename, []

    def rename(path: Path, to: Path) -> Path:
        calls.append(path)
        if len(calls) > 2:
            raise PermissionError(errno.EACCES, "Permission denied")
        return usual(path, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ExportError, match=r"the next start of this program brings it to an end"):
        write_folder(target, lambda part: folder_of(part / "x", "new"), overwrite=True)
    assert not target.exists()
    kinds = {path.name.rsplit("-", 1)[1].split(".")[1] for path in tmp_path.iterdir()}
    assert kinds == {"part", "old", "swap"}


def test_threads_that_outlive_a_failed_write_leave_nothing(tmp_path: Path) -> None:
    target = tmp_path / "t.zarr"
    folder_of(target, "old")
    late: list[threading.Thread] = []

    def fail(part: Path) -> None:
        def go_on() -> None:
            for n in range(30):
                (part / "c" / str(n)).mkdir(parents=True, exist_ok=True)
                time.sleep(0.005)

        late.append(threading.Thread(target=go_on))
        late[0].start()
        msg = "full"
        raise OSError(errno.ENOSPC, msg)

    with pytest.raises(ExportError):
        write_folder(target, fail, overwrite=True)
    late[0].join()
    assert said(target) == "old"
    assert only(target)


@pytest.mark.parametrize("replaced", [0, 1, 2])
def test_files_that_belong_together_are_all_new(tmp_path: Path, replaced: int) -> None:
    stem = new_stem().replace(f"-{os.getpid()}-", f"-{ended_process()}-")
    targets = [tmp_path / "t.json", tmp_path / "t.csv"]
    all_names = [Names.beside(target, stem) for target in targets]
    for target, names in zip(targets, all_names, strict=True):
        target.write_bytes(b"old")
        names.part.write_bytes(b"new")
    mark_whole(dict(zip([n.part for n in all_names], targets, strict=True)), all_names[0].swap)
    for target, names in list(zip(targets, all_names, strict=True))[:replaced]:
        names.part.replace(target)
    repair(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "t.json": b"new", "t.csv": b"new",
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")
def test_a_process_that_dies_while_it_makes_the_mark_leaves_what_was(tmp_path: Path) -> None:
    targets = [tmp_path / "t.json", tmp_path / "t.csv"]
    for target in targets:
        target.write_bytes(b"old")
    if (pid := os.fork()) == 0:
        os.fsync = lambda _: os._exit(0)
        stem = new_stem()
        parts = [Names.beside(target, stem) for target in targets]
        for names in parts:
            names.part.write_bytes(b"new")
        mark_whole({n.part: t for n, t in zip(parts, targets, strict=True)}, parts[0].swap)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(tmp_path.iterdir())) > len(targets)
    repair(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "t.json": b"old", "t.csv": b"old",
    }  # fmt: skip


@pytest.mark.parametrize("told", ["", "[]", '{"x": "t.zarr"}', '{".mclstexp-0": "../t"}', None])
def test_a_mark_that_cannot_be_read_moves_nothing(tmp_path: Path, told: str | None) -> None:
    """Nor one that somebody made to lead out of the folder."""
    inner = tmp_path / "inner"
    inner.mkdir()
    names = dead(inner / "t.zarr")
    folder_of(names.part, "new")
    folder_of(names.old, "old")
    text = json.dumps({names.part.name: "../out"}) if told is None else told
    names.swap.write_text(text, encoding="utf-8")
    repair(inner)
    assert not (tmp_path / "out").exists()
    assert said(names.old) == "old"


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    names = (".mclstexp-demo.json", ".mclstexp-abc.part", "t.part", ".mclstexp-0-1-2.swap", "a.old")
    for name in names:
        (tmp_path / name).write_bytes(b"theirs")
    repair(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_the_start_clears_up_the_user_folder(own_data: Path) -> None:
    remember(Remembered(("ERBB2",)))
    (own_data / "slides" / "f").mkdir(parents=True)
    left = [dead(own_data / FILE).part, dead(own_data / "slides" / "f" / "state.json").part]
    for part in left:
        part.write_bytes(b"half of it")
    assert recall().favourites == ("ERBB2",)
    assert not any(part.exists() for part in left)


def test_a_bundle_whose_swap_was_cut_off_loads(tmp_path: Path, bundle_path: Path) -> None:
    target = save_bundle(load_bundle(bundle_path), tmp_path / "bundle")
    names = dead(target)
    target.rename(names.part)
    mark_whole({names.part: target}, names.swap)
    assert load_bundle(target).spec.genes
    assert only(target)
