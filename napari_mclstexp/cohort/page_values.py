"""What a page of a cohort says of its slides, before it is laid out; and how it says it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from napari_mclstexp.core.palette import is_colour

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_mclstexp.cohort.folder import Cohort, Entry, Record

DASH = "–"
NOT_DONE = "not done yet"
ALL, UNGROUPED = "All slides", "No group"
MUCH = 0.5
"""Share of spots unlike the reference above which a slide is marked."""
NAMED = 20
"""Slides that a sentence names."""


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide of the page.

    Attributes
    ----------
    number : int
        From 1, in the order in which they were given.
    entry : Entry
        What was asked for.
    record : Record or None
        How it ended; None where it has not.
    group : str
        Under what its dots stand: its group, "No group", or "All slides" where no slide has one.
    """

    number: int
    entry: Entry
    record: Record | None
    group: str

    @property
    def outcome(self) -> str:
        """``done``, ``refused: KIND``, ``failed: KIND`` or ``not done yet``."""
        return self.record.outcome if self.record else NOT_DONE

    @property
    def kind(self) -> str:
        """The outcome's first word."""
        return self.outcome.partition(":")[0]

    @property
    def result(self) -> Record | None:
        """The record of a slide that is done."""
        return self.record if self.record and self.record.done else None

    @property
    def suspect(self) -> bool:
        """Whether more than half of its spots are unlike the reference."""
        return self.result is not None and self.result.unlike > MUCH


def slides_of(cohort: Cohort, records: Mapping[str, Record]) -> list[Slide]:
    """All slides of a cohort, in the order in which they were given."""
    grouped = any(entry.group for entry in cohort.entries)
    return [
        Slide(number, entry, records.get(entry.name), (entry.group or UNGROUPED) if grouped else ALL)
        for number, entry in enumerate(cohort.entries, 1)
    ]


def by_group(slides: Iterable[Slide]) -> dict[str, list[Slide]]:
    """Slides by their groups: those in the order in which they come first, that of no group last."""
    groups: dict[str, list[Slide]] = {}
    for slide in slides:
        groups.setdefault(slide.group, []).append(slide)
    without = groups.pop(UNGROUPED, None)
    return groups if without is None else {**groups, UNGROUPED: without}


def link(cohort: Cohort, file: Path) -> str:
    """Address of a file of the cohort from its page, for an attribute; empty where there is no such file."""
    return quote(file.relative_to(cohort.folder).as_posix()) if file.is_file() else ""


def colours_of(cohort: Cohort) -> dict[str, str]:
    """Colour of each domain; grey where what the cohort says is none, for it goes into the page's style."""
    return {name: colour if is_colour(colour) else "#888888" for name, colour in cohort.domains.items()}


def number(value: float, decimals: int = 0) -> str:
    """A number with so many decimals, a dash for one that is none."""
    return f"{value:,.{decimals}f}" if math.isfinite(value) else DASH


def figures(value: float) -> str:
    """A number with three figures, a dash for one that is none."""
    if not math.isfinite(value):
        return DASH
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value) or 1)))}f}"


def percent(share: float) -> str:
    """A share in per cent; one that is neither none nor all does not read as if it were."""
    if not math.isfinite(share):
        return DASH
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def counted(count: int, what: str) -> str:
    """``1 slide``, ``2 slides``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def named(slides: Iterable[Slide]) -> str:
    """Names of slides in a sentence, escaped; the number of the rest where they are many."""
    names = [escape(slide.entry.name) for slide in slides]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def sentence(text: str) -> str:
    """A text that begins with a capital and ends with a full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "!", "?")) else ".")
