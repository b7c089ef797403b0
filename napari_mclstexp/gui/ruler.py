"""A ruler: drag over the slide, and the distance stands beside the line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.session import Session

NAME = "Ruler"
YELLOW = "#ffee58"
WIDTH_PX, CASING_PX, SHADOW_PX = 2.5, 5.0, 1.2
"""Pixels of the screen: width of the line, of the dark one below it, and how far that is moved, and with it
the shadow of the text, so that both are seen on dark and on pale tissue."""


class Ruler:
    """Measures distances in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to drag.
    session : Session
        Whose scale counts.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._layer: Shapes | None = None
        self._ends: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self.length = ""

    def switch(self, on: bool) -> None:
        """Let the mouse measure, or no longer."""
        callbacks, zoomed = self._viewer.mouse_drag_callbacks, self._viewer.scene.camera.events.zoom
        if on and self._drag not in callbacks:
            callbacks.append(self._drag)
            zoomed.connect(self._redraw)
            self._session.scale_changed.connect(self._drop)
        elif not on:
            if self._drag in callbacks:
                callbacks.remove(self._drag)
                zoomed.disconnect(self._redraw)
                self._session.scale_changed.disconnect(self._drop)
            self._drop()

    def _drag(self, viewer: napari.Viewer, event: Any) -> Generator[None, None, None]:
        if event.button != 1:
            return
        start = np.array(event.position[-2:])
        camera = viewer.scene.camera
        camera.mouse_pan = False
        try:
            yield
            while event.type == "mouse_move":
                self._draw(start, np.array(event.position[-2:]))
                yield
        finally:
            camera.mouse_pan = True

    def _draw(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
        """Draw the line between two places of the world, with its length."""
        self._ends = start, end
        distance = float(np.linalg.norm(end - start))
        if self._session.scale is None:
            self.length = f"{distance:,.0f} px"
        else:
            self.length = f"{distance / 1000:.2f} mm" if distance >= 1000 else f"{distance:.0f} µm"
        if self._layer is not None and self._layer in self._viewer.layers:
            self._redraw()
            return
        active = self._viewer.layers.selection.active
        lines, look = self._lines()
        layer = Shapes(
            lines, shape_type="line", name=NAME, opacity=1.0, **look, **spatial(self._session.scale)
        )
        self._layer = self._viewer.add_layer(layer)
        self._layer.editable = False  # napari makes it editable when it is added
        self._viewer.layers.selection.active = active

    def _lines(self) -> tuple[list[NDArray[np.float64]], dict[str, Any]]:
        """The dark line and the bright one, full-resolution px, and their looks at this zoom."""
        per_px = np.array(spatial(self._session.scale)["scale"])
        screen_px = 1 / (self._viewer.scene.camera.zoom * per_px)
        line = np.array(self._ends) / per_px
        return [line + SHADOW_PX * screen_px, line], {
            "edge_color": ["black", YELLOW],
            "edge_width": [CASING_PX * screen_px[0], WIDTH_PX * screen_px[0]],
            "text": {
                "string": [self.length] * 2,
                "color": ["black", YELLOW],
                "size": 14,
                "anchor": "upper_left",
            },
        }

    def _redraw(self) -> None:
        """Draw what is measured anew, as wide on the screen as before."""
        if self._layer is None or self._layer not in self._viewer.layers:
            return
        lines, look = self._lines()
        self._layer.data = lines
        self._layer.edge_width = look["edge_width"]
        self._layer.text = look["text"]
        self._layer.editable = False  # napari makes it editable with its data

    def _drop(self) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = self._ends = None
