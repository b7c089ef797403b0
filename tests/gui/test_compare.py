"""Genes side by side: limits and unit, linked views, no gene twice, colours by the profile, opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
from napari.layers import Image, Points
from profiles import swapped_profile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel

from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.gui.compare import CompareWindow
    from napari_mclstexp.gui.gene_box import GeneBox
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


def choose(window: Window, box: GeneBox, gene: str) -> None:
    """Type a gene into a view's box, and Enter."""
    QTest.mouseClick(box.lineEdit(), Qt.MouseButton.LeftButton)
    box.lineEdit().selectAll()
    QTest.keyClicks(box.lineEdit(), gene)
    QTest.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    window.settle()


def walk(window: Window, box: GeneBox, steps: int) -> None:
    """Open a box's list by the keyboard and walk to an entry, counted from the first."""
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    window.settle()
    window.press(Qt.Key.Key_Home)
    for _ in range(steps):
        window.press(Qt.Key.Key_Down)
    window.press(Qt.Key.Key_Return)


def test_no_gene_stands_twice(window: Window, slide: Path, bundle: Path) -> None:
    """A gene that another view has: both change places, in boxes, maps and colours."""
    compared = compare(window, slide, bundle)
    result, boxes = window.dock.session.result, compared.boxes
    first, second = compared.genes
    assert first == "ERBB2"

    def holds(*genes: str) -> None:
        assert compared.genes == genes
        shown = (*genes, *[""] * (4 - len(genes)))
        assert tuple(box.gene() for box in boxes) == shown
        assert tuple(box.lineEdit().text() for box in boxes) == shown
        assert [layer.name for layer in maps(compared)] == list(genes)
        for layer in maps(compared):
            known = np.isfinite(result.believable(layer.name))
            np.testing.assert_array_equal(
                layer.features["expression"].to_numpy()[known], result.gene_values(layer.name)[known]
            )

    holds("ERBB2", second)
    choose(window, boxes[0], second)
    holds(second, "ERBB2")
    choose(window, boxes[1], second)  # and back
    holds("ERBB2", second)
    choose(window, boxes[1], second.lower())  # the same again: nothing happens
    holds("ERBB2", second)
    choose(window, boxes[0], "HER2")  # an alias of what stands there
    holds("ERBB2", second)

    others = [gene for gene in ("COL1A1", "CD3D", "FASN") if gene != second][:2]
    choose(window, boxes[2], others[0])
    choose(window, boxes[3], others[1])
    holds("ERBB2", second, *others)
    choose(window, boxes[3], "ERBB2")
    holds(others[1], second, others[0], "ERBB2")

    # A view more for a gene that another has: that moves, and none is empty in between.
    walk(window, boxes[3], 0)
    holds(others[1], second, others[0])
    choose(window, boxes[3], second)
    holds(others[1], others[0], second)
    window.shot("compare_5_none_twice")


def test_the_colour_profile_is_followed_in_all_views(
    window: Window, bundle: Path, tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    """The toggle of step 1 changes the slide in the main view and in each view beside, and back."""
    pixels = picture(3, 1000, 800)
    PIL.Image.fromarray(pixels).save(tmp_path / "swapped.png", icc_profile=swapped_profile())
    window.open(tmp_path / "swapped.png")
    window.set_mpp("0.5")
    window.set_bundle(bundle)
    window.predict()
    box = window.dock.slide_panel.icc
    window.click(window.dock.gene_panel.compare)
    compared = window.dock.side.comparison
    window.qtbot.waitUntil(compared.isVisible)
    compared.move(0, 0)
    window.settle(200)

    def pictures() -> list[np.ndarray]:
        slides = [layer for layer in compared.model.layers if layer not in maps(compared)]
        slides.append(window.layer("H&E"))
        return [np.asarray(layer.data[0][300:340, 400:440]) for layer in slides]

    stored = pixels[300:340, 400:440]
    assert len(pictures()) == 3
    for shown in pictures():
        np.testing.assert_array_equal(shown, stored)
    before = window.shot("compare_6_stored")[: compared.height(), : compared.width()]

    compared.lower()
    window.tick(box)
    by_profile = pictures()
    for shown in by_profile:
        np.testing.assert_array_equal(shown, by_profile[0])
    assert np.abs(by_profile[0].astype(int) - stored).mean() > 10
    compared.raise_()
    after = window.shot("compare_7_profile")[: compared.height(), : compared.width()]
    changed = np.abs(before.astype(int) - after).max(axis=2) > 20
    for half in np.array_split(changed, 2, axis=1):
        assert half.mean() > 0.1, "a view is not drawn anew"

    # A view that comes later has it, too.
    choose(window, compared.boxes[2], next(g for g in ("COL1A1", "CD3D") if g not in compared.genes))
    assert len(pictures()) == 4
    for shown in pictures():
        np.testing.assert_array_equal(shown, by_profile[0])

    compared.lower()
    window.tick(box)
    for shown in pictures():
        np.testing.assert_array_equal(shown, stored)
