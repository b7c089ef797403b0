"""Kills of a writer at random moments, and what was there afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tests.writing.formats import NEW, OLD
from tests.writing.held import DAMAGED

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.writing.child import Go
    from tests.writing.held import Held


@dataclass
class Kills:
    """Counts of one format.

    Attributes
    ----------
    kills : int
        Writers that were killed while they wrote.
    before : int
        Of them before the newer took its place: the older is there.
    ended : int
        Writers that had ended when they were to be killed.
    absent : int
        Folders that were away until the next start brought them back.
    lost : int
        Targets that were neither the older nor the newer, or beside which something was left.
    """

    kills: int = 0
    before: int = 0
    ended: int = 0
    absent: int = 0
    lost: int = 0

    def as_dict(self) -> dict[str, int]:
        """To be kept."""
        return asdict(self)


def kill(
    go: Go,
    held: Held,
    name: str,
    folder: Path,
    seconds: float,
    chance: random.Random,
    kills: int,
    so_far: Kills,
) -> list[str]:
    """Kill writers of a format, and add to its counts.

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
    seconds : float
        That a writer takes.
    chance : random.Random
        Gives the moments.
    kills : int
        How many more.
    so_far : Kills
        Counts; changed in place.

    Returns
    -------
    list of str
        What was lost, in words.
    """
    told: list[str] = []
    wanted = so_far.kills + kills
    while so_far.kills < wanted:
        held.lay(name, folder)
        late = 2 * so_far.before >= so_far.kills  # at least half are to come before the replacing
        ending = go(kill_after=chance.uniform(0, seconds if late else seconds / 2))
        if ending.error != "killed":
            so_far.ended += 1
            seconds = min(seconds, ending.seconds)
            continue
        so_far.kills += 1
        there = held.state(name, folder)
        state = held.after_start(name, folder)
        so_far.before += state == OLD
        if there == DAMAGED and state in (OLD, NEW):
            so_far.absent += 1  # a folder between its two renames, or of two files the second
        if (there == DAMAGED and not _swaps(name)) or state not in (OLD, NEW):
            so_far.lost += 1
            told.append(f"{name}: {there} when it was killed, then {state}")
    return told


def _swaps(name: str) -> bool:
    """Whether a format is more than one file, so that the next start may have to bring it to an end."""
    return name in ("zarr", "spatialdata", "ome-zarr", "bundle", "csv", "loupe")
