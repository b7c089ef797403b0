"""The dock below the slide with what is measured: a table, neighbours, and a gene across a border."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_mclstexp.core.measures import BorderProfile, Enrichment, Measurements

STATEMENT = "Values are predicted. Spots beside each other are alike: no p-values are given."
WIDTH, HEIGHT = 440, 250
INCHES = (5.0, 1.8)
"""Of a plot, at first: the dock is no higher than it need be."""
DIVERGING = "RdBu_r"


class MeasureView(QWidget):
    """Shows measurements, and asks for others."""

    asked = Signal()
    save_requested = Signal(object)

    def __init__(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        super().__init__()
        self.genes = QLineEdit()
        self.genes.setToolTip("Symbols, separated by commas; the first is drawn across the border")
        self.part = QComboBox()
        self.part.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.part.setMinimumContentsLength(8)
        self.save = QPushButton("Save …")
        self.save.setToolTip("The table as CSV")
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.told = QLabel(STATEMENT)
        self.told.setWordWrap(True)
        self.neighbours, self.border = (Figure(INCHES, layout="constrained") for _ in range(2))
        above = QHBoxLayout()
        above.addWidget(QLabel("Genes"))
        above.addWidget(self.genes, 1)
        above.addWidget(QLabel("Border of"))
        above.addWidget(self.part)
        above.addWidget(self.save)
        self.tabs = QTabWidget()
        self.tabs.addTab(self.table, "Table")
        self.tabs.addTab(FigureCanvasQTAgg(self.neighbours), "Neighbours")
        self.tabs.addTab(FigureCanvasQTAgg(self.border), "Across a border")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addLayout(above)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.told)
        self.setMinimumHeight(HEIGHT)
        self.genes.editingFinished.connect(self._typed)
        self.part.activated.connect(lambda _: self.asked.emit())
        self.save.clicked.connect(self._choose)
        self._asked_for = ""

    def sizeHint(self) -> QSize:  # noqa: D102 - Qt's name
        return QSize(WIDTH, HEIGHT)

    def wanted(self) -> tuple[tuple[str, ...], int]:
        """Genes that are asked for, and the row whose border is drawn."""
        symbols = tuple(dict.fromkeys(s.strip() for s in self.genes.text().split(",") if s.strip()))
        return symbols, max(0, self.part.currentIndex())

    def ask_for(self, gene: str) -> None:
        """Ask for a gene first, where no other was typed."""
        if self.genes.text() in ("", self._asked_for):
            self._asked_for = gene
            self.genes.setText(gene)

    def _typed(self) -> None:
        if self.genes.text() != self._asked_for:
            self._asked_for = self.genes.text()
            self.asked.emit()

    def _choose(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", "measurements.csv", "CSV (*.csv)")
        if name:
            self.save_requested.emit(Path(name))

    def show_measurements(self, found: Measurements) -> None:
        """Show others."""
        table = found.table
        self.table.setColumnCount(len(table.columns))
        self.table.setRowCount(len(table))
        self.table.setHorizontalHeaderLabels([str(name).replace("_", " ") for name in table.columns])
        for row in range(len(table)):
            for column, name in enumerate(table.columns):
                value = table.iloc[row, column]
                number = isinstance(value, (float, np.floating))
                item = QTableWidgetItem(
                    "–" if number and np.isnan(value) else f"{value:.3f}" if number else str(value)
                )
                side = Qt.AlignmentFlag.AlignLeft if isinstance(value, str) else Qt.AlignmentFlag.AlignRight
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(f"{name}: {value}")
                self.table.setItem(row, column, item)
        self.table.resizeColumnsToContents()
        at = max(0, self.part.currentIndex())
        with signals_blocked(self.part):
            self.part.clear()
            self.part.addItems(list(found.parts))
            self.part.setCurrentIndex(at if at < len(found.parts) else 0)
        self._draw(self.neighbours, found.neighbours, _draw_neighbours)
        gene = self.wanted()[0][:1]
        self._draw(self.border, found.border, lambda axes, profile: _draw_border(axes, profile, *gene))

    def _draw(self, figure: Figure, what: object, draw: object) -> None:
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.WindowText).name()
        figure.clear()
        figure.set_facecolor(palette.color(QPalette.ColorRole.Window).name())
        axes = figure.add_subplot()
        axes.set_facecolor("none")
        if what is None:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "Not to be told here", ha="center", va="center", color=text, fontsize=8)
        else:
            draw(axes, what)  # type: ignore[operator]
        for each in figure.axes:
            each.tick_params(colors=text, labelsize=7)
            for part in (each.title, each.xaxis.label, each.yaxis.label):
                part.set_color(text)
                part.set_fontsize(8)
            for spine in each.spines.values():
                spine.set_color(text)
        figure.canvas.draw_idle()


def _draw_neighbours(axes: Axes, found: Enrichment) -> None:
    bound = float(np.nanmax(np.abs(found.z), initial=1.0))
    picture = axes.imshow(found.z, cmap=DIVERGING, vmin=-bound, vmax=bound)
    short = [name if len(name) <= 12 else f"{name[:11]}…" for name in found.names]
    axes.set_xticks(range(len(short)), short, rotation=45, ha="right")
    axes.set_yticks(range(len(short)), short)
    axes.set_title("Side by side more than by chance (z)")
    axes.figure.colorbar(picture, ax=axes)


def _draw_border(axes: Axes, found: BorderProfile, gene: str) -> None:
    axes.fill_between(found.distance_um, found.low, found.high, alpha=0.25, color="#4c9be8", linewidth=0)
    axes.plot(found.distance_um, found.mean, color="#4c9be8")
    axes.axvline(0, color="#e69f00", linewidth=1)
    axes.set_xlabel("um from the border; inside below 0")
    axes.set_title(f"{gene}: mean, 5 to 95 %")
