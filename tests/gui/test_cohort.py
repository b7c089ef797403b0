"""A cohort's folder in the window: its slides are paged through with what was predicted on them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QDialogButtonBox, QRadioButton
from steps import finish

from napari_mclstexp.cohort.folder import Cohort, Entry, Record, Shown, load_cohort
from napari_mclstexp.core import pipeline
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.saved import kept_work
from napari_mclstexp.plugin import get_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mclstexp.gui.panels.cohort import CohortBar
    from tests.gui.conftest import Heartbeat, Window

LONG = "HER2-study-2021-block-17b-recut-H&E"
REASON = "No tissue was found. Check that the slide is stained with H&E."


@pytest.fixture(scope="session")
def made(slide: Path, other_slide: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two slides that are done, one that was refused, and one that is not done."""
    folder = tmp_path_factory.mktemp("cohort") / "study"
    (folder / "slides").mkdir(parents=True)
    model = load_bundle(bundle)
    entries, results = [], []
    for name, path, patient in (("first", slide, "P1"), ("second", other_slide, "P2")):
        with pipeline.open_slide(path) as opened:
            steps = pipeline.predict_and_label(opened, model, opened.scale, device="cpu", domains=3)
            _, result = finish(steps)
            entries.append(Entry(name, path, opened.fingerprint, patient=patient, group="treated"))
        pipeline.save_result(result, folder / "slides" / f"{name}.h5ad")
        results.append(result)
    rng = np.random.default_rng(0)
    for name, patient in ((LONG, "P3"), ("fourth", "P4")):
        path = folder.parent / f"{name}.png"
        Image.fromarray(rng.integers(200, 255, (300, 400, 3), dtype=np.uint8)).save(path)
        with pipeline.open_slide(path) as opened:
            entries.append(Entry(name, path, opened.fingerprint, "0.5", patient, "control"))
    gene = results[0].genes[0]
    values = np.concatenate([result.gene_values(gene) for result in results])
    low, high = (float(v) for v in np.percentile(values, (5, 95)))
    shown = (Shown(gene, low, high),)
    cohort = Cohort(
        folder, tuple(entries), bundle, model.spec.name, model.digest, "log", {"mpp": ""}, shown, {}
    )
    cohort.save()
    for entry in entries[:2]:
        cohort.keep(entry, Record("key", "done", spots=80))
    cohort.keep(entries[2], Record("key", "refused: no tissue", REASON))
    return cohort


@pytest.fixture
def cohort(made: Cohort, tmp_path: Path) -> Cohort:
    """A copy that a test can spoil."""
    shutil.copytree(made.folder, tmp_path / "study")
    return load_cohort(tmp_path / "study")


@pytest.fixture
def opened(window: Window, cohort: Cohort, bundle: Path) -> Window:
    """A window with the cohort's first slide."""
    window.set_bundle(bundle)
    window.open(cohort.folder)
    wait(window, 0)
    return window


def bar_of(window: Window) -> CohortBar:
    return window.dock.cohort_bar


def wait(window: Window, at: int) -> None:
    """Wait for the slide at a place to be shown; nothing runs then."""

    def there() -> bool:
        paging = window.dock.session.paging
        return paging is not None and (paging.at, paging.wanted) == (at, None)

    window.qtbot.waitUntil(there, timeout=30_000)
    window.wait_idle(30_000)


def step(window: Window, by: int, at: int) -> None:
    window.click(bar_of(window).next if by > 0 else bar_of(window).previous)
    wait(window, at)


def shows(window: Window, entry: Entry, *, result: bool = True) -> None:
    """Bar, slide, layers and panels are of this slide."""
    session, bar = window.dock.session, bar_of(window)
    assert bar.isVisible()
    assert session.slide.fingerprint == entry.fingerprint
    assert window.dock.slide_panel.name.text() == entry.path.name
    assert f"Patient {entry.patient}" in bar.about.text()
    names = {layer.name.partition(":")[0] for layer in window.filled()}
    assert names == ({"H&E", "Predicted gene", "Domains"} if result else {"H&E"})
    assert (session.result is not None) == result
    if result:
        assert session.result.provenance.slide_fingerprint == entry.fingerprint
        assert window.layer("Domains").data.any()
        assert window.dock.domain_panel.legend.topLevelItemCount() == 3


def _choose_our_reader(left: int = 400) -> None:
    """Where napari asks which reader to take, click ours and OK."""
    dialog = QApplication.activeModalWidget()
    if isinstance(dialog, QDialog) and dialog.objectName() == "Choose reader":
        (ours,) = [b for b in dialog.findChildren(QRadioButton) if "mclSTExp" in b.text()]
        QTest.mouseClick(ours, Qt.MouseButton.LeftButton, pos=QPoint(8, ours.height() // 2))
        box = dialog.findChild(QDialogButtonBox)
        QTest.mouseClick(box.button(QDialogButtonBox.StandardButton.Ok), Qt.MouseButton.LeftButton)
    elif left:
        QTimer.singleShot(50, lambda: _choose_our_reader(left - 1))


@pytest.mark.parametrize("what", ["folder", "file"])
def test_dropped_onto_the_canvas(bare_window: Window, cohort: Cohort, what: str) -> None:
    """The dock opens and shows the first slide."""
    window, target = bare_window, bare_window.main._qt_viewer
    data = QMimeData()
    path = cohort.folder if what == "folder" else cohort.folder / "cohort.json"
    data.setUrls([QUrl.fromLocalFile(str(path))])
    at = target.rect().center()
    args = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    _choose_our_reader()
    QApplication.sendEvent(target, QDragEnterEvent(at, *args))
    QApplication.sendEvent(target, QDropEvent(QPointF(at), *args))
    window.find_dock()
    wait(window, 0)
    shows(window, cohort.entries[0])
    assert bar_of(window).place.text() == "Slide 1 of 4"
    assert window.dock.session.gene == cohort.genes[0].gene
    assert window.notes() == []
    window.shot(f"cohort_1_{what}")


def test_opened_by_its_button(window: Window, cohort: Cohort) -> None:
    assert not bar_of(window).isVisible()
    window.choose_in_dialog(window.dock.slide_panel.cohort_button, cohort.folder)
    wait(window, 0)
    shows(window, cohort.entries[0])
    assert Path(window.dock.predict_panel.form.bundle.value) == cohort.bundle, "its spots are explained by it"


def test_paged_by_buttons_keys_and_dropdown(opened: Window, cohort: Cohort) -> None:
    window, bar, first, second = opened, bar_of(opened), *cohort.entries[:2]
    assert not bar.previous.isEnabled()
    step(window, 1, 1)
    shows(window, second)
    assert bar.place.text() == "Slide 2 of 4"
    assert bar.about.text() == "Patient P2  ·  Group treated"
    window.canvas.setFocus()
    window.press(Qt.Key.Key_PageUp)
    wait(window, 0)
    shows(window, first)
    window.press(Qt.Key.Key_PageUp)  # there is none before
    window.settle(100)
    shows(window, first)
    window.press(Qt.Key.Key_PageDown)
    wait(window, 1)
    shows(window, second)
    window.walk(bar.slides, 3)
    wait(window, 3)
    assert not bar.next.isEnabled()
    window.walk(bar.slides, 0)
    wait(window, 0)
    shows(window, first)
    window.click(bar.next)  # it has the keyboard now
    wait(window, 1)
    window.press(Qt.Key.Key_PageUp)
    wait(window, 0)
    assert window.notes() == []


def test_gene_colours_and_view_stay(opened: Window, cohort: Cohort) -> None:
    window, dock, session = opened, opened.dock, opened.dock.session
    known, shared = cohort.genes[0].gene, (cohort.genes[0].low, cohort.genes[0].high)
    assert session.predicted_map.limits == shared, "the cohort's own limits"
    assert window.layer("Predicted gene").face_contrast_limits == shared
    other = next(gene for gene in session.result.genes if gene != known)
    window.pick_gene(other)
    limits = session.predicted_map.limits
    assert limits != shared
    window.choose(dock.domain_panel.style_box, "Filled")
    window.canvas.setFocus()
    window.press(Qt.Key.Key_O)
    opacity = session.view.opacity
    camera = window.viewer.scene.camera
    camera.zoom *= 3
    zoom = camera.zoom
    window.shot("cohort_2_zoomed")
    step(window, 1, 1)
    shows(window, cohort.entries[1])
    assert session.gene == other
    assert dock.gene_panel.gene.currentText() == other
    assert session.predicted_map.limits == limits
    assert window.layer("Predicted gene").face_contrast_limits == pytest.approx(limits)
    assert session.view.opacity == opacity
    assert window.layer("Domains").contour == 0
    assert camera.zoom == pytest.approx(zoom)
    window.shot("cohort_3_zoomed_second")
    window.pick_gene(known)
    assert session.predicted_map.limits == shared

    # Each slide by its own limits, and on one scale again.
    window.tick(bar_of(window).same_colours)
    own = session.predicted_map.limits
    assert own != shared
    step(window, -1, 0)
    assert session.predicted_map.limits not in (own, shared)
    window.tick(bar_of(window).same_colours)
    assert session.predicted_map.limits == shared


def test_several_genes_keep_their_colours(opened: Window) -> None:
    window, session = opened, opened.dock.session
    window.choose(window.dock.gene_panel.shows, "Three genes")
    genes = session.view.blend
    held = {gene: session.paging.limits[gene, False] for gene in genes}
    step(window, 1, 1)
    assert session.view.blend == genes
    assert {gene: session.paging.limits[gene, False] for gene in genes} == held
    values = session.result.believable(genes[0])
    low, high = held[genes[0]]
    red = session.predicted_map.rgb[:, 0]
    np.testing.assert_allclose(red, ((values - low) / (high - low)).clip(0, 1), atol=1e-6)


def test_without_a_result(opened: Window, cohort: Cohort) -> None:
    """A slide that was refused, or is not done: open, with a line that says why there is no prediction."""
    window, bar, session = opened, bar_of(opened), opened.dock.session
    gene = session.gene
    texts = [bar.slides.itemText(i) for i in range(4)]
    assert texts[0] == "first"
    assert "refused" in texts[2]
    assert "not predicted yet" in texts[3]
    assert REASON.replace("&", "&amp;") in bar.slides.itemData(2, Qt.ItemDataRole.ToolTipRole)
    window.walk(bar.slides, 2)
    wait(window, 2)
    shows(window, cohort.entries[2], result=False)
    assert bar.note.text() == f"Refused: {REASON}"
    assert session.scale.mpp_x == 0.5, "as it was given"
    window.shot("cohort_4_refused")
    step(window, 1, 3)
    shows(window, cohort.entries[3], result=False)
    assert "Not predicted yet" in bar.note.text()
    window.walk(bar.slides, 1)
    wait(window, 1)
    shows(window, cohort.entries[1])
    assert not bar.note.isVisible()
    assert session.gene == gene
    assert window.notes() == []


def test_a_slide_that_is_not_there(window: Window, cohort: Cohort, slide: Path, tmp_path: Path) -> None:
    first, second, *others = cohort.entries
    away = tmp_path / "away" / second.path.name
    spoiled = replace(cohort, entries=(first, replace(second, path=away), *others))
    spoiled.save()
    window.open(cohort.folder)
    wait(window, 0)
    window.click(bar_of(window).next)
    window.qtbot.waitUntil(lambda: len(window.notes()) == 1, timeout=20_000)
    told = window.take_one_error()
    assert str(away) in told
    assert "Put it back" in told
    wait(window, 0)
    shows(window, first)
    step(window, 1, 2)  # not back to the one that cannot be opened

    # Another one in its place.
    away.parent.mkdir()
    shutil.copy(slide, away)
    window.walk(bar_of(window).slides, 1)
    window.qtbot.waitUntil(lambda: len(window.notes()) == 1, timeout=20_000)
    assert "is not the slide" in window.take_one_error()
    wait(window, 2)

    # Beside the cohort's folder.
    shutil.copy(second.path, tmp_path / second.path.name)
    window.walk(bar_of(window).slides, 1)
    wait(window, 1)
    shows(window, second)


@pytest.mark.parametrize("how", ["cut", "absent", "other"])
def test_a_result_that_cannot_be_shown(opened: Window, cohort: Cohort, how: str) -> None:
    window, file = opened, cohort.file(cohort.entries[1], ".h5ad")
    if how == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif how == "absent":
        file.unlink()
    else:
        shutil.copy(cohort.file(cohort.entries[0], ".h5ad"), file)
    step(window, 1, 1)
    shows(window, cohort.entries[1], result=False)
    note = bar_of(window).note
    assert "the cohort again" in note.text()
    assert ("Delete second.h5ad" in note.text()) == (how != "absent")
    assert note.height() >= note.heightForWidth(note.width()), "its lines are cut off"
    assert window.notes() == []
    window.shot(f"cohort_5_{how}")
    step(window, -1, 0)
    shows(window, cohort.entries[0])


def test_edits_of_domains_are_not_lost(opened: Window, cohort: Cohort) -> None:
    """Paged away from at once, they are there again: in this window, and in another."""
    window, panel = opened, opened.dock.domain_panel
    window.rename_domain(0, "Tumour")
    window.click(bar_of(window).next)
    wait(window, 1)
    assert panel.legend.topLevelItem(0).text(0) != "Tumour"
    step(window, -1, 0)
    assert panel.legend.topLevelItem(0).text(0) == "Tumour"
    assert panel.undo.isEnabled()
    window.rename_domain(1, "Stroma")
    window.settle(2000)
    window.menu_entry().trigger()
    window.settle(200)
    window.viewer.layers.clear()
    window.open_dock()
    window.open(cohort.folder)
    wait(window, 0)
    legend = window.dock.domain_panel.legend
    assert [legend.topLevelItem(i).text(0) for i in (0, 1)] == ["Tumour", "Stroma"]
    window.click(window.dock.domain_panel.undo)
    assert legend.topLevelItem(1).text(0) == "Domain 2"
    assert window.notes() == []


def test_own_work_on_a_slide_is_not_replaced(
    window: Window, cohort: Cohort, slide: Path, bundle: Path
) -> None:
    """What was kept of a slide before it is seen in the cohort, is kept; and can be taken up there."""
    window.open(slide)
    window.set_bundle(bundle)
    window.set_pitch(150)
    own = window.predict()
    window.rename_domain(0, "Mine")
    window.open(cohort.folder)
    wait(window, 0)
    shows(window, cohort.entries[0])
    assert len(window.dock.session.result.grid) != len(own.grid)
    window.canvas.setFocus()
    window.press(Qt.Key.Key_O)
    window.settle(2000)
    step(window, 1, 1)
    step(window, -1, 0)
    assert kept_work(cohort.entries[0].fingerprint).spots == len(own.grid)
    resume = window.dock.resume_bar
    window.qtbot.waitUntil(resume.isVisible)
    assert "beside the cohort's" in resume.text.text()
    window.click(resume.resume)
    window.qtbot.waitUntil(lambda: len(window.dock.session.result.grid) == len(own.grid))
    assert window.dock.domain_panel.legend.topLevelItem(0).text(0) == "Mine"


def test_paged_in_haste(opened: Window, cohort: Cohort, heartbeat: Heartbeat) -> None:
    """The last slide that was asked for is the one that is shown; never a result on another slide."""
    window, session, bar = opened, opened.dock.session, bar_of(opened)
    wrong: list[str] = []

    def look() -> None:
        result, slide = session.result, session.slide
        if result is not None and result.provenance.slide_fingerprint != slide.fingerprint:
            wrong.append(slide.path.name)

    session.result_changed.connect(look)
    session.slide_changed.connect(look)
    with heartbeat:
        for _ in range(3):
            QTest.mouseClick(bar.next, Qt.MouseButton.LeftButton)
        wait(window, 3)
        gaps = heartbeat.lap()
    assert max(gap.unexplained for gap in gaps) < 1.0
    shows(window, cohort.entries[3], result=False)
    for _ in range(3):
        QTest.mouseClick(bar.previous, Qt.MouseButton.LeftButton)
        window.settle(30)
    wait(window, 0)
    shows(window, cohort.entries[0])
    for by in (1, -1, 1, -1, 1):  # there and back
        QTest.mouseClick(bar.next if by > 0 else bar.previous, Qt.MouseButton.LeftButton)
    wait(window, 1)
    shows(window, cohort.entries[1])
    assert wrong == []
    assert window.notes() == []


def test_left(opened: Window, cohort: Cohort, other_slide: Path) -> None:
    """By its button, the slide stays; a slide that is none of it ends it, too."""
    window, session = opened, opened.dock.session
    window.click(bar_of(window).close_button)
    assert not bar_of(window).isVisible()
    assert session.result is not None
    assert session.view.colour.by == "percentiles"
    window.canvas.setFocus()
    window.press(Qt.Key.Key_PageDown)
    window.settle(100)
    assert session.slide.fingerprint == cohort.entries[0].fingerprint
    window.open(cohort.folder)
    wait(window, 0)
    window.open(other_slide)
    window.qtbot.waitUntil(lambda: not bar_of(window).isVisible())
    assert session.slide.path == other_slide
    assert session.result is None


def test_not_while_a_prediction_runs(opened: Window, cohort: Cohort) -> None:
    window = opened
    window.set_pitch(8)
    window.press_predict()
    window.wait_spots()
    assert not bar_of(window).next.isEnabled()
    window.canvas.setFocus()
    window.press(Qt.Key.Key_PageDown)
    window.settle(100)
    assert "still running" in window.said()[-1]
    assert window.dock.session.job.predicting
    window.click(window.dock.predict_panel.cancel_button)
    window.wait_idle()
    window.clear_notes()
    step(window, 1, 1)
    shows(window, cohort.entries[1])


def test_no_script_of_a_slide_for_domains_of_a_cohort(opened: Window, tmp_path: Path) -> None:
    window = opened
    window.choose_in_dialog(window.dock.export_panel.script_button, tmp_path / "again.py")
    assert "all slides of the cohort" in window.take_one_error()
    assert not (tmp_path / "again.py").exists()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_in_both_themes(opened: Window, theme: str) -> None:
    opened.viewer.theme = theme
    opened.shot(f"cohort_6_{theme}")
    bar = bar_of(opened)
    opened.click(bar.slides)
    listed = opened.shot(f"cohort_7_{theme}_list")
    view = bar.slides.view()

    def contrast(row: int) -> int:
        """Of its text against what is behind that."""
        at = view.visualRect(bar.slides.model().index(row, 0))
        corner = view.viewport().mapToGlobal(at.topLeft())
        crop = listed[corner.y() + 2 : corner.y() + at.height() - 2, corner.x() + 5 : corner.x() + 200]
        return int(np.ptp(crop.astype(int).sum(axis=2)))

    assert contrast(2) < 0.75 * contrast(1), "one that was refused is not grey"
    opened.press(Qt.Key.Key_Escape)
    step(opened, 1, 1)
    step(opened, 1, 2)
    opened.shot(f"cohort_8_{theme}_refused")


def _parent(told: dict) -> str:  # type: ignore[type-arg]
    told["slides"][0]["name"] = "../../first"
    return json.dumps(told)


def _twice(told: dict) -> str:  # type: ignore[type-arg]
    told["slides"][1]["name"] = told["slides"][0]["name"]
    return json.dumps(told)


def _million(told: dict) -> str:  # type: ignore[type-arg]
    head = json.dumps({**told, "slides": []}).removesuffix("[]}")
    slide = '{"name":"%d","path":"a","fingerprint":"","mpp":"","patient":"","group":""}'
    return head + "[" + ",".join(slide % i for i in range(1_000_000)) + "]}"


def _deep(told: dict) -> str:  # type: ignore[type-arg]
    return json.dumps(told)[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}"


def _cut(told: dict) -> str:  # type: ignore[type-arg]
    return json.dumps(told)[:-40]


def _later(told: dict) -> str:  # type: ignore[type-arg]
    return json.dumps({**told, "schema_version": 99})


def _none(told: dict) -> str:  # type: ignore[type-arg]
    return json.dumps({**told, "slides": []})


@pytest.mark.parametrize("spoil", [_parent, _twice, _million, _deep, _cut, _later, _none])
def test_what_is_no_cohort_to_open(window: Window, cohort: Cohort, spoil: Callable[[dict], str]) -> None:  # type: ignore[type-arg]
    file = cohort.folder / "cohort.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(spoil({"schema_version": 1, "bundle_id": "", **told}), encoding="utf-8")
    window.open(cohort.folder)
    window.qtbot.waitUntil(lambda: len(window.notes()) == 1, timeout=30_000)
    window.take_one_error()
    assert not bar_of(window).isVisible()
    assert window.dock.session.slide is None


def test_other_programs_files_are_left_to_them(tmp_path: Path) -> None:
    for content in ("", "{}", '{"patients": [1, 2]}', "[" * 5000):
        (tmp_path / "cohort.json").write_text(content, encoding="utf-8")
        assert get_reader(str(tmp_path)) is None
        assert get_reader(str(tmp_path / "cohort.json")) is None
    (tmp_path / "cohort.json").unlink()
    assert get_reader(str(tmp_path)) is None
