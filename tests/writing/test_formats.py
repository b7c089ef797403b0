"""All that is written, when it is killed, a call fails, the disk is full or the power goes.

What was there, or what was to be, is whole to the byte; nothing is left beside it. A few of each here, all by
``make soak``.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.writing.child import Fault
from tests.writing.faults import break_each, violation
from tests.writing.formats import FORMATS, NEW, OLD, left_over
from tests.writing.kills import Kills, kill
from tests.writing.order import Strace, out_of_order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.writing.child import Go, Writers
    from tests.writing.held import Held

KILLS, SHARE = 5, 2
COSTLY = {"spatialdata": 1, "zarr": 1}
"""Of which only the first of each call is broken."""
SWAPPED = ("bundle", "csv", "h5ad")


@dataclass(frozen=True, slots=True)
class At:
    """A format, the newer of which is about to be written over the older.

    Attributes
    ----------
    name : str
        Of the format.
    folder : pathlib.Path
        Where.
    go : callable
        Of :meth:`.child.Writers.ready`.
    forker : int
        Process from which the writers are forked.
    seconds : float
        That one takes.
    counts : dict of str to int
        How many calls of each kind it makes.
    """

    name: str
    folder: Path
    go: Go
    forker: int
    seconds: float
    counts: dict[str, int]


@pytest.fixture(scope="module", params=FORMATS)
def at(
    request: pytest.FixtureRequest, writers: Writers, held: Held, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[At]:
    """Each format in its turn."""
    name, folder = request.param, tmp_path_factory.mktemp("at") / "t"
    held.lay(name, folder)
    with writers.ready(name, folder, NEW) as go:
        whole = held.learn(name, folder, go)
        yield At(name, folder, go, writers.forker, whole.seconds, whole.counts or {})


@pytest.fixture(scope="module")
def counted() -> dict[str, Kills]:
    """Counts of kills by format."""
    return {}


def test_killed_at_random_moments(at: At, held: Held, counted: dict[str, Kills]) -> None:
    counts = counted.setdefault(at.name, Kills())
    chance = random.Random(at.name)
    told = kill(at.go, held, at.name, at.folder, at.seconds, chance, KILLS, counts)
    assert told == []
    assert counts.kills == KILLS


def test_whichever_call_fails(at: At, held: Held, shim: Path | None) -> None:
    if shim is None:
        pytest.skip("no C compiler (cc), by which the library is made that lets system calls fail")
    tried, told = break_each(at.go, held, at.name, at.folder, at.counts, COSTLY.get(at.name, SHARE))
    assert told == []
    assert tried >= 8


def test_what_was_broken_before_is_not_broken_again(at: At, held: Held, shim: Path | None) -> None:
    """A part of the calls, then the rest: as many as all at once, each in its turn."""
    if shim is None:
        pytest.skip("no C compiler (cc), by which the library is made that lets system calls fail")
    if at.name != "remembered":
        pytest.skip("one is enough, and this one is quick")
    reached: dict[str, int] = {}
    some, told = break_each(at.go, held, at.name, at.folder, at.counts, reached=reached, most=5)
    assert 5 <= some <= 6
    assert 0 < sum(reached.values()) < sum(at.counts.values())
    others, told_then = break_each(at.go, held, at.name, at.folder, at.counts, reached=reached)
    assert told + told_then == []
    assert some + others == 2 * sum(at.counts.values())
    assert reached == {call: count for call, count in at.counts.items() if count}


def test_killed_at_each_rename_and_flush(at: At, held: Held, shim: Path | None) -> None:
    """Moments that chance seldom hits."""
    if shim is None:
        pytest.skip("no C compiler (cc), by which the library is made that kills at a system call")
    if at.name not in SWAPPED:
        pytest.skip("one of each kind is enough: a file, two that belong together, a folder")
    states = []
    for call in ("rename", "fsync"):
        for nth in range(1, at.counts[call] + 1):
            held.lay(at.name, at.folder)
            assert at.go(fault=Fault(call, nth, nth, 0)).error == "killed"
            states.append(held.after_start(at.name, at.folder))
    assert set(states) == {OLD, NEW}


def test_a_full_disk(at: At, held: Held) -> None:
    """As large as half of the largest file that is to be written, a file may be."""
    held.lay(at.name, at.folder)
    ending = at.go(most_bytes=held.largest(at.name) // 2)
    assert violation(held, at.name, at.folder, ending) == ""
    assert held.state(at.name, at.folder) == OLD
    assert left_over(at.folder) == []


def test_flushed_then_renamed_then_the_folder_flushed(
    tmp_path: Path, at: At, held: Held, shim: Path | None
) -> None:
    """What a power cut leaves."""
    held.lay(at.name, at.folder)
    trace = Strace(at.forker, tmp_path / "trace") if shutil.which("strace") else None
    ending = at.go()
    assert not ending.error, ending.said
    calls = None if trace is None else trace.calls()
    if trace is None or not trace.attached:
        if shim is None:
            pytest.skip("neither strace, which may trace, nor a C compiler is there")
        names = {"fsync": "fsync", "fdatasync": "fsync", "rename": "rename", "renameat": "rename"}
        calls = [(names[call], one, two) for call, one, two in ending.record if call in names]
    assert calls is not None
    assert out_of_order(calls, at.folder) == []


def test_half_or_more_were_killed_before_the_newer_was_in_place(counted: dict[str, Kills]) -> None:
    kills = sum(counts.kills for counts in counted.values())
    if kills < KILLS * len(FORMATS):
        pytest.skip("only where all formats were killed")
    assert sum(counts.before for counts in counted.values()) >= kills / 2


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ([], "nothing was renamed"),
        (["rename", "file", "folder"], "not flushed before"),
        (["file", "rename"], "the folder was not flushed"),
        (["file", "folder", "rename"], "the folder was not flushed"),
        (["file", "rename", "folder"], ""),
    ],
)
def test_another_order_is_told(tmp_path: Path, calls: list[str], why: str) -> None:
    part, target = tmp_path / ".mclstexp-01234567-1-0123456789ab.part.csv", tmp_path / "t.csv"
    target.write_bytes(b"new")
    known = {
        "file": ("fsync", str(part), ""),
        "folder": ("fsync", str(tmp_path), ""),
        "rename": ("rename", str(part), str(target)),
    }
    told = out_of_order([known[call] for call in calls], tmp_path)
    assert why in "".join(told)
    assert bool(told) == bool(why)
