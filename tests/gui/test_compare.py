"""Genes side by side: their limits and unit, linked views at any size, and closing and opening again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel

from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.gui.compare import CompareWindow
    from tests.gui.conftest import Window


def compare(window: Window, slide: Path, bundle: Path) -> CompareWindow:
    """Two genes side by side; no fixture, for pytest would keep the views alive."""
    window.open(slide)
    window.set_bundle(bundle)
    window.predict()
    window.pick_gene("ERBB2")
    window.click(window.dock.gene_panel.compare)
    comparison = window.dock.side.comparison
    window.qtbot.waitUntil(comparison.isVisible)
    comparison.move(0, 0)
    window.settle(200)
    return comparison


def maps(comparison: CompareWindow) -> list[Points | Image]:
    return [layer for layer in comparison.model.layers if layer.name in comparison.genes]


def test_limits_unit_and_smooth_maps(window: Window, slide: Path, bundle: Path, light: None) -> None:
    compared = compare(window, slide, bundle)
    session, colour = window.dock.session, window.dock.gene_panel.colour
    assert STATEMENT in [label.text() for label in compared.findChildren(QLabel)]
    unit = compared.model.canvas.overlays.text
    assert unit.visible
    assert unit.text == "log1p of counts per 10,000"
    assert unit.position not in {layer.face_colorbar.position for layer in maps(compared)}
    window.shot("compare_3_light")

    # Around the reference mean 0 stays in the middle, on one scale as well.
    compared.lower()
    window.click(window.dock.gene_panel.colours.button)
    window.tick(colour.centred)
    assert "difference from the reference mean" in unit.text
    own = [layer.face_contrast_limits for layer in maps(compared)]
    QTest.mouseClick(compared.one_scale, Qt.MouseButton.LeftButton, pos=QPoint(8, 10))
    shared = {tuple(layer.face_contrast_limits) for layer in maps(compared)}
    assert len(shared) == 1
    ((low, high),) = shared
    assert low == pytest.approx(-high)
    assert min(limits[1] for limits in own) <= high <= max(limits[1] for limits in own) * 1.001

    # A smooth map here, too.
    window.tick(colour.centred)
    assert all(isinstance(layer, Points) for layer in maps(compared))
    window.tick(colour.smooth)
    window.qtbot.waitUntil(lambda: session.canvas is not None)
    window.qtbot.waitUntil(lambda: all(isinstance(layer, Image) for layer in maps(compared)), timeout=3000)
    assert [layer.name for layer in maps(compared)] == list(compared.genes)
    compared.raise_()
    window.shot("compare_4_smooth_light")


def test_views_at_another_size_and_opened_again(window: Window, slide: Path, bundle: Path) -> None:
    compared = compare(window, slide, bundle)
    main, views = window.viewer.scene.camera, compared.model.scene.camera

    def shown_alike() -> bool:
        cell = np.array(compared.model.canvas.size) / (1, 2)
        wanted = main.zoom * (cell / window.viewer.canvas.size).min()
        return bool(np.isclose(views.zoom, wanted))

    assert shown_alike()
    before = main.zoom
    compared.resize(700, 500)
    window.settle(300)
    assert shown_alike()
    views.center = (250.0, 350.0)
    np.testing.assert_allclose(main.center[-2:], (250, 350))
    assert main.zoom == pytest.approx(before), "moving the small views does not zoom the main one"
    views.zoom *= 2
    assert main.zoom == pytest.approx(2 * before)

    compared.close()
    window.settle()
    main.center = (300.0, 300.0)
    window.click(window.dock.gene_panel.compare)
    window.qtbot.waitUntil(compared.isVisible)
    assert len(maps(compared)) == 2
    np.testing.assert_allclose(views.center[-2:], (300, 300))
    window.set_mpp("0.6")  # the prediction goes, and with it what was compared
    window.qtbot.waitUntil(lambda: not compared.isVisible())
    assert len(compared.model.layers) == 0
