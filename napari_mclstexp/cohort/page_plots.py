"""The plots of a cohort's page: a dot a slide, a row a group, as SVG that lies in the page itself."""

from __future__ import annotations

import math
from collections import defaultdict
from html import escape
from statistics import median
from typing import TYPE_CHECKING

from napari_mclstexp.cohort.page_values import by_group, colours_of, counted, figures, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_mclstexp.cohort.folder import Cohort
    from napari_mclstexp.cohort.page_values import Slide

WIDTH, LEFT, RIGHT = 300, 10, 16
ROW, LABEL, AXIS = 46, 15, 20
"""Heights of a group's row, of its name within it, and of the axis below all rows."""
RADII = ((30, 3.6), (120, 2.4), (10**9, 1.6))
"""Of a dot, in groups of up to so many slides."""
FEW = 12
"""Dots that lie over the median's line; of more, the line lies over them."""
LONGEST = 34
"""Letters of a group's name."""
TICKS = 4


def distributions(cohort: Cohort, slides: Sequence[Slide]) -> str:
    """Section on how domains and genes are spread over the slides, by group; empty where none is done."""
    done = [slide for slide in slides if slide.result]
    if not done or not (cohort.domains or cohort.genes):
        return ""
    grouped = any(slide.entry.group for slide in slides)
    sizes = ", ".join(f"{escape(name)} ({_n(members)})" for name, members in by_group(done).items())
    what = f"Groups: {sizes}." if grouped else f"No groups were given: all slides in one ({_n(done)})."
    text = (
        f"{what} A dot is one slide, the upright line the median of its group. Slides of one patient are "
        "not independent of each other; no p-values are given, for values are predicted."
    )
    return (
        f'<section id="spread"><h2>{"By group" if grouped else "Slide by slide"}</h2><p>{text}</p>'
        f"{_domains(cohort, done)}{_genes(cohort, done)}</section>"
    )


def _n(slides: Sequence[Slide]) -> str:
    """How many slides they are, and of how many patients where each slide has one."""
    patients = {slide.entry.patient for slide in slides}
    of = "" if "" in patients else f" of {counted(len(patients), 'patient')}"
    return f"n = {counted(len(slides), 'slide')}{of}"


def _domains(cohort: Cohort, done: Sequence[Slide]) -> str:
    if not cohort.domains:
        return ""
    plots = []
    for name, colour in colours_of(cohort).items():
        values = {s.number: _of(s, "domains", name) for s in done}
        swatch = f'<i class="swatch" style="background:{colour}"></i>'
        drawn = strip_plot(done, values, f"Share of {name}", percent, colour, (0.0, 1.0))
        plots.append(_figure(f"{swatch}{escape(name)}", "", drawn))
    return (
        "<h3>Share of the spots in each domain</h3>"
        f'{_bars(cohort, done)}<div class="strips">{"".join(plots)}</div>'
    )


def _genes(cohort: Cohort, done: Sequence[Slide]) -> str:
    if not cohort.genes:
        return ""
    told = {shown.reliability for shown in cohort.genes}
    same = f'<p class="small">{escape(min(told))}</p>' if len(told) == 1 and len(cohort.genes) > 1 else ""
    plots = []
    for shown in cohort.genes:
        values = {s.number: _of(s, "means", shown.gene) for s in done}
        drawn = strip_plot(done, values, f"Mean of {shown.gene}", figures, "var(--dot)")
        plots.append(_figure(escape(shown.gene), "" if same else escape(shown.reliability), drawn))
    return (
        "<h3>Mean of each gene over those spots of a slide that are like the reference, "
        f"{escape(cohort.unit)}</h3>{same}"
        f'<div class="strips">{"".join(plots)}</div>'
    )


def _bars(cohort: Cohort, done: Sequence[Slide]) -> str:
    """A stacked bar a group: the mean of its slides' shares."""
    rows = []
    for name, members in by_group(done).items():
        shares = {domain: _mean([_of(s, "domains", domain) for s in members]) for domain in cohort.domains}
        parts = stacked(shares, colours_of(cohort))
        rows.append(
            f'<div class="of">{escape(name)} <small>n = {len(members):,}</small></div>'
            f'<div class="stack" role="img" aria-label="{escape(_told(shares))}">{parts}</div>'
        )
    return (
        f'<div class="stacks">{"".join(rows)}</div>'
        '<p class="small">Bars: mean of the slides’ shares, each slide counting the same.</p>'
    )


def stacked(shares: Mapping[str, float], colours: Mapping[str, str]) -> str:
    """Parts of one bar, each as wide as its share."""
    return "".join(
        f'<i style="width:{100 * share:.2f}%;background:{colours[name]}" '
        f'title="{escape(name)}: {percent(share)}"></i>'
        for name, share in shares.items()
        if name in colours and share > 0
    )


def strip_plot(
    slides: Sequence[Slide],
    values: Mapping[int, float],
    what: str,
    say: Callable[[float], str],
    colour: str,
    ends: tuple[float, float] | None = None,
) -> str:
    """Draw a dot a slide along one axis, a row a group, with the group's median.

    Parameters
    ----------
    slides : sequence of Slide
        Those that are done.
    values : mapping of int to float
        Of each slide, by its number; those that are no numbers are left out and not counted.
    what : str
        They are, for those who hear the page.
    say : callable
        Text of a value.
    colour : str
        Of the dots, as CSS.
    ends : tuple of float, optional
        Of the axis, for shares; by default what the values span.

    Returns
    -------
    str
        One ``<svg>``.
    """
    ticks = _ticks([v for v in values.values() if math.isfinite(v)], ends)
    groups = by_group(slides)
    height = ROW * len(groups) + AXIS

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [_axis(ticks, [_tick(tick, ends) for tick in ticks], across, height)]
    for row, (name, members) in enumerate(groups.items()):
        known = [(slide, values[slide.number]) for slide in members if math.isfinite(values[slide.number])]
        parts.append(_row(name, known, ROW * row, across, say, colour))
    heard = f"{escape(what)}, a dot a slide"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{heard}">{"".join(parts)}</svg>'


def _axis(
    ticks: Sequence[float], texts: Sequence[str], across: Callable[[float], float], height: float
) -> str:
    """Upright lines at round values, which stand below them."""
    parts = []
    for tick, text in zip(ticks, texts, strict=True):
        x = across(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{LABEL}" y2="{height - AXIS}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="middle">{text}</text>')
    return "".join(parts)


def _row(
    name: str,
    known: Sequence[tuple[Slide, float]],
    top: float,
    across: Callable[[float], float],
    say: Callable[[float], str],
    colour: str,
) -> str:
    """Draw the slides of one group with its name, how many they are, and their median."""
    middle = top + LABEL + (ROW - LABEL) / 2
    short = escape(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")
    parts = [
        f'<text x="0" y="{top + 11}"><title>{escape(name)}</title>{short} '
        f'<tspan class="n">n = {len(known):,}</tspan></text>',
        f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{middle}" y2="{middle}"/>',
    ]
    radius = next(size for most, size in RADII if len(known) <= most)
    dots = [
        f'<circle cx="{across(value):.1f}" cy="{y:.1f}" r="{radius}" style="fill:{colour}">'
        f"<title>{escape(slide.entry.name)}: {escape(say(value))}</title></circle>"
        for slide, value, y in _spread(known, across, middle, radius)
    ]
    if not known:
        return "".join(parts)
    of_all = median(value for _, value in known)
    line = (
        f'<line class="median" x1="{across(of_all):.1f}" x2="{across(of_all):.1f}" '
        f'y1="{middle - 13}" y2="{middle + 13}"><title>Median: {escape(say(of_all))}</title></line>'
    )
    return "".join([*parts, line, *dots] if len(known) <= FEW else [*parts, *dots, line])


def _figure(heading: str, note: str, drawn: str) -> str:
    small = f"<small>{note}</small>" if note else ""
    return f"<figure><figcaption>{heading}{small}</figcaption>{drawn}</figure>"


def _of(slide: Slide, what: str, name: str) -> float:
    told: Mapping[str, float] = getattr(slide.result, what)
    return told.get(name, math.nan)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return sum(known) / len(known) if known else math.nan


def _told(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items())


def _spread(
    known: Sequence[tuple[Slide, float]], across: Callable[[float], float], middle: float, radius: float
) -> list[tuple[Slide, float, float]]:
    """Slide, value and height of each dot: those that would lie on each other stand above and below."""
    columns: dict[int, list[tuple[Slide, float]]] = defaultdict(list)
    for slide, value in sorted(known, key=lambda pair: (pair[1], pair[0].number)):
        columns[round(across(value) / (2 * radius))].append((slide, value))
    room = (ROW - LABEL) / 2 - radius
    placed = []
    for column in columns.values():
        step = min(2 * radius, 2 * room / max(1, len(column) - 1))
        for i, (slide, value) in enumerate(column):
            placed.append((slide, value, middle + step * ((i + 1) // 2) * (-1 if i % 2 else 1)))
    return placed


def _ticks(values: Sequence[float], ends: tuple[float, float] | None) -> list[float]:
    """Round numbers that hold all values between the first and the last."""
    if ends is not None:
        return [ends[0] + (ends[1] - ends[0]) * i / TICKS for i in range(TICKS + 1)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _tick(value: float, ends: tuple[float, float] | None) -> str:
    return f"{100 * value:.0f} %" if ends else f"{value:g}"
