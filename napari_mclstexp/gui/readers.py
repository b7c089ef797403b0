"""What happens around reading a slide: which reader napari takes, and that the dock opens beside it.

Light to import: the first picture does not wait for the dock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.settings import get_settings
from napari.viewer import current_viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from pathlib import Path

    import napari

PLUGIN = "napari-mclstexp"
TITLE = "Spatial expression (mclSTExp)"
"""As napari's menu makes it of the manifest's names, so that its entry hides and shows this very dock."""

DOCK = "mclSTExp"
"""Qt's name of the dock."""

AFTER_MS = 250
"""The dock opens when the slide's picture has been drawn."""

COHORT_PATTERN = "*cohort.json"
SLIDE_PATTERNS = ("*.svs", "*.ndpi", "*.mrxs", "*.scn", "*.bif", "*.dcm", "*.jp2", "*.btf")
"""Files that are slides and nothing else. Others, such as ``*.tif``, napari asks about once."""


def prefer_for_slides() -> None:
    """Have napari open slides by this plugin without asking, as its own reader takes every file."""
    plugins = get_settings().plugins
    chosen = plugins.extension2reader
    missing = {pattern: PLUGIN for pattern in (*SLIDE_PATTERNS, COHORT_PATTERN) if pattern not in chosen}
    if missing:
        plugins.extension2reader = {**chosen, **missing}


def open_dock_soon() -> None:
    """Open the dock in the current window, once the layer that is being read is there and drawn."""
    viewer = current_viewer()
    if viewer is None or QApplication.instance() is None:
        return

    def inserted() -> None:
        viewer.layers.events.inserted.disconnect(inserted)
        QTimer.singleShot(0, drawn)

    def drawn() -> None:
        # napari handles events, timers among them, before it has drawn what it opens; not so this one.
        QTimer.singleShot(AFTER_MS, lambda: open_dock(viewer))

    viewer.layers.events.inserted.connect(inserted)


def add_to_open_slide(path: Path) -> bool:
    """Add a measured section to the slide of the current window; False where none is open."""
    viewer = current_viewer()
    window = None if viewer is None else getattr(viewer.window, "_qt_window", None)
    dock = None if window is None else window.findChild(QWidget, DOCK)
    if dock is None or dock.session.slide is None:
        return False
    dock.controller.add_measured(path)
    return True


def open_cohort(path: Path) -> None:
    """Open a cohort in the dock of the current window, once napari has read what it was given."""
    viewer = current_viewer()
    if viewer is not None and QApplication.instance() is not None:
        QTimer.singleShot(0, lambda: _open_cohort(viewer, path))


def _open_cohort(viewer: napari.Viewer, path: Path) -> None:
    open_dock(viewer)
    window = getattr(viewer.window, "_qt_window", None)
    dock = None if window is None else window.findChild(QWidget, DOCK)
    if dock is not None:
        dock.cohort.open(path)


def open_dock(viewer: napari.Viewer) -> None:
    """Open the dock in a window that has none, named as by the menu Plugins."""
    window = getattr(viewer.window, "_qt_window", None)  # None once the window is closed
    if window is not None and window.findChild(QWidget, DOCK) is None:
        from napari_mclstexp.gui.dock import MclstexpDock

        viewer.window.add_dock_widget(MclstexpDock(viewer), name=TITLE, area="right")
        QTimer.singleShot(0, viewer.reset_view)  # the dock has narrowed the canvas
