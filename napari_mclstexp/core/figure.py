"""What is seen, as a figure for a publication: H&E, heatmap, domains, scale bar and what they mean."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from napari_mclstexp.core.atomic import refuse_existing, write_bytes
from napari_mclstexp.core.slide.fingerprint import refuse_slide
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from napari_mclstexp.core.figure_text import Block
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.slide.base import Slide

SUFFIXES = (".png", ".svg", ".pdf")
DPI = (36, 1200)
WIDTHS_INCHES = (3.0, 24.0)
TALLEST = 1.25
"""Of the width: how high the picture of the slide may be, so that all fits a journal's page."""
MAX_SIDE_PX = 2**16
MAX_PX = 250_000_000
"""Of a figure; four bytes each, several times."""
MARGIN = 0.08
GAP = 0.07
"""Inches around the figure and between its blocks."""
_style = Lock()
"""matplotlib's settings are one for all threads."""


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Values of N spots in colours.

    Attributes
    ----------
    title : str
        Of the figure, such as the gene.
    values : numpy.ndarray
        (N,) float32; NaN is not drawn.
    limits : tuple of float
        Of the colour scale.
    colormap : str
        matplotlib's name, such as ``"viridis"``.
    unit : str
        Of the values, beside the colour bar.
    opacity : float
        0 to 1.
    smooth : bool
        Whether values run smoothly from spot to spot.
    """

    title: str
    values: NDArray[np.float32]
    limits: tuple[float, float]
    colormap: str
    unit: str
    opacity: float = 0.8
    smooth: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Two or three genes as red, green and blue.

    Attributes
    ----------
    names : tuple of str
        In the order of the colours.
    rgb : numpy.ndarray
        (N, 3) float32 from 0 to 1; NaN is not drawn.
    opacity : float
        0 to 1.
    """

    names: tuple[str, ...]
    rgb: NDArray[np.float32]
    opacity: float = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What is seen of a result.

    Attributes
    ----------
    box_px : tuple of float
        y0, x0, y1, x1 in full-resolution pixels; what lies beyond the slide is white.
    heatmap : Heatmap, Blend or None
        Over the H&E.
    domains : {"outlines", "filled", "hidden"}
        How domains are shown.
    crosses : bool
        Whether a grey cross marks each spot that is unlike the reference.
    hidden : frozenset of int
        Labels of domains that are not drawn.
    """

    box_px: tuple[float, float, float, float]
    heatmap: Heatmap | Blend | None
    domains: str
    crosses: bool
    hidden: frozenset[int] = frozenset()


def whole(result: Result) -> tuple[float, float, float, float]:
    """Box of the whole slide: y0, x0, y1, x1 in full-resolution pixels."""
    return (0.0, 0.0, float(result.provenance.height), float(result.provenance.width))


def save_figure(
    result: Result,
    scene: Scene,
    path: Path,
    *,
    slide: Slide | None = None,
    dpi: int = 200,
    width_inches: float = 7.0,
    overwrite: bool = False,
    opened: Iterable[Path] = (),
) -> Path:
    """Draw a scene as PNG, SVG or PDF. The same input gives the same bytes.

    Parameters
    ----------
    result : Result
        Of N spots.
    scene : Scene
        What is seen of it.
    path : pathlib.Path
        Target; its suffix is the format. SVG and PDF hold text as text.
    slide : Slide, optional
        Where the background is read; without it, the result's own picture of at most 2,000 px.
    dpi : int
        Dots per inch, 36 to 1,200; of what is no vector in SVG and PDF.
    width_inches : float
        Width of the figure, 3 to 24; its height follows.
    overwrite : bool
        Whether an existing target may be replaced.
    opened : iterable of pathlib.Path
        What is open beside the result, and is never replaced, as the slide is not.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        Unknown suffix, colormap or way to show domains, a size out of range, an empty box, a slide of another
        size, existing target, or the file cannot be written.
    SlideError
        The slide cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        msg = f"{path.name} has no suffix of a figure. Known are {', '.join(SUFFIXES)}."
        raise ExportError(msg)
    refuse_existing(path, overwrite=overwrite)
    refuse_slide(path, result.provenance.slide_fingerprint, *opened)
    content = draw_figure(result, scene, suffix, slide=slide, dpi=dpi, width_inches=width_inches)
    return write_bytes(path, content, overwrite=overwrite)


def draw_figure(
    result: Result,
    scene: Scene,
    suffix: str,
    *,
    slide: Slide | None = None,
    dpi: int = 200,
    width_inches: float = 7.0,
) -> bytes:
    """Bytes of the file that :func:`save_figure` writes; `suffix` is one of `SUFFIXES`.

    Raises
    ------
    ExportError
        See :func:`save_figure`.
    SlideError
        The slide cannot be read.
    """
    _check(result, scene, slide, dpi, width_inches)
    from matplotlib import style

    from napari_mclstexp.core.figure_text import fonts

    settings = {
        **fonts(), "font.size": 8, "text.parse_math": False, "text.hinting": "none", "axes.linewidth": 0.5,
        "svg.fonttype": "none", "svg.hashsalt": "mclstexp", "pdf.fonttype": 42,
        "image.composite_image": False,
    }  # fmt: skip
    with _style, style.context(["default", settings]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # shown as a box; SVG holds the sign
        figure = _figure(result, scene, slide, dpi, width_inches)
        content = io.BytesIO()
        figure.savefig(content, format=suffix[1:], dpi=dpi, metadata=_metadata(result, scene, suffix))
        return content.getvalue()


def _check(result: Result, scene: Scene, slide: Slide | None, dpi: int, width_inches: float) -> None:
    """Raise ExportError unless this can be drawn."""
    import matplotlib as mpl

    y0, x0, y1, x1 = scene.box_px
    about = result.provenance
    msg = ""
    if not DPI[0] <= dpi <= DPI[1]:
        msg = f"{dpi} dots per inch cannot be drawn. Choose {DPI[0]} to {DPI[1]:,}."
    elif not WIDTHS_INCHES[0] <= width_inches <= WIDTHS_INCHES[1]:
        low, high = WIDTHS_INCHES
        msg = f"A figure {width_inches:g} inches wide cannot be drawn. Choose {low:g} to {high:g}."
    elif not (all(map(math.isfinite, scene.box_px)) and y1 > y0 and x1 > x0):
        msg = "There is nothing in view to draw. Show a part of the slide."
    elif scene.domains not in ("outlines", "filled", "hidden"):
        msg = f"Domains cannot be shown as {scene.domains!r}. Choose outlines, filled or hidden."
    elif isinstance(scene.heatmap, Heatmap) and scene.heatmap.colormap not in mpl.colormaps:
        msg = f"There is no colormap {scene.heatmap.colormap!r}. Choose one of matplotlib's, such as viridis."
    elif slide is not None and (slide.width, slide.height) != (about.width, about.height):
        msg = (
            f"The slide has {slide.width} x {slide.height} px, the result is of one of {about.width} x "
            f"{about.height} px. Open the slide that it belongs to."
        )
    if msg:
        raise ExportError(msg)


def _title(result: Result, scene: Scene) -> str:
    """What a scene shows, in a few words."""
    if isinstance(scene.heatmap, Heatmap):
        return scene.heatmap.title
    if scene.heatmap is not None:
        return ", ".join(scene.heatmap.names)
    return "H&E" if scene.domains == "hidden" or result.domains is None else "Tissue domains"


def _figure(result: Result, scene: Scene, slide: Slide | None, dpi: int, width: float) -> Figure:
    """The blocks, one below the other; their heights make that of the figure."""
    from matplotlib.figure import Figure

    from napari_mclstexp.core import figure_blocks as blocks
    from napari_mclstexp.core.figure_parts import areas_of
    from napari_mclstexp.core.figure_text import statement, title

    width = math.floor(width * dpi + 0.5) / dpi
    inner = width - 2 * MARGIN
    areas = areas_of(result, scene)
    rows: list[Block] = [title(_title(result, scene), inner)]
    rows.append(blocks.picture(result, scene, slide, areas, (inner, TALLEST * width), dpi))
    if isinstance(scene.heatmap, Heatmap):
        rows.append(blocks.colour_bar(scene.heatmap, inner))
    rows += blocks.legends(result, scene, areas, inner)
    rows.append(statement(result.provenance.statement, inner))
    height = 2 * MARGIN + sum(row.height for row in rows) + GAP * (len(rows) - 1)
    height = math.ceil(height * dpi) / dpi
    if max(width, height) * dpi > MAX_SIDE_PX or width * height * dpi**2 > MAX_PX:
        size = f"{width * dpi:,.0f} x {height * dpi:,.0f} px"
        msg = f"A figure of {size} is too large. Choose fewer dots per inch."
        raise ExportError(msg)
    # The canvas takes whole pixels, rounded down.
    figure = Figure(figsize=(width + 1e-3 / dpi, height + 1e-3 / dpi), dpi=dpi, facecolor="white")
    top = MARGIN
    for row in rows:
        row.draw(figure, MARGIN, top)
        top += row.height + GAP
    return figure


def _metadata(result: Result, scene: Scene, suffix: str) -> dict[str, str | None]:
    statement, title = result.provenance.statement, _title(result, scene)
    made_by = f"napari-mclstexp {result.provenance.version}"
    if suffix == ".png":
        return {"Title": title, "Description": statement, "Software": made_by}
    if suffix == ".svg":
        return {"Title": title, "Description": statement, "Creator": made_by, "Date": None}
    return {"Title": title, "Subject": statement, "Creator": made_by, "CreationDate": None}
