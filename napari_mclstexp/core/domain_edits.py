"""Edits of domains as values: applied in their order, undone and redone, and written down to be repeated."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.grid import MAX_SPOTS
from napari_mclstexp.core.palette import is_colour
from napari_mclstexp.core.result import Domains
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a domain another name.

    Attributes
    ----------
    label : int
        Of the domain.
    name : str
        Not empty, and no other domain's.
    """

    label: int
    name: str

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        _known(domains, self.label)
        name = self.name.strip()
        if not name or len(name) > MAX_NAME or re.search(r"[\x00-\x1f]", name):
            msg = f"A domain's name has 1 to {MAX_NAME} letters on one line."
            raise DomainError(msg)
        if any(other == name for label, other in domains.names.items() if label != self.label):
            msg = f"Another domain has the name {name!r}. Give each its own, or merge the two."
            raise DomainError(msg)
        return replace(domains, names={**domains.names, self.label: name})


@dataclass(frozen=True, slots=True)
class Recolour:
    """Give a domain another colour, ``#rrggbb``."""

    label: int
    colour: str

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        _known(domains, self.label)
        if not is_colour(self.colour):
            msg = f"{self.colour!r} is no colour. Give one such as #0072b2."
            raise DomainError(msg)
        return replace(domains, colours={**domains.colours, self.label: self.colour.lower()})


@dataclass(frozen=True, slots=True)
class Merge:
    """Join domains into the first of them, which keeps its name and colour."""

    labels: tuple[int, ...]

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        if len(set(self.labels)) < 2:
            msg = "Choose two domains or more to merge."
            raise DomainError(msg)
        for label in self.labels:
            _known(domains, label)
        first = self.labels[0]
        others = [label for label in self.labels if label != first]
        kept = [label for label in domains.names if label not in others]
        return Domains(
            np.where(np.isin(domains.labels, others), np.int32(first), domains.labels),
            {label: domains.names[label] for label in kept},
            {label: domains.colours[label] for label in kept},
        )


@dataclass(frozen=True, slots=True)
class Assign:
    """Give spots to a domain, as with a brush.

    Attributes
    ----------
    rows : tuple of int
        Of the spots.
    label : int
        The domain's; 0 for none.
    """

    rows: tuple[int, ...]
    label: int

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        if self.label != 0:
            _known(domains, self.label)
        labels = domains.labels.copy()
        labels[_rows(self.rows, len(labels))] = self.label
        return replace(domains, labels=labels)


@dataclass(frozen=True, slots=True)
class Split:
    """Make spots a domain of their own, with the next free label."""

    rows: tuple[int, ...]
    name: str
    colour: str

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        label = max(domains.names, default=0) + 1
        labels = domains.labels.copy()
        labels[_rows(self.rows, len(labels))] = label
        wider = Domains(labels, {**domains.names, label: ""}, {**domains.colours, label: "#000000"})
        return Recolour(label, self.colour).apply(Rename(label, self.name).apply(wider))


Edit = Rename | Recolour | Merge | Assign | Split
KINDS: dict[str, type[Edit]] = {
    kind.__name__.lower(): kind for kind in (Rename, Recolour, Merge, Assign, Split)
}


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Domains as they were found, and what was done to them since.

    Attributes
    ----------
    start : Domains
        As they were found.
    done, undone : tuple
        Edits in their order; those taken back, the last taken back at the end.
    domains : Domains
        After all that is done.
    """

    start: Domains
    done: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    domains: Domains = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", applied(self.start, self.done))

    def do(self, edit: Edit) -> History:
        """History with one edit more; what was undone is gone.

        Raises
        ------
        DomainError
            The edit is not possible.
        """
        return History(self.start, (*self.done, edit))

    def undo(self) -> History:
        """History without its last edit."""
        return History(self.start, self.done[:-1], (*self.undone, *self.done[-1:]))

    def redo(self) -> History:
        """History with what was undone last."""
        return History(self.start, (*self.done, *self.undone[-1:]), self.undone[:-1])

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is one that was taken back."""
        return bool(self.undone)

    @property
    def count(self) -> int:
        """How many edits are in force."""
        return len(self.done)


def applied(domains: Domains, edits: tuple[Edit, ...]) -> Domains:
    """Domains after edits, in their order.

    Raises
    ------
    DomainError
        One of them is not possible.
    """
    for edit in edits:
        domains = edit.apply(domains)
    return domains


def edit_as_dict(edit: Edit) -> dict[str, Any]:
    """Edit as plain values for JSON; rows of spots as pairs of first and last."""
    told: dict[str, Any] = {"kind": type(edit).__name__.lower()}
    told.update((each.name, getattr(edit, each.name)) for each in fields(edit))  # rows are long: not copied
    if "rows" in told:
        told["rows"] = _runs(told["rows"])
    if "labels" in told:
        told["labels"] = list(told["labels"])
    return told


def edit_from_dict(told: Mapping[str, Any]) -> Edit:
    """Edit of plain values.

    Raises
    ------
    DomainError
        They are none of an edit.
    """
    given = dict(told)
    try:
        kind = KINDS[given.pop("kind")]
        if "rows" in given:
            given["rows"] = _rows_of(given["rows"])
        if "labels" in given:
            given["labels"] = tuple(_typed(label, int) for label in given["labels"])
        for name, wanted in (("label", int), ("name", str), ("colour", str)):
            if name in given:
                _typed(given[name], wanted)
        return kind(**given)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{told!r} is no edit of domains that this version knows."
        raise DomainError(msg) from error


def _typed(value: Any, wanted: type) -> Any:
    if type(value) is not wanted:  # True is an int, but no label
        msg = f"{value!r} is no {wanted.__name__}"
        raise TypeError(msg)
    return value


def _rows_of(runs: Any) -> tuple[int, ...]:
    """Rows of runs, once it is known that they are no more than a slide can have."""
    ranges = [range(_typed(first, int), _typed(last, int) + 1) for first, last in runs]
    if sum(max(0, rows.stop - rows.start) for rows in ranges) > MAX_SPOTS:
        msg = "more spots than a slide can have"
        raise ValueError(msg)
    return tuple(row for rows in ranges for row in rows)


def _known(domains: Domains, label: int) -> None:
    if label not in domains.names:
        msg = f"There is no domain with the number {label}."
        raise DomainError(msg)


def _rows(rows: tuple[int, ...], count: int) -> NDArray[np.int64]:
    found = np.asarray(rows, dtype=np.int64)
    if len(found) == 0 or found.min() < 0 or found.max() >= count:
        msg = "Choose spots of this slide, one or more."
        raise DomainError(msg)
    return found


def _runs(rows: tuple[int, ...]) -> list[list[int]]:
    """First and last of each run of rows that follow each other."""
    ordered = np.unique(np.asarray(rows, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    first, last = np.append(0, breaks + 1), np.append(breaks, len(ordered) - 1)
    return [[int(ordered[a]), int(ordered[b])] for a, b in zip(first, last, strict=True) if len(ordered)]
