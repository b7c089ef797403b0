"""Spots whose tissue the reference does not know, as a grey layer of napari: never coloured as if known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_mclstexp.core.cells import pitch_px
from napari_mclstexp.gui.slides import spatial
from napari_mclstexp.gui.spot_map import SPOT_SHARE

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale

NAME = "Unlike the reference"
GREY = "#9a9a9a"


class UnlikeSpots:
    """Draws the spots of a grid that are unlike the reference.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self.layer: Points | None = None

    def draw(self, grid: SpotGrid, unlike: NDArray[np.bool_], scale: Scale | None) -> None:
        """Draw the spots of (N,) bool that are unlike; without any, no layer.

        A layer that is there is kept, for napari takes half a second to take one away.
        """
        if not unlike.any():
            self.drop()
            return
        size = SPOT_SHARE * min(pitch_px(grid))
        if self.layer is not None and self.layer in self._viewer.layers:
            self.layer.data = grid.centres_px[unlike]
            self.layer.size = size
            for name, value in spatial(scale).items():
                setattr(self.layer, name, value)
            return
        self.layer = self._viewer.add_layer(
            Points(
                grid.centres_px[unlike],
                name=NAME,
                face_color=GREY,
                border_width=0,
                symbol="cross",
                size=size,
                **spatial(scale),
            )
        )
        self.layer.editable = False

    def look(self, *, visible: bool, opacity: float, between: tuple[float, float] | None = None) -> None:
        """Show or hide them, or those alone whose x lies between two full-resolution px."""
        if self.layer is None or self.layer not in self._viewer.layers:
            return
        for name, value in (("visible", visible), ("opacity", opacity)):
            if getattr(self.layer, name) != value:
                setattr(self.layer, name, value)
        x = self.layer.data[:, 1]
        shown = np.ones(len(x), dtype=bool) if between is None else (between[0] <= x) & (x < between[1])
        if not np.array_equal(shown, self.layer.shown):
            self.layer.shown = shown

    def drop(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None
