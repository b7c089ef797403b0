"""Step 3: which gene's heatmap is shown, and how; predicted values beside measured ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QGroupBox, QLabel, QSlider
from superqt import QSearchableComboBox
from superqt.utils import signals_blocked

if TYPE_CHECKING:
    from napari_mclstexp.session import Session


SOURCES = [("Predicted", "predicted"), ("Measured", "measured"), ("Swipe: predicted | measured", "swipe")]


class GenePanel(QGroupBox):
    """Searchable dropdown of genes; visibility and opacity of the heatmap; a swipe to measured values."""

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
        self.source = QComboBox()
        for text, value in SOURCES:
            self.source.addItem(text, value)
        self.source.setToolTip("Compare the prediction with what was measured on this section")
        self.divider = QSlider(Qt.Orientation.Horizontal)
        self.divider.setRange(0, 1000)
        self.divider.setToolTip("Where the line is; it can be dragged over the slide, too")
        self.one_scale = QCheckBox("One colour scale for both")
        self.agreement = QLabel()
        self.agreement.setWordWrap(True)
        self.badge = QLabel()
        self.badge.setWordWrap(True)
        self.badge.setToolTip("How well this gene was predicted on tissue that the model had not seen")
        self.note = QLabel()
        self.note.setWordWrap(True)
        self._form = layout = QFormLayout(self)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        layout.addRow("Gene", self.gene)
        layout.addRow(self.badge)
        layout.addRow("Values", self.source)
        layout.addRow("Swipe", self.divider)
        layout.addRow(self.agreement)
        layout.addRow("Opacity", self.opacity)
        layout.addRow("", self.one_scale)
        layout.addRow("", self.shown)
        layout.addRow(self.note)
        self.gene.currentTextChanged.connect(self._chosen)
        self.gene.lineEdit().editingFinished.connect(self._typed)
        self.source.activated.connect(self._source_chosen)
        self.divider.valueChanged.connect(lambda v: self.view_requested.emit({"divider": v / 1000}))
        self.one_scale.toggled.connect(lambda on: self.view_requested.emit({"one_scale": on}))
        self.shown.toggled.connect(lambda on: self.view_requested.emit({"heatmap": on}))
        self.opacity.valueChanged.connect(lambda v: self.view_requested.emit({"opacity": v / 100}))
        session.result_changed.connect(self._show)
        session.gene_changed.connect(self._show)
        session.measured_changed.connect(self._show)
        session.view_changed.connect(self._show_source)
        self._show()

    def _chosen(self, gene: str) -> None:
        if gene in self._genes:
            self.gene_requested.emit(gene)

    def _source_chosen(self) -> None:
        self.view_requested.emit({"source": self.source.currentData()})

    def _typed(self) -> None:
        gene = self.gene.currentText().strip()
        if not self._genes or gene == self._session.gene or not gene:
            self._show()
            return
        known = {name.upper(): name for name in self._genes}
        self.gene_requested.emit(known.get(gene.upper(), gene))
        self._show()

    def _show(self) -> None:
        session = self._session
        self._show_source()
        for widget in (self.gene, self.shown, self.opacity):
            widget.setEnabled(bool(self._genes))
        if session.gene:
            with signals_blocked(self.gene):
                self.gene.setCurrentText(session.gene)
        both = session.result is not None and session.measured is not None
        self._form.setRowVisible(self.agreement, both)
        self.agreement.setText(self._agreement() if both else "")

    def _show_badge(self) -> None:
        """How far the gene shown can be believed."""
        result, gene = self._session.result, self._session.gene
        told = result is not None and gene in result.genes and self._session.source != "measured"
        self._form.setRowVisible(self.badge, told)
        if told:
            self.badge.setText(f"{gene}: {result.reliability(gene)}")

    def _show_source(self) -> None:
        session = self._session
        both = session.result is not None and session.measured is not None
        self._form.setRowVisible(self.source, both)
        self._form.setRowVisible(self.divider, session.source == "swipe")
        self._form.setRowVisible(self.one_scale, both)
        genes = session.genes
        with signals_blocked(self.gene), signals_blocked(self.source), signals_blocked(self.divider):
            self.source.setCurrentIndex(self.source.findData(session.source))
            self.divider.setValue(round(session.view.divider * self.divider.maximum()))
            self.note.setText(self._about())
            if genes != self._genes:
                self._genes = genes
                self.gene.clear()
                self.gene.addItems(list(genes))
                self.gene.setCurrentText(session.gene or "")
        self._show_badge()

    def _about(self) -> str:
        result, measured, source = self._session.result, self._session.measured, self._session.source
        if result is not None and source != "measured":
            end = "Predicted, not measured." if source == "predicted" else "Left of the line, predicted."
            unlike = 0 if result.unlike is None else int(result.unlike.sum())
            doubt = (
                f"{unlike:,} of them ({unlike / len(result.grid):.0%}) show tissue unlike the model's "
                "reference: they are not coloured. "
                if unlike
                else ""
            )
            return (
                f"{len(result.genes):,} genes over {len(result.grid):,} spots. {doubt}"
                f"Colour: {result.provenance.normalisation}. {end}"
            )
        if measured is not None:
            return (
                f"Measured: {len(measured.genes):,} genes over {len(measured.grid):,} spots. "
                f"Colour: {measured.unit}. {measured.note}"
            )
        return "Waits for a prediction."

    def _agreement(self) -> str:
        """How prediction and measurement of the gene agree."""
        session = self._session
        gene, measured, pairing = session.gene, session.measured, session.pairing
        if gene not in measured.genes:
            return f"{gene} was not measured in this section."
        if gene not in session.result.genes:
            return f"{gene} was measured, but this model does not predict it."
        spots = f"{len(pairing.measured):,} spots"
        if not pairing.same:
            spots += ", each with the nearest predicted one"
        if math.isnan(session.pcc):
            return f"{gene}: no correlation can be told over {spots}. {measured.note}"
        return f"{gene}, predicted against measured: PCC {session.pcc:.2f} over {spots}. {measured.note}"
