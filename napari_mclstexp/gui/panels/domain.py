"""Step 4: tissue domains, with their legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)
from superqt.utils import signals_blocked

from napari_mclstexp.core.domain_edits import Merge, Rename
from napari_mclstexp.core.domain_methods import METHODS
from napari_mclstexp.core.domains import DEFAULT_DOMAINS, MAX_DOMAINS
from napari_mclstexp.gui.panels.stability_curve import StabilityCurve

if TYPE_CHECKING:
    from napari_mclstexp.core.result import Domains, Result
    from napari_mclstexp.session import Session

STYLES = [("Outlines", "outlines"), ("Filled", "filled"), ("Hidden", "hidden")]
SWATCH = 14
LABEL = Qt.ItemDataRole.UserRole


class DomainPanel(QGroupBox):
    """Number of domains, how they are drawn, and their legend."""

    domains_requested = Signal()
    numbers_requested = Signal()
    choice_changed = Signal(dict)
    view_requested = Signal(dict)
    edit_requested = Signal(object)
    undo_requested = Signal()
    redo_requested = Signal()
    visit_requested = Signal(int)

    def __init__(self, session: Session) -> None:
        super().__init__("4  Domains")
        self._session = session
        self.count = QSpinBox()
        self.count.setRange(1, MAX_DOMAINS)
        self.count.setValue(DEFAULT_DOMAINS)
        self.method = QComboBox()
        for name, text in METHODS.items():
            self.method.addItem(text, name)
        self.method.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.method.setMinimumContentsLength(10)  # the dock is no wider for the longest of them
        self.method.setToolTip("What domains go by; the first is the published way")
        self.suggest = QPushButton("Stable")
        self.suggest.setToolTip("Take the number of domains that comes out again when spots are drawn anew")
        self.curve = StabilityCurve()
        self.find = QPushButton("Find again")
        self.style_box = QComboBox()
        for text, value in STYLES:
            self.style_box.addItem(text, value)
        self.legend = QTreeWidget()
        self.legend.setHeaderLabels(["Domain", "Spots", "Area"])
        self.legend.setRootIsDecorated(False)
        self.legend.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.legend.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.legend.setToolTip("Double-click a name to change it, a number to go there")
        self.legend.setIconSize(QSize(SWATCH, SWATCH))
        self.legend.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.legend.header().setStretchLastSection(False)
        self.legend.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.legend.header().setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        self.merge = QPushButton("Merge")
        self.merge.setToolTip("Join the domains selected in the list into the first of them")
        self.undo, self.redo = QToolButton(), QToolButton()
        self.undo.setText("↶ Undo")
        self.redo.setText("Redo ↷")
        row = QHBoxLayout()
        row.addWidget(self.count)
        row.addWidget(self.suggest)
        row.addWidget(self.find, 1)
        edits = QHBoxLayout()
        edits.addWidget(self.merge, 1)
        edits.addWidget(self.undo)
        edits.addWidget(self.redo)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("By", self.method)
        form.addRow("Number", row)
        form.addRow(self.curve)
        form.addRow("Drawn as", self.style_box)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.legend)
        layout.addLayout(edits)
        self.legend.itemDoubleClicked.connect(self._double_clicked)
        self.legend.itemChanged.connect(self._renamed)
        self.legend.itemSelectionChanged.connect(self._show_enabled)
        self.merge.clicked.connect(lambda: self.edit_requested.emit(Merge(self._selected())))
        self.undo.clicked.connect(self.undo_requested)
        self.redo.clicked.connect(self.redo_requested)
        self.count.valueChanged.connect(lambda count: self.choice_changed.emit({"count": count}))
        self.method.activated.connect(
            lambda _: self.choice_changed.emit({"method": self.method.currentData()})
        )
        self.suggest.clicked.connect(self.numbers_requested)
        self.find.clicked.connect(self.domains_requested)
        self.style_box.currentIndexChanged.connect(
            lambda: self.view_requested.emit({"domains": self.style_box.currentData()})
        )
        session.result_changed.connect(self._show)
        session.domains_changed.connect(self._show)
        session.job_changed.connect(self._show_enabled)
        session.view_changed.connect(self._show_style)
        session.stability_changed.connect(self._show_stability)
        self._show()

    def _show_style(self) -> None:
        with signals_blocked(self.style_box):
            self.style_box.setCurrentIndex(self.style_box.findData(self._session.view.domains))

    def _show_stability(self) -> None:
        curve = self._session.stability
        self.curve.show_curve(curve)
        if curve is not None:
            self.count.setValue(curve.best)

    def _show_enabled(self) -> None:
        there = self._session.result is not None
        self.suggest.setEnabled(there and not self._session.job.running)
        self.style_box.setEnabled(there)
        self.find.setEnabled(there and not self._session.job.running)
        history = self._session.history
        self.merge.setEnabled(len(self._selected()) > 1)
        self.undo.setEnabled(history is not None and history.can_undo)
        self.redo.setEnabled(history is not None and history.can_redo)
        for part in (self.merge, self.undo, self.redo):
            part.setVisible(history is not None)

    def _selected(self) -> tuple[int, ...]:
        return tuple(sorted(item.data(0, LABEL) for item in self.legend.selectedItems()))

    def _double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == 0:
            self.legend.editItem(item, 0)
        else:
            self.visit_requested.emit(item.data(0, LABEL))

    def _renamed(self, item: QTreeWidgetItem, column: int) -> None:
        result = self._session.result
        if column == 0 and result is not None and result.domains is not None:
            label, name = item.data(0, LABEL), item.text(0).strip()
            if name != result.domains.names.get(label):
                self.edit_requested.emit(Rename(label, name))
            self._show()

    def _show(self) -> None:
        result = self._session.result
        domains = result.domains if result else None
        self.legend.setVisible(domains is not None)
        with signals_blocked(self.legend):
            self.legend.clear()
            if result is not None and domains is not None:
                self._fill(result, domains)
        self._show_enabled()

    def _fill(self, result: Result, domains: Domains) -> None:
        spots = np.bincount(domains.labels, minlength=max(domains.names) + 1)
        share = _spot_mm2(result.grid.pitch_um, result.grid.layout)
        for label, name in sorted(domains.names.items()):
            area = f"{spots[label] * share:.2f} mm²" if math.isfinite(share) else "–"
            item = QTreeWidgetItem([name, f"{spots[label]:,}", area])
            swatch = QPixmap(SWATCH, SWATCH)
            swatch.fill(QColor(domains.colours[label]))
            item.setIcon(0, QIcon(swatch))
            item.setData(0, LABEL, label)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            self.legend.addTopLevelItem(item)
        height = self.legend.sizeHintForRow(0) * len(domains.names) + self.legend.header().height() + 8
        self.legend.setFixedHeight(height)


def _spot_mm2(pitch_um: float, layout: str) -> float:
    """Area in mm2 that a spot stands for."""
    shape = math.sqrt(3) / 2 if layout == "hexagonal" else 1.0
    return shape * pitch_um**2 / 1e6
