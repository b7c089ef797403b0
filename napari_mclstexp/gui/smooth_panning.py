"""napari's asynchronous slicing, switched on while a slide of ours is open, and put back afterwards.

Without it the window waits for each tile of a slide that is read while panning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from qtpy.QtCore import QObject, Signal, Slot

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.session import Session


class _Courier(QObject):
    """Brings what a slicing thread has made to the main thread.

    napari's own way makes an object of Qt and a connection for each answer and lets go of both on the slicing
    thread; while the main thread holds the interpreter and waits for Qt's lock of connections, and the other
    the reverse, the window stands still for good: seen with PySide6 6.11 and 6.12.
    """

    ready = Signal(object)

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self._answers = viewer._layer_slicer.events.ready
        self._take = viewer.window._qt_viewer._on_slice_ready
        self.ready.connect(self._bring)  # at once where it comes from the main thread itself
        self._answers.disconnect(self._take)
        self._answers.connect(self._send)

    def _send(self, event: Any) -> None:
        self.ready.emit(event)

    @Slot(object)
    def _bring(self, event: Any) -> None:
        self._take(event)

    def leave(self) -> None:
        """Let napari go its own way again."""
        self._answers.disconnect(self._send)
        self._answers.connect(self._take)


class SmoothPanning:
    """Switches the setting with the slide.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    session : Session
        Whose slide counts.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._courier: _Courier | None = None
        self._before: bool | None = None
        session.slide_changed.connect(self._follow)
        self._follow()

    def _follow(self) -> None:
        experimental = get_settings().experimental
        if self._session.slide is not None and self._before is None:
            self._before = experimental.async_
            self._courier = _Courier(self._viewer)
            experimental.async_ = True
        elif self._session.slide is None:
            self.restore()

    def restore(self) -> None:
        """Put the setting back as it was."""
        if self._before is not None:
            get_settings().experimental.async_ = self._before
            self._before = None
        if self._courier is not None:
            self._courier.leave()
            self._courier = None

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.slide_changed.disconnect(self._follow)
        self.restore()
