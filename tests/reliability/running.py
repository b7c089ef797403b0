"""Run some cases, and print what comes of each: ``python -m tests.reliability.running WORD ...``."""

from __future__ import annotations

import sys

from .case import all_cases
from .worker import Child, fits


def main(words: list[str]) -> None:
    """Run the cases in whose name or kind one of the words stands."""
    child = Child()
    wrong = 0
    for case in all_cases().values():
        if words and not any(word in f"{case.kind}: {case.name}" for word in words):
            continue
        ending = child.run(case)
        why = fits(case, ending)
        wrong += bool(why)
        print(
            f"{'ok ' if not why else 'BAD'} {ending.seconds:5.2f} s  row {case.row}  {case.name}", flush=True
        )
        print(f"      {(why or ending.said)[:300]}", flush=True)
    child.close()
    print(f"{wrong} are not as they should be")


if __name__ == "__main__":
    main(sys.argv[1:])
