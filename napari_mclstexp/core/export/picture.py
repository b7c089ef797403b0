"""A picture of the whole slide with one gene's heatmap, or with the domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.figure import Heatmap, Scene, draw_figure, save_figure, whole
from napari_mclstexp.core.limits import colour_limits

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result


def write_picture(
    result: Result, path: Path, *, gene: str | None = None, dpi: int = 150, overwrite: bool = False
) -> Path:
    """Draw H&E and overlay with colour bar or legend as PNG, SVG or PDF; see :func:`.figure.save_figure`.

    Parameters
    ----------
    result : Result
        What to draw.
    path : pathlib.Path
        Target; its suffix is the format.
    gene : str, optional
        Gene to show; without one, the domains.
    dpi : int
        Dots per inch, 36 to 1,200; the figure is 7 inches wide.
    overwrite : bool
        Whether an existing target may be replaced.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError, GeneError
        The target cannot be written; the gene is not predicted.
    """
    return save_figure(result, _scene(result, gene), path, dpi=dpi, overwrite=overwrite)


def draw_png(result: Result, gene: str | None, dpi: int) -> bytes:
    """The same picture as bytes of a PNG."""
    return draw_figure(result, _scene(result, gene), ".png", dpi=dpi)


def _scene(result: Result, gene: str | None) -> Scene:
    if gene is None:
        return Scene(whole(result), None, "filled", crosses=False)
    values = result.believable(gene)
    heatmap = Heatmap(gene, values, colour_limits(values), "viridis", result.provenance.normalisation)
    return Scene(whole(result), heatmap, "hidden", crosses=True)
