"""Settings in napari's Preferences, and the dock by the command palette."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import napari.settings
import pytest
from PIL import Image
from programs import run_program
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
    window.qtbot.waitUntil(lambda: form.bundle.value == bundle)  # they are read when the dock was drawn
    assert form.device.value == "cpu"
    window.open(slide)
    about = window.predict().provenance
    assert (about.batch_size, about.device) == (5, "cpu")
    assert about.threads == max(1, os.cpu_count() - 1), "a core is left to the window"


def test_what_was_chosen_before_they_were_read_stays(
    bare_window: Window, preferences, bundle: Path, slide: Path
) -> None:  # type: ignore[no-untyped-def]
    """A program that opens the dock may set its form, and open a slide, in one go."""
    preferences.bundle = str(bundle)
    preferences.device = "cuda"
    preferences.batch_size = 5
    _, dock = bare_window.viewer.window.add_plugin_dock_widget("napari-mclstexp")
    dock.predict_panel.form.device.value = "cpu"
    bare_window.viewer.open(slide, plugin="napari-mclstexp")
    asked = dock.predict_panel.request()
    assert (asked.bundle, asked.device, asked.batch_size) == (bundle, "cpu", 5)


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


def test_the_bound_of_the_cache_holds_from_the_next_start(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set to 0 in the preferences, it leaves copies alone until napari is started again."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("MCLSTEXP_CACHE", str(cache))
    monkeypatch.delenv("MCLSTEXP_CACHE_GB", raising=False)  # docks of other tests have set it
    slides = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(slides):  # too large to be decoded on opening: each leaves a copy
        Image.new("RGB", (4300, 4000), (200, 40 * i, 90)).save(path, compress_level=1)
    opening = """
        import sys
        import napari
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QDoubleSpinBox, QListWidget, QPushButton

        viewer = napari.Viewer(show=True)
        viewer.window.resize(1500, 950)
        _, dock = viewer.window.add_plugin_dock_widget("napari-mclstexp")

        def look_at(path):
            viewer.open(path, plugin="napari-mclstexp")
            for _ in range(600):
                QTest.qWait(50)
                slide = dock.session.slide
                if str(slide.path) == path and slide.prepared and not dock.session.job.running:
                    return
            sys.exit(f"{path} was not decoded")

        for path in sys.argv[1:3]:
            look_at(path)
    """
    setting = """
        dialog = viewer.window._open_preferences_dialog()
        QTest.qWait(300)
        pages = dialog.findChild(QListWidget)
        (at,) = [i for i in range(pages.count()) if "mclstexp" in pages.item(i).text().lower()]
        row = pages.visualItemRect(pages.item(at)).center()
        QTest.mouseClick(pages.viewport(), Qt.MouseButton.LeftButton, pos=row)
        QTest.qWait(300)
        (box,) = [b for b in dialog.findChildren(QDoubleSpinBox) if b.isVisible() and b.maximum() == 10000]
        assert box.value() == 10, box.value()
        QTest.mouseClick(box, Qt.MouseButton.LeftButton)
        box.selectAll()
        QTest.keyClicks(box, "0")
        (ok,) = [b for b in dialog.findChildren(QPushButton) if b.text() == "OK"]
        QTest.mouseClick(ok, Qt.MouseButton.LeftButton)
        look_at(sys.argv[3])
    """
    closing = """
        viewer.close()
    """
    first = run_program(python, tmp_path, opening + setting + closing, *slides[:3])
    assert first.returncode == 0, first.stderr[-3000:]
    before = {path.name for path in cache.iterdir()}
    assert len(before) == 3
    second = run_program(python, tmp_path, opening + closing, slides[3])
    assert second.returncode == 0, second.stderr[-3000:]
    (kept,) = cache.iterdir()
    assert kept.name not in before, "the copy that is in use was taken"
