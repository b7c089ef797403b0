"""Runs cases in a child that stays warm, under a limit of memory; :class:`Child` holds it to its time."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from .case import Case

ROOM_BYTES = 3 * 2**30
"""Of address space that a case may take, beyond what the warm child has."""
START_S = 300.0
END_S, WAIT_S = 10.0, 90.0
"""Until a child is killed that is told to end; until it counts as hanging, for a machine may be busy, and the
input is to be made first."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a case ended.

    Attributes
    ----------
    kind : str
        ``refused`` by a typed error, ``result``, ``defect`` for any other exception, ``hang``, ``crash``, or
        ``unmade`` where the case itself is wrong.
    said : str
        The error's class and message, or what the door told of the result.
    seconds : float
        Of the processor, in the door alone.
    """

    kind: str
    said: str
    seconds: float


def fits(case: Case, ending: Ending) -> str:
    """Why an ending is not the one that is pinned; empty where it is."""
    wanted = "refused" if case.outcome == "R" else "result"
    if ending.kind != wanted:
        return f"{ending.kind}, not {wanted}: {ending.said}"
    if re.search(r"allocat|MemoryError|out of memory", ending.said):
        return f"the limit of memory alone stopped it: {ending.said}"
    if not re.search(case.says, ending.said):
        return f"it says {ending.said!r}, not {case.says!r}"
    if ending.seconds > case.limit_s:
        return f"it took {ending.seconds:.1f} s, over {case.limit_s:g}"
    if wanted == "refused" and (len(ending.said) < 30 or "\n" in ending.said.strip()):
        return f"no sentence on one line: {ending.said!r}"
    return ""


class Child:
    """A warm child; it is started anew where a case has hung or killed it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, case: Case) -> Ending:
        """Run one case."""
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        began = time.monotonic()
        self._process.stdin.write(case.name + "\n")
        self._process.stdin.flush()
        told = self._answer(WAIT_S)
        if told is None:
            code = self._ended()
            self.close()
            kind = "hang" if code is None else "crash"
            return Ending(kind, f"exit {code}", time.monotonic() - began)
        return Ending(**told)

    def _ended(self) -> int | None:
        """How the child ended; None where it still runs."""
        assert self._process is not None
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            try:
                self._process.wait(END_S)  # it removes its folder
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _start(self) -> None:
        root = Path(__file__).parents[2]
        command = [sys.executable, "-m", "tests.reliability.worker"]
        environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
        )
        if self._answer(START_S) is None:
            self.close()
            raise RuntimeError("the child does not start")

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        return json.loads(line) if line else None


def main() -> None:
    """Read names of cases from standard input, and answer each by a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that a door prints comes among the answers
    warnings.simplefilter("ignore")
    from . import doors
    from .case import all_cases
    from .goods import Goods

    cases = all_cases()
    with tempfile.TemporaryDirectory(prefix="mclstexp-reliability-") as folder:
        os.environ["MCLSTEXP_CACHE"] = str(Path(folder) / "cache")
        goods = Goods(Path(folder) / "good")
        doors.warm(goods)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + ROOM_BYTES, resource.RLIM_INFINITY))
        gc.freeze()  # the libraries' objects are not gone through for each input
        answers.write("{}\n")
        answers.flush()
        for number, line in enumerate(sys.stdin):
            place = Path(folder) / f"{number:04}"
            place.mkdir()
            os.environ["MCLSTEXP_DATA"] = str(place / "data")
            ending = ending_of(cases[line.strip("\n")], goods, place)
            shutil.rmtree(place, ignore_errors=True)  # hundreds of copies of a bundle would fill a disk
            answers.write(json.dumps(asdict(ending)) + "\n")
            answers.flush()


def ending_of(case: Case, goods: Any, place: Path) -> Ending:
    """Make the input and give it to its door."""
    from napari_mclstexp.errors import MclstexpError

    from . import doors

    try:
        given = case.make(goods, place)
    except Exception as error:  # noqa: BLE001 - it is told
        return Ending("unmade", f"{type(error).__name__}: {error}", 0.0)
    began = time.process_time()  # of a busy machine the wall's clock would tell of the others
    try:
        said = doors.DOORS[case.door](given)
        kind = "result"
    except MclstexpError as error:
        kind, said = "refused", f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - it is told
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind, said = "defect", f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    return Ending(kind, said, time.process_time() - began)


if __name__ == "__main__":
    main()
