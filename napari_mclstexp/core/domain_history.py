"""History of domains: edits done and undone, and edits as plain values, to be written down and repeated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.annotations import Annotation
from napari_mclstexp.core.domain_edits import (
    Annotate,
    Assign,
    Edit,
    Import,
    Lock,
    Merge,
    Recolour,
    Rename,
    Split,
    Unannotate,
)
from napari_mclstexp.core.grid import MAX_SPOTS
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_mclstexp.core.result import Domains

KINDS: dict[str, type[Edit]] = {
    kind.__name__.lower(): kind
    for kind in (Rename, Recolour, Merge, Assign, Split, Lock, Annotate, Import, Unannotate)
}
WORDS = ("name", "colour", "identity", "wkt", "of_class", "note", "author")
"""Fields of edits that are texts."""


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
        After all that is done; found where it is not given.
    """

    start: Domains
    done: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    domains: Domains = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.domains is None:
            object.__setattr__(  # type: ignore[unreachable]
                self, "domains", applied(self.start, self.done)
            )

    def do(self, edit: Edit) -> History:
        """History with one edit more; what was undone is gone.

        Raises
        ------
        DomainError
            The edit is not possible.
        """
        return History(self.start, (*self.done, edit), (), edit.apply(self.domains))

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
    if "annotations" in told:
        told["annotations"] = [asdict(note) for note in told["annotations"]]
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
        if "annotations" in given:
            given["annotations"] = tuple(_annotation(note) for note in given["annotations"])
        for name, wanted in (("label", int), ("locked", bool), *((word, str) for word in WORDS)):
            if name in given:
                _typed(given[name], wanted)
        return kind(**given)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{told!r} is no edit of domains that this version knows."
        raise DomainError(msg) from error


def _annotation(told: Mapping[str, Any]) -> Annotation:
    return Annotation(**{name: _typed(text, str) for name, text in dict(told).items()})


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


def _runs(rows: tuple[int, ...]) -> list[list[int]]:
    """First and last of each run of rows that follow each other."""
    ordered = np.unique(np.asarray(rows, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    first, last = np.append(0, breaks + 1), np.append(breaks, len(ordered) - 1)
    return [[int(ordered[a]), int(ordered[b])] for a, b in zip(first, last, strict=True) if len(ordered)]
