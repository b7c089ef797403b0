"""Where to predict: regions, the tissue's mask; how long it would take; and stopping with what is done."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtTest import QTest

from napari_mclstexp.core import laying
from napari_mclstexp.gui.panels.place import DRAW, FILE, WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window

FINE_UM = 8


@pytest.fixture
def ready(window: Window, slide: Path, bundle: Path) -> Window:
    """The slide is open and the model chosen."""
    window.open(slide)
    window.set_bundle(bundle)
    return window


def count_told(window: Window) -> int:
    """Spots that the estimate tells, once it is there."""
    label = window.dock.predict_panel.estimate
    window.qtbot.waitUntil(lambda: label.isVisible() and "spots, about" in label.text(), timeout=20_000)
    return int(label.text().split(" spots")[0].replace(",", ""))


def test_while_a_path_is_typed_spots_are_counted_for_the_newest_alone(
    window: Window, slide: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.open(slide)
    whole = count_told(window)
    typed, counts, make_grid = threading.Event(), [], laying.make_grid

    def held_up(*given: object) -> object:
        assert typed.wait(60)
        counts.append(given)
        return make_grid(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(laying, "make_grid", held_up)
    window.set_bundle(bundle)
    typed.set()
    window.qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)
    assert count_told(window) == whole
    begun = QThreadPool.globalInstance().maxThreadCount()  # before the next letter came
    assert 1 <= len(counts) <= begun + 1 < len(str(bundle))


def test_inside_drawn_regions_and_regions_of_a_file(ready: Window, tmp_path: Path) -> None:
    window, session = ready, ready.dock.session
    panel = window.dock.predict_panel
    whole = count_told(window)
    assert "a guess" in panel.estimate.text()
    window.choose(panel.place.where, DRAW)
    window.click(panel.place.use_regions)
    assert "No region is drawn yet" in window.take_one_error()
    corners = [(400, 400), (400, 1200), (1100, 1200), (1100, 400)]
    for y, x in corners:
        window.click_canvas(window.screen_of(y, x))
    window.canvas.setFocus()
    QTest.keyClick(window.canvas, Qt.Key.Key_Return)
    window.settle()
    window.shot("place_1_drawn")
    window.click(panel.place.use_regions)
    assert session.regions is not None, window.said()
    assert "Inside 1 region" in panel.place.where_told.text()
    window.qtbot.waitUntil(lambda: session.estimate != "" and count_told(window) < whole)
    told = count_told(window)
    result = window.predict()
    assert len(result.grid) == told
    y, x = result.grid.centres_px.T
    assert y.min() > 350
    assert y.max() < 1150
    assert x.min() > 350
    assert x.max() < 1250
    assert f"{told} of {whole} spots inside 1 region" in result.provenance.regions
    window.shot("place_2_predicted")

    # A file of QuPath's.
    hole = shapely.Polygon(
        [(0, 0), (2000, 0), (2000, 1600), (0, 1600)], [[(500, 400), (900, 400), (900, 900)]]
    )
    path = tmp_path / "regions.geojson"
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(hole), "properties": {"name": "all"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    window.answer_dialog(lambda: window.walk(panel.place.where, 2), path)
    window.qtbot.waitUntil(lambda: session.regions is not None and session.regions.names == ("all",))
    assert panel.place.where.currentText() == FILE
    window.choose(panel.place.where, WHOLE)
    assert session.regions is None
    path.write_text("{", encoding="utf-8")
    window.clear_notes()
    window.answer_dialog(lambda: window.walk(panel.place.where, 2), path)
    window.qtbot.waitUntil(lambda: bool(window.notes()))
    assert "regions.geojson" in window.take_one_error()


def test_the_tissue_is_corrected_by_hand(ready: Window) -> None:
    window, session = ready, ready.dock.session
    panel = window.dock.predict_panel
    whole = count_told(window)
    window.click(panel.place.paint)
    window.qtbot.waitUntil(lambda: any(layer.name == "Tissue" for layer in window.viewer.layers))
    mask = window.layer("Tissue")
    assert mask.mode == "paint"
    before = np.asarray(mask.data) > 0
    mask.brush_size = 200
    window.canvas.setFocus()
    QTest.keyClick(window.canvas, "e")  # napari's key of the eraser
    assert mask.mode == "erase"
    window.drag_canvas(120, 60)
    window.shot("tissue_1_erased")
    window.click(panel.place.use_tissue)
    assert session.tissue is not None, window.said()
    assert (before & ~session.tissue.mask).sum() == session.tissue.edited_px > 0
    assert not any(layer.name == "Tissue" for layer in window.viewer.layers)
    window.qtbot.waitUntil(lambda: count_told(window) < whole)
    result = window.predict()
    assert len(result.grid) < whole
    assert f"{session.tissue.edited_px:,} px" in result.provenance.tissue_edits
    window.click(panel.place.drop_tissue)
    assert session.tissue is None


def test_stop_and_keep(ready: Window) -> None:
    window, session = ready, ready.dock.session
    panel = window.dock.predict_panel
    assert not panel.keep_button.isVisible()
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.wait_spots(200)
    assert panel.keep_button.isVisible()
    window.shot("keep_1_running")
    window.click(panel.keep_button)
    window.wait_idle(30_000)
    result = session.result
    assert result is not None, window.said()
    assert "stopped by the user" in result.provenance.partial
    assert len(result.grid) >= 200
    assert result.domains is not None
    assert session.remembered.spots_a_second, "how fast the model runs here was not noted"
    window.shot("keep_2_kept")

    # Another run asks before it replaces this one.
    window.click(window.predict_button)
    assert panel.question.isVisible()
    assert not session.job.running
    window.shot("keep_3_question")
    window.click(panel.question.no)
    assert not panel.question.isVisible()
    assert session.result is result


def test_panning_is_asynchronous_while_a_slide_is_open(ready: Window) -> None:
    from napari.settings import get_settings

    assert get_settings().experimental.async_
    assert "Asynchronous" in ready.dock.slide_panel.panning.text()
    ready.dock.session.set_slide(None)
    assert not get_settings().experimental.async_


def test_a_press_elsewhere_draws_nothing(ready: Window) -> None:
    ready.click_canvas(QPoint(20, 20))
    assert ready.dock.session.spot is None
