"""Edits of domains and annotations as values; each gives other domains, or says why not."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.annotations import Annotation
from napari_mclstexp.core.palette import is_colour
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Domains

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
        _unlocked(domains, self.labels)
        first = self.labels[0]
        others = [label for label in self.labels if label != first]
        kept = [label for label in domains.names if label not in others]
        return replace(
            domains,
            labels=np.where(np.isin(domains.labels, others), np.int32(first), domains.labels),
            names={label: domains.names[label] for label in kept},
            colours={label: domains.colours[label] for label in kept},
        )


@dataclass(frozen=True, slots=True)
class Assign:
    """Give spots to a domain, as with a brush; those of locked domains stay.

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
            _unlocked(domains, (self.label,))
        labels = domains.labels.copy()
        labels[_free(domains, self.rows)] = self.label
        return replace(domains, labels=labels)


@dataclass(frozen=True, slots=True)
class Split:
    """Make spots a domain of their own, with the next free label; those of locked domains stay."""

    rows: tuple[int, ...]
    name: str
    colour: str

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        label = max(domains.names, default=0) + 1
        labels = domains.labels.copy()
        labels[_free(domains, self.rows)] = label
        wider = replace(
            domains,
            labels=labels,
            names={**domains.names, label: ""},
            colours={**domains.colours, label: "#000000"},
        )
        return Recolour(label, self.colour).apply(Rename(label, self.name).apply(wider))


@dataclass(frozen=True, slots=True)
class Lock:
    """Keep a domain's spots as they are, or give them free again."""

    label: int
    locked: bool

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        _known(domains, self.label)
        locked = domains.locked | {self.label} if self.locked else domains.locked - {self.label}
        return replace(domains, locked=locked)


@dataclass(frozen=True, slots=True)
class Annotate(Annotation):
    """Add an annotation, or put it in the place of the one with the same identity."""

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        added = Annotation(**{each.name: getattr(self, each.name) for each in fields(self)}).checked()
        there = [note.identity for note in domains.annotations]
        if self.identity not in there:
            return replace(domains, annotations=(*domains.annotations, added))
        notes = (added if n.identity == self.identity else n for n in domains.annotations)
        return replace(domains, annotations=tuple(notes))


@dataclass(frozen=True, slots=True)
class Import:
    """Add the annotations of a file."""

    annotations: tuple[Annotation, ...]

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        there = {note.identity for note in domains.annotations}
        if not self.annotations or not there.isdisjoint(note.identity for note in self.annotations):
            msg = "These annotations are there already."
            raise DomainError(msg)
        added = tuple(note.checked() for note in self.annotations)
        return replace(domains, annotations=domains.annotations + added)


@dataclass(frozen=True, slots=True)
class Unannotate:
    """Take an annotation away."""

    identity: str

    def apply(self, domains: Domains) -> Domains:
        """Domains with this edit. Raises DomainError where it is not possible."""
        kept = tuple(note for note in domains.annotations if note.identity != self.identity)
        if len(kept) == len(domains.annotations):
            msg = "There is no such annotation."
            raise DomainError(msg)
        return replace(domains, annotations=kept)


Edit = Rename | Recolour | Merge | Assign | Split | Lock | Annotate | Import | Unannotate


def _known(domains: Domains, label: int) -> None:
    if label not in domains.names:
        msg = f"There is no domain with the number {label}."
        raise DomainError(msg)


def _unlocked(domains: Domains, labels: tuple[int, ...]) -> None:
    for label in labels:
        if label in domains.locked:
            msg = f"{domains.names[label]} is locked. Unlock it first."
            raise DomainError(msg)


def _free(domains: Domains, rows: tuple[int, ...]) -> NDArray[np.int64]:
    """Rows of spots that no locked domain has."""
    found = _rows(rows, len(domains.labels))
    free = found[~np.isin(domains.labels[found], list(domains.locked))]
    if len(free) == 0:
        msg = "All of these spots belong to locked domains. Unlock them first."
        raise DomainError(msg)
    return free


def _rows(rows: tuple[int, ...], count: int) -> NDArray[np.int64]:
    found = np.asarray(rows, dtype=np.int64)
    if len(found) == 0 or found.min() < 0 or found.max() >= count:
        msg = "Choose spots of this slide, one or more."
        raise DomainError(msg)
    return found
