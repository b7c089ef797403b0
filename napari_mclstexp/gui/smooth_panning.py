"""napari's asynchronous slicing, switched on while a slide of ours is open, and put back afterwards.

Without it the window waits for each tile of a slide that is read while panning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.settings import get_settings

if TYPE_CHECKING:
    from napari_mclstexp.session import Session


class SmoothPanning:
    """Switches the setting with the slide.

    Parameters
    ----------
    session : Session
        Whose slide counts.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: bool | None = None
        session.slide_changed.connect(self._follow)
        self._follow()

    def _follow(self) -> None:
        experimental = get_settings().experimental
        if self._session.slide is not None and self._before is None:
            self._before = experimental.async_
            experimental.async_ = True
        elif self._session.slide is None:
            self.restore()

    def restore(self) -> None:
        """Put the setting back as it was."""
        if self._before is not None:
            get_settings().experimental.async_ = self._before
            self._before = None

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.slide_changed.disconnect(self._follow)
        self.restore()
