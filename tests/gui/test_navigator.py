"""The navigator where the scale is unknown, where what is typed is no place, and once it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget, QPushButton

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_mclstexp.gui.navigator import Navigator
    from tests.gui.conftest import Window


@pytest.fixture
def plain(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Path:
    """A JPEG without a scale, of 1,200 x 900 px."""
    Image.fromarray(picture(2, 1200, 900)).save(tmp_path / "plain.jpg", quality=90)
    return tmp_path / "plain.jpg"


def go(window: Window, text: str) -> None:
    """Type a place and Enter."""
    line = navigator_of(window).place
    QTest.mouseClick(line, Qt.MouseButton.LeftButton)
    line.selectAll()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)
    window.settle()


def navigator_of(window: Window) -> Navigator:
    return window.dock.side.navigator


def close_button(widget: QWidget, kind: str = "Close") -> QPushButton:
    """The x (Close) or the line (Hide) in the title bar of the dock that a widget stands in."""
    dock = widget.parent()
    return dock.titleBarWidget().findChild(QPushButton, f"QTitleBar{kind}Button")


def rulers(window: Window) -> list:
    return [layer for layer in window.viewer.layers if layer.name == "Ruler"]


def test_without_a_scale_all_is_told_in_pixels(window: Window, plain: Path) -> None:
    window.open(plain)
    navigator, camera = navigator_of(window), window.viewer.scene.camera
    window.qtbot.waitUntil(lambda: navigator.map.area().width() > 0)
    camera.zoom = 0.5
    assert navigator.magnification.text() == "50% of full resolution"
    go(window, "600, 450")
    np.testing.assert_allclose(camera.center[-2:], (450, 600))
    go(window, "300, 200 px")
    np.testing.assert_allclose(camera.center[-2:], (200, 300))
    window.clear_notes()
    go(window, "")  # nothing asked for, nothing said
    assert window.said() == []
    for text, said in (
        ("1, 1 mm", "scale is unknown"),
        ("1.2.3, 4", "no place such as"),
        ("5000, 4", "beyond the slide"),
    ):
        window.clear_notes()
        go(window, text)
        assert said in window.take_one_error()
    np.testing.assert_allclose(camera.center[-2:], (200, 300))


def test_the_ruler_keeps_the_selection_and_goes_with_the_scale(
    window: Window, plain: Path, light: None
) -> None:
    window.open(plain)
    navigator, camera = navigator_of(window), window.viewer.scene.camera
    camera.zoom = 1.0
    window.click(navigator.ruler_button)
    selected = window.viewer.layers.selection.active
    window.drag_canvas(120, 50)
    (ruler,) = rulers(window)
    assert navigator.ruler.length == "130 px"
    assert set(ruler.text.values) == {"130 px"}
    assert not ruler.editable
    assert window.viewer.layers.selection.active is selected
    assert camera.mouse_pan, "the picture can be moved again"
    assert [str(unit) for unit in ruler.units] == ["pixel", "pixel"]
    window.shot("navigator_3_pixels_light")

    # A length that was told in px is not left standing in um.
    window.set_mpp("0.5")
    window.settle()
    assert rulers(window) == []
    camera.zoom = 0.1
    window.drag_canvas(120, 50)
    (ruler,) = rulers(window)
    assert navigator.ruler.length == "1.30 mm"
    np.testing.assert_allclose(ruler.scale, (0.5, 0.5))
    assert navigator.magnification.text().startswith("1× · 10 µm a screen px")
    window.click(navigator.ruler_button)
    assert rulers(window) == []
    before = tuple(camera.center)
    window.drag_canvas(120, 50)
    assert tuple(camera.center) != before, "dragging moves the picture again"


def test_once_closed_it_follows_nothing(window: Window, plain: Path) -> None:
    window.open(plain)
    navigator, camera = navigator_of(window), window.viewer.scene.camera
    window.click(navigator.ruler_button)
    window.drag_canvas(60, 0)
    gone = []
    navigator.destroyed.connect(lambda: gone.append(True))
    window.dock.shut()
    assert rulers(window) == []
    assert gone, "it is not left to the end of the program"
    camera.zoom *= 2
    camera.center = (10.0, 10.0)
    assert window.notes() == []


@pytest.mark.parametrize("kind", ["Close", "Hide"])
def test_closed_or_hidden_it_comes_back(window: Window, slide: Path, other_slide: Path, kind: str) -> None:
    """Its title bar takes it away, the button in step 1 brings it back, and it follows the view as before."""
    window.open(slide)
    navigator, camera = navigator_of(window), window.viewer.scene.camera
    button = window.dock.slide_panel.navigator_button
    for _ in range(2):
        window.click(close_button(navigator, kind))
        window.settle()
        assert not navigator.isVisible()
        camera.zoom = 1.0
        window.click(button)
        window.qtbot.waitUntil(navigator.isVisible)
        docks = [d for d in window.main.findChildren(QDockWidget) if d.windowTitle() == "Navigator"]
        assert len(docks) == 1
        assert window.main.dockWidgetArea(docks[0]) == Qt.DockWidgetArea.LeftDockWidgetArea
        camera.zoom = 4.0
        assert navigator.magnification.text().startswith("40× · 0.25 µm a screen px")
        go(window, "300, 400")
        np.testing.assert_allclose(camera.center[-2:], (200, 150), atol=1)
    window.shot(f"navigator_4_back_{kind}")

    window.click(button)  # it stands there already
    assert navigator.isVisible()
    window.click(close_button(navigator, kind))
    window.open(other_slide)
    assert not navigator.isVisible(), "another slide does not bring back what was taken away"
    window.click(button)
    window.qtbot.waitUntil(lambda: navigator.isVisible() and navigator.map.area().width() > 0)
