"""The cohort that is paged through: which slide of it is shown, and the colours that its slides share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_mclstexp.core.maps import Colour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_mclstexp.cohort.folder import Cohort, Entry, Record

Key = tuple[str, bool]
"""What is coloured: its name, and whether as the difference from the reference mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Paging:
    """A cohort that is paged through.

    Attributes
    ----------
    cohort : Cohort
        What its folder tells.
    records : tuple of Record or None
        How each slide ended; None where it has not.
    at : int or None
        Place of the slide that is shown, from 0; None before the first one.
    wanted : int or None
        Place of the slide that is being opened.
    note : str
        What is to be told of the slide shown, such as why it has no result.
    same_colours : bool
        Whether a gene's colours mean the same on all slides.
    limits : mapping
        Limits of the colours of what was shown, by `Key`; of genes that the cohort knows, its own.
    before : Colour
        Colours before the cohort was opened.
    """

    cohort: Cohort
    records: tuple[Record | None, ...]
    at: int | None = None
    wanted: int | None = None
    note: str = ""
    same_colours: bool = True
    limits: Mapping[Key, tuple[float, float]] = field(default_factory=dict)
    before: Colour = field(default_factory=Colour)

    @classmethod
    def of(cls, cohort: Cohort, records: tuple[Record | None, ...], before: Colour) -> Paging:
        """A cohort that was just opened, on its way to its first slide."""
        limits = {(shown.gene, False): (shown.low, shown.high) for shown in cohort.genes}
        known = {key: pair for key, pair in limits.items() if pair[0] < pair[1] and math.isfinite(sum(pair))}
        return cls(cohort, records, wanted=0, limits=known, before=before)

    @property
    def entry(self) -> Entry | None:
        """The slide that is shown."""
        return None if self.at is None else self.cohort.entries[self.at]

    @property
    def first_gene(self) -> str | None:
        """What a person sees first: the first gene of the cohort's page."""
        return self.cohort.genes[0].gene if self.cohort.genes else None

    def arrived(self, at: int, record: Record | None, note: str) -> Paging:
        """A slide is shown."""
        records = (*self.records[:at], record, *self.records[at + 1 :])
        return replace(self, records=records, at=at, wanted=None, note=note)

    def with_limits(self, key: Key, limits: tuple[float, float]) -> Paging:
        """The same with other limits of what is coloured."""
        return replace(self, limits={**self.limits, key: limits})
