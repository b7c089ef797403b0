"""The blocks of a figure that are more than text: picture with scale bar, colour bar, legends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_mclstexp.core import figure_parts as parts
from napari_mclstexp.core.figure_images import add_pixels, background, sensible
from napari_mclstexp.core.figure_text import (
    DARK,
    LINE,
    MUTED,
    TEXT_PT,
    Block,
    shortened,
    text_width,
    wrapped,
    write,
)

if TYPE_CHECKING:
    import shapely
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.figure import Heatmap, Scene
    from napari_mclstexp.core.result import Domains, Result
    from napari_mclstexp.core.slide.base import Slide

BACKGROUND_PX = 4_000
"""A side of the H&E, at most; more dots are filled from these."""
FEW = 8
"""Entries of a legend that may stand in one column, for the sake of a long name."""
NAME = 1.2
"""Inches that a name has at least, where there are more."""
SWATCH, BAR = 0.1, 0.11
BETWEEN = 0.25
"""Inches of a mark, of the colour bar's height, and between columns."""
MOST = 16
"""Kinds of annotations in a legend."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a legend.

    Attributes
    ----------
    mark : {"outline", "filled", "solid", "cross"}
        What is drawn before the name.
    colour : str
        ``#rrggbb``.
    name, told : str
        What it is, and what there is to say of it.
    """

    mark: str
    colour: str
    name: str
    told: str = ""


def picture(
    result: Result,
    scene: Scene,
    slide: Slide | None,
    areas: dict[int, shapely.Geometry],
    room: tuple[float, float],
    dpi: int,
) -> Block:
    """H&E with all that lies over it, and a scale bar, within `room`: inches across and down."""
    y0, x0, y1, x1 = scene.box_px
    mpp_x, mpp_y = result.provenance.mpp_x, result.provenance.mpp_y
    ratio = (y1 - y0) / (x1 - x0) * (mpp_y / mpp_x if mpp_x > 0 and mpp_y > 0 else 1.0)
    width = min(room[0], room[1] / ratio)
    columns, rows = (max(1, round(n * dpi)) for n in (width, width * ratio))
    width, height = columns / dpi, rows / dpi
    shrink = min(1.0, BACKGROUND_PX / max(columns, rows))
    size = (max(1, round(rows * shrink)), max(1, round(columns * shrink)))
    tissue = Image.fromarray(background(result, scene.box_px, size, slide))
    beneath = height < 0.5 or width < 0.8  # too small to hold its scale bar
    below = 0.34 if beneath and mpp_x > 0 else 0.0

    def draw(figure: Figure, x: float, y: float) -> None:
        total = (figure.get_figwidth(), figure.get_figheight())
        left = round((x + (room[0] - width) / 2) * dpi) / dpi
        bottom = round((total[1] - y - height) * dpi) / dpi
        axes = figure.add_axes((left / total[0], bottom / total[1], width / total[0], height / total[1]))
        add_pixels(axes, lambda h, w: np.asarray(tissue.resize((w, h)).convert("RGBA")), zorder=1, key="H&E")
        parts.draw_values(axes, result, scene)
        parts.draw_domains(axes, result, scene, areas, 72 * width)
        parts.draw_annotations(axes, result, scene)
        parts.draw_crosses(axes, result, scene)
        axes.set_xlim(x0, x1)
        axes.set_ylim(y1, y0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("#8a8a8a")
        if mpp_x > 0:
            corner = (left, bottom - 0.34) if beneath else (left + 0.08, bottom + 0.08)
            scale_bar(figure, corner, width, (x1 - x0) * mpp_x)

    return Block(height + below, draw)


def round_length(um: float) -> float:
    """The length of 1, 2 or 5 times a power of ten, in um, that is nearest."""
    power = 10.0 ** math.floor(math.log10(um))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda length: abs(math.log(length / um)))


def scale_bar(figure: Figure, corner: tuple[float, float], width: float, um: float) -> None:
    """Draw about a fifth of the picture's `width` inches, which are `um`; its lower left corner is given."""
    from matplotlib.patches import FancyBboxPatch, Rectangle

    length = round_length(um / 5)
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    bar, pad = length / um * width, 0.06
    across = max(bar, text_width(text)) + 2 * pad
    x, y = corner
    inches: dict[str, Any] = {"transform": figure.dpi_scale_trans, "linewidth": 0}
    figure.add_artist(
        FancyBboxPatch(
            (x, y), across, 0.26, boxstyle="round,pad=0,rounding_size=0.04",
            facecolor="black", alpha=0.65, zorder=6, **inches,
        )
    )  # fmt: skip
    figure.add_artist(
        Rectangle((x + (across - bar) / 2, y + 0.05), bar, 0.03, facecolor="white", zorder=7, **inches)
    )
    style: dict[str, Any] = {"ha": "center", "color": "white", "zorder": 7}
    write(figure, x + across / 2, figure.get_figheight() - y - 0.17, text, **style)


def colour_bar(heatmap: Heatmap, width: float) -> Block:
    """Colours of the values, with arrows where some lie beyond, and their unit beside them."""
    bar, inset, apart = min(2.4, 0.45 * width), 0.12, 0.15
    unit = wrapped(heatmap.unit, width - inset - bar - apart)[:6]
    middle = len(unit) * LINE / 2
    height = max(2 * middle, middle + BAR / 2 + LINE + 0.03)

    def draw(figure: Figure, x: float, y: float) -> None:
        across, down = figure.get_figwidth(), figure.get_figheight()
        bottom = down - y - middle - BAR / 2
        axes = figure.add_axes(((x + inset) / across, bottom / down, bar / across, BAR / down))
        _bar(figure, axes, heatmap)
        for i, line in enumerate(unit):
            write(figure, x + inset + bar + apart, y + (i + 0.5) * LINE, line)

    return Block(height, draw)


def _bar(figure: Figure, axes: Axes, heatmap: Heatmap) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    low, high = sensible(heatmap.limits)
    values = heatmap.values[np.isfinite(heatmap.values)]
    beyond = (bool((values < low).any()), bool((values > high).any()))
    arrows = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    places = np.array(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    places = places[(places >= low) & (places <= high)]
    shown = figure.colorbar(
        ScalarMappable(Normalize(low, high), heatmap.colormap),
        cax=axes,
        orientation="horizontal",
        extend=arrows[beyond],
        extendfrac=0.04,
    )
    shown.set_ticks(places.tolist(), labels=_numbers(places))
    if shown.solids is not None:
        shown.solids.set_rasterized(True)  # without seams in SVG and PDF
    shown.ax.tick_params(labelsize=TEXT_PT, labelcolor=DARK, color=DARK, length=2.5, width=0.5, pad=2)
    shown.ax.minorticks_off()


def _numbers(values: NDArray[np.float64]) -> list[str]:
    """Numbers with as few digits as tell them apart."""
    step = np.diff(values).min() if len(values) > 1 else np.abs(values).max(initial=0.0)
    texts = [f"{value:.15g}" for value in values]
    for digits in range(2, 15):
        short = [f"{value:.{digits}g}" for value in values]
        if np.abs(np.array(short, float) - values).max(initial=0.0) <= 0.01 * step:
            texts = short
            break
    return ["−" + text[1:] if text.startswith("-") else text for text in texts]


def legends(result: Result, scene: Scene, areas: dict[int, shapely.Geometry], width: float) -> list[Block]:
    """Of a blend, of the spots with a cross, and of the domains in view."""
    from napari_mclstexp.core.figure import Blend, whole

    marks = []
    if isinstance(scene.heatmap, Blend):
        colours = (("#ff0000", "red"), ("#00ff00", "green"), ("#0000ff", "blue"))
        pairs = zip(colours, scene.heatmap.names, strict=False)
        marks += [Entry("solid", colour, f"{name} ({word})") for (colour, word), name in pairs]
    count = len(parts.unlike_in_view(result, scene))
    if count:
        marks.append(Entry("cross", parts.GREY, "tissue unlike the reference", _spots(count)))
    rows = [_table("", marks, width)] if marks else []
    if areas and result.domains is not None:
        everything = scene.box_px == whole(result)
        head = "Domains" if everything else "Domains in view, with their area on the whole slide"
        rows.append(_table(head, _domains(result, result.domains, scene, areas), width))
    notes = parts.annotations_in_view(result, scene)
    if notes:
        rows.append(_table("Annotations", _annotations(result, notes), width))
    return rows


def _annotations(result: Result, notes: list[Annotation]) -> list[Entry]:
    """One entry for those of one class, or of one name where they have no class."""
    alike: dict[tuple[str, str], list[float]] = {}
    for note in notes:
        alike.setdefault((note.of_class or note.title, note.colour), []).append(note.area.area)
    entries = []
    for (name, colour), areas in list(alike.items())[:MOST]:
        mm2 = sum(areas) * result.provenance.mpp_x * result.provenance.mpp_y / 1e6
        told = f"{_mm2(mm2)}, " if math.isfinite(mm2) else ""
        entries.append(Entry("outline", colour, name, f"{told}{len(areas):,} area{'s' * (len(areas) > 1)}"))
    if len(alike) > MOST:
        entries.append(Entry("outline", "#ffffff", f"and {len(alike) - MOST:,} more"))
    return entries


def _mm2(mm2: float) -> str:
    return (f"{mm2:,.2f}" if mm2 >= 0.1 else f"{mm2:.2g}") + " mm²"


def _spots(count: int) -> str:
    return f"{count:,} spot{'' if count == 1 else 's'}"


def _domains(
    result: Result, domains: Domains, scene: Scene, areas: dict[int, shapely.Geometry]
) -> list[Entry]:
    about, entries = result.provenance, []
    mark = "filled" if scene.domains == "filled" else "outline"
    for label, area in areas.items():
        told = _spots(int((domains.labels == label).sum()))
        mm2 = float(area.area) * about.mpp_x * about.mpp_y / 1e6
        if math.isfinite(mm2):
            told = f"{_mm2(mm2)}, {told}"
        entries.append(Entry(mark, domains.colours[label], domains.names[label], told))
    return entries


def _table(head: str, entries: list[Entry], width: float) -> Block:
    """Entries in as many columns as fit, down each column in turn."""
    told_width = max(text_width(e.told) for e in entries)
    room, half = ((n - SWATCH - 0.08 - 0.1 - told_width) for n in (width, (width - BETWEEN) / 2))
    if len(entries) > FEW and half > NAME:
        room = half
    names = [shortened(entry.name, room) for entry in entries]
    name_width = max(map(text_width, names))
    cell = SWATCH + 0.08 + name_width + 0.1 + told_width
    columns = max(1, min(len(entries), int((width + BETWEEN) // (cell + BETWEEN))))
    lines = math.ceil(len(entries) / columns)
    heads = wrapped(head, width, TEXT_PT, "bold") if head else []
    above = len(heads) * LINE + 0.02 * bool(heads)

    def draw(figure: Figure, x: float, y: float) -> None:
        for i, line in enumerate(heads):
            write(figure, x, y + (i + 0.5) * LINE, line, weight="bold")
        for i, (entry, name) in enumerate(zip(entries, names, strict=True)):
            left = x + (i // lines) * (cell + BETWEEN)
            middle = y + above + (i % lines + 0.5) * LINE
            _mark(figure, entry, left, middle)
            write(figure, left + SWATCH + 0.08, middle, name)
            write(figure, left + SWATCH + 0.08 + name_width + 0.1, middle, entry.told, color=MUTED)

    return Block(above + lines * LINE, draw)


def _mark(figure: Figure, entry: Entry, x: float, middle: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    y, half = figure.get_figheight() - middle, SWATCH / 2
    inches: dict[str, Any] = {"transform": figure.dpi_scale_trans}
    if entry.mark == "cross":
        for xs, ys in (([x, x + SWATCH], [y, y]), ([x + half, x + half], [y - half, y + half])):
            figure.add_artist(Line2D(xs, ys, color=entry.colour, linewidth=parts.CROSS_PT, **inches))
        return
    if entry.mark != "outline":
        alpha = parts.FILL if entry.mark == "filled" else 1.0
        square = Rectangle(
            (x, y - half), SWATCH, SWATCH, facecolor=entry.colour, alpha=alpha, linewidth=0, **inches
        )
        figure.add_artist(square)
    inset = parts.STROKE_PT / 144
    if entry.mark != "solid":
        side = SWATCH - 2 * inset
        corner = (x + inset, y - half + inset)
        frame = Rectangle(
            corner, side, side, fill=False, edgecolor=entry.colour, linewidth=parts.STROKE_PT, **inches
        )
        figure.add_artist(frame)
