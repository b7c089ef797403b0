"""Run the whole corpus and write its table into docs/reliability.md: ``make reliability``."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .case import all_cases
from .rows import ELSEWHERE, ROWS
from .worker import ROOM_BYTES, Child, fits

if TYPE_CHECKING:
    from .case import Case
    from .worker import Ending

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- reads: begin, made by make reliability -->", "<!-- reads: end -->"
LIBRARIES = ("anndata", "h5py", "openslide-bin", "pillow", "safetensors", "tifffile", "torch", "zarr")


def main() -> int:
    """Run all cases; 1 where one does not end as it is pinned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    page = parser.parse_args().page
    child, ended = Child(), {}
    cases = all_cases()
    for case in cases.values():
        ended[case.name] = child.run(case)
        if why := fits(case, ended[case.name]):
            print(f"{case.name}: {why[:300]}", flush=True)
    child.close()
    text = table(cases, ended)
    before = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    head, _, rest = before.partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8", newline="\n")
    return int(any(fits(cases[name], ending) for name, ending in ended.items()))


def table(cases: dict[str, Case], ended: dict[str, Ending]) -> str:
    """Figures of a run in Markdown: by row of the list of faults, then in all."""
    of_row: dict[int, list[str]] = defaultdict(list)
    for name, case in cases.items():
        of_row[case.row].append(name)
    lines = [
        "| row | fault | cases | refused | told | works | as pinned | slowest, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, fault in ROWS.items():
        names = of_row[row]
        if not names:
            lines.append(f"| {row} | {fault} | 0 | | | | {ELSEWHERE[row]} | |")
            continue
        kinds = Counter(cases[name].outcome for name in names)
        held = sum(not fits(cases[name], ended[name]) for name in names)
        slowest = max(ended[name].seconds for name in names)
        counts = " | ".join(str(kinds[k]) for k in ("R", "D", "works"))
        lines.append(f"| {row} | {fault} | {len(names)} | {counts} | {held} | {slowest:.2f} |")
    kinds, endings = Counter(c.outcome for c in cases.values()), Counter(e.kind for e in ended.values())
    held = sum(not fits(cases[name], ending) for name, ending in ended.items())
    counts = " | ".join(str(kinds[k]) for k in ("R", "D", "works"))
    slowest = max(e.seconds for e in ended.values())
    lines.append(f"| | **all** | {len(cases)} | {counts} | {held} | {slowest:.2f} |")
    of_kind = Counter(case.kind for case in cases.values())
    lines += [
        "",
        f"Crashes: {endings['crash']}. Hangs over 10 s: {endings['hang']}. Untyped errors: "
        f"{endings['defect']}. Other than pinned: {len(cases) - held}. Seconds are of the processor, in the "
        "function that is called.",
        "",
        "By kind: " + ", ".join(f"{kind} {count}" for kind, count in sorted(of_kind.items())) + ".",
        "",
        f"Made on {datetime.now().astimezone():%d %B %Y}: {machine()}; each case in a warm child that may "
        f"take {ROOM_BYTES >> 30} GiB of address space more than it has.",
        "",
    ]
    return "\n".join(lines)


def machine() -> str:
    """Processors, system and versions; neither a name of the machine nor a path."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


if __name__ == "__main__":
    sys.exit(main())
