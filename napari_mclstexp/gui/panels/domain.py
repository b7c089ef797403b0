"""Step 4: tissue domains, with their legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Signal
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
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

from napari_mclstexp.core.domains import DEFAULT_DOMAINS, MAX_DOMAINS

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

STYLES = [("Outlines", "outlines"), ("Filled", "filled"), ("Hidden", "hidden")]
SWATCH = 14


class DomainPanel(QGroupBox):
    """Number of domains, how they are drawn, and their legend."""

    domains_requested = Signal(int)
    count_changed = Signal(int)
    view_requested = Signal(dict)

    def __init__(self, session: Session) -> None:
        super().__init__("4  Domains")
        self._session = session
        self.count = QSpinBox()
        self.count.setRange(1, MAX_DOMAINS)
        self.count.setValue(DEFAULT_DOMAINS)
        self.find = QPushButton("Find again")
        self.style_box = QComboBox()
        for text, value in STYLES:
            self.style_box.addItem(text, value)
        self.legend = QTreeWidget()
        self.legend.setHeaderLabels(["Domain", "Spots", "Area"])
        self.legend.setRootIsDecorated(False)
        self.legend.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.legend.setIconSize(QSize(SWATCH, SWATCH))
        self.legend.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.legend.header().setStretchLastSection(False)
        self.legend.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.legend.header().setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        row = QHBoxLayout()
        row.addWidget(self.count)
        row.addWidget(self.find, 1)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Number", row)
        form.addRow("Drawn as", self.style_box)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.legend)
        self.count.valueChanged.connect(self.count_changed)
        self.find.clicked.connect(lambda: self.domains_requested.emit(self.count.value()))
        self.style_box.currentIndexChanged.connect(
            lambda: self.view_requested.emit({"domains": self.style_box.currentData()})
        )
        session.result_changed.connect(self._show)
        session.job_changed.connect(self._show_enabled)
        self._show()

    def _show_enabled(self) -> None:
        there = self._session.result is not None
        self.style_box.setEnabled(there)
        self.find.setEnabled(there and not self._session.job.running)

    def _show(self) -> None:
        self._show_enabled()
        self.legend.clear()
        result = self._session.result
        domains = result.domains if result else None
        self.legend.setVisible(domains is not None)
        if result is None or domains is None:
            return
        spots = np.bincount(domains.labels, minlength=max(domains.names) + 1)
        share = _spot_mm2(result.grid.pitch_um, result.grid.layout)
        for label, name in sorted(domains.names.items()):
            area = f"{spots[label] * share:.2f} mm²" if math.isfinite(share) else "–"
            item = QTreeWidgetItem([name, f"{spots[label]:,}", area])
            swatch = QPixmap(SWATCH, SWATCH)
            swatch.fill(QColor(domains.colours[label]))
            item.setIcon(0, QIcon(swatch))
            self.legend.addTopLevelItem(item)
        height = self.legend.sizeHintForRow(0) * len(domains.names) + self.legend.header().height() + 8
        self.legend.setFixedHeight(height)


def _spot_mm2(pitch_um: float, layout: str) -> float:
    """Area in mm2 that a spot stands for."""
    shape = math.sqrt(3) / 2 if layout == "hexagonal" else 1.0
    return shape * pitch_um**2 / 1e6
