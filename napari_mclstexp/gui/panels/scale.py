"""Ways to settle a slide's scale other than typing it: a known length or pitch, one of the file's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import FileEdit
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

LINE = "a line of known length"
SPOTS = "spots of known pitch"
TYPED = "as typed above"
BY_MEASURED = "measured"


class ScaleSettling(QWidget):
    """Dropdown of the ways, with the fields of the one that was chosen."""

    line_requested = Signal(bool)
    """Begin (or give up) drawing a line over the slide."""

    length_given = Signal(float)
    """Length of the drawn line, um."""

    spots_given = Signal(object, float)
    """Path of a CSV with positions, and their pitch in um."""

    claim_chosen = Signal(int)
    """Index of one of the claims of the file."""

    measured_chosen = Signal()
    """The scale that the measured section's spots tell."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.way = QComboBox()
        self.way.setToolTip("Where the scale is to be taken from")
        self.hint = QLabel("Drag a line over a distance that you know, such as a scale bar.")
        self.hint.setWordWrap(True)
        self.um = QDoubleSpinBox()
        self.um.setRange(1.0, 100_000.0)
        self.um.setDecimals(1)
        self.um.setSuffix(" µm")
        self.file = FileEdit(mode="r", filter="*.csv")
        self.use = QPushButton("Use")
        first = QHBoxLayout()
        first.addWidget(QLabel("Scale from"))
        first.addWidget(self.way, 1)
        second = QHBoxLayout()
        second.addWidget(self.um, 1)
        second.addWidget(self.use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(first)
        layout.addWidget(self.hint)
        layout.addWidget(self.file.native)
        layout.addLayout(second)
        self.way.activated.connect(self._chosen)
        self.use.clicked.connect(self._used)
        session.slide_changed.connect(self._reset)
        session.scale_changed.connect(self._reset)
        session.measured_changed.connect(self._reset)
        self._reset()

    def _reset(self) -> None:
        slide = self._session.slide
        self.setVisible(slide is not None and not (slide.scale and slide.scale.overview))
        self.line_requested.emit(False)
        self.way.clear()
        self.way.addItems([TYPED, LINE, SPOTS])
        for claim in slide.traits.scale.claims if slide else ():
            if not claim.rough:
                self.way.addItem(str(claim))
        measured = self._session.measured
        if measured is not None and measured.scale is not None and not measured.scale.overview:
            self.way.addItem(f"{measured.scale.mean:.4g} ({measured.scale.source})", BY_MEASURED)
        self._show(TYPED)

    def _chosen(self, index: int) -> None:
        way = self.way.currentText()
        self.line_requested.emit(way == LINE)
        if self.way.itemData(index) == BY_MEASURED:
            self.measured_chosen.emit()
            return
        if index > 2:
            exact = [i for i, c in enumerate(self._session.slide.traits.scale.claims) if not c.rough]
            self.claim_chosen.emit(exact[index - 3])
            return
        self._show(way)

    def _show(self, way: str) -> None:
        self.hint.setVisible(way == LINE)
        self.file.native.setVisible(way == SPOTS)
        self.um.setVisible(way in (LINE, SPOTS))
        self.use.setVisible(way in (LINE, SPOTS))
        self.um.setValue(1000.0 if way == LINE else 200.0)
        self.um.setToolTip("Length of the line" if way == LINE else "Distance between neighbouring spots")

    def _used(self) -> None:
        if self.way.currentText() == LINE:
            self.length_given.emit(self.um.value())
        else:
            self.spots_given.emit(Path(self.file.value), self.um.value())
