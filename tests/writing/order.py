"""Power loss: what is written is flushed before it is renamed, and the folder after it.

The system calls are those that ``strace`` sees; where it is not there, or may not look, those that the
library of faults.c notes.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.core.unfinished import NAME

if TYPE_CHECKING:
    Call = tuple[str, str, str]

CALLS = "fsync,fdatasync,rename,renameat,renameat2"
LINE = re.compile(r"(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) += 0")
FD = re.compile(r"\d+<(.+?)>")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Strace:
    """Trace of a process and all that it forks, as long as the block lasts."""

    def __init__(self, pid: int, out: Path) -> None:
        self._out = out
        self._process = subprocess.Popen(
            ["strace", "-f", "-y", "-s", "400", "-e", f"trace={CALLS}", "-o", out, "-p", str(pid)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.said = self._process.stderr.readline()

    @property
    def attached(self) -> bool:
        return "attached" in self.said

    def calls(self) -> list[Call]:
        """Calls that went well, in their order."""
        self._process.terminate()
        self._process.communicate(timeout=30)
        found: list[Call] = []
        for line in _joined(self._out.read_text(encoding="utf-8", errors="replace")):
            if (call := LINE.match(line)) is None:
                continue
            name, words = call.groups()
            if name in ("fsync", "fdatasync"):
                told = FD.match(words)
                found.append(("fsync", told[1] if told else "", ""))
            else:
                one, two = QUOTED.findall(words)
                found.append(("rename", one, two))
        return found


def _joined(text: str) -> list[str]:
    """Lines of a trace, those that another process cut in two made whole where they end."""
    begun: dict[str, str] = {}
    lines = []
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>").strip()
        elif resumed := re.match(r" *<\.\.\. \w+ resumed>(.*)", rest):
            lines.append(f"{pid} {begun.pop(pid, '').strip()}{resumed[1].strip()}")
        else:
            lines.append(line)
    return lines


def out_of_order(calls: list[Call], folder: Path) -> list[str]:
    """What a power cut could lose: renames before a flush, or without one after it."""
    wrong = []
    renames = [
        (i, Path(one), Path(two))
        for i, (call, one, two) in enumerate(calls)
        if call == "rename" and NAME.fullmatch(Path(one).name) and ".part" in Path(one).name
    ]
    if not renames:
        wrong.append("nothing was renamed into its place")
    for at, part, target in renames:
        before = [one for call, one, _ in calls[:at] if call == "fsync"]
        after = [one for call, one, _ in calls[at:] if call == "fsync"]
        inside = [target / p.relative_to(target) for p in target.rglob("*")] if target.is_dir() else []
        for path in (target, *inside):
            written = str(part / path.relative_to(target)) if path != target else str(part)
            if written not in before:
                wrong.append(f"{path.relative_to(folder)} was not flushed before the rename")
        if str(target.parent) not in after:
            wrong.append(f"the folder was not flushed after {target.name} was renamed")
    return wrong
