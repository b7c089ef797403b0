"""A picture of the slide with one gene's heatmap, or with the domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.atomic import write_file
from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.raster import raster_labels

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result


def write_picture(
    result: Result, path: Path, *, gene: str | None = None, dpi: int = 150, overwrite: bool = False
) -> Path:
    """Draw H&E and overlay with colour bar or legend as PNG.

    Parameters
    ----------
    result : Result
        What to draw.
    path : pathlib.Path
        Target.
    gene : str, optional
        Gene to show; without one, the domains.
    dpi : int
        Dots per inch; the figure is 9 inches wide.
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
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    about = result.provenance
    values = None if gene is None else result.gene_values(gene)
    figure = Figure(figsize=(9, 9 * about.height / about.width + 0.6), dpi=dpi, layout="constrained")
    axes = figure.add_subplot()
    extent = (0, about.width, about.height, 0)
    axes.imshow(result.hires, extent=extent)
    axes.set_axis_off()
    if values is not None:
        low, high = colour_limits(values)
        y, x = result.grid.centres_px.T
        drawn = axes.scatter(x, y, c=values, s=14, vmin=low, vmax=high, cmap="viridis", linewidths=0)
        figure.colorbar(drawn, ax=axes, label=about.normalisation, shrink=0.7)
        axes.set_title(f"{gene} · {about.statement}", fontsize=10)
    elif result.domains is not None:
        raster = raster_labels(result.grid, result.domains.labels)
        labels = sorted(result.domains.names)
        table = np.zeros((max(labels) + 1, 4))
        for label in labels:
            table[label] = (*np.array(rgb(result.domains.colours[label])) / 255, 0.55)
        (top, left), (dy, dx) = raster.origin_px, raster.step_px
        height, width = raster.values.shape
        box = (left - dx / 2, left + (width - 0.5) * dx, top + (height - 0.5) * dy, top - dy / 2)
        axes.imshow(table[raster.values], extent=box, interpolation="nearest")
        handles = [Patch(color=result.domains.colours[i], label=result.domains.names[i]) for i in labels]
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        axes.set_title(f"Domains · {about.statement}", fontsize=10)
    axes.set_xlim(0, about.width)
    axes.set_ylim(about.height, 0)
    metadata = {"Description": about.statement, "Software": f"napari-mclstexp {about.version}"}
    return write_file(
        path,
        lambda p: figure.savefig(p, format="png", metadata=metadata),
        overwrite=overwrite,
    )
