"""Domains as a layer of napari: outlined or filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_mclstexp.core.raster import raster_labels
from napari_mclstexp.gui.own_layer import OwnLayer, change, place
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    from napari_mclstexp.core.raster import Raster
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale

NAME = "Domains"
OUTLINE_PX = 1
SOME = {1: "#808080"}
"""Colours of a layer without domains yet; without any, napari would draw it by another shader."""


class DomainLayer(OwnLayer):
    """Draws a result's domains."""

    def prepare(self, scale: Scale | None) -> None:
        """Make the layer before there is anything to draw."""
        if not self.drawn:
            nothing = Labels(
                np.zeros((2, 2), dtype=np.uint8), name=NAME, colormap=_colours(SOME), **spatial(scale)
            )
            self.layer = self._viewer.add_layer(nothing)

    def draw(self, result: Result, scale: Scale | None, cells: Raster | None) -> None:
        """Draw the domains; `cells` says which spot each pixel shows."""
        domains = result.domains
        if domains is None:
            self.drop()
            return
        raster = raster_labels(result.grid, domains.labels, cells)
        self.prepare(scale)
        self.layer.data = raster.values  # in place: it keeps its rank among the layers
        self.layer.colormap = _colours(domains.colours)
        labels = sorted(domains.names)
        self.layer.features = pd.DataFrame(
            {"index": labels, "domain": [domains.names[label] for label in labels]}
        )
        self._place(raster, scale)

    def lie(self, cells: Raster, scale: Scale | None) -> None:
        """Lie over the spots of `cells` before there are domains: there will be less to do when they come."""
        if self.drawn and self.layer.data.shape != cells.values.shape:
            self.layer.data = np.zeros(cells.values.shape, dtype=np.uint8)
            self._place(cells, scale)

    def _place(self, raster: Raster, scale: Scale | None) -> None:
        about = spatial(scale)
        per_px = np.array(about["scale"])
        place(
            self.layer,
            **about | {"scale": per_px * raster.step_px, "translate": per_px * raster.origin_px},
        )

    def look(self, style: str) -> None:
        """Show them as "outlines", "filled" or "hidden"."""
        if self.drawn:
            outlines = style == "outlines"
            change(
                self.layer,
                visible=style != "hidden",
                contour=OUTLINE_PX if outlines else 0,
                opacity=0.95 if outlines else 0.5,
            )


def _colours(of_domains: dict[int, str]) -> DirectLabelColormap:
    clear = (0, 0, 0, 0)
    return DirectLabelColormap(color_dict={None: clear, 0: clear, **of_domains})
