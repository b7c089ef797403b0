"""The line between predicted and measured values, moved by dragging it over the slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

NAME = "Predicted | measured"
GRAB_PX = 10.0
"""Pixels of the screen from the line within which a press takes hold of it."""
WIDTH, CASING = 1 / 400, 1 / 200
"""Of the white line and of the black one below it, over the slide's longer side."""


class Divider:
    """A line from the top of the slide to its bottom.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw it.
    moved : callable
        Takes where it was dragged to, 0 to 1 of the slide's width.
    """

    def __init__(self, viewer: napari.Viewer, moved: Callable[[float], None]) -> None:
        self._viewer, self._moved = viewer, moved
        self._layer: Shapes | None = None
        self._x_world = self._width_world = 0.0

    def show(self, slide: Slide, scale: Scale | None, at: float) -> None:
        """Draw it at `at`, 0 to 1 of the slide's width."""
        about = spatial(scale)
        self._width_world = slide.width * about["scale"][1]
        self._x_world = at * self._width_world
        x = at * slide.width
        ends = np.array([[0.0, x], [slide.height, x]])
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = [ends, ends]
            self._layer.scale = about["scale"]
            return
        self.hide()  # its layer may have been deleted by hand
        active = self._viewer.layers.selection.active
        longer = max(slide.width, slide.height)
        line = Shapes(
            [ends, ends],
            shape_type="line",
            edge_color=["black", "white"],
            edge_width=[longer * CASING, longer * WIDTH],
            name=NAME,
            **about,
        )
        line.editable = False
        self._layer = self._viewer.add_layer(line)
        self._viewer.layers.selection.active = active
        self._viewer.mouse_drag_callbacks.append(self._drag)

    def hide(self) -> None:
        """Take it away."""
        if self._layer is None:
            return
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _drag(self, viewer: napari.Viewer, event: Any) -> Generator[None, None, None]:
        camera = viewer.scene.camera
        if abs(event.position[-1] - self._x_world) * camera.zoom > GRAB_PX:
            return
        camera.mouse_pan = False
        try:
            yield
            while event.type == "mouse_move":
                self._moved(float(np.clip(event.position[-1] / self._width_world, 0.0, 1.0)))
                yield
        finally:
            camera.mouse_pan = True
