# ruff: noqa: E402 - napari reads NAPARI_CONFIG when it is imported
"""Hands and eyes for tests of the window.

A test sits before the shown window: it clicks and types on visible, enabled widgets and looks at what
is shown. It calls no slot and no controller. Where MCLSTEXP_SCREENSHOTS names a folder, each picture
that a test takes of the screen is kept there for a person to look at; pictures are never compared to
earlier ones.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before napari is imported: its settings come from a folder of our own, not from the user's.
_SETTINGS = tempfile.mkdtemp(prefix="mclstexp-napari-")
os.environ["NAPARI_CONFIG"] = str(Path(_SETTINGS) / "settings.yaml")

import numpy as np
import pandas as pd
import pytest
from napari.settings import get_settings
from napari.utils.notifications import ErrorNotification, Notification, notification_manager
from qtpy.QtCore import QPoint, Qt, QThreadPool, QTimer
from qtpy.QtGui import QAction, QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QScrollArea,
    QWidget,
)
from steps import finish

from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.training.fit import train
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.sections import read_section
from napari_mclstexp.training.synthetic import make_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from pytestqt.qtbot import QtBot

    from napari_mclstexp.gui.dock import MclstexpDock

SIZE = (1500, 950)
SLOW = 240_000
"""Milliseconds that a whole prediction may take on a busy machine."""
PANEL_GENES = ("ERBB2", "COL1A1", "COL1A2", "COL3A1", "KRT19", "FASN", "CD3D", "GAPDH", "ACTB", "VIM")


def pytest_unconfigure() -> None:
    shutil.rmtree(_SETTINGS, ignore_errors=True)


@dataclass(frozen=True)
class Gap:
    """Time between two ticks of the event loop, s, and how long of it the machine had no processor for it."""

    seconds: float
    stalled: float

    @property
    def unexplained(self) -> float:
        """What the load of the machine does not explain, s.

        The stall counts twice: what the window waits for (the thread that has the interpreter's lock, those
        that draw, the X server) waits for a processor as well, about as long.
        """
        return self.seconds - 2 * self.stalled


class Heartbeat:
    """Ticks on the event loop; a window that does not answer misses them.

    A busy machine stretches the time between ticks, too. How much is its doing, the kernel tells: it counts
    how long the main thread was ready to run and had no processor. A thread that sleeps, waits or computes
    is not ready in that sense, so that a blocked window is told from a starved one. Where the kernel does
    not count (it is Linux that does), all of a gap is the window's.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self._beats: list[tuple[float, float]] = []  # when, and the stall until then, s
        self._timer = QTimer()
        self._timer.setInterval(40)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> Heartbeat:
        self.ticks = 0
        self._beats = [self._now()]
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    def lap(self) -> list[Gap]:
        """Gaps since the start or the last lap, the one that lasts included."""
        beats = [*self._beats, self._now()]
        self._beats = beats[-1:]
        return [Gap(*after) for after in np.diff(beats, axis=0).tolist()]

    def _tick(self) -> None:
        self.ticks += 1
        self._beats.append(self._now())

    @staticmethod
    def _now() -> tuple[float, float]:
        counted = Path("/proc/thread-self/schedstat")  # ns on a processor, ns waiting for one, turns
        stalled = int(counted.read_text().split()[1]) / 1e9 if counted.exists() else 0.0
        return time.perf_counter(), stalled


class Window:
    """The shown viewer with our dock."""

    def __init__(self, viewer: napari.Viewer, qtbot: QtBot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.dock: MclstexpDock = None  # type: ignore[assignment]
        self.main: QWidget = viewer.window._qt_window
        self._notes_before = len(notification_manager.records)
        viewer.window.resize(*SIZE)
        self.main.move(0, 0)
        self.main.activateWindow()
        qtbot.waitUntil(self.main.isActiveWindow, timeout=10_000)

    def come_to_front(self) -> None:
        """Lie above other windows and take the keyboard, as one does that a person clicks on."""
        self.main.raise_()
        self.main.activateWindow()
        self.qtbot.waitUntil(self.main.isActiveWindow, timeout=10_000)
        self.settle()

    # --- the dock and slides

    def menu_entry(self) -> QAction:
        """The dock's entry in the menu Plugins."""
        found = [a for a in _actions(self.viewer.window.plugins_menu) if "mclSTExp" in a.text()]
        assert len(found) == 1, [a.text() for a in found]
        return found[0]

    def file_entry(self, text: str) -> QAction:
        """An entry of the menu File, by its text."""
        entries = {a.text().replace("&", ""): a for a in _actions(self.viewer.window.file_menu)}
        return entries[text]

    def open_dock(self) -> MclstexpDock:
        """Open the dock by the menu Plugins."""
        self.menu_entry().trigger()
        return self.find_dock()

    def find_dock(self) -> MclstexpDock:
        """Find the one dock of the window, which may be about to open."""
        self.qtbot.waitUntil(lambda: self.main.findChild(QWidget, "mclSTExp") is not None)
        self.settle()
        (self.dock,) = self.main.findChildren(QWidget, "mclSTExp")
        self.qtbot.waitUntil(self.dock.isVisible)
        return self.dock

    def open(self, path: Path) -> None:
        """Open a slide by napari's File > Open, or by dropping it onto the canvas: both end here."""
        self.viewer.open(path, plugin="napari-mclstexp")
        self.settle()

    def close(self) -> None:
        """Close the window as a user does, where a test has not."""
        if hasattr(self.viewer.window, "_qt_window"):
            self.viewer.close()
        QApplication.processEvents()

    # --- hands

    def settle(self, ms: int = 60) -> None:
        self.qtbot.wait(ms)

    def click(self, widget: QWidget, at: QPoint | None = None) -> None:
        """Click where a person would; the widget must be shown, enabled and not covered."""
        point = at or widget.rect().center()
        for _ in range(25):  # a panel that has just changed is still being laid out
            for area in self.dock.findChildren(QScrollArea):
                if area.isAncestorOf(widget):
                    area.ensureWidgetVisible(widget, 5, 5)
            self.settle(20)
            top = QApplication.widgetAt(widget.mapToGlobal(point))
            if top is not None and (top is widget or widget.isAncestorOf(top)):
                break
        assert widget.isVisible(), f"{widget} is not shown"
        assert widget.isEnabled(), f"{widget} is disabled"
        assert top is not None, f"{widget} is off the screen"
        assert top is widget or widget.isAncestorOf(top), f"{widget} is covered by {top}"
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=point)
        self.settle(20)

    def tick(self, box: QWidget) -> None:
        """Click a check box on its indicator."""
        self.click(box, QPoint(8, box.height() // 2))

    def keys(self, text: str) -> None:
        """Type to whatever has the keyboard: a popup, or the focused widget."""
        for letter in text:
            QTest.keyClick(self._keyboard(), letter)
        self.settle(20)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self._keyboard(), key, modifier)
        self.settle(20)

    def _keyboard(self) -> QWidget:
        popup = QApplication.activePopupWidget()
        inside = None if popup is None else popup.findChild(QAbstractItemView)
        self._popup = popup  # PySide6 lets go of a child found by way of a parent that nobody holds
        taker = inside or popup or QApplication.focusWidget()
        assert taker is not None, "nothing has the keyboard"
        return taker

    def type(self, line: QLineEdit, text: str, *, enter: bool = False) -> None:
        """Click into a line, replace what it holds; with or without Enter at the end."""
        self.click(line)
        assert QApplication.focusWidget() in (line, line.parentWidget()), "a click did not give the focus"
        self.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.press(Qt.Key.Key_Delete)
        self.keys(text)
        assert line.text() == text
        if enter:
            self.press(Qt.Key.Key_Return)

    def choose(self, combo: QComboBox, text: str) -> None:
        """Open a dropdown and walk to an entry by the arrow keys."""
        self.walk(combo, [combo.itemText(i) for i in range(combo.count())].index(text))
        assert combo.currentText() == text

    def walk(self, combo: QComboBox, entry: int) -> None:
        """The same by an entry's place; what the dropdown shows then is its panel's business."""
        self.click(combo)
        assert QApplication.activePopupWidget() is not None, "the dropdown did not open"
        self.press(Qt.Key.Key_Home)
        for _ in range(entry):
            self.press(Qt.Key.Key_Down)
        self.press(Qt.Key.Key_Return)

    def settle_scale(self, start: str) -> None:
        """Choose a way to settle the scale, by the start of its text."""
        way = self.dock.slide_panel.settling.way
        texts = [way.itemText(i) for i in range(way.count())]
        self.walk(way, next(i for i, text in enumerate(texts) if text.startswith(start)))

    def choose_in_dialog(self, button: QWidget | QAction, path: Path) -> None:
        """Click a button, or take a menu's entry, that opens a dialog for a file; answer that."""
        self.answer_dialog(
            button.trigger if isinstance(button, QAction) else lambda: self.click(button), path
        )

    def answer_dialog(self, act: Callable[[], object], path: Path, kind: str = "") -> None:
        """Do what opens a dialog for a file; type a path into that, and click Open or Save.

        `kind` is the start of the kind of file to choose first.
        """
        seen: list[float] = []
        given_up: list[bool] = []

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            if not isinstance(dialog, QFileDialog):
                return
            seen.append(time.monotonic())
            line = dialog.findChild(QLineEdit, "fileNameEdit")
            (box,) = dialog.findChildren(QDialogButtonBox)
            choose = box.button(QDialogButtonBox.StandardButton.Open)
            choose = choose or box.button(QDialogButtonBox.StandardButton.Save)
            if seen[-1] - seen[0] > 6:
                given_up.append(True)
                dialog.reject()
            elif kind and not dialog.selectedNameFilter().startswith(kind):
                kinds = dialog.findChild(QComboBox, "fileTypeCombo")
                QTest.keyClick(kinds, Qt.Key.Key_Home)
                names = [kinds.itemText(i) for i in range(kinds.count())]
                for _ in range(next(i for i, name in enumerate(names) if name.startswith(kind))):
                    QTest.keyClick(kinds, Qt.Key.Key_Down)
            elif line.text() != str(path) or not choose.isEnabled():
                line.clear()
                QTest.keyClicks(line, str(path))
            else:
                popup = QApplication.activePopupWidget()
                if popup is not None:
                    QTest.keyClick(popup, Qt.Key.Key_Escape)
                if len(seen) % 2:  # a dialog that has just come may not hear of the mouse yet
                    QTest.mouseClick(choose, Qt.MouseButton.LeftButton)
                else:
                    QTest.keyClick(line, Qt.Key.Key_Return)

        timer = QTimer()
        timer.setInterval(200)
        timer.timeout.connect(answer)
        timer.start()
        for _ in range(5):  # one that hears of neither mouse nor keys is closed and opened again
            seen.clear()
            given_up.clear()
            act()
            if not given_up:
                break
        timer.stop()
        assert seen, "no dialog came"
        assert not given_up, "the dialog took no answer"
        self.main.activateWindow()  # a window manager does this; the virtual screen has none
        self.qtbot.waitUntil(self.main.isActiveWindow, timeout=10_000)

    def screen_of(self, y_px: float, x_px: float) -> QPoint:
        """Where a place of the slide, full-resolution px, lies on the canvas."""
        scale = self.dock.session.scale
        per_px = (1.0, 1.0) if scale is None else (scale.mpp_y, scale.mpp_x)
        camera, size = self.viewer.scene.camera, self.viewer.canvas.size
        y = (y_px * per_px[0] - camera.center[-2]) * camera.zoom + size[0] / 2
        x = (x_px * per_px[1] - camera.center[-1]) * camera.zoom + size[1] / 2
        return QPoint(round(x), round(y))

    def point_at_spot(self, row: int) -> QPoint:
        """Move the mouse onto a spot."""
        at = self.screen_of(*self.dock.session.result.grid.centres_px[row])
        QTest.mouseMove(self.canvas, at + QPoint(2, 2))
        self.settle(40)
        QTest.mouseMove(self.canvas, at)
        self.settle(80)
        return at

    def click_canvas(self, at: QPoint) -> None:
        for near in (at - QPoint(6, 6), at):
            QTest.mouseMove(self.canvas, near)
            self.settle(40)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=at)
        self.settle(20)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=at)
        self.settle(60)

    def drag_canvas(self, dx: int, dy: int) -> None:
        """Drag the picture with the left button."""
        canvas = self.canvas
        start = canvas.rect().center()
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        for i in range(1, 6):
            QTest.mouseMove(canvas, start + QPoint(dx * i // 5, dy * i // 5))
            self.settle(15)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(dx, dy))
        self.settle(30)

    # --- the steps of the dock

    def set_mpp(self, text: str) -> None:
        self.type(self.dock.slide_panel.mpp, text, enter=True)

    def set_bundle(self, path: Path) -> None:
        self.type(self.dock.predict_panel.form.bundle.line_edit.native, str(path))

    def set_grid(self, text: str) -> None:
        self.choose(self.dock.predict_panel.form.grid.native, text)

    def set_pitch(self, um: int) -> None:
        """Choose hexagonal spots of a pitch; 5 um makes a run of many seconds."""
        if self.dock.predict_panel.form.grid.value != "pitch":
            self.set_grid("Hexagonal, another pitch")
        box = self.dock.predict_panel.form.pitch_um.native
        self.click(box.lineEdit())
        self.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.keys(str(um))
        self.press(Qt.Key.Key_Tab)
        assert box.value() == um

    @property
    def predict_button(self) -> QWidget:
        return self.dock.predict_panel.predict_button

    def press_predict(self) -> None:
        before = self.dock.session.job
        self.click(self.predict_button)
        question = self.dock.predict_panel.question
        if question.isVisible():  # it would replace a prediction
            self.click(question.yes)
        assert self.dock.session.job is not before, "pressing Predict did not start anything"

    def predict(self) -> Any:
        """Press Predict, wait, and return the new result."""
        before = self.dock.session.result
        self.press_predict()
        self.wait_idle()
        result = self.dock.session.result
        assert result is not None
        assert result is not before, self.said()
        self.settle()
        return result

    def wait_spots(self, count: int = 1) -> None:
        """Wait until a running prediction has done some spots."""

        def done() -> bool:
            job = self.dock.session.job
            assert job.running, f"the run ended early: {job.message} {self.said()}"
            return job.progress is not None and job.progress.total > 0 and job.progress.done >= count

        self.qtbot.waitUntil(done, timeout=60_000)

    def wait_idle(self, timeout: int = SLOW) -> None:
        self.qtbot.waitUntil(lambda: not self.dock.session.job.running, timeout=timeout)
        self.settle()

    def pick_gene(self, gene: str) -> None:
        """Type a whole symbol into the dropdown of genes, and Enter."""
        combo = self.dock.gene_panel.gene
        self.type(combo.lineEdit(), gene, enter=True)
        self.settle()

    def rename_domain(self, row: int, name: str) -> None:
        """Double-click a name in the list of domains and type another."""
        legend = self.dock.domain_panel.legend
        at = legend.visualItemRect(legend.topLevelItem(row)).topLeft() + QPoint(40, 8)
        self.click(legend.viewport(), at)
        QTest.mouseDClick(legend.viewport(), Qt.MouseButton.LeftButton, pos=at)
        self.settle()
        editor = legend.findChild(QLineEdit)
        assert editor is not None, "the name cannot be changed"
        QTest.keyClick(editor, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(editor, name)
        QTest.keyClick(editor, Qt.Key.Key_Return)
        self.settle()

    def export(self, path: Path) -> None:
        panel = self.dock.export_panel
        self.type(panel.path, str(path))
        self.click(panel.export_button)
        self.wait_idle()

    # --- eyes

    @property
    def canvas(self) -> QWidget:
        return self.viewer.window._qt_window._qt_viewer.canvas.native

    def layer(self, start: str) -> Any:
        """The one layer whose name starts so."""
        found = [layer for layer in self.viewer.layers if layer.name.startswith(start)]
        assert len(found) == 1, [layer.name for layer in self.viewer.layers]
        return found[0]

    def filled(self) -> list[Any]:
        """The layers but those, unseen and empty, that wait for a prediction: the pointer may make them."""
        return [layer for layer in self.viewer.layers if layer.visible or np.any(layer.data)]

    def notes(self) -> list[Notification]:
        """Notifications since the window was opened."""
        return notification_manager.records[self._notes_before :]

    def said(self) -> list[str]:
        return [note.message for note in self.notes()]

    def take_one_error(self) -> str:
        """Text of the one error notification since the last look; it is no traceback."""
        self.settle(150)
        new = self.notes()
        self._notes_before = len(notification_manager.records)
        assert len(new) == 1, [note.message for note in new]
        assert str(new[0].severity) == "error"
        assert not isinstance(new[0], ErrorNotification), new[0].message
        for word in ("Traceback", "Error:", "defect"):
            assert word not in new[0].message, new[0].message
        return new[0].message

    def clear_notes(self) -> None:
        self._notes_before = len(notification_manager.records)

    def shot(self, name: str) -> np.ndarray:
        """(h, w, 3) uint8 of the window on the screen; dock and canvas with a layer are not of one colour."""
        self.settle(400)
        picture = QApplication.primaryScreen().grabWindow(0).toImage()
        picture = picture.convertToFormat(QImage.Format.Format_RGB888)
        folder = os.environ.get("MCLSTEXP_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            picture.save(str(Path(folder) / f"{name}.png"))
        height, width, line = picture.height(), picture.width(), picture.bytesPerLine()
        bits = picture.constBits()
        if hasattr(bits, "setsize"):  # PyQt6 gives a pointer without its size, PySide6 a memoryview
            bits.setsize(height * line)
        pixels = np.frombuffer(bits, np.uint8).reshape(height, line)[:, : width * 3]
        pixels = pixels.reshape(height, width, 3).copy()
        for part in (self.canvas, self.dock) if self.viewer.layers else (self.dock,):
            corner = part.mapToGlobal(QPoint(0, 0))
            crop = pixels[corner.y() : corner.y() + part.height(), corner.x() : corner.x() + part.width()]
            assert crop.size, f"{part} is off the screen"
            assert crop.std() > 4, f"{name}: the picture of {part} is of one colour"
        return pixels[: SIZE[1], : SIZE[0]]


def _actions(menu: QMenu) -> list[QAction]:
    found = []
    for action in menu.actions():
        found += _actions(action.menu()) if action.menu() else [action]
    return found


def readers() -> set[threading.Thread]:
    """Threads of ours that read patches."""
    return {t for t in threading.enumerate() if t.name.startswith("mclstexp")}


@pytest.fixture
def window(bare_window: Window) -> Window:
    """A shown viewer of fixed size with the dock open."""
    bare_window.open_dock()
    return bare_window


@pytest.fixture
def bare_window(make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot) -> Iterator[Window]:
    """A shown viewer of fixed size, without the dock.

    Afterwards the window is closed as a user closes it. Then no work of ours may go on, nothing of it may
    keep the viewer alive (make_napari_viewer looks), and no unexpected error may have been told.

    napari collects garbage at every layer that goes. What was there before the test is not looked through: of
    a million objects that would take a second each time.
    """
    gc.collect()
    gc.freeze()
    before = readers()
    window = Window(make_napari_viewer(show=True), qtbot)
    yield window
    window.close()
    assert QThreadPool.globalInstance().waitForDone(5000), "a worker outlived its window"
    assert readers() <= before
    broken = [n.message for n in notification_manager.records if isinstance(n, ErrorNotification)]
    notification_manager.records.clear()
    window.__dict__.clear()
    gc.collect()
    assert broken == []


@pytest.fixture
def another(
    window: Window, make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> Iterator[Window]:
    """A second viewer of the same program, before the first, with a dock of its own."""
    second = Window(make_napari_viewer(show=True), qtbot)
    second.come_to_front()
    second.open_dock()
    yield second
    second.close()
    second.__dict__.clear()


@pytest.fixture
def heartbeat() -> Heartbeat:
    return Heartbeat()


# --- slides and models, made once ------------------------------------------------------------------


def _train(section: str, folder: Path, **options: Any) -> Path:
    steps = train(
        [read_section(section)], TrainingOptions(epochs=1, patch_px=32, device="cpu", seed=0, **options)
    )
    _, (bundle, half) = finish(steps)
    return save_bundle(bundle, folder, half=half)


@pytest.fixture(scope="session")
def sections(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small synthetic sections, each an .h5ad beside its .tif of 2,000 x 1,600 px."""
    folder = tmp_path_factory.mktemp("synthetic")
    return [
        make_section(folder, name, seed=seed, width_px=2000, height_px=1600)
        for name, seed in (("CANARY_Jane_Doe_1961", 3), ("second", 4))
    ]


@pytest.fixture(scope="session")
def slide(sections: list[Path]) -> Path:
    return sections[0].with_suffix(".tif")


@pytest.fixture(scope="session")
def other_slide(sections: list[Path]) -> Path:
    return sections[1].with_suffix(".tif")


@pytest.fixture(scope="session")
def bundle(sections: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained for a moment on the second section."""
    return _train(str(sections[1]), tmp_path_factory.mktemp("model") / "tiny", name="tiny")


@pytest.fixture
def evaluated(bundle: Path, tmp_path: Path) -> Path:
    """The model with the outcome of an evaluation: its first gene is predictable, its last is not."""
    loaded = load_bundle(bundle)
    pcc = np.linspace(0.6, -0.2, len(loaded.spec.genes), dtype=np.float32)
    held_out = HeldOut(
        pcc=pcc,
        low=pcc - np.float32(0.1),
        high=pcc + np.float32(0.1),
        width=np.ones(len(pcc), np.float32),
        similarity=np.linspace(0, 1, 101, dtype=np.float32),
        protocol="leave-section-out",
        same_patient=True,
        sections=3,
        patients=1,
        intervals="spatial blocks",
    )
    spec = replace(loaded.spec, evaluation=held_out.story())
    told = replace(loaded, spec=spec, beside=replace(loaded.beside, held_out=held_out))
    return save_bundle(told, tmp_path / "evaluated")


def _real() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "real"
    return Path(os.environ.get("MCLSTEXP_REAL_DATA", default))


@pytest.fixture(scope="session")
def her2st() -> Path:
    folder = _real() / "her2st"
    if not (folder / "C2.jpg").is_file():
        pytest.skip(f"{folder} is absent: lay the her2st sections there, or set MCLSTEXP_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def aperio() -> Path:
    path = _real() / "aperio-cmu" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip(f"{path} is absent: lay the Aperio slide there, or set MCLSTEXP_REAL_DATA")
    return path


@pytest.fixture(scope="session")
def real_bundle(her2st: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained for a moment on the real section C3, with 60 genes."""
    folder = tmp_path_factory.mktemp("real-model")
    counted = pd.read_csv(her2st / "cnts" / "C3.tsv.gz", sep="\t", index_col=0, nrows=1).columns
    panel = (her2st / "panel.txt").read_text(encoding="utf-8").split()
    genes = [g for g in dict.fromkeys([*PANEL_GENES, *panel]) if g in counted][:60]
    (folder / "genes.txt").write_text("\n".join(genes), encoding="utf-8")
    return _train(str(her2st / "C3"), folder / "c3", genes=str(folder / "genes.txt"), name="c3-60-genes")


@pytest.fixture(scope="session")
def own_spots(her2st: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CSV of the spots that the experiment measured on C2."""
    table = pd.read_csv(her2st / "spots" / "C2_selection.tsv", sep="\t")
    path = tmp_path_factory.mktemp("spots") / "C2_spots.csv"
    pd.DataFrame(
        {
            "spot_id": [f"{x}x{y}" for x, y in zip(table["x"], table["y"], strict=True)],
            "x_px": table["pixel_x"],
            "y_px": table["pixel_y"],
        }
    ).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def python() -> str:
    return sys.executable


@pytest.fixture
def light() -> Iterator[None]:
    """Napari's light theme."""
    appearance = get_settings().appearance
    before = appearance.theme
    appearance.theme = "light"
    yield
    appearance.theme = before
