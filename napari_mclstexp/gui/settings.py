"""What a person sets once in napari's Preferences."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.settings import get_plugin_settings
from qtpy.QtCore import QObject, QTimer, Signal

from napari_mclstexp.core.cache import BOUND_VARIABLE
from napari_mclstexp.core.device import DEVICES
from napari_mclstexp.gui.readers import PLUGIN

if TYPE_CHECKING:
    from napari_mclstexp.session import Session


@dataclass(frozen=True, slots=True)
class Settings:
    """The plugin's preferences.

    Attributes
    ----------
    bundle : pathlib.Path or None
        Model to begin with; None for the one that comes with the plugin.
    device : str
        Where the network runs.
    batch_size : int or None
        Patches a forward pass; None to find it from the patch size.
    """

    bundle: Path | None = None
    device: str = "auto"
    batch_size: int | None = None


def read_settings() -> Settings:
    """Read the preferences; the defaults where napari does not know the plugin yet.

    The size of the cache is handed on through its environment variable, which goes before it where it is set.
    """
    try:
        chosen = get_plugin_settings(PLUGIN).prediction
    except (KeyError, AttributeError):
        return Settings()
    os.environ.setdefault(BOUND_VARIABLE, f"{chosen.cache_gb:g}")
    return Settings(
        Path(chosen.bundle).expanduser() if chosen.bundle.strip() else None,
        chosen.device if chosen.device in DEVICES else "auto",
        chosen.batch_size or None,
    )


class Preferences(QObject):
    """Reads the preferences once: when the dock was drawn, or as a slide opens, whichever comes first.

    To tell preferences, napari looks through all that is installed, which takes a tenth of a second: the dock
    is drawn before that.

    Parameters
    ----------
    session : Session
        Whose slide they must not come after: its copies go by the size of the cache.
    """

    came = Signal(object)
    """The :class:`Settings`."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, self._read = session, False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.read)
        session.slide_changed.connect(self.read)

    def disconnect(self) -> None:
        """Follow the session no longer, and read nothing more."""
        self._read = True
        self._timer.stop()
        self._session.slide_changed.disconnect(self.read)

    def read_soon(self) -> None:
        """Read them when the window is idle, as it is once it has drawn what it is drawing now."""
        if not self._read:
            self._timer.start(0)

    def read(self) -> None:
        """Read them now, if they were not."""
        if not self._read:
            self._read = True
            self._timer.stop()
            self.came.emit(read_settings())
