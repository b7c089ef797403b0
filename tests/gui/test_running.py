"""A prediction that is stopped, overtaken or left behind. The slide is small, the grid very fine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QPushButton

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


def test_cancel(ready: Window) -> None:
    window, dock = ready, ready.dock
    first = window.predict()
    window.pick_gene("GAPDH")
    layers = {layer.name for layer in window.viewer.layers}
    shown = window.layer("Predicted gene").features["expression"].to_numpy().copy()
    usual = {w: w.isEnabled() for w in (window.predict_button, dock.domain_panel.find, dock.slide_panel.mpp)}
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.wait_spots(100)
    for widget in (window.predict_button, dock.domain_panel.find, dock.slide_panel.open_button):
        assert not widget.isEnabled()
    window.shot("cancel_1_running")
    began = time.monotonic()
    window.click(dock.predict_panel.cancel_button)
    window.wait_idle(15_000)
    assert time.monotonic() - began < 8
    assert QThreadPool.globalInstance().waitForDone(2000)
    assert "ancel" in dock.predict_panel.stage.text()
    assert window.notes() == []

    # As before.
    assert dock.session.result is first
    assert dock.session.gene == "GAPDH"
    assert {layer.name for layer in window.viewer.layers} == layers
    np.testing.assert_array_equal(window.layer("Predicted gene").features["expression"], shown)
    assert {w: w.isEnabled() for w in usual} == usual
    assert not dock.predict_panel.bar.isVisible()
    assert not dock.predict_panel.cancel_button.isVisible()
    window.shot("cancel_2_cancelled")

    # And the next one works.
    window.set_pitch(150)
    second = window.predict()
    assert len(second.grid) < len(first.grid)
    assert dock.session.gene == "GAPDH"
    np.testing.assert_array_equal(
        window.layer("Predicted gene").features["expression"], second.believable("GAPDH")
    )


def test_a_second_job_meanwhile_is_refused_with_one_line(ready: Window, tmp_path: Path) -> None:
    """Its button cannot be pressed; where it is asked for all the same, one line says why not."""
    window, dock = ready, ready.dock
    window.predict()
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.wait_spots(50)
    for widget in (window.predict_button, dock.export_panel.export_button, dock.domain_panel.find):
        assert not widget.isEnabled()
    target = tmp_path / "spots.csv"
    dock.export_panel.export_requested.emit(target, True)
    window.settle()
    assert window.said() == ["Something is still running. Wait for it, or cancel it."]
    assert dock.session.job.predicting, "the first one goes on"
    window.click(dock.predict_panel.cancel_button)
    window.wait_idle(15_000)
    assert not target.exists()
    window.export(target)
    assert target.exists(), "the next one works"


def test_an_interrupted_run_goes_on(ready: Window, own_data: Path) -> None:
    window, panel = ready, ready.dock.predict_panel
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.qtbot.waitUntil(lambda: list(own_data.glob("unfinished/*/[0-9]*")) != [], timeout=60_000)
    window.click(panel.cancel_button)
    window.wait_idle(15_000)
    window.press_predict()
    window.wait_spots(1)
    window.qtbot.waitUntil(lambda: "taken from the interrupted run" in panel.stage.text(), timeout=30_000)
    stage = panel.stage
    window.qtbot.waitUntil(
        lambda: stage.height() >= stage.heightForWidth(stage.width())
    )  # nothing is cut off
    assert stage.width() <= panel.width()
    window.shot("resumed_run")
    window.click(panel.cancel_button)
    window.wait_idle(15_000)
    assert window.notes() == []


def test_window_closed_in_mid_run(ready: Window) -> None:
    ready.set_pitch(FINE_UM)
    ready.press_predict()
    ready.wait_spots(100)
    began = time.monotonic()
    ready.viewer.close()
    assert time.monotonic() - began < 10
    assert QThreadPool.globalInstance().waitForDone(1000), "closing did not wait for the worker"


def test_window_closed_while_a_model_is_loaded(ready: Window) -> None:
    ready.press_predict()
    ready.viewer.close()
    assert QThreadPool.globalInstance().waitForDone(1000), "closing did not wait for the worker"


def test_dock_closed_in_mid_run_and_opened_again(ready: Window, other_slide: Path, bundle: Path) -> None:
    """The cross on the dock ends its work; a new dock is the only one that draws."""
    window = ready
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.wait_spots(100)
    cross = window.dock.parent().findChild(QPushButton, "QTitleBarCloseButton")
    window.click(cross)
    assert QThreadPool.globalInstance().waitForDone(10_000), "the run goes on without its dock"
    window.settle(200)
    assert [layer.name for layer in window.viewer.layers] == ["H&E"]
    old = window.dock
    assert window.open_dock() is not old
    assert window.dock.slide_panel.name.text() == "CANARY_Jane_Doe_1961.tif", "the slide is not taken over"
    window.set_bundle(bundle)
    window.predict()
    assert len(window.viewer.layers) == 4
    window.open(other_slide)
    assert [layer.name for layer in window.viewer.layers] == ["H&E"]
    assert window.notes() == []


def test_slide_switched_in_mid_run(ready: Window, other_slide: Path, bundle: Path) -> None:
    """What was predicted for the old slide never lands on the new one, and no error is told of it."""
    window, dock = ready, ready.dock
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.wait_spots(100)
    window.open(other_slide)
    assert dock.slide_panel.name.text() == other_slide.name
    assert dock.session.result is None
    assert [layer.name for layer in window.filled()] == ["H&E"]
    window.wait_idle(10_000)  # the old run is stopped, not awaited
    window.settle(300)
    assert dock.session.result is None
    assert [layer.name for layer in window.filled()] == ["H&E"]
    assert window.notes() == []
    assert window.predict_button.isEnabled()
    window.shot("switch_1_other_slide")
    window.set_pitch(100)
    result = window.predict()
    assert result.provenance.slide_fingerprint == dock.session.slide.fingerprint
    assert dock.session.slide.path == other_slide


def test_same_slide_opened_twice(ready: Window, slide: Path) -> None:
    """Opening the slide again leaves one layer that can be read and predicted on."""
    window = ready
    window.predict()
    window.open(slide)
    assert [layer.name for layer in window.viewer.layers].count("H&E") == 1
    window.shot("twice")
    window.predict()
    assert len(window.viewer.layers) == 4
