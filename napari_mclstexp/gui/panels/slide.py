"""Step 1: which slide is open, which plane of it, and its scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)
from superqt.utils import signals_blocked

from napari_mclstexp.core.scale import TOLERANCE
from napari_mclstexp.gui.panels.measured import MeasuredRow
from napari_mclstexp.gui.panels.scale import ScaleSettling

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

FILTER = (
    "Slides and sections (*.svs *.tif *.tiff *.ndpi *.mrxs *.scn *.bif *.dcm *.jpg *.jpeg *.png *.jp2 *.j2k "
    "*.h5ad);;"
    "All files (*)"
)
UNCHOSEN = "choose a plane …"


class SlidePanel(QGroupBox):
    """Names the open slide and tells its scale; asks for what the file leaves open."""

    open_requested = Signal(object)
    cohort_requested = Signal(object)
    sample_requested = Signal()
    navigator_requested = Signal()
    mpp_requested = Signal(str)
    plane_requested = Signal(int)
    view_requested = Signal(dict)

    def __init__(self, session: Session) -> None:
        super().__init__("1  Slide")
        self._session = session
        self.open_button = QPushButton("Open a slide …")
        self.folder_button = QPushButton("Folder …")
        self.folder_button.setToolTip("Open a slide that is a folder: OME-Zarr, DICOM, Visium")
        self.cohort_button = QPushButton("Cohort …")
        self.cohort_button.setToolTip("Open the folder of a cohort, and page through its slides")
        self.sample_button = QPushButton("Sample")
        self.sample_button.setToolTip("Open the synthetic section that comes with the plugin")
        self.name = _told()  # the dock puts it where it is always in sight
        font = self.name.font()
        font.setBold(True)
        self.name.setFont(font)
        self.size = QLabel()
        self.plane = QComboBox()
        self.measured = MeasuredRow(session)
        self.mpp = QLineEdit()
        self.mpp.setPlaceholderText("unknown: type it, such as 0.5")
        self.mpp.setToolTip("Micrometres per pixel at full resolution: one number, or x,y")
        self.source = _told()
        self.settling = ScaleSettling(session)
        self.icc = QCheckBox("Colours by the slide's own profile (ICC)")
        self.icc.setToolTip("On the screen only: the model is given the pixels as they are stored")
        self.state = _told()
        self.panning = _told()
        self.panning.setText("Asynchronous slicing is on while it is open.")
        self.navigator_button = QPushButton("Navigator")
        self.navigator_button.setToolTip("Show the small map, the magnification and the ruler")
        self._lay_out()
        self.open_button.clicked.connect(self._choose_file)
        self.folder_button.clicked.connect(self._choose_folder)
        self.cohort_button.clicked.connect(self._choose_cohort)
        self.sample_button.clicked.connect(self.sample_requested)
        self.navigator_button.clicked.connect(self.navigator_requested)
        self.mpp.editingFinished.connect(self._typed)
        self.plane.activated.connect(self._plane_chosen)
        self.icc.toggled.connect(lambda on: self.view_requested.emit({"colour_managed": on}))
        session.slide_changed.connect(self._show)
        session.scale_changed.connect(self._show)
        session.measured_changed.connect(self._show)
        session.job_changed.connect(self._show_job)
        self._show()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in (self.open_button, self.folder_button, self.cohort_button, self.sample_button):
            buttons.addWidget(button)
        self._form = form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Size", self.size)
        form.addRow("Plane", self.plane)
        form.addRow("µm per pixel", self.mpp)
        form.addRow("", self.source)
        form.addRow("Measured", self.measured)
        layout = QVBoxLayout(self)
        layout.addLayout(buttons)
        layout.addLayout(form)
        layout.addWidget(self.settling)
        layout.addWidget(self.icc)
        layout.addWidget(self.state)
        last = QHBoxLayout()
        last.addWidget(self.panning, 1)
        last.addWidget(self.navigator_button)
        layout.addLayout(last)

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a slide", "", FILTER)
        if name:
            self.open_requested.emit(Path(name))

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a slide that is a folder")
        if name:
            self.open_requested.emit(Path(name))

    def _choose_cohort(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open the folder of a cohort")
        if name:
            self.cohort_requested.emit(Path(name))

    def _typed(self) -> None:
        if self._session.slide is not None:
            self.mpp_requested.emit(self.mpp.text())
            self._show()

    def _plane_chosen(self, index: int) -> None:
        first = 1 if self.plane.itemText(0) == UNCHOSEN else 0
        if index >= first:
            self.plane_requested.emit(index - first)

    def _show_job(self) -> None:
        running = self._session.job.running
        for widget in (
            self.open_button,
            self.folder_button,
            self.cohort_button,
            self.sample_button,
            self.plane,
            self.settling,
            self.measured,
        ):
            widget.setEnabled(not running)
        slide = self._session.slide
        reduced = slide is not None and slide.scale is not None and slide.scale.overview
        self.mpp.setEnabled(slide is not None and not reduced and not self._session.job.busy)
        self._show_state()

    def _show_state(self) -> None:
        slide = self._session.slide
        waits = slide is not None and not slide.prepared
        if waits and self._session.job.running:
            self.state.setText("A preview is shown while the full resolution is decoded, once.")
        elif waits:
            self.state.setText("Only a preview is shown: the full resolution was not decoded yet.")
        self.state.setVisible(waits)

    def _show(self) -> None:
        slide, scale = self._session.slide, self._session.scale
        self._show_job()
        planes = slide.traits.planes if slide else ()
        self._form.setRowVisible(self.plane, bool(planes))
        self._form.setRowVisible(self.measured, slide is not None)
        for part in (self.panning, self.navigator_button):
            part.setVisible(slide is not None)
        self.icc.setVisible(slide is not None and bool(slide.traits.icc_profile))
        with signals_blocked(self.icc):
            self.icc.setChecked(self._session.view.colour_managed)
        if slide is None:
            self.name.setText("No slide yet")
            self.size.setText("–")
            self.mpp.clear()
            self.source.setText("")
            return
        self._show_planes(planes, slide.traits.plane)
        self.name.setText(slide.title)
        self.name.setToolTip(slide.title)
        size = f"{slide.width:,} × {slide.height:,} px · {slide.format}"
        if scale is None:
            self.mpp.clear()
            absent = "The file does not tell its scale. 20× scans have about 0.5, 40× about 0.25."
            self.source.setText(slide.traits.scale.question or absent)
        else:
            same = scale.mpp_x == scale.mpp_y
            self.mpp.setText(f"{scale.mpp_x:.6g}" if same else f"{scale.mpp_x:.6g},{scale.mpp_y:.6g}")
            own = f"from the file: {scale.source}"
            told = own if scale == slide.scale else f"set here: {scale.source}"
            self.source.setText(told + self._by_spots())
            size += f"\n{slide.width * scale.mpp_x / 1000:.2f} × {slide.height * scale.mpp_y / 1000:.2f} mm"
        self.size.setText(size)

    def _by_spots(self) -> str:
        """What the measured spots say of the scale, where that is another one."""
        scale, measured = self._session.scale, self._session.measured
        if scale is None or measured is None or measured.scale is None:
            return ""
        off = abs(measured.scale.mean / scale.mean - 1)
        return f"; by the measured spots it is {measured.scale.mean:.4g}" if off > TOLERANCE else ""

    def _show_planes(self, planes: tuple[str, ...], chosen: int | None) -> None:
        with signals_blocked(self.plane):
            self.plane.clear()
            self.plane.addItems([UNCHOSEN, *planes] if chosen is None else list(planes))
            self.plane.setCurrentIndex(chosen or 0)


def _told() -> QLabel:
    """Text that wraps and can be selected."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
