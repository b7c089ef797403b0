"""Domains as a layer of napari: outlined or filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_mclstexp.core.raster import raster_labels
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.core.raster import Raster
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale

NAME = "Domains"
OUTLINE_PX = 1


class DomainLayer:
    """Draws a result's domains.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None

    @property
    def drawn(self) -> bool:
        """Whether the layer is there; a person can have removed it."""
        return self.layer is not None and self.layer in self._viewer.layers

    def draw(self, result: Result, scale: Scale | None, cells: Raster | None) -> None:
        """Draw the domains; `cells` says which spot each pixel shows."""
        domains = result.domains
        if domains is None:
            self.drop()
            return
        raster = raster_labels(result.grid, domains.labels, cells)
        about = spatial(scale)
        per_px = np.array(about["scale"])
        colours: dict[int | None, object] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), **domains.colours}
        drawn = {
            "colormap": DirectLabelColormap(color_dict=colours),
            "features": pd.DataFrame(
                {
                    "index": sorted(domains.names),
                    "domain": [domains.names[i] for i in sorted(domains.names)],
                }
            ),
            "scale": tuple(per_px * raster.step_px),
            "translate": tuple(per_px * raster.origin_px),
        }
        if self.drawn:
            self.layer.data = raster.values  # in place: it keeps its rank among the layers
            for name, value in drawn.items():
                setattr(self.layer, name, value)
        else:
            self.layer = self._viewer.add_layer(Labels(raster.values, name=NAME, **{**about, **drawn}))

    def look(self, style: str) -> None:
        """Show them as "outlines", "filled" or "hidden"."""
        if self.layer is None:
            return
        outlines = style == "outlines"
        for name, value in (
            ("visible", style != "hidden"),
            ("contour", OUTLINE_PX if outlines else 0),
            ("opacity", 0.95 if outlines else 0.5),
        ):
            if getattr(self.layer, name) != value:
                setattr(self.layer, name, value)

    def drop(self) -> None:
        """Take the layer away."""
        if self.drawn:
            self._viewer.layers.remove(self.layer)
        self.layer = None
