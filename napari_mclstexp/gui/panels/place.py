"""Part of step 2: where to predict; the whole tissue, or inside regions; and the tissue's mask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_mclstexp.core.regions import FROM_FILE

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

WHOLE, DRAW, FILE = "The whole tissue", "Regions drawn here …", "Regions of a file …"
FILTER = "Regions (*.geojson *.json);;All files (*)"


class PlaceForm(QWidget):
    """Chooses where to predict, and lets the mask of the tissue be painted."""

    whole_requested = Signal()
    drawing_requested = Signal(bool)
    regions_drawn = Signal()
    file_chosen = Signal(object)
    painting_requested = Signal(bool)
    tissue_painted = Signal()
    tissue_dropped = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.where = QComboBox()
        self.where.addItems([WHOLE, DRAW, FILE])
        self.where_told = QLabel()
        self.where_told.setWordWrap(True)
        self.use_regions = QPushButton("Use the regions")
        self.paint = QPushButton("Correct the tissue …")
        self.paint.setToolTip("Paint what the model shall see as tissue; erase pen marks and folds")
        self.use_tissue = QPushButton("Use it")
        self.drop_tissue = QPushButton("Undo all")
        row = QHBoxLayout()
        for button in (self.paint, self.use_tissue, self.drop_tissue):
            row.addWidget(button, 1)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Where", self.where)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.use_regions)
        layout.addLayout(row)
        layout.addWidget(self.where_told)
        self._drawing = self._painting = False
        self.where.activated.connect(self._chosen)
        self.use_regions.clicked.connect(self.regions_drawn)
        self.paint.clicked.connect(lambda: self._set_painting(True))
        self.use_tissue.clicked.connect(self.tissue_painted)
        self.drop_tissue.clicked.connect(self.tissue_dropped)
        session.place_changed.connect(self._placed)
        session.scale_changed.connect(self._show)
        self._show()

    def _chosen(self) -> None:
        chosen = self.where.currentText()
        self._drawing = chosen == DRAW
        self.drawing_requested.emit(self._drawing)
        if chosen == WHOLE:
            self.whole_requested.emit()
        elif chosen == FILE:
            name, _ = QFileDialog.getOpenFileName(self, "Regions", "", FILTER)
            if name:
                self.file_chosen.emit(Path(name))
        self._show()

    def _set_painting(self, on: bool) -> None:
        self._painting = on
        self.painting_requested.emit(on)
        self._show()

    def _placed(self) -> None:
        """What was drawn or painted has been taken, or given up."""
        if self._painting:
            self._set_painting(False)
        self._drawing = False
        self._show()

    def _show(self) -> None:
        session = self._session
        there = session.slide is not None and session.scale is not None
        for part in (self.where, self.paint):
            part.setEnabled(there)
        self.use_regions.setVisible(self._drawing)
        self.paint.setVisible(not self._painting)
        self.use_tissue.setVisible(self._painting)
        self.drop_tissue.setVisible(self._painting or session.tissue is not None)
        with signals_blocked(self.where):
            if self._drawing:
                self.where.setCurrentText(DRAW)
            elif session.regions is None:
                self.where.setCurrentText(WHOLE)
            else:
                self.where.setCurrentText(FILE if session.regions.source == FROM_FILE else DRAW)
        told = []
        if self._drawing:
            told.append("Click along a border, Enter or a double click ends it. Then use the regions.")
        if self._painting:
            told.append("Paint tissue; erase with E, paint with P, brush size [ and ].")
        if session.regions is not None and session.scale is not None:
            area = session.regions.area_mm2(session.scale)
            count = len(session.regions.polygons)
            told.append(f"Inside {count} region{'s' * (count > 1)}, {area:.2f} mm².")
        if session.tissue is not None:
            told.append(f"The tissue was corrected by hand: {session.tissue.edited_px:,} px of its mask.")
        self.where_told.setText(" ".join(told))
        self.where_told.setVisible(bool(told))
