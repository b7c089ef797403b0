"""A bad input or fault: of which good one it is made, how, by which door it comes, and what must happen.

A module of this folder named ``of_...`` has a list `CASES`; :func:`all_cases` puts them together.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .goods import Goods

    Make = Callable[[Goods, Path], object]
    """Makes the bad input in an empty folder; returns what the door is given, the file's path for one."""

REFUSED, DEGRADED, WORKS = "R", "D", "works"
LIMIT_S = 10.0
ROWS_UNDER_2_S = frozenset((5, 24))


@dataclass(frozen=True, slots=True)
class Case:
    """A bad input or fault.

    Attributes
    ----------
    name : str
        Of the cause; unique.
    row : int
        Of the list of faults: what goes wrong.
    kind : str
        What kind of input it is.
    mutation : str
        What was done to a good one; at most ten cases share one.
    door : str
        Public function that is given it; see :mod:`.doors`.
    make : callable
        Makes it.
    outcome : str
        `REFUSED`, `DEGRADED` (a result that tells what is not as it should be) or `WORKS`.
    says : str
        Regular expression for the error's class and message, or for what the door tells of the result.
    """

    name: str
    row: int
    kind: str
    mutation: str
    door: str
    make: Make
    outcome: str
    says: str

    @property
    def limit_s(self) -> float:
        """Seconds after which it counts as hanging."""
        return 2.0 if self.row in ROWS_UNDER_2_S else LIMIT_S


def all_cases() -> dict[str, Case]:
    """Every case by its name.

    Raises
    ------
    ValueError
        Two have one name.
    """
    here = Path(__file__).parent
    modules = [importlib.import_module(f"{__package__}.{file.stem}") for file in sorted(here.glob("of_*.py"))]
    return by_name(case for module in modules for case in module.CASES)


def by_name(cases: Iterable[Case]) -> dict[str, Case]:
    """Cases by their names."""
    found: dict[str, Case] = {}
    for case in cases:
        if case.name in found:
            raise ValueError(case.name)
        found[case.name] = case
    return found
