"""The one place that tells a person of an error: one notification in plain words, its details on demand."""

from __future__ import annotations

import logging
import traceback
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import (
    ErrorNotification,
    Notification,
    NotificationSeverity,
    notification_manager,
    show_info,
)
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)
from superqt.utils import create_worker

from napari_mclstexp.core.discreet import discreet
from napari_mclstexp.core.log import start_log
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

log = logging.getLogger(__name__)

COPY, COPIED = "Copy report for support", "The report for support is on the clipboard."


def keep_log() -> None:
    """Write the log from now on, with the errors that reach napari before anybody here sees them."""
    start_log()
    notification_manager.notification_ready.connect(_log_defect)


def tell(error: BaseException) -> str:
    """Tell of an error in one notification, and log its traceback; returns what was said, in full."""
    if isinstance(error, MclstexpError):
        log.info("Refused", exc_info=error)
        text = str(error)
    else:
        log.error("A defect", exc_info=error)
        text = (
            f"A defect of napari-mclstexp stopped this ({type(error).__name__}: {error}). "
            "Your slide and results are as before; the log has the details."
        )
    tell_in_words(text, details_of(error))
    return text


def tell_in_words(text: str, details: str = "") -> None:
    """Tell of what a person cannot do yet; `details` are offered where there are any."""
    actions = (("Details", lambda note: Details(text, details, note.window()).show()),) if details else ()
    notification_manager.dispatch(Notification(text, NotificationSeverity.ERROR, actions))


def details_of(error: BaseException) -> str:
    """What led to an error, without paths and names; of a defect, its traceback. Holds none of its frames."""
    if not isinstance(error, MclstexpError):
        return discreet("".join(traceback.format_exception(error)))
    lines = []
    seen, cause = {id(error)}, error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines.append(f"Because of: {type(cause).__name__}: {discreet(str(cause)) or 'no more is told'}")
        cause = cause.__cause__ or cause.__context__
    lines.append(f"Kind of error: {type(error).__name__}. Its traceback is in the log.")
    return "\n\n".join(lines)


def copy_report(copied: Callable[[], object] | None = None) -> None:
    """Put the report for support on the clipboard; a worker makes it, and `copied` is called in the end."""

    def work() -> str:
        from napari_mclstexp.core.support import support_report

        settings = read_settings()
        return support_report(
            {
                "model at the start": "the demonstration" if settings.bundle is None else "another",
                "device": settings.device,
                "batch size": settings.batch_size or "by the size of patches",
            }
        )

    def made(report: str) -> None:
        QApplication.clipboard().setText(report)
        (copied or partial(show_info, COPIED))()

    create_worker(work, _connect={"returned": made, "errored": tell})


class Details(QDialog):
    """An error in full, and what led to it."""

    def __init__(self, text: str, details: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("mclSTExp details")
        self.setWindowTitle("What happened")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QLabel(text)
        self.text.setWordWrap(True)
        self.details = QPlainTextEdit(details)
        self.details.setReadOnly(True)
        self.copy, self.close_button = QPushButton(COPY), QPushButton("Close")
        self.copy.setToolTip("Versions, settings and the end of the log, without paths and names")
        self.copy.clicked.connect(self._copy)
        self.close_button.clicked.connect(self.close)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addStretch(1)
        row.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(self.details, 1)
        layout.addLayout(row)
        self.resize(620, 340)

    def _copy(self) -> None:
        self.copy.setEnabled(False)
        copy_report(self._copied)

    def _copied(self) -> None:
        self.copy.setText("Copied")


def _log_defect(told: Notification) -> None:
    """An exception that nobody caught, shown by napari: into the log where it passed through our modules."""
    if not isinstance(told, ErrorNotification):
        return
    frames = traceback.walk_tb(told.exception.__traceback__)
    if any(str(frame.f_globals.get("__name__", "")).startswith("napari_mclstexp") for frame, _ in frames):
        log.error("A defect that nobody caught", exc_info=told.exception)
