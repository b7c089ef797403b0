"""Ratios of times within one run, beside their goals and those on record: what ``make bench`` judges.

``python -m tests.benchmarks.ratios benchmarks.json [--record]`` prints a table of every ratio, and ends with
1 where one has become worse than on record by more than 15 %; ``--record`` puts this run on record instead.
The record is by processor, whose name begins with that on record: ratios of one tell nothing of another's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORD = Path(__file__).with_name("ratios.json")
WORSE = 1.15


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, all of them run in turn, `rounds` times: a busy machine is so to all."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - began)
    return {name: float(np.median(seconds)) for name, seconds in took.items()}


def ratio(value: float, goal: str, *, less: bool = False) -> dict[str, object]:
    """A ratio for a benchmark's ``extra_info``.

    Its goal is "at least 1.6", "at most 1.1", or empty; `less` says without a goal that less is better.
    """
    return {"ratio": round(value, 3), "goal": goal, "less": less or goal.startswith("at most")}


def ratios_of(told: dict[str, object]) -> dict[str, dict[str, object]]:
    """Name -> ratio of all benchmarks of a run."""
    found = {}
    for one in told["benchmarks"]:  # type: ignore[attr-defined]
        for name, about in one["extra_info"].get("ratios", {}).items():
            found[name] = about
    return found


def worse(now: float, before: float, *, less: bool) -> bool:
    """Whether a ratio, of which `less` may be better, has become worse than on record by more than 15 %."""
    return now > before * WORSE if less else now < before / WORSE


def met(value: float, goal: str) -> str:
    """Whether a goal is met, in a word."""
    if not goal:
        return ""
    bound = float(goal.split()[-1])
    return "yes" if (value >= bound if goal.startswith("at least") else value <= bound) else "no"


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    now = ratios_of(told)
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    machine = told["machine_info"]
    chip = machine["cpu"].get("brand_raw", "")
    known = max((name for name in record if chip.startswith(name)), key=len, default="")
    before_of = record.get(known, {})
    print(f"{told['datetime'][:10]}, {chip}, Python {machine['python_version']}")
    if not known:
        print("No ratio of this processor is on record.")
    print("\n| ratio within this run | now | on record | goal | met |\n|---|---|---|---|---|")
    failed = []
    for name, about in now.items():
        value, goal = float(about["ratio"]), str(about["goal"])  # type: ignore[arg-type]
        before = before_of.get(name)
        was = "" if before is None else f"{before:.2f}"
        print(f"| {name} | {value:.2f} | {was} | {goal} | {met(value, goal)} |")
        if before is not None and worse(value, before, less=bool(about["less"])):
            failed.append(name)
    if "--record" in sys.argv:
        apart = {name: about["ratio"] for name, about in now.items() if not name.endswith(" ms")}
        kept = record | {chip: before_of | apart}  # a time is another on another machine
        RECORD.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    elif failed:
        sys.exit(f"\nWorse than on record by more than 15 %: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
