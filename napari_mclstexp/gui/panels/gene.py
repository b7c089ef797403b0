"""Step 3: which gene's heatmap is shown, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QGroupBox, QLabel, QSlider
from superqt import QSearchableComboBox
from superqt.utils import signals_blocked

if TYPE_CHECKING:
    from napari_mclstexp.session import Session


class GenePanel(QGroupBox):
    """Searchable dropdown of genes; visibility and opacity of the heatmap."""

    gene_requested = Signal(str)
    view_requested = Signal(dict)

    def __init__(self, session: Session) -> None:
        super().__init__("3  Gene")
        self._session = session
        self._genes: tuple[str, ...] = ()
        self.gene = QSearchableComboBox()
        self.gene.setToolTip("Type a part of a gene symbol")
        self.shown = QCheckBox("Show the heatmap")
        self.shown.setChecked(True)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(80)
        self.note = QLabel()
        self.note.setWordWrap(True)
        layout = QFormLayout(self)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        layout.addRow("Gene", self.gene)
        layout.addRow("Opacity", self.opacity)
        layout.addRow("", self.shown)
        layout.addRow(self.note)
        self.gene.currentTextChanged.connect(self._chosen)
        self.gene.lineEdit().editingFinished.connect(self._typed)
        self.shown.toggled.connect(lambda on: self.view_requested.emit({"heatmap": on}))
        self.opacity.valueChanged.connect(lambda v: self.view_requested.emit({"opacity": v / 100}))
        session.result_changed.connect(self._show)
        session.gene_changed.connect(self._show)
        self._show()

    def _chosen(self, gene: str) -> None:
        if gene in self._genes:
            self.gene_requested.emit(gene)

    def _typed(self) -> None:
        gene = self.gene.currentText().strip()
        if self._session.result is None or gene == self._session.gene or not gene:
            self._show()
            return
        known = {name.upper(): name for name in self._genes}
        self.gene_requested.emit(known.get(gene.upper(), gene))
        self._show()

    def _show(self) -> None:
        result, gene = self._session.result, self._session.gene
        for widget in (self.gene, self.shown, self.opacity):
            widget.setEnabled(result is not None)
        genes = tuple(sorted(result.genes)) if result else ()
        with signals_blocked(self.gene):
            if genes != self._genes:
                self._genes = genes
                self.gene.clear()
                self.gene.addItems(list(genes))
            if gene:
                self.gene.setCurrentText(gene)
        if result is None:
            self.note.setText("Waits for a prediction.")
        else:
            about = result.provenance
            self.note.setText(
                f"{len(genes):,} genes over {len(result.grid):,} spots. Colour: {about.normalisation}. "
                "Predicted, not measured."
            )
