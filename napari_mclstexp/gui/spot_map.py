"""Values over spots as a layer of napari: points, or a picture of too many or of what runs smoothly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points
from napari.utils.colormaps import ensure_colormap

from napari_mclstexp.core.maps import SEQUENTIAL, Blend, Map
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

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.raster import Canvas
    from napari_mclstexp.core.scale import Scale

HEATMAP = "Predicted gene"
COLUMN = "expression"
SPOT_SHARE = 0.8
"""Width of a drawn spot over the distance between spots."""


class SpotMap(OwnLayer):
    """Draws values of spots.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw.
    mark : callable, optional
        See `OwnLayer`.
    """

    def __init__(self, viewer: napari.Viewer, mark: Callable[[], dict[str, Any]] = dict) -> None:
        super().__init__(viewer, mark)
        self._kind: tuple[object, ...] = ()
        self._grid: SpotGrid | None = None
        self._painted: NDArray[np.float32] | None = None
        self._canvas: Canvas | None = None
        self._between: tuple[float, float] | None = None

    def prepare(self, scale: Scale | None) -> None:
        """Make the layer before there is anything to draw."""
        if not self.drawn:
            nothing = Map("", np.zeros(0, dtype=np.float32), (0.0, 1.0), SEQUENTIAL[0], "")
            self._kind, self._grid, self._canvas = (False, None), None, None
            layer = _points(np.zeros((0, 2)), 1.0, nothing, scale)
            layer.visible = False  # nor its colour bar
            self._add(layer)
            self.layer.name = HEATMAP

    def draw(
        self,
        grid: SpotGrid,
        shown: Map | Blend,
        scale: Scale | None,
        name: str,
        canvas: Canvas | None = None,
    ) -> None:
        """Draw a map; NaN is not drawn. What is there already is recoloured, which is fast.

        Parameters
        ----------
        grid : SpotGrid
            N spots.
        shown : Map or Blend
            Of N spots.
        scale : Scale or None
            um per px.
        name : str
            Of the layer.
        canvas : Canvas, optional
            To draw a picture instead of points.
        """
        kind = (isinstance(shown, Blend), canvas)
        if not self.drawn or self._kind != kind or (self._grid is not grid and kind != (False, None)):
            rank = self._rank()
            self.drop()
            size = SPOT_SHARE * min(pitch_px(grid))
            layer = (
                _points(grid.centres_px, size, shown, scale)
                if canvas is None
                else self._image(canvas, shown, scale)
            )
            self._kind, self._canvas = kind, canvas
            self._add(layer)
            self._viewer.layers.move(len(self._viewer.layers) - 1, rank)
        elif isinstance(self.layer, Points):
            self._recolour_points(grid, shown, scale)
        else:
            self._recolour_image(shown)
        self._grid = grid
        change(self.layer, name=name)

    def _rank(self) -> int:
        """Place of the layer among the others: that of its predecessor, else on top."""
        return self._viewer.layers.index(self.layer) if self.drawn else len(self._viewer.layers)

    def _recolour_points(self, grid: SpotGrid, shown: Map | Blend, scale: Scale | None) -> None:
        if isinstance(shown, Blend):
            self.layer.face_color = _opaque(shown.rgb)
            return
        if self.layer.face_colormap.name != shown.colormap:
            self.layer.face_colormap = ensure_colormap(shown.colormap)
        # Each of both would give all points to the screen; keeping the features' column is the fast way.
        with self.layer._face.events.colors.blocker():
            self.layer.face_contrast_limits = shown.limits
            if self._grid is grid:
                self.layer.features = {COLUMN: shown.values}
        if self._grid is not grid:
            size = SPOT_SHARE * min(pitch_px(grid))
            move_points(self.layer, grid.centres_px, size, COLUMN, shown.values)
            place(self.layer, **spatial(scale))

    def _image(self, canvas: Canvas, shown: Map | Blend, scale: Scale | None) -> Image:
        about = spatial(scale)
        per_px = np.array(about["scale"])
        raster = canvas.raster
        about |= {
            "scale": tuple(per_px * raster.step_px),
            "translate": tuple(per_px * raster.origin_px),
            "interpolation2d": "linear" if canvas.smooth else "nearest",
        }
        picture = _painted(canvas, shown)
        if isinstance(shown, Blend):
            return Image(picture, rgb=True, **about)
        layer = Image(
            picture, colormap=ensure_colormap(shown.colormap), contrast_limits=shown.limits, **about
        )
        layer.colorbar.visible = True
        self._painted = picture
        return layer

    def _recolour_image(self, shown: Map | Blend) -> None:
        picture = _painted(self._canvas, shown)
        if isinstance(shown, Blend):
            self.layer.data = picture
            return
        if self.layer.colormap.name != shown.colormap:
            self.layer.colormap = ensure_colormap(shown.colormap)
        low, high = shown.limits
        self._painted = picture
        self.layer.data = self._cut(picture)
        self.layer.contrast_limits_range = (
            min(low, self.layer.contrast_limits_range[0]),
            max(high, self.layer.contrast_limits_range[1]),
        )
        self.layer.contrast_limits = shown.limits

    def _cut(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The picture between the two x where it is shown; all of it otherwise."""
        if self._between is None or self._canvas is None:
            return picture
        raster = self._canvas.raster
        x = raster.origin_px[1] + np.arange(picture.shape[1]) * raster.step_px[1]
        shown = (self._between[0] <= x) & (x < self._between[1])
        return np.where(shown[None, :], picture, np.float32(np.nan))

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
        colour_bar = self.layer.colorbar if isinstance(self.layer, Image) else self.layer.face_colorbar
        change(self.layer, visible=visible, opacity=opacity)
        change(colour_bar, position=bar)
        if isinstance(self.layer, Image):
            if between != self._between and self._painted is not None:
                self._between = between
                self.layer.data = self._cut(self._painted)
            return
        show_between(self.layer, between)

    def drop(self) -> None:
        """Take the layer away."""
        super().drop()
        self._grid = self._painted = self._canvas = self._between = None
        self._kind = ()


def _points(centres_px: NDArray[np.float64], size: float, shown: Map | Blend, scale: Scale | None) -> Points:
    about = {"border_width": 0, "size": size, **spatial(scale)}
    if isinstance(shown, Blend):
        layer = Points(centres_px, face_color=_opaque(shown.rgb), **about)
    else:
        layer = Points(
            centres_px,
            features={COLUMN: shown.values},
            face_color=COLUMN,
            face_colormap=ensure_colormap(shown.colormap),
            face_contrast_limits=shown.limits,
            **about,
        )
        layer.face_colorbar.visible = True
    layer.editable = False
    take_fitting_slices(layer)
    return layer


def _opaque(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4) colours of (N, 3); clear where they are NaN."""
    clear = np.isnan(rgb).any(axis=1)
    return np.column_stack([np.nan_to_num(rgb), np.where(clear, 0, 1)]).astype(np.float32)


def _painted(canvas: Canvas, shown: Map | Blend) -> NDArray[np.float32]:
    """Picture (h, w), or (h, w, 4) of a blend."""
    if isinstance(shown, Map):
        return canvas.paint(shown.values)
    channels = np.dstack([canvas.paint(shown.rgb[:, i]) for i in range(3)])
    return _opaque(channels.reshape(-1, 3)).reshape(*channels.shape[:2], 4)
