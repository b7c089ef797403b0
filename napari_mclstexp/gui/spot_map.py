"""One gene over spots, as a layer of napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_mclstexp.core.cells import pitch_px
from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale

COLUMN = "expression"
SPOT_SHARE = 0.8
"""Width of a drawn spot over the distance between spots."""


class SpotMap:
    """Draws values of spots; its layer is made when there is something to draw.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self.layer: Points | None = None

    @property
    def drawn(self) -> bool:
        """Whether the layer is there; a person can have removed it."""
        return self.layer is not None and self.layer in self._viewer.layers

    def draw(
        self,
        grid: SpotGrid,
        values: NDArray[np.float32],
        scale: Scale | None,
        name: str,
        limits: tuple[float, float] | None = None,
    ) -> None:
        """Draw values (N,); NaN is not drawn. Spots that are there already are recoloured, which is fast.

        Parameters
        ----------
        grid : SpotGrid
            N spots.
        values : numpy.ndarray
            (N,) float32.
        scale : Scale or None
            um per px.
        name : str
            Of the layer.
        limits : tuple of float, optional
            Of the colours; by the values themselves by default.
        """
        limits = colour_limits(values) if limits is None else limits
        if self.drawn and np.array_equal(self.layer.data, grid.centres_px):
            self.layer.features = {COLUMN: values}  # keeping its column: the fast way in napari
            self.layer.face_contrast_limits = limits
            self.layer.refresh_colors()
        else:
            self.drop()
            layer = Points(
                grid.centres_px,
                features={COLUMN: values},
                face_color=COLUMN,
                face_colormap="viridis",
                face_contrast_limits=limits,
                border_width=0,
                size=SPOT_SHARE * min(pitch_px(grid)),
                **spatial(scale),
            )
            self.layer = self._viewer.add_layer(layer)
            layer.face_colorbar.visible = True
            layer.editable = False
        self.layer.name = name

    def look(
        self,
        *,
        visible: bool,
        opacity: float,
        between: tuple[float, float] | None = None,
        bar: str = "top_right",
    ) -> None:
        """Show or hide the spots, or those alone whose x lies between two full-resolution px; the colour bar
        lies in the corner `bar`.
        """
        if not self.drawn:
            return
        self.layer.visible = visible
        self.layer.opacity = opacity
        self.layer.face_colorbar.position = bar
        x = self.layer.data[:, 1]
        shown = np.ones(len(x), dtype=bool) if between is None else (between[0] <= x) & (x < between[1])
        if not np.array_equal(shown, self.layer.shown):
            self.layer.shown = shown

    def rescale(self, scale: Scale | None) -> None:
        """Lay the spots anew where the slide's scale has changed."""
        if self.drawn:
            for name, value in spatial(scale).items():
                setattr(self.layer, name, value)

    def drop(self) -> None:
        """Take the layer away."""
        if self.drawn:
            self._viewer.layers.remove(self.layer)
        self.layer = None
