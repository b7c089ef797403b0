"""An error is told once, in plain words; its details are a click away, and safe to send."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication, QDialog, QPushButton

from napari_mclstexp.core.log import log_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gui.conftest import Window


def notification(window: Window) -> NapariQtNotification:
    """The notification that is seen."""
    window.qtbot.waitUntil(lambda: window.canvas.findChildren(NapariQtNotification) != [])
    return window.canvas.findChildren(NapariQtNotification)[-1]


def open_details(window: Window) -> QDialog:
    """Click on Details in the notification that is seen."""
    note = notification(window)
    (button,) = [b for b in note.findChildren(QPushButton) if b.text() == "Details"]
    window.qtbot.waitUntil(button.isVisible)
    button.click()
    window.qtbot.waitUntil(lambda: window.main.findChild(QDialog, "mclSTExp details") is not None)
    return window.main.findChild(QDialog, "mclSTExp details")


def copied(window: Window, press: Callable[[], object]) -> str:
    """What is on the clipboard after a press that copies the report."""
    QApplication.clipboard().clear()
    press()
    window.qtbot.waitUntil(lambda: QApplication.clipboard().text() != "", timeout=60_000)
    return QApplication.clipboard().text()


@pytest.fixture
def jane(window: Window, slide: Path, bundle: Path, tmp_path: Path) -> Window:
    """A slide full of a patient's name is open, and a damaged model chosen."""
    folder = tmp_path / "CANARY ward 7"
    folder.mkdir()
    shutil.copy(slide, folder / "CANARY Jane.tif")
    shutil.copytree(bundle, folder / "CANARY model")
    (folder / "CANARY model" / "weights.safetensors").write_bytes(b"none")
    window.open(folder / "CANARY Jane.tif")
    window.set_bundle(folder / "CANARY model")
    return window


def test_details_of_what_a_person_can_mend(jane: Window) -> None:
    window = jane
    window.press_predict()
    window.wait_idle(30_000)
    assert "SHA-256" in window.take_one_error()
    details = open_details(window)
    assert "SHA-256" in details.text.text()
    assert "Kind of error: BundleError" in details.details.toPlainText()
    assert "Traceback" not in details.details.toPlainText()
    window.shot("details_1_error")
    report = copied(window, details.copy.click)
    window.qtbot.waitUntil(lambda: details.copy.text() == "Copied")
    log = log_file().read_text(encoding="utf-8")
    for text in (report, log):
        assert "BundleError" in text
        assert "Traceback" in text
        assert "CANARY" not in text
    assert "\ndevice: auto\n" in report
    window.shot("details_2_copied")
    details.close_button.click()
    window.qtbot.waitUntil(lambda: window.main.findChild(QDialog, "mclSTExp details") is None)


def test_details_of_a_defect(jane: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    window = jane

    def broken(path: Path) -> None:
        raise RuntimeError(f"no such thing in {path}")

    monkeypatch.setattr("napari_mclstexp.core.bundle.load_bundle", broken)
    window.press_predict()
    window.wait_idle(30_000)
    (told,) = window.said()
    assert "A defect of napari-mclstexp" in told
    window.clear_notes()
    assert window.predict_button.isEnabled()
    details = open_details(window)
    shown = details.details.toPlainText()
    assert "RuntimeError: no such thing in <path>" in shown
    assert 'File "napari_mclstexp/gui/controller.py", line ' in shown
    assert "CANARY" not in shown
    window.shot("details_3_defect")
    details.close_button.click()
    assert "CANARY" not in log_file().read_text(encoding="utf-8")


def test_a_device_without_room_offers_the_cpu(
    window: Window, slide: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU cannot be had here: the error is what the network's being moved to it raises."""
    usual = torch.nn.Module.to

    def full(*_: object, **__: object) -> None:
        monkeypatch.setattr(torch.nn.Module, "to", usual)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    window.open(slide)
    window.set_bundle(bundle)
    panel = window.dock.predict_panel
    window.click(window.predict_button)
    window.qtbot.waitUntil(panel.question.isVisible, timeout=60_000)
    window.wait_idle()
    assert "ran out of memory" in window.take_one_error()
    assert window.dock.session.result is None, "nothing goes on without consent"
    assert panel.form.device.value == "auto"
    window.shot("no_room")
    assert panel.question.yes.text() == "Predict on the CPU instead"
    assert panel.question.width() <= panel.width()
    window.click(panel.question.yes)
    window.wait_idle()
    assert window.dock.session.result is not None, window.said()
    assert window.dock.session.result.provenance.device == "cpu"
    assert panel.form.device.value == "cpu"
    assert not panel.question.isVisible()
    assert window.notes() == []


def test_report_by_the_menu(window: Window) -> None:
    report = copied(window, window.file_entry("Copy report for support (mclSTExp)").trigger)
    assert "torch " in report
    window.qtbot.waitUntil(lambda: window.said() != [])
    assert "on the clipboard" in window.said()[0]


def test_an_exception_that_nobody_caught_is_in_the_log(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """napari shows it itself; our log has it where it came through our modules."""
    monkeypatch.setattr(type(window.dock.jobs), "cancel", lambda _: 1 / 0)
    try:
        window.dock.controller.cancel()
    except ZeroDivisionError as error:  # handed to napari as Python's hook would
        notification_manager.receive_error(type(error), error, error.__traceback__)
    log = log_file().read_text(encoding="utf-8")
    assert "ZeroDivisionError" in log
    assert 'File "napari_mclstexp/gui/controller.py", line ' in log
    notification_manager.records.clear()
    window.clear_notes()
