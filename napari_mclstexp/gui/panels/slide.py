"""Step 1: which slide is open, and its scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

FILTER = "Slides (*.svs *.tif *.tiff *.ndpi *.mrxs *.scn *.bif *.dcm *.jpg *.jpeg *.png);;All files (*)"


class SlidePanel(QGroupBox):
    """Names the open slide and tells its scale; asks for the scale where it is unknown."""

    open_requested = Signal(object)
    sample_requested = Signal()
    mpp_requested = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__("1  Slide")
        self._session = session
        self.open_button = QPushButton("Open a slide …")
        self.sample_button = QPushButton("Synthetic sample")
        self.sample_button.setToolTip("Open the synthetic section that comes with the plugin")
        self.name = QLabel()
        self.name.setWordWrap(True)
        self.name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.size = QLabel()
        self.mpp = QLineEdit()
        self.mpp.setPlaceholderText("unknown: type it, such as 0.5")
        self.mpp.setToolTip("Micrometres per pixel at full resolution: one number, or x,y")
        self.source = QLabel()
        self.source.setWordWrap(True)

        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.sample_button)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("File", self.name)
        form.addRow("Size", self.size)
        form.addRow("µm per pixel", self.mpp)
        form.addRow("", self.source)
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        layout.addLayout(form)

        self.open_button.clicked.connect(self._choose)
        self.sample_button.clicked.connect(self.sample_requested)
        self.mpp.editingFinished.connect(self._typed)
        session.slide_changed.connect(self._show)
        session.scale_changed.connect(self._show)
        session.job_changed.connect(self._show_job)
        self._show()

    def _choose(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a slide", "", FILTER)
        if name:
            self.open_requested.emit(Path(name))

    def _typed(self) -> None:
        if self._session.slide is not None:
            self.mpp_requested.emit(self.mpp.text())
            self._show()

    def _show_job(self) -> None:
        running = self._session.job.running
        for widget in (self.open_button, self.sample_button):
            widget.setEnabled(not running)
        self.mpp.setEnabled(self._session.slide is not None and not running)

    def _show(self) -> None:
        slide, scale = self._session.slide, self._session.scale
        self.mpp.setEnabled(slide is not None and not self._session.job.running)
        if slide is None:
            self.name.setText("none yet")
            self.size.setText("–")
            self.mpp.clear()
            self.source.setText("")
            return
        self.name.setText(slide.path.name)
        size = f"{slide.width:,} × {slide.height:,} px · {slide.format}"
        if scale is None:
            self.mpp.clear()
            self.source.setText("The file does not tell its scale. 20× scans have about 0.5, 40× about 0.25.")
        else:
            same = scale.mpp_x == scale.mpp_y
            self.mpp.setText(f"{scale.mpp_x:.6g}" if same else f"{scale.mpp_x:.6g},{scale.mpp_y:.6g}")
            self.source.setText(f"from {scale.source}" if scale == slide.scale else scale.source)
            size += f"\n{slide.width * scale.mpp_x / 1000:.2f} × {slide.height * scale.mpp_y / 1000:.2f} mm"
        self.size.setText(size)
