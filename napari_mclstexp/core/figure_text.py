"""Text of a figure: its fonts, lines that fit where they are to stand, and blocks of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

TEXT_PT, TITLE_PT = 8.0, 9.0
LINE = 0.155
"""Inches from line to line."""
DARK, MUTED = "#1a1a1a", "#555555"
FAMILY = "DejaVu Sans"
"""It comes with matplotlib: the figure is the same on each computer."""
LENT = ("Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "Noto Sans", "Arial Unicode MS")
"""Where installed, these lend the signs that it lacks."""
HINTED = 1.04
"""How much wider than measured a line may come out."""
LONGEST = 400
"""Signs of a text that are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A part of a figure over its whole width.

    Attributes
    ----------
    height : float
        Inches.
    draw : callable
        Takes the figure, and x and y of the block's upper left corner in inches from the figure's.
    """

    height: float
    draw: Callable[[Figure, float, float], None]


def fonts() -> dict[str, Any]:
    """Settings of matplotlib for the fonts that are installed here; an SVG's reader may take Arial."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return {
        "font.family": [FAMILY, *(name for name in LENT if name in installed), "sans-serif"],
        "font.sans-serif": [FAMILY, "Arial", "Helvetica"],
    }


def plain(text: str) -> str:
    """Text in one line, without signs that are no letters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def text_width(text: str, size: float = TEXT_PT, weight: str = "normal") -> float:
    """Width of a line, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72 * HINTED


def shortened(text: str, width: float, size: float = TEXT_PT, weight: str = "normal") -> str:
    """Text in one line that ends in three dots where it is wider than `width` inches."""
    text = plain(text)[:LONGEST]
    if text_width(text, size, weight) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(text[:middle].rstrip() + "…", size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def wrapped(text: str, width: float, size: float = TEXT_PT, weight: str = "normal") -> list[str]:
    """Lines no wider than `width` inches."""
    lines = [""]
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, weight) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [shortened(line, width, size, weight) for line in lines]


def write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Write one line whose middle lies at `y`, in inches from the upper left corner."""
    style = {"size": TEXT_PT, "color": DARK, "va": "center_baseline", **style}
    figure.text(x, figure.get_figheight() - y, text, transform=figure.dpi_scale_trans, **style)


def _lines(lines: list[str], **style: Any) -> Block:
    def draw(figure: Figure, x: float, y: float) -> None:
        for i, line in enumerate(lines):
            write(figure, x, y + (i + 0.5) * LINE, line, **style)

    return Block(len(lines) * LINE, draw)


def title(text: str, width: float) -> Block:
    """What the figure shows."""
    return _lines(wrapped(text, width, TITLE_PT, "bold")[:4], size=TITLE_PT, weight="bold")


def statement(text: str, width: float) -> Block:
    """What the figure is not; a sentence a line where one line does not hold them."""
    lines = wrapped(text, width)
    if len(lines) > 1:
        sentences = re.split(r"(?<=\.) ", text)
        lines = [line for sentence in sentences for line in wrapped(sentence, width)]
    return _lines(lines, color=MUTED)
