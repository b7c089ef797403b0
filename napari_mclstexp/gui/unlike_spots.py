"""Spots whose tissue the reference does not know, as a grey layer of napari: never coloured as if known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_mclstexp.core.reach import pitch_px
from napari_mclstexp.gui.own_layer import (
    OwnLayer,
    change,
    move_points,
    place,
    show_between,
    take_fitting_slices,
)
from napari_mclstexp.gui.slides import spatial
from napari_mclstexp.gui.spot_map import SPOT_SHARE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale

NAME = "Unlike the reference"
NONE, NOT_TOLD = "none", "not told by this model"
GREY = "#9a9a9a"


class UnlikeSpots(OwnLayer):
    """Draws the spots of a grid that are unlike the reference."""

    def prepare(self, scale: Scale | None) -> None:
        """Make the layer before there is anything to draw."""
        if self.drawn:
            return
        self._add(
            Points(
                np.zeros((0, 2)),
                name=NAME,
                face_color=GREY,
                border_width=0,
                symbol="cross",
                visible=False,
                **spatial(scale),
            )
        )
        self.layer.editable = False
        take_fitting_slices(self.layer)

    def draw(self, grid: SpotGrid, unlike: NDArray[np.bool_] | None, scale: Scale | None) -> None:
        """Draw the spots of (N,) bool that are unlike; None where that is not known.

        Where there are none the layer stays, unseen: to take it away would take napari half a second.
        """
        shown = np.zeros(len(grid), dtype=bool) if unlike is None else unlike
        if self.drawn or shown.any():
            self.prepare(scale)
            move_points(self.layer, grid.centres_px[shown], SPOT_SHARE * min(pitch_px(grid)))
            place(self.layer, **spatial(scale))
            none = NOT_TOLD if unlike is None else NONE
            change(self.layer, name=NAME if shown.any() else f"{NAME}: {none}")

    def look(self, *, visible: bool, opacity: float, between: tuple[float, float] | None = None) -> None:
        """Show or hide them, or those alone whose x lies between two full-resolution px."""
        if self.drawn:
            change(self.layer, visible=visible and len(self.layer.data) > 0, opacity=opacity)
            show_between(self.layer, between)
