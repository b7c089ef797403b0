"""A spot pointed at, and a spot explained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QPushButton, QToolTip

from napari_mclstexp.core.bundle import load_bundle, save_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


def test_hover_and_card(window: Window, slide: Path, evaluated: Path, tmp_path: Path) -> None:
    loaded = load_bundle(evaluated)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (len(loaded.expression), 64, 64, 3), dtype=np.uint8)
    told = replace(loaded, beside=replace(loaded.beside, thumbnails=pictures))
    with_pictures = save_bundle(told, tmp_path / "with-pictures")
    window.open(slide)
    window.set_bundle(with_pictures)
    result = window.predict()
    window.pick_gene("ERBB2")
    row = len(result.grid) // 2
    at = window.point_at_spot(row)
    window.qtbot.waitUntil(QToolTip.isVisible)
    text = QToolTip.text()
    assert f"Spot {result.grid.ids[row]}" in text
    assert f"ERBB2 {result.gene_values('ERBB2')[row]:.2f} (90 %" in text
    assert result.domains.names[int(result.domains.labels[row])] in text
    window.shot("spot_1_hover")

    centre = tuple(window.viewer.scene.camera.center)
    window.click_canvas(at)
    assert window.dock.session.spot == row
    side = window.dock.side
    window.qtbot.waitUntil(lambda: side.spot is not None and side.spot.isVisible())
    card = side.spot
    assert str(result.grid.ids[row]) in card.title.text()
    assert "percentile" in card.trust.text()
    assert "reference spots" in card.trust.text()
    assert card.above.text() != card.below.text()
    sections = {label.text().split("\n")[1] for label in card.findChildren(QLabel) if "%\n" in label.text()}
    assert sections == set(loaded.section.tolist())
    shown = [label for label in card.findChildren(QLabel) if label.pixmap() and not label.pixmap().isNull()]
    assert len(shown) >= 5, "no patches are shown"
    assert "not measured" in card.statement.text()
    window.shot("spot_2_card")

    # Another spot; then none once the slide is closed.
    other = 3
    window.click_canvas(window.screen_of(*result.grid.centres_px[other]))
    window.qtbot.waitUntil(lambda: str(result.grid.ids[other]) in card.title.text())
    window.drag_canvas(60, 40)
    assert window.dock.session.spot == other, "a drag is no click"
    assert tuple(window.viewer.scene.camera.center) != centre
    window.dock.session.set_slide(None)
    assert not card.isVisible()


def test_a_closed_card_comes_back(window: Window, slide: Path, bundle: Path) -> None:
    """Closed by its x, the card is shown again by the next click on a spot, be it the same one."""
    window.open(slide)
    window.set_bundle(bundle)
    result = window.predict()
    side = window.dock.side

    def click(row: int) -> None:
        window.click_canvas(window.screen_of(*result.grid.centres_px[row]))
        window.qtbot.waitUntil(lambda: side.spot is not None and side.spot.isVisible())
        window.qtbot.waitUntil(lambda: str(result.grid.ids[row]) in side.spot.title.text())
        window.settle(200)

    def close(name: str) -> None:
        dock = side.spot.parent()
        window.click(dock.titleBarWidget().findChild(QPushButton, f"QTitleBar{name}Button"))
        window.settle(200)
        assert not side.spot.isVisible()

    row = len(result.grid) // 2
    click(row)
    for name, again in (("Close", row), ("Close", row + 1), ("Hide", row + 1), ("Hide", row)):
        close(name)
        click(again)
        docks = [d for d in window.main.findChildren(QDockWidget) if d.windowTitle() == "Spot"]
        assert len(docks) == 1
    assert "not measured" in side.spot.statement.text()
    window.shot("spot_3_card_again")
    close("Close")


def test_card_and_measurements_go_with_the_dock(window: Window, slide: Path, bundle: Path) -> None:
    """What outlives the window without a parent can crash the interpreter at its exit: it did, in PyQt."""
    window.open(slide)
    window.set_bundle(bundle)
    result = window.predict()
    side = window.dock.side
    window.click_canvas(window.screen_of(*result.grid.centres_px[len(result.grid) // 2]))
    window.qtbot.waitUntil(lambda: side.spot is not None and side.spot.isVisible())
    label = int(result.domains.labels[window.dock.session.spot])
    window.rename_domain(sorted(result.domains.names).index(label), "Tumour bed")
    window.qtbot.waitUntil(lambda: "Tumour bed" in side.spot.title.text())
    window.click(window.dock.domain_panel.measure)
    window.qtbot.waitUntil(lambda: side.measures is not None and side.measures.table.rowCount() > 0)
    window.wait_idle()
    ours = {"SpotView", "MeasureView", "Navigator", "MclstexpDock"}

    def alive() -> set[str]:
        return ours & {type(widget).__name__ for widget in QApplication.allWidgets()}

    assert alive() == ours
    window.click(window.dock.parent().titleBarWidget().findChild(QPushButton, "QTitleBarCloseButton"))
    window.qtbot.waitUntil(lambda: alive() <= {"MclstexpDock"})
