"""Settings in napari's Preferences, and the dock by the command palette."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import napari.settings
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit, QListWidget, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def preferences() -> Iterator[object]:
    """The plugin's own, as they were afterwards."""
    chosen = napari.settings.get_plugin_settings("napari-mclstexp").prediction
    before = {name: getattr(chosen, name) for name in ("bundle", "device", "batch_size", "cache_gb")}
    yield chosen
    for name, value in before.items():
        setattr(chosen, name, value)


def test_the_dock_begins_with_what_was_set(
    bare_window: Window, preferences, bundle: Path, slide: Path
) -> None:  # type: ignore[no-untyped-def]
    preferences.bundle = str(bundle)
    preferences.device = "cpu"
    preferences.batch_size = 5
    window = bare_window
    window.open_dock()
    form = window.dock.predict_panel.form
    assert form.bundle.value == bundle
    assert form.device.value == "cpu"
    window.open(slide)
    about = window.predict().provenance
    assert (about.batch_size, about.device) == (5, "cpu")
    assert about.threads == max(1, os.cpu_count() - 1), "a core is left to the window"


def test_they_stand_in_the_preferences(window: Window) -> None:
    dialog = window.viewer.window._open_preferences_dialog()
    window.qtbot.waitUntil(dialog.isVisible)
    pages = dialog.findChild(QListWidget)
    names = [pages.item(i).text() for i in range(pages.count())]
    (at,) = [i for i, name in enumerate(names) if "mclstexp" in name.lower()]
    pages.setCurrentRow(at)
    window.settle(300)
    told = {label.text() for label in dialog.findChildren(QLabel) if label.isVisible()}
    for title in ("Model bundle", "Device", "Batch size", "Cache (GB)"):
        assert any(title in text for text in told), (title, told)
    window.shot("preferences")
    dialog.close()


def test_the_command_palette_opens_the_dock(bare_window: Window) -> None:
    window = bare_window
    window.canvas.setFocus()
    QTest.keyClick(
        window.main, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    palette = window.main._command_palette
    window.qtbot.waitUntil(palette.isVisible)
    line = palette.findChild(QLineEdit)
    QTest.keyClicks(line, "Spatial expression")
    window.settle(200)
    QTest.keyClick(line, Qt.Key.Key_Return)
    window.qtbot.waitUntil(lambda: window.main.findChild(QWidget, "mclSTExp") is not None)
