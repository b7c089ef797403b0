"""The report as one A4 page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.export.report import CAUTION, HEADS
from napari_mclstexp.core.figure_text import fonts, shortened, wrapped
from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_mclstexp.core.export.report import Report

PAGE = (8.27, 11.69)
LEFT, WIDTH = 0.06, 0.88
"""Of the page."""
COLUMNS = (0.0, 0.27, 0.35, 0.45)
"""Of the table, over its width."""
ROWS = 16
LINE = 0.0135
SMALL, TEXT, HEAD = 6.0, 8.0, 15.0


def draw_page(report: Report) -> bytes:
    """The page as PDF."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(fonts()):  # type: ignore[arg-type]
        figure = Figure(figsize=PAGE, dpi=200)
        _say(figure, 0.965, "Predicted spatial expression", HEAD, weight="bold")
        _say(figure, 0.945, STATEMENT, TEXT, color="#8a5a00")
        _picture(figure, report.overview, (LEFT, 0.575, WIDTH, 0.355))
        y = _table(figure, report, 0.56)
        y = _maps(figure, report, y - 0.01)
        for line in report.trust:
            y = _wrapped(figure, y, line, TEXT)
        facts = " · ".join(f"{key}: {value}" for key, value in report.facts if value)
        _wrapped(figure, y - 0.006, facts, SMALL, color="#555555")
        content = io.BytesIO()
        about = {"Title": "mclSTExp report", "Subject": STATEMENT, "CreationDate": None}
        figure.savefig(content, format="pdf", metadata=about)
    return content.getvalue()


def _say(figure: Figure, y: float, text: str, size: float, x: float = 0.0, **style: Any) -> None:
    figure.text(LEFT + x * WIDTH, y, text, fontsize=size, va="top", **style)


def _wrapped(figure: Figure, y: float, text: str, size: float, **style: Any) -> float:
    """Write a text over the page's width; returns where it ends."""
    for line in wrapped(text, WIDTH * PAGE[0], size):
        _say(figure, y, line, size, **style)
        y -= LINE * size / TEXT
    return y


def _table(figure: Figure, report: Report, y: float) -> float:
    for x, head in zip(COLUMNS, HEADS, strict=True):
        _say(figure, y, head, TEXT, x, weight="bold")
    for row in report.rows[:ROWS]:
        y -= LINE
        _say(figure, y, "\u25a0", TEXT, 0.0, color=row.colour)
        for i, (x, text) in enumerate(zip(COLUMNS, row.cells(), strict=True)):
            end = COLUMNS[i + 1] if i + 1 < len(COLUMNS) else 1.0
            room = (end - x) * WIDTH * PAGE[0] - 0.22 * (i == 0) - 0.05
            _say(figure, y, shortened(text, room, TEXT), TEXT, x + 0.025 * (i == 0))
    if len(report.rows) > ROWS:
        y -= LINE
        _say(figure, y, f"and {len(report.rows) - ROWS} more; the HTML report has them all", TEXT)
    return _wrapped(figure, y - 1.3 * LINE, CAUTION, SMALL, color="#555555")


def _maps(figure: Figure, report: Report, y: float) -> float:
    """Maps side by side; returns where they end."""
    if not report.maps:
        return y
    share = WIDTH / max(3, len(report.maps))
    height = 0.2
    for i, (gene, about, png) in enumerate(report.maps):
        left = LEFT + i * share
        _picture(figure, png, (left, y - height, share * 0.97, height))
        room = share * 0.97 * PAGE[0]
        for n, line in enumerate(wrapped(f"{gene}: {about}", room, SMALL)[:3]):
            figure.text(left, y - height - 0.004 - n * LINE * 0.75, line, fontsize=SMALL, va="top")
    return y - height - 0.045


def _picture(figure: Figure, png: bytes, at: tuple[float, float, float, float]) -> None:
    from matplotlib.image import imread

    axes = figure.add_axes(at)
    axes.imshow(imread(io.BytesIO(png)))
    axes.set_axis_off()
    axes.set_anchor("NW")
