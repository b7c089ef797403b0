"""Step 5: export of the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
)

from napari_mclstexp.core.export import FORMATS, PICTURES, REPORTS

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

FILTER = ";;".join(
    [f"{name} (*{suffix})" for suffix, (name, _) in FORMATS.items()]
    + [f"Picture ({' '.join(f'*{suffix}' for suffix in PICTURES)})"]
    + [f"Report ({' '.join(f'*{suffix}' for suffix in REPORTS)})"]
)

FIGURES = "Picture (*.png);;Drawing (*.svg);;Page (*.pdf)"
SCRIPTS = "Python script (*.py);;Notebook (*.ipynb)"


class ExportPanel(QGroupBox):
    """Where to write the result; the suffix says the format."""

    export_requested = Signal(object, bool)
    figure_requested = Signal(object, int)
    script_requested = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__("5  Export")
        self._session = session
        self.path = QLineEdit()
        self.path.setPlaceholderText("A path ending in .geojson, .h5ad, .csv or .png")
        self.path.setToolTip(
            "The ending says the format: .geojson for QuPath; .h5ad or .zarr for scanpy;\n"
            ".spatialdata.zarr, .ome.zarr, .ome.tif; .csv, .loupe.csv;\n"
            "a picture as .png, .svg or .figure.pdf; a report as .html or .pdf"
        )
        self.browse = QPushButton("…")
        self.browse.setMaximumWidth(32)
        self.overwrite = QCheckBox("Replace an existing file")
        self.export_button = QPushButton("Export")
        self.figure_button = QPushButton("Save the view …")
        self.figure_button.setToolTip("What is seen, with colour bar, scale bar and legend: PNG, SVG or PDF")
        self.dpi = QSpinBox()
        self.dpi.setRange(72, 1200)
        self.dpi.setValue(300)
        self.dpi.setSuffix(" dpi")
        self.script_button = QPushButton("Save as code …")
        self.script_button.setToolTip("A Python script or a notebook that repeats all this without a window")
        self.note = QLabel()
        self.note.setWordWrap(True)
        figure = QHBoxLayout()
        figure.addWidget(self.figure_button, 1)
        figure.addWidget(self.dpi)
        row = QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(self.browse)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self.overwrite)
        layout.addWidget(self.export_button)
        layout.addLayout(figure)
        layout.addWidget(self.script_button)
        layout.addWidget(self.note)
        self.figure_button.clicked.connect(self._choose_figure)
        self.script_button.clicked.connect(self._choose_script)
        self.browse.clicked.connect(self._choose)
        self.export_button.clicked.connect(self._export)
        self.path.textChanged.connect(self._show)
        session.result_changed.connect(self._show)
        session.job_changed.connect(self._show)
        self._show()

    def _choose(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export the result", self.path.text(), FILTER)
        if name:
            self.path.setText(name)
            self.overwrite.setChecked(Path(name).exists())  # the dialog has asked

    def _choose_figure(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the view", "view.png", FIGURES)
        if name:
            self.figure_requested.emit(Path(name), self.dpi.value())

    def _choose_script(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save as code", "session.py", SCRIPTS)
        if name:
            self.script_requested.emit(Path(name))

    def _export(self) -> None:
        self.export_requested.emit(Path(self.path.text()).expanduser(), self.overwrite.isChecked())

    def _show(self) -> None:
        there = self._session.result is not None
        for widget in (self.path, self.browse, self.overwrite, self.dpi):
            widget.setEnabled(there)
        for widget in (self.figure_button, self.script_button):
            widget.setEnabled(there and not self._session.job.running)
        ready = there and bool(self.path.text().strip()) and not self._session.job.running
        self.export_button.setEnabled(ready)
        job = self._session.job
        self.note.setText(job.message if job.asked_by == "export" else "")
        if not there:
            self.note.setText("Waits for a prediction.")
        self.note.setVisible(bool(self.note.text()))
