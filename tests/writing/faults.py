"""The Nth call fails: what is to be there afterwards, and which N are tried."""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING

from tests.writing.child import CALLS, EVERY, Fault
from tests.writing.formats import NEW, OLD, left_over

if TYPE_CHECKING:
    from pathlib import Path

    from tests.writing.child import Ending, Go
    from tests.writing.held import Held

ERRORS = {"write": errno.ENOSPC, "fsync": errno.EIO, "rename": errno.EACCES, "open": errno.EMFILE}
SILENT = ("cache-choice", "cache-levels")
"""Caches are done without where they cannot be written."""


def break_each(
    go: Go,
    held: Held,
    name: str,
    folder: Path,
    counts: dict[str, int],
    share: int | None = None,
    *,
    reached: dict[str, int] | None = None,
    most: float = math.inf,
) -> tuple[int, list[str]]:
    """Let each write, fsync, rename and open of a format fail: by itself, and with all that follow.

    Parameters
    ----------
    go : callable
        Of :meth:`.child.Writers.ready`, for the newer in `folder`.
    held : Held
        What must be there.
    name : str
        Of the format.
    folder : pathlib.Path
        Is emptied again and again.
    counts : dict of str to int
        How many calls of each kind a writer makes.
    share : int, optional
        How many of each call, from the first to the last, and of those that follow the first alone; all by
        default.
    reached : dict of str to int, optional
        The last N of each call that was tried before: it goes on with the next. Changed in place.
    most : int, optional
        After how many faults it stops; by default after the last.

    Returns
    -------
    int
        How many faults there were, without those before.
    list of str
        Violations, in words.
    """
    told: list[str] = []
    tried, reached = 0, {} if reached is None else reached
    for call in CALLS:
        for nth in _some(counts[call], share):
            if nth <= reached.get(call, 0):
                continue
            if tried >= most:
                return tried, told
            for last in (nth, EVERY) if share is None or nth == 1 else (nth,):
                held.lay(name, folder)
                ending = go(fault=Fault(call, nth, last, ERRORS[call]))
                tried += 1
                lasting = call == "open" and last == EVERY
                if why := violation(held, name, folder, ending, sweeps=not lasting):
                    told.append(f"{name}, {call} {nth} of {counts[call]} fails: {why}")
            reached[call] = nth
    return tried, told


def violation(held: Held, name: str, folder: Path, ending: Ending, *, sweeps: bool = True) -> str:
    """What is wrong after a write in which something failed; empty where nothing is.

    Where nothing can be opened any more no folder can be deleted either: then the next start `sweeps`.
    """
    if "brings it to an end" in ending.said:
        state = held.after_start(name, folder)
        return "" if state in (OLD, NEW) else f"after the next start {state}"
    state = held.state(name, folder) if sweeps else held.after_start(name, folder)
    if left := left_over(folder):
        return f"left over {left}"
    if not ending.error:  # it came through all the same, or is done without
        return "" if state == NEW or (name in SILENT and state == OLD) else f"no error, but {state}"
    if ending.error != "ExportError":
        return f"{ending.error}: {ending.said}"
    if state != OLD and "was replaced, but the disk does not confirm" not in ending.said:
        return f"{ending.said} But it is {state}"
    return ""


def _some(count: int, share: int | None) -> list[int]:
    if share is None or count <= share:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / max(1, share - 1)) for i in range(share)})
