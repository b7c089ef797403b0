"""A line of known length that a person draws over the slide, to settle its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes

from napari_mclstexp.gui.own_layer import OwnLayer
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

NAME = "Known length"


class KnownLine(OwnLayer):
    """Lets one be drawn."""

    def begin(self, slide: Slide, scale: Scale | None) -> None:
        """Let a line be drawn; a former one goes."""
        self.drop()
        width = max(slide.width, slide.height) / 300
        layer = Shapes(ndim=2, name=NAME, edge_color="yellow", edge_width=width, **spatial(scale))
        self.layer = self._viewer.add_layer(layer)
        self.layer.mode = "add_line"

    def ends(self) -> NDArray[np.float64] | None:
        """Ends (2, 2) of the line drawn last, y, x in full-resolution px; None where there is none."""
        if not self.drawn or not self.layer.data:
            return None
        return np.asarray(self.layer.data[-1], dtype=np.float64)[:2]
