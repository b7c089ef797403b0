"""Two viewers of one program, each with its dock and its slide: neither sees what the other does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QPushButton

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window

FINE_UM = 8


def begin(window: Window, slide: Path, bundle: Path) -> None:
    """Predict on a slide for long, and wait until that has begun."""
    window.open(slide)
    window.set_bundle(bundle)
    window.set_pitch(FINE_UM)
    window.press_predict()
    window.wait_spots(50)


@pytest.fixture
def running(window: Window, slide: Path, bundle: Path) -> Window:
    """The first window, in the midst of a long prediction."""
    begin(window, slide, bundle)
    return window


def shown(window: Window) -> list[tuple[str, Any]]:
    """The layers of a window that are seen, without the gene, and how much of each there is."""
    layers = [layer for layer in window.viewer.layers if layer.visible]
    return [(layer.name.split(":")[0], np.shape(layer.data)) for layer in layers]


def of_own_slide(window: Window) -> None:
    """The result and its map are of the window's own slide."""
    session, heatmap = window.dock.session, window.layer("Predicted gene")
    assert session.result.provenance.slide_fingerprint == session.slide.fingerprint
    np.testing.assert_array_equal(heatmap.features["expression"], session.result.believable(session.gene))


def test_one_is_used_while_the_other_predicts(
    running: Window, another: Window, slide: Path, other_slide: Path, bundle: Path
) -> None:
    first, second = running, another
    assert first.dock is not second.dock
    assert list(second.viewer.layers) == [], "a new window has nothing of the other"
    second.open(other_slide)
    second.set_bundle(bundle)
    second.set_grid("Visium: hexagonal, 100 µm")
    done = first.dock.session.job.progress.done
    result = second.predict()
    second.pick_gene("GAPDH")
    assert first.dock.session.job.predicting, "the first one goes on"
    assert first.dock.session.job.progress.done > done
    assert first.dock.session.result is None
    assert first.dock.session.gene != "GAPDH"
    assert first.dock.slide_panel.name.text() == slide.name
    assert second.dock.slide_panel.name.text() == other_slide.name
    of_own_slide(second)
    second.shot("two_windows_second")

    # The first one's result lands on its own layers, while the second is before it.
    before = shown(second)
    first.come_to_front()
    first.click(first.dock.predict_panel.keep_button)
    second.come_to_front()
    second.pick_gene("DCN")
    first.wait_idle()
    assert second.dock.session.result is result
    assert second.dock.session.gene == "DCN"
    assert shown(second) == before
    of_own_slide(second)
    of_own_slide(first)
    assert len(first.dock.session.result.grid) != len(result.grid)
    first.come_to_front()
    first.shot("two_windows_first")
    assert first.notes() == second.notes() == []


def test_one_dock_is_closed_in_mid_run(
    running: Window, another: Window, other_slide: Path, bundle: Path, tmp_path: Path
) -> None:
    """By the cross on it; the other window's run goes on, and its next ones too."""
    first, second = running, another
    begin(second, other_slide, bundle)
    assert first.dock.session.job.predicting
    second.click(second.dock.parent().findChild(QPushButton, "QTitleBarCloseButton"))
    second.settle(200)
    assert [layer.name for layer in second.viewer.layers] == ["H&E"]
    done = first.dock.session.job.progress.done
    first.come_to_front()
    first.wait_spots(done + 50)
    first.click(first.dock.predict_panel.keep_button)
    first.wait_idle()
    of_own_slide(first)
    first.pick_gene("GAPDH")
    first.export(tmp_path / "first.csv")
    assert (tmp_path / "first.csv").exists()
    first.set_grid("Visium: hexagonal, 100 µm")
    first.predict()
    of_own_slide(first)
    assert [layer.name for layer in second.viewer.layers] == ["H&E"]
    assert [note.message for note in first.notes() if str(note.severity) == "error"] == []


def test_one_window_is_closed_in_mid_run(
    running: Window, another: Window, other_slide: Path, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a whole, after the other was drawn; that can still be drawn, and its run goes on."""
    first, second = running, another
    begin(second, other_slide, bundle)
    first.come_to_front()
    done = first.dock.session.job.progress.done
    own, current = second.canvas.context(), []
    second.viewer.layers.events.removed.connect(lambda: current.append(QOpenGLContext.currentContext()))
    second.viewer.close()
    assert current, "its layers went"
    assert all(context is own for context in current), "and OpenGL's objects with them, none of the other's"
    first.wait_spots(done + 50)
    first.click(first.dock.predict_panel.keep_button)
    first.wait_idle()
    of_own_slide(first)
    first.pick_gene("GAPDH")
    first.shot("two_windows_closed")
    assert "Error drawing visual" not in caplog.text
