"""Human gene symbols of any vintage mapped to those that HGNC approves today.

The table is HGNC's of July 2024; `hgnc.txt` beside it says where it comes from.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_mclstexp.core.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TABLE = Path(__file__).with_name("hgnc.tsv.gz")
VERSION = "July 2024"
ENSEMBL = re.compile(r"(ENSG\d{11})(?:\.\d+)?")
EXAMPLES = 3

Status = Literal["approved", "renamed", "listed", "ambiguous", "unknown", "collision"]


@dataclass(frozen=True, slots=True)
class Symbol:
    """What became of one symbol.

    Attributes
    ----------
    given, name : str
        Before and after; the same unless it was renamed.
    status : str
        "approved" by HGNC as it is; "renamed" from a previous symbol, an alias or an Ensembl id; "listed":
        not approved, but what the gene list says; "ambiguous": it stood for several genes; "unknown" to HGNC;
        "collision": another column has the name it would get. All but the renamed stay as they were.
    candidates : tuple of str
        Approved symbols that it may stand for.
    section : str
        Where it was found; empty where that was not told.
    """

    given: str
    name: str
    status: Status
    candidates: tuple[str, ...] = ()
    section: str = ""


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """What became of the gene symbols of one section or several.

    Attributes
    ----------
    entries : tuple of Symbol
        One for each symbol of each section, in their order.
    foreign : tuple of str
        Sections whose symbols do not look human; none of theirs was renamed.
    """

    entries: tuple[Symbol, ...]
    foreign: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols after the mapping, in the order given."""
        return tuple(e.name for e in self.entries)

    @property
    def renamed(self) -> dict[str, str]:
        """Old to new symbol."""
        return {e.given: e.name for e in self.entries if e.status == "renamed"}

    def of(self, status: Status) -> tuple[str, ...]:
        """Distinct symbols of that status, in their order."""
        return tuple(dict.fromkeys(e.given for e in self.entries if e.status == status))

    def text(self) -> str:
        """A few plain lines."""
        total = len({e.given for e in self.entries})
        may_be = {e.given: " or ".join(e.candidates) for e in self.entries}
        lines = [f"Approved by HGNC ({VERSION}): {len(self.of('approved')):,} of {total:,} gene symbols."]
        for status, what, show in _LINES:
            found = self.of(status)
            if found:
                told = {"new": self.renamed, "candidates": may_be}.get(show, {})
                shown = ", ".join(f"{s} -> {told[s]}" if s in told else s for s in found[:EXAMPLES])
                lines.append(f"{what}: {len(found):,}, e.g. {shown}.")
        lines += [f"The symbols of {s} do not look human: none was renamed." for s in self.foreign]
        return "\n".join(lines)

    def write_csv(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write every symbol with its fate: section, symbol, name, status, candidates.

        Raises
        ------
        ExportError
            The file exists already or cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["section", "symbol", "name", "status", "candidates"])
        rows.writerows(
            [_plain(e.section), _plain(e.given), _plain(e.name), e.status, "|".join(e.candidates)]
            for e in self.entries
        )
        return write_text(path, text.getvalue(), overwrite=overwrite)


_NAMED: tuple[Status, ...] = ("unknown", "approved", "ambiguous")
"""By how many genes a symbol that keeps its name may stand for."""
_LINES: tuple[tuple[Status, str, str], ...] = (
    ("renamed", "Renamed", "new"),
    ("listed", "Left as the gene list has them", "candidates"),
    ("ambiguous", "Left, for they stood for several genes", "candidates"),
    ("collision", "Left, for another column has their name of today", "candidates"),
    ("unknown", "Left, for HGNC does not know them", ""),
)


def to_hgnc(symbols: Sequence[str], section: str = "", listed: Sequence[str] = ()) -> SymbolReport:
    """Map symbols of one section to those that HGNC approves.

    An approved symbol is taken at its word. A previous symbol goes before an alias. Letters count as they
    are: mouse symbols such as ``Actb`` are no human ones. Names stay distinct: where two columns would get
    one name, that which bears it already keeps it, then the approved one, else the first gets it.

    Parameters
    ----------
    symbols : sequence of str
        Distinct gene symbols or Ensembl gene ids.
    section : str
        Name of the section, for the report.
    listed : sequence of str
        Symbols to use as they are, whatever their vintage: a gene of theirs gets the name that it has here.

    Returns
    -------
    SymbolReport
        One entry a symbol.
    """
    human = looks_human(symbols)
    found = [_candidates(s) if human else () for s in symbols]
    exact, spelt = set(listed), {approved(s): s for s in reversed(listed)}
    wanted = []
    for symbol, among in zip(symbols, found, strict=True):
        today = among[0] if len(among) == 1 else symbol
        wanted.append(symbol if symbol in exact else spelt.get(today, today) if human else symbol)
    taken: set[str] = set()
    entries: dict[int, Symbol] = {}
    first = sorted(range(len(symbols)), key=lambda i: (symbols[i] != wanted[i], found[i] != (symbols[i],)))
    for i in first:
        symbol, name, among = symbols[i], wanted[i], found[i]
        status: Status = _NAMED[min(len(among), 2)]
        if name != symbol:
            name, status = (symbol, "collision") if name in taken else (name, "renamed")
        elif len(among) == 1 and among != (name,):
            status = "listed"
        taken.add(name)
        entries[i] = Symbol(symbol, name, status, among, section)
    return SymbolReport(
        tuple(entries[i] for i in range(len(symbols))), () if human else (section or "this list",)
    )


def approved(symbol: str) -> str:
    """The one approved symbol that a symbol stands for; itself where none or several are."""
    among = _candidates(symbol)
    return among[0] if len(among) == 1 else symbol


def stands_for(symbol: str) -> tuple[str, ...]:
    """Approved symbols that a symbol may stand for; none where HGNC does not know it."""
    return _candidates(symbol)


def names_of(symbol: str) -> tuple[str, ...]:
    """Other names that HGNC knows an approved symbol by: previous symbols, then aliases; none for others."""
    return _table().names.get(symbol, ())


def looks_human(symbols: Sequence[str]) -> bool:
    """Whether most symbols are written as human ones are: without small letters, but for ``C1orf112``."""
    small = sum(any(c.islower() for c in s.replace("orf", "")) for s in symbols)
    return small * 2 <= len(symbols)


def joined(reports: Iterable[SymbolReport]) -> SymbolReport:
    """One report over several sections."""
    reports = list(reports)
    return SymbolReport(
        tuple(e for report in reports for e in report.entries),
        tuple(name for report in reports for name in report.foreign),
    )


def _candidates(symbol: str) -> tuple[str, ...]:
    """Approved symbols that a symbol may stand for."""
    table = _table()
    id_ = ENSEMBL.fullmatch(symbol)
    key = id_[1] if id_ else symbol
    if key in table.approved:
        return (key,)
    return next((level[key] for level in (table.ensembl, table.previous, table.alias) if key in level), ())


@dataclass(frozen=True, slots=True)
class _Table:
    approved: frozenset[str]
    previous: Mapping[str, tuple[str, ...]]
    alias: Mapping[str, tuple[str, ...]]
    ensembl: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[str, ...]]


@cache
def _table() -> _Table:
    with gzip.open(TABLE, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]

    def by(column: int) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for row in rows:
            for old in filter(None, row[column].split("|")):
                found[old] = (*found.get(old, ()), row[0])
        return found

    names = {row[0]: tuple(dict.fromkeys(filter(None, f"{row[1]}|{row[2]}".split("|")))) for row in rows}
    return _Table(frozenset(names), by(1), by(2), by(3), names)


def _plain(text: str) -> str:
    """Text that a spreadsheet takes for no formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
