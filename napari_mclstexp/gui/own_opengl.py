"""OpenGL of a window's layers works in that window's own context.

napari lets go of a layer's textures and programs in whichever context is current. Those of two windows share
nothing but numbers: objects of the other window would go, and could be drawn no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import LayerList
    from qtpy.QtOpenGLWidgets import QOpenGLWidget


class OwnOpenGL:
    """Makes a canvas's context the current one whenever its layers are about to change.

    Parameters
    ----------
    layers : napari.components.LayerList
        Of one viewer.
    canvas : QOpenGLWidget
        On which they are drawn.
    """

    def __init__(self, layers: LayerList, canvas: QOpenGLWidget) -> None:
        self._canvas = canvas
        self._events = (layers.events.removing, layers.events.inserting)
        for event in self._events:
            event.connect(self._make_current)

    def disconnect(self) -> None:
        """Follow the layers no longer."""
        for event in self._events:
            event.disconnect(self._make_current)

    def _make_current(self) -> None:
        if self._canvas.isValid():
            self._canvas.makeCurrent()
