"""The page of a cohort: all its slides side by side, in one file that works without a network."""

from __future__ import annotations

import math
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from napari_mclstexp import __version__
from napari_mclstexp.cohort import page_panels, page_plots
from napari_mclstexp.cohort.folder import PAGE, TABLE
from napari_mclstexp.cohort.page_values import (
    DASH,
    NOT_DONE,
    counted,
    link,
    named,
    number,
    percent,
    sentence,
    slides_of,
)
from napari_mclstexp.core.atomic import write_text
from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_mclstexp.cohort.folder import Cohort, Record
    from napari_mclstexp.cohort.page_values import Slide

COLUMNS = (
    ("Slide", False),
    ("Patient", False),
    ("Group", False),
    ("Outcome", False),
    ("Spots", True),
    ("Tissue, mm²", True),
    ("Unlike the reference", True),
    ("Minutes", True),
    ("Files", False),
    ("Notes", False),
)
"""Headings of the table, and whether numbers stand below."""

WAYS = {
    "genes": "Genes",
    "domains": "Domains",
    "spread": "Distributions",
    "slides": "All slides",
    "how": "How it was made",
}


def write_page(cohort: Cohort, records: Mapping[str, Record]) -> Path:
    """Write ``index.html`` into the cohort's folder.

    Pictures and results are linked where they are there: those that come later are on the next page.

    Parameters
    ----------
    cohort : Cohort
        Its slides, genes and domains.
    records : mapping of str to Record
        How slides ended, by their names; those without one are told as not done yet.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    return write_text(cohort.folder / PAGE, page_of(cohort, records), overwrite=True)


def page_of(cohort: Cohort, records: Mapping[str, Record]) -> str:
    """The page as one HTML document."""
    slides = slides_of(cohort, records)
    title = f"Predicted spatial expression, {counted(len(slides), 'slide')}"
    parts = {
        "": _undone(slides),
        "genes": page_panels.genes(cohort, slides),
        "domains": page_panels.domains(cohort, slides),
        "spread": page_plots.distributions(cohort, slides),
        "slides": _table(cohort, slides),
        "how": _how(cohort),
    }
    ways = "".join(f'<a href="#{mark}">{WAYS[mark]}</a>' for mark, part in parts.items() if mark and part)
    head = (
        f"<header><h1>{title}</h1>{_statement()}{_facts(cohort, slides)}"
        f'<nav aria-label="On this page">{ways}</nav></header>'
    )
    body = "\n".join((head, *(part for part in parts.values() if part)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"</main>\n<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return files("napari_mclstexp.cohort").joinpath(name).read_text(encoding="utf-8")


def _statement() -> str:
    return f'<p class="statement">{escape(STATEMENT)}</p>'


def _facts(cohort: Cohort, slides: Sequence[Slide]) -> str:
    """How many slides ended how, and what there is of those that are done."""
    counts = {kind: sum(s.kind == kind for s in slides) for kind in ("done", "refused", "failed", NOT_DONE)}
    records = [slide.result for slide in slides if slide.result]
    areas = [r.tissue_mm2 for r in records if math.isfinite(r.tissue_mm2)]
    facts = [(kind.capitalize(), f"{count:,}") for kind, count in counts.items() if count or kind == "done"]
    facts += [
        ("Spots", f"{sum(r.spots for r in records):,}"),
        ("Tissue", f"{number(sum(areas))} mm²" if areas else DASH),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    today = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return (
        f'<dl class="facts">{cells}</dl><p class="small">Model <b>{escape(cohort.bundle_id)}</b>. '
        f"Page of {today}.</p>"
    )


def _undone(slides: Sequence[Slide]) -> str:
    """Slides that were refused or failed, with the reason; those not done yet; those to be looked at."""
    ended: dict[tuple[str, str], list[Slide]] = {}
    for slide in slides:
        if slide.record and not slide.record.done:
            ended.setdefault((slide.record.outcome, slide.record.reason), []).append(slide)
    items = "".join(
        f'<li><p><span class="outcome">{escape(outcome)}</span> <b>{named(those)}</b></p>'
        f"<p>{escape(sentence(reason or 'No reason was kept'))}</p></li>"
        for (outcome, reason), those in ended.items()
    )
    lines = []
    if items:
        count = sum(map(len, ended.values()))
        lines.append(f"<h2>{counted(count, 'slide')} without a prediction</h2><ul class='ended'>{items}</ul>")
    waiting = [slide for slide in slides if slide.record is None]
    if waiting:
        verb = "is" if len(waiting) == 1 else "are"
        lines.append(f"<p>{counted(len(waiting), 'slide')} {verb} not done yet: {named(waiting)}.</p>")
    suspect = [slide for slide in slides if slide.suspect]
    if suspect:
        lines.append(
            f'<p><span class="mark">Look first</span> On {counted(len(suspect), "slide")}, more than half of '
            f"the spots are unlike the reference, and what is predicted there is not to be believed: "
            f"{named(suspect)}.</p>"
        )
    return f'<section id="undone">{"".join(lines)}</section>' if lines else ""


def _table(cohort: Cohort, slides: Sequence[Slide]) -> str:
    """All slides; a click on a heading sorts them."""
    heads = "".join(
        f'<th scope="col"{" class=number" if numeric else ""}><button type="button">{name}</button></th>'
        for name, numeric in COLUMNS
    )
    panel = "domain" if cohort.domains else "gene" if cohort.genes else ""
    rows = "".join(_row(slide, panel, page_panels.downloads(cohort, slide)) for slide in slides)
    csv = link(cohort, cohort.folder / TABLE)
    also = f'All of it <a href="{csv}" download>as a table, {TABLE}</a>.' if csv else ""
    return (
        '<section id="slides"><h2>All slides</h2>'
        f'<p class="small screen"><span class="script" hidden>A click on a heading sorts. </span>{also}</p>'
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _row(slide: Slide, panel: str, files: str) -> str:
    """A slide; its name leads to its picture."""
    entry, record = slide.entry, slide.record
    texts = "".join(f"<td>{escape(text) or DASH}</td>" for text in (entry.patient, entry.group))
    outcome = f'<td class="{slide.kind.split()[0]}">{escape(slide.outcome)}</td>'
    if record is None:
        numbers = f'<td class="number" data-v="">{DASH}</td>' * 4
    else:
        share = percent(record.unlike)
        share = f'<span class="mark">{share}</span>' if slide.suspect else share
        spots = f"{record.spots:,}" if record.spots or record.done else DASH
        minutes = number(record.seconds / 60, 1) if record.seconds else DASH
        numbers = "".join(
            f'<td class="number" data-v="{value if math.isfinite(value) else ""}">{shown}</td>'
            for value, shown in (
                (record.spots if spots != DASH else math.nan, spots),
                (record.tissue_mm2, number(record.tissue_mm2, 1)),
                (record.unlike, share),
                (record.seconds if minutes != DASH else math.nan, minutes),
            )
        )
    name = escape(entry.name)
    if panel and slide.result:
        name = f'<a href="#{panel}{slide.number}">{name}</a>'
    return (
        f'<tr><th scope="row">{name}</th>{texts}{outcome}{numbers}<td class="files">{files or DASH}</td>'
        f"<td>{escape(record.notes) if record else ''}</td></tr>"
    )


def _how(cohort: Cohort) -> str:
    """Model and settings."""
    facts = {"model": cohort.bundle_id, "model hash": cohort.bundle_hash, "unit": cohort.unit}
    for name, value in cohort.settings.items():
        if isinstance(value, str | int | float) and value != "":
            facts[name.replace("_", " ")] = str(value)
    facts["napari-mclstexp"] = __version__
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<section id="how"><h2>How it was made</h2><dl class="how">{told}</dl>{_statement()}</section>'
