"""Part of step 1: the measured section of the open slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

FILTER = "Measured sections (*.h5ad *.tsv.gz);;All files (*)"
TITLE = "Add the measured section of this slide"


class MeasuredRow(QWidget):
    """Tells how many spots were measured, and adds a section's file or folder."""

    section_chosen = Signal(object)
    """Path of the section."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.told = QLabel()
        self.file_button = QPushButton("File …")
        self.file_button.setToolTip("Measured expression of this slide: .h5ad, or counts in her2st layout")
        self.folder_button = QPushButton("Visium …")
        self.folder_button.setToolTip("Measured expression of this slide: a Visium or Visium HD folder")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.told, 1)
        layout.addWidget(self.file_button)
        layout.addWidget(self.folder_button)
        self.file_button.clicked.connect(self._choose_file)
        self.folder_button.clicked.connect(self._choose_folder)
        session.measured_changed.connect(self._show)
        self._show()

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, TITLE, "", FILTER)
        if name:
            self.section_chosen.emit(Path(name))

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, f"{TITLE}: a Visium folder")
        if name:
            self.section_chosen.emit(Path(name))

    def _show(self) -> None:
        measured = self._session.measured
        self.told.setText("none" if measured is None else f"{len(measured.grid):,} spots")
