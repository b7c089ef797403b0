"""Kills by the thousand and every fault, split over as many runs as it takes: ``make soak``.

What was reached is kept in ``tests/writing/soak.json``, which is committed: runs on any machine add up.
It stands as a table in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_mclstexp.core.atomic import write_text
from tests.reliability.report import machine
from tests.writing.child import Writers
from tests.writing.conftest import build_shim
from tests.writing.faults import break_each
from tests.writing.formats import FORMATS, NEW, ROOT
from tests.writing.held import Held
from tests.writing.kills import Kills, kill

COUNTS = ROOT / "tests" / "writing" / "soak.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- writes: begin, made by make soak -->", "<!-- writes: end -->"
GOAL = 1000
ROUND = 25
"""Kills of a format before the next one's turn, and before counts are kept."""
FAULTS = 200
"""Calls of a format that are made to fail, likewise: of some it makes thousands."""


def main() -> int:
    """Go on where the last run stopped; 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=GOAL, help="of each format, in all runs together")
    parser.add_argument(
        "--faults", type=int, default=FAULTS, help="calls that fail, of each turn of a format"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="that this run may take")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--table", action="store_true", help="only write the table of what was reached")
    options = parser.parse_args()
    counts = json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.exists() else {}
    if not options.table:
        end = time.monotonic() + 60 * options.minutes
        with tempfile.TemporaryDirectory(prefix="mclstexp-soak-") as folder:
            soak(Path(folder), counts, options.formats, options.kills, options.faults, end)
    text = table(counts, options.kills)
    before = PAGE.read_text(encoding="utf-8")
    head, _, rest = before.partition(BEGIN)
    write_text(PAGE, f"{head}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", overwrite=True)
    return int(any(told["lost"] for told in counts.values()))


def soak(folder: Path, counts: dict[str, Any], names: list[str], goal: int, faults: int, end: float) -> None:
    """Kill and break format by format, in turns, until the goal or the end of the time is reached.

    `goal` are the kills of a format in all runs, `faults` the calls that fail in each of its turns.
    """
    shim = build_shim(folder)
    writers = Writers(shim)
    (folder / "held").mkdir()
    held, chance = Held(writers, folder / "held"), random.Random()
    try:
        while time.monotonic() < end:
            left = [name for name in names if _of(counts, name)["kills"] < goal]
            breaks = shim is not None and faults > 0
            unbroken = [name for name in names if not _of(counts, name)["broken"]] if breaks else []
            if not left and not unbroken:
                break
            for name in names:
                if time.monotonic() >= end:
                    break
                told = _of(counts, name)
                if name not in left and name not in unbroken:
                    continue
                now = faults if name in unbroken else 0
                _go_on(writers, held, name, folder / "t", chance, goal, told, now)
                told["when"] = f"{datetime.now().astimezone():%d %B %Y}"
                print(name, {k: v for k, v in told.items() if k != "told"}, *told["told"][-3:], flush=True)
                write_text(COUNTS, json.dumps(counts, indent=1), overwrite=True)
    finally:
        writers.close()


def _go_on(
    writers: Writers,
    held: Held,
    name: str,
    folder: Path,
    chance: random.Random,
    goal: int,
    told: dict[str, Any],
    faults: int,
) -> None:
    """Some kills of a format, and some of its faults from the call at which the last turn ended."""
    held.lay(name, folder)
    with writers.ready(name, folder, NEW) as go:
        whole = held.learn(name, folder, go)
        so_far = Kills(**{key: told[key] for key in Kills().as_dict()})
        some = min(ROUND, goal - so_far.kills)
        lost = kill(go, held, name, folder, whole.seconds, chance, some, so_far)
        told |= so_far.as_dict() | {"told": told["told"] + lost}
        if faults:
            calls, reached = whole.counts or {}, told["reached"]
            tried, wrong = break_each(go, held, name, folder, calls, reached=reached, most=faults)
            told |= {"faults": told["faults"] + tried, "told": told["told"] + wrong}
            told["violations"] += len(wrong)
            told["broken"] = all(reached.get(call, 0) >= count for call, count in calls.items())


def _of(counts: dict[str, Any], name: str) -> dict[str, Any]:
    told = counts.setdefault(name, Kills().as_dict() | {"faults": 0, "violations": 0, "told": [], "when": ""})
    told.setdefault("broken", told["faults"] > 0)  # as earlier counts have it, which were of all or none
    told.setdefault("reached", {})
    return told


def table(counts: dict[str, Any], goal: int) -> str:
    """What was reached, in Markdown."""
    lines = [
        "| what is written | killed | before it was in place | swap brought to an end | lost or torn "
        "| calls failed | violations |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = ("kills", "before", "absent", "lost", "faults", "violations")
    for name in FORMATS:
        told = _of(counts, name)
        lines.append(f"| {name} | " + " | ".join(f"{told[key]:,}" for key in keys) + " |")
    sums = {key: sum(_of(counts, name)[key] for name in FORMATS) for key in keys}
    lines.append("| **all** | " + " | ".join(f"{sums[key]:,}" for key in keys) + " |")
    reached = sum(_of(counts, name)["kills"] >= goal for name in FORMATS)
    broken = sum(_of(counts, name)["broken"] for name in FORMATS)
    days = sorted({told["when"] for told in counts.values() if told["when"]})
    lines += [
        "",
        f"{reached} of {len(FORMATS)} have the {goal:,} kills that are the goal; of {broken} each single "
        "call was made to fail.",
        "",
        f"Made on {' and '.join(days) or 'no day yet'}: {machine()}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
