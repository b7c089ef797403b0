"""Step 4: tissue domains, with their legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPoint, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QColorDialog,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QPushButton,
    QSpinBox,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)
from superqt.utils import signals_blocked

from napari_mclstexp.core.domain_edits import Lock, Merge, Recolour, Rename
from napari_mclstexp.core.domain_methods import METHODS
from napari_mclstexp.core.domains import DEFAULT_DOMAINS, MAX_DOMAINS
from napari_mclstexp.gui.panels.annotations import AnnotationsForm
from napari_mclstexp.gui.panels.folding import Folding
from napari_mclstexp.gui.panels.stability_curve import StabilityCurve
from napari_mclstexp.gui.panels.swatch import SIZE, padlock, swatch
from napari_mclstexp.gui.panels.tools import ToolsForm

if TYPE_CHECKING:
    from napari_mclstexp.core.result import Domains, Result
    from napari_mclstexp.session import Session

STYLES = [("Outlines", "outlines"), ("Filled", "filled"), ("Hidden", "hidden")]
NAME, SPOTS, AREA, LOCK = range(4)
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
    measuring_requested = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__("4  Domains")
        self._session = session
        self._hidden = session.view.hidden
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
        self.on_picture = QCheckBox("Legend")
        self.on_picture.setToolTip("Whether the legend lies on the picture")
        self.legend = _list()
        self.tools = ToolsForm(session)
        self.annotations = AnnotationsForm(session)
        self.noted = Folding("Annotations", self.annotations)
        self.measure = QPushButton("Measure …")
        self.measure.setToolTip("Table of domains and annotations, their neighbours, a gene across a border")
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
        drawn = QHBoxLayout()
        drawn.addWidget(self.style_box, 1)
        drawn.addWidget(self.on_picture)
        form.addRow("Drawn as", drawn)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.legend)
        layout.addLayout(edits)
        layout.addWidget(self.tools)
        layout.addWidget(self.noted)
        layout.addWidget(self.measure)
        self.legend.itemDoubleClicked.connect(self._double_clicked)
        self.legend.itemClicked.connect(self._clicked)
        self.legend.customContextMenuRequested.connect(self._ask)
        self.measure.clicked.connect(self.measuring_requested)
        self.on_picture.toggled.connect(lambda on: self.view_requested.emit({"legend": on}))
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
        session.choice_changed.connect(self._show_choice)
        self._show()
        self._show_style()

    def _show_style(self) -> None:
        view = self._session.view
        with signals_blocked(self.style_box), signals_blocked(self.on_picture):
            self.style_box.setCurrentIndex(self.style_box.findData(view.domains))
            self.on_picture.setChecked(view.legend)
        if view.hidden != self._hidden:
            self._show()

    def _show_choice(self) -> None:
        choice = self._session.domain_choice
        with signals_blocked(self.count), signals_blocked(self.method):
            self.count.setValue(choice.count)
            self.method.setCurrentIndex(self.method.findData(choice.method))

    def _show_stability(self) -> None:
        self.curve.show_curve(self._session.stability)

    def _show_enabled(self) -> None:
        there = self._session.result is not None
        self.suggest.setEnabled(there and not self._session.job.running)
        self.style_box.setEnabled(there)
        self.find.setEnabled(there and not self._session.job.running)
        history = self._session.history
        self.merge.setEnabled(len(self._selected()) > 1)
        self.undo.setEnabled(history is not None and history.can_undo)
        self.redo.setEnabled(history is not None and history.can_redo)
        for part in (self.merge, self.undo, self.redo, self.noted, self.measure):
            part.setVisible(history is not None)

    def _selected(self) -> tuple[int, ...]:
        return tuple(sorted(item.data(0, LABEL) for item in self.legend.selectedItems()))

    def _double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == NAME:
            self.legend.editItem(item, NAME)
        elif column != LOCK:
            self.visit_requested.emit(item.data(0, LABEL))

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        domains = self._domains()
        if column == LOCK and domains is not None:
            label = item.data(0, LABEL)
            self.edit_requested.emit(Lock(label, label not in domains.locked))

    def _domains(self) -> Domains | None:
        return None if self._session.result is None else self._session.result.domains

    def _ask(self, at: QPoint) -> None:
        """Open the menu of a domain."""
        item, domains = self.legend.itemAt(at), self._domains()
        if item is None or domains is None:
            return
        label, hidden = item.data(0, LABEL), self._session.view.hidden
        locked = label in domains.locked
        self.menu = menu = QMenu(self)
        menu.addAction("Rename", lambda: self.legend.editItem(item, NAME))
        menu.addAction("Colour …", lambda: self._recolour(label, domains.colours[label]))
        menu.addAction(
            "Unlock" if locked else "Lock", lambda: self.edit_requested.emit(Lock(label, not locked))
        )
        menu.addAction(
            "Show" if label in hidden else "Hide",
            lambda: self.view_requested.emit({"hidden": hidden ^ {label}}),
        )
        menu.addAction("Go there", lambda: self.visit_requested.emit(label))
        menu.popup(self.legend.viewport().mapToGlobal(at))

    def _recolour(self, label: int, colour: str) -> None:
        options = QColorDialog.ColorDialogOption.DontUseNativeDialog
        chosen = QColorDialog.getColor(QColor(colour), self, "Colour of the domain", options)
        if chosen.isValid():
            self.edit_requested.emit(Recolour(label, chosen.name()))

    def _renamed(self, item: QTreeWidgetItem, column: int) -> None:
        result = self._session.result
        if column == 0 and result is not None and result.domains is not None:
            label, name = item.data(0, LABEL), item.text(0).strip()
            if name != result.domains.names.get(label):
                self.edit_requested.emit(Rename(label, name))
            self._show()

    def _show(self) -> None:
        result, domains = self._session.result, self._domains()
        chosen, self._hidden = self._selected(), self._session.view.hidden
        self.legend.setVisible(domains is not None)
        with signals_blocked(self.legend):
            self.legend.clear()
            if result is not None and domains is not None:
                self._fill(result, domains)
            for i in range(self.legend.topLevelItemCount()):
                item = self.legend.topLevelItem(i)
                item.setSelected(item.data(0, LABEL) in chosen)
        count = 0 if domains is None else len(domains.annotations)
        self.noted.button.setText(f"Annotations ({count:,})" if count else "Annotations")
        self._show_enabled()

    def _fill(self, result: Result, domains: Domains) -> None:
        for label, told in domain_sizes(result).items():
            item = QTreeWidgetItem([domains.names[label], *told, ""])
            item.setIcon(NAME, swatch(domains.colours[label]))
            item.setData(NAME, LABEL, label)
            locked = label in domains.locked
            item.setIcon(LOCK, padlock(locked, self.palette().color(QPalette.ColorRole.Text)))
            item.setToolTip(
                LOCK, f"{'Locked' if locked else 'Open'}: spots of a locked domain stay as they are"
            )
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            if label in self._hidden:
                font = item.font(NAME)
                font.setItalic(True)
                item.setFont(NAME, font)
                item.setToolTip(NAME, "Hidden on the picture")
            self.legend.addTopLevelItem(item)
        height = self.legend.sizeHintForRow(0) * len(domains.names) + self.legend.header().height() + 8
        self.legend.setFixedHeight(height)


def _list() -> QTreeWidget:
    """The list of domains, empty."""
    legend = QTreeWidget()
    legend.setHeaderLabels(["Domain", "Spots", "Area", ""])
    legend.setRootIsDecorated(False)
    legend.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    legend.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    legend.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
    legend.setToolTip("Double-click a name to change it, a number to go there; more by the right button")
    legend.setIconSize(QSize(SIZE, SIZE))
    header = legend.header()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
    for column in (LOCK, SPOTS, AREA):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
    return legend


def domain_sizes(result: Result) -> dict[int, tuple[str, str]]:
    """Spots and area of each domain, in words, by label."""
    domains = result.domains
    if domains is None:
        return {}
    spots = np.bincount(domains.labels, minlength=max(domains.names, default=0) + 1)
    share = _spot_mm2(result.grid.pitch_um, result.grid.layout)
    return {label: (f"{spots[label]:,}", _mm2(spots[label] * share)) for label in sorted(domains.names)}


def _mm2(area: float) -> str:
    if not math.isfinite(area):
        return "–"
    return f"{area:.3f} mm²" if 0 < area < 0.01 else f"{area:.2f} mm²"


def _spot_mm2(pitch_um: float, layout: str) -> float:
    """Area in mm2 that a spot stands for."""
    shape = math.sqrt(3) / 2 if layout == "hexagonal" else 1.0
    return shape * pitch_um**2 / 1e6
