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
YELLOW = "#ffd54f"
SCREEN_PX = 2.0
"""Width of the line on the screen."""


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
        self.length = ""

    def switch(self, on: bool) -> None:
        """Let the mouse measure, or no longer."""
        callbacks = self._viewer.mouse_drag_callbacks
        if on and self._drag not in callbacks:
            callbacks.append(self._drag)
        elif not on:
            if self._drag in callbacks:
                callbacks.remove(self._drag)
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
        about = spatial(self._session.scale)
        distance = float(np.linalg.norm(end - start))
        if self._session.scale is None:
            self.length = f"{distance:,.0f} px"
        else:
            self.length = f"{distance / 1000:.2f} mm" if distance >= 1000 else f"{distance:.0f} µm"
        active = self._viewer.layers.selection.active
        self._drop()
        self._layer = self._viewer.add_layer(
            Shapes(
                [np.array([start, end]) / about["scale"]],
                shape_type="line",
                edge_color=YELLOW,
                edge_width=SCREEN_PX / self._viewer.scene.camera.zoom / about["scale"][0],
                text={"string": [self.length], "color": YELLOW, "size": 12, "anchor": "upper_left"},
                name=NAME,
                **about,
            )
        )
        self._layer.editable = False
        self._viewer.layers.selection.active = active

    def _drop(self) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
