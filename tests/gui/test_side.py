"""What stands beside the dock: the navigator, and genes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


def centre_px(window: Window) -> np.ndarray:
    scale = window.dock.session.scale
    return np.array(window.viewer.scene.camera.center[-2:]) / (scale.mpp_y, scale.mpp_x)


def test_the_navigator(window: Window, slide: Path, bundle: Path) -> None:
    window.open(slide)
    window.set_bundle(bundle)
    result = window.predict()
    side, session = window.dock.side, window.dock.session
    navigator = side.navigator
    assert navigator.isVisible()
    window.qtbot.waitUntil(lambda: navigator.map.area().width() > 0)
    camera = window.viewer.scene.camera
    camera.zoom = 4.0  # 0.25 um a screen px, as a 40x scan
    assert navigator.magnification.text().startswith("40× · 0.25 µm a screen px")

    # A click moves the view, a drag moves it along.
    area = navigator.map.area()
    for share in ((0.25, 0.25), (0.75, 0.5)):
        at = QPoint(round(area.x() + share[1] * area.width()), round(area.y() + share[0] * area.height()))
        QTest.mouseClick(navigator.map, Qt.MouseButton.LeftButton, pos=at)
        wanted = np.array(share) * (session.slide.height, session.slide.width)
        np.testing.assert_allclose(centre_px(window), wanted, atol=20)
    window.shot("navigator_1")
    picture = navigator.map.grab().toImage()
    blue = sum(
        picture.pixelColor(x, y).name() == "#1e88e5"
        for x in range(picture.width())
        for y in range(picture.height())
    )
    assert blue > 20, "the view's frame is not drawn"

    # To a spot, to places, and to none.
    def go(text: str) -> None:
        QTest.mouseClick(navigator.place, Qt.MouseButton.LeftButton)
        navigator.place.selectAll()
        QTest.keyClicks(navigator.place, text)
        QTest.keyClick(navigator.place, Qt.Key.Key_Return)
        window.settle()

    go(str(result.grid.ids[9]))
    np.testing.assert_allclose(centre_px(window), result.grid.centres_px[9], atol=1)
    assert session.spot == 9
    go("300, 400")
    np.testing.assert_allclose(centre_px(window), (400, 300), atol=1)
    go("0.4, 0.2 mm")
    np.testing.assert_allclose(centre_px(window), (400, 800), atol=1)
    go("100 200 µm")
    np.testing.assert_allclose(centre_px(window), (400, 200), atol=1)
    for text, said in (("nowhere", "no spot 'nowhere'"), ("9000, 20", "beyond the slide")):
        window.clear_notes()
        go(text)
        assert said in window.take_one_error()

    # The ruler.
    camera.zoom = 1.0
    go("1000, 800")
    QTest.mouseClick(navigator.ruler_button, Qt.MouseButton.LeftButton)
    before = tuple(camera.center)
    window.drag_canvas(120, 50)
    assert tuple(camera.center) == before, "measuring does not move the slide"
    assert navigator.ruler.length == "130 µm"
    assert [layer.name for layer in window.viewer.layers].count("Ruler") == 1
    window.shot("navigator_2_ruler")
    QTest.mouseClick(navigator.ruler_button, Qt.MouseButton.LeftButton)
    assert "Ruler" not in [layer.name for layer in window.viewer.layers]


def test_genes_side_by_side(window: Window, slide: Path, bundle: Path, other_slide: Path) -> None:
    window.open(slide)
    window.set_mpp("0.45")  # another one than the file's
    window.set_bundle(bundle)
    result = window.predict()
    window.pick_gene("ERBB2")
    window.click(window.dock.gene_panel.compare)
    comparison = window.dock.side.comparison
    window.qtbot.waitUntil(comparison.isVisible)
    comparison.move(0, 0)
    assert comparison.genes[0] == "ERBB2"
    for box, gene in zip(comparison.boxes[1:], ("COL1A1", "CD3D", "FASN"), strict=True):
        line = box.lineEdit()
        QTest.mouseClick(line, Qt.MouseButton.LeftButton)
        line.selectAll()
        QTest.keyClicks(line, gene)
        QTest.keyClick(line, Qt.Key.Key_Return)
        window.settle()
    assert comparison.genes == ("ERBB2", "COL1A1", "CD3D", "FASN")
    maps = [layer for layer in comparison.model.layers if layer.name in comparison.genes]
    assert [layer.name for layer in maps] == list(comparison.genes)
    for layer in maps:
        known = np.isfinite(result.believable(layer.name))
        shown = layer.features["expression"].to_numpy()
        np.testing.assert_array_equal(shown[known], result.gene_values(layer.name)[known])
    window.settle(600)
    save(comparison, "compare_1_own_scales")
    scales = {tuple(layer.scale) for layer in comparison.model.layers}
    assert scales == {(0.45, 0.45)}, "maps lie off the slide"
    own = {tuple(layer.face_contrast_limits) for layer in maps}
    assert len(own) == 4
    QTest.mouseClick(comparison.one_scale, Qt.MouseButton.LeftButton, pos=QPoint(8, 10))
    assert len({tuple(layer.face_contrast_limits) for layer in maps}) == 1
    window.settle(400)
    save(comparison, "compare_2_one_scale")

    # The views move together with the main one.
    main, views = window.viewer.scene.camera, comparison.model.scene.camera
    before = views.zoom
    main.zoom *= 1.5
    main.center = (300.0, 400.0)
    assert tuple(views.center[-2:]) == (300.0, 400.0)
    assert views.zoom == pytest.approx(1.5 * before)
    cell = np.array(comparison.model.canvas.size) / 2
    seen, seen_there = np.array(window.viewer.canvas.size) / main.zoom, cell / views.zoom
    assert (seen_there >= 0.99 * seen).all(), "less is seen than in the main view"
    views.center = (250.0, 350.0)
    assert tuple(main.center[-2:]) == (250.0, 350.0)

    # It goes with its slide.
    window.open(other_slide)
    window.qtbot.waitUntil(lambda: not comparison.isVisible())


def save(widget, name: str) -> None:  # type: ignore[no-untyped-def]
    """Keep a picture of the screen where a person asks for it."""
    import os
    from pathlib import Path

    from qtpy.QtWidgets import QApplication

    folder = os.environ.get("MCLSTEXP_SCREENSHOTS")
    picture = QApplication.primaryScreen().grabWindow(0)
    assert not picture.isNull()
    if folder:
        picture.save(str(Path(folder) / f"{name}.png"))
