"""Nothing forgotten: edits undone and redone, work taken up again, the session as code and as a figure."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mclstexp.core.saved import kept_work

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def predicted(window: Window, slide: Path, bundle: Path) -> Window:
    """A window with a prediction."""
    window.open(slide)
    window.set_bundle(bundle)
    window.predict()
    return window


def names(window: Window) -> list[str]:
    legend = window.dock.domain_panel.legend
    return [legend.topLevelItem(i).text(0) for i in range(legend.topLevelItemCount())]


def test_domains_are_edited_undone_and_redone(predicted: Window) -> None:
    window, panel = predicted, predicted.dock.domain_panel
    session = window.dock.session
    before = names(window)
    assert not panel.undo.isEnabled()
    window.rename_domain(0, "Tumour")
    assert names(window) == ["Tumour", *before[1:]]
    spots = [int(panel.legend.topLevelItem(i).text(1).replace(",", "")) for i in range(len(before))]
    for row, modifier in ((1, Qt.KeyboardModifier.NoModifier), (2, Qt.KeyboardModifier.ControlModifier)):
        at = panel.legend.visualItemRect(panel.legend.topLevelItem(row)).center()
        QTest.mouseClick(panel.legend.viewport(), Qt.MouseButton.LeftButton, modifier, at)
    window.click(panel.merge)
    assert len(names(window)) == len(before) - 1
    assert int(panel.legend.topLevelItem(1).text(1).replace(",", "")) == spots[1] + spots[2]
    assert session.result.provenance.edits == 2
    shown = np.unique(window.layer("Domains").data)
    assert len(shown[shown > 0]) == len(before) - 1
    window.shot("edits_1_merged")
    window.click(panel.undo)
    assert names(window) == ["Tumour", *before[1:]]
    window.canvas.setFocus()
    QTest.keyClick(window.canvas, "z", Qt.KeyboardModifier.ControlModifier)
    assert names(window) == before
    assert not panel.undo.isEnabled()
    window.click(panel.redo)
    assert names(window) == ["Tumour", *before[1:]]

    # A name that is taken is refused, and nothing has changed.
    window.clear_notes()
    window.rename_domain(1, "Tumour")
    assert "Tumour" in window.take_one_error()
    assert names(window) == ["Tumour", *before[1:]]


def test_work_is_taken_up_again(predicted: Window, slide: Path, other_slide: Path) -> None:
    window, session = predicted, predicted.dock.session
    window.pick_gene("COL1A1")
    window.rename_domain(0, "Tumour")
    window.choose(window.dock.domain_panel.style_box, "Filled")
    result, fingerprint = session.result, session.slide.fingerprint
    zoom = window.viewer.scene.camera.zoom = window.viewer.scene.camera.zoom * 2
    window.qtbot.waitUntil(lambda: kept_work(fingerprint) is not None and kept_work(fingerprint).edits == 1)
    window.pick_gene("CD3D")
    window.open(other_slide)  # at once: what had changed last is kept all the same
    window.qtbot.waitUntil(lambda: session.slide.path == other_slide)
    assert not window.dock.resume_bar.isVisible(), "nothing was kept of this one"

    # A new dock, as after a new start.
    dock = window.menu_entry()
    dock.trigger()
    window.settle(200)
    window.viewer.layers.clear()
    window.open_dock()
    window.open(slide)
    bar, session = window.dock.resume_bar, window.dock.session
    window.qtbot.waitUntil(bar.isVisible)
    assert f"{len(result.grid):,} spots and an edit of its domains" in bar.text.text()
    assert bar.text.height() >= bar.text.heightForWidth(bar.text.width()), "its lines are cut off"
    window.shot("resume_1_offered")
    window.click(bar.resume)
    window.qtbot.waitUntil(lambda: session.result is not None)
    assert not bar.isVisible()
    assert np.array_equal(session.result.expression, result.expression)
    assert session.gene == "CD3D"
    assert names(window)[0] == "Tumour"
    assert window.layer("Domains").contour == 0, "domains are filled, as they were"
    assert window.viewer.scene.camera.zoom == pytest.approx(zoom, rel=1e-3)
    window.click(window.dock.domain_panel.undo)
    assert names(window)[0] == "Domain 1"
    window.shot("resume_2_resumed")


def test_kept_work_is_let_go(predicted: Window, slide: Path, other_slide: Path) -> None:
    window, session = predicted, predicted.dock.session
    fingerprint = session.slide.fingerprint
    window.qtbot.waitUntil(lambda: kept_work(fingerprint) is not None, timeout=20_000)
    window.open(other_slide)
    window.open(slide)
    bar = window.dock.resume_bar
    window.qtbot.waitUntil(bar.isVisible)
    window.click(bar.forget)
    window.qtbot.waitUntil(lambda: kept_work(fingerprint) is None)
    assert not bar.isVisible()


def test_the_session_as_code_gives_the_same_to_the_last_digit(
    predicted: Window, tmp_path: Path, python: str
) -> None:
    window = predicted
    window.rename_domain(0, "Tumour")
    exported = tmp_path / "window.h5ad"
    window.export(exported)
    script, notebook = tmp_path / "again.py", tmp_path / "again.ipynb"
    panel = window.dock.export_panel
    for path in (script, notebook):
        window.choose_in_dialog(panel.script_button, path)
        window.qtbot.waitUntil(path.is_file, timeout=20_000)
    out = tmp_path / "out"
    done = subprocess.run(
        [python, str(script), str(out)],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (repeated,) = out.glob("*.h5ad")
    ours, theirs = anndata.read_h5ad(exported), anndata.read_h5ad(repeated)
    assert np.array_equal(np.asarray(ours.X), np.asarray(theirs.X))
    assert ours.obs["domain"].tolist() == theirs.obs["domain"].tolist()
    assert "Tumour" in set(theirs.obs["domain"])
    assert theirs.uns["mclstexp"]["edits"] == 1


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_what_is_seen_as_a_figure(predicted: Window, tmp_path: Path, suffix: str) -> None:
    window, panel = predicted, predicted.dock.export_panel
    window.pick_gene("ERBB2")
    window.viewer.scene.camera.zoom *= 2
    path = tmp_path / f"figure.{suffix}"
    window.choose_in_dialog(panel.figure_button, path)
    window.qtbot.waitUntil(path.is_file, timeout=30_000)
    content = path.read_bytes()
    if suffix == "png":
        with Image.open(path) as picture:
            assert picture.width == pytest.approx(7 * 300, rel=0.02)
    elif suffix == "svg":
        for word in (b"ERBB2", b"not measured", b"mm"):
            assert word in content
    else:
        assert content.startswith(b"%PDF")


def test_from_a_fresh_window_to_domains_in_at_most_six_actions(
    bare_window: Window, slide: Path, tmp_path: Path
) -> None:
    """Each line that acts is one: open, predict, path, export."""
    window, target = bare_window, tmp_path / "domains.geojson"
    actions: list[str] = []

    def act(name: str, do: Callable[[], object]) -> None:
        actions.append(name)
        do()

    act("open the slide (File > Open)", lambda: window.open(slide))
    window.find_dock()  # by itself
    window.qtbot.waitUntil(window.predict_button.isEnabled)
    act("press Predict", lambda: window.click(window.predict_button))
    window.wait_idle()
    act("type where to", lambda: window.type(window.dock.export_panel.path, str(target)))
    act("press Export", lambda: window.click(window.dock.export_panel.export_button))
    window.wait_idle()
    assert target.is_file(), window.said()
    assert len(actions) <= 6
    assert QApplication.activeModalWidget() is None
