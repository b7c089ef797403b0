"""Step 3: which gene's heatmap is shown, and how; predicted values beside measured ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QToolButton,
)
from superqt.utils import signals_blocked

from napari_mclstexp.core.genes import ORDERS
from napari_mclstexp.gui.gene_box import GeneBox
from napari_mclstexp.gui.gene_rows import Entry
from napari_mclstexp.gui.panels.colour import ColourForm
from napari_mclstexp.gui.panels.folding import Folding
from napari_mclstexp.gui.panels.several import BlendForm, SignatureForm

if TYPE_CHECKING:
    from napari_mclstexp.session import Session


ONE, BLEND, SIGNATURE = "One gene", "Three genes", "Signature"
SOURCES = [("Predicted", "predicted"), ("Measured", "measured"), ("Swipe: predicted | measured", "swipe")]

DOT = 14


class GenePanel(QGroupBox):
    """What is mapped: a gene of a searchable dropdown, a blend, or a signature; and how it is drawn."""

    gene_requested = Signal(str)
    step_requested = Signal(int)
    order_requested = Signal(str, object)
    favourite_requested = Signal(str, bool)
    compare_requested = Signal()
    view_requested = Signal(dict)

    def __init__(self, session: Session) -> None:
        super().__init__("3  Gene")
        self._session = session
        self.shows = QComboBox()
        self.shows.addItems([ONE, BLEND, SIGNATURE])
        self.shows.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.compare = QPushButton("Side by side …")
        self.compare.setToolTip("Up to four genes in linked views")
        self.gene = GeneBox()
        self.favourite = QToolButton()
        self.favourite.setCheckable(True)
        self.favourite.setText("☆")
        self.favourite.setToolTip("A favourite: kept at the top of the list")
        self.previous, self.next = QToolButton(), QToolButton()
        self.previous.setArrowType(Qt.ArrowType.UpArrow)
        self.next.setArrowType(Qt.ArrowType.DownArrow)
        self.previous.setToolTip("Previous gene")
        self.next.setToolTip("Next gene")
        self.order = QComboBox()
        self.order.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.blend = BlendForm(session)
        self.signature = SignatureForm(session)
        self.colour = ColourForm(session)
        self.shown = QCheckBox("Show the heatmap")
        self.shown.setChecked(True)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.source = QComboBox()
        for text, value in SOURCES:
            self.source.addItem(text, value)
        self.source.setToolTip("Compare the prediction with what was measured on this section")
        self.divider = QSlider(Qt.Orientation.Horizontal)
        self.divider.setRange(0, 1000)
        self.divider.setToolTip("Where the line is; it can be dragged over the slide, too")
        self.one_scale = QCheckBox("One colour scale for both")
        self.agreement, self.badge, self.note = QLabel(), QLabel(), QLabel()
        for label in (self.agreement, self.badge, self.note):
            label.setWordWrap(True)
        self.badge.setToolTip("How well this gene was predicted on tissue that the model had not seen")
        self._listed_source = ""
        self._lay_out()
        self._connect()
        self._show_list()
        self._show_orders()
        self._show()

    def _lay_out(self) -> None:
        shows, gene = QHBoxLayout(), QHBoxLayout()
        shows.addWidget(self.shows, 1)
        shows.addWidget(self.compare)
        gene.addWidget(self.gene, 1)
        for button in (self.favourite, self.previous, self.next):
            gene.addWidget(button)
        self._form = layout = QFormLayout(self)
        self._gene_row = gene
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        layout.addRow("Show", shows)
        layout.addRow("Gene", gene)
        layout.addRow("Listed", self.order)
        layout.addRow(self.blend)
        layout.addRow(self.signature)
        self.mark = QLabel()
        self._badge_row = badge = QHBoxLayout()
        badge.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        badge.addWidget(self.badge, 1)
        layout.addRow(badge)
        layout.addRow("Values", self.source)
        layout.addRow("Swipe", self.divider)
        layout.addRow(self.agreement)
        layout.addRow("Opacity", self.opacity)
        layout.addRow("", self.one_scale)
        layout.addRow("", self.shown)
        self.colours = Folding("Colours and limits", self.colour)
        layout.addRow(self.colours)
        layout.addRow(self.note)

    def _connect(self) -> None:
        session = self._session
        self.shows.activated.connect(self._shows_chosen)
        self.compare.clicked.connect(self.compare_requested)
        self.gene.picked.connect(self.gene_requested)
        self.gene.opening.connect(self._show_list)
        self.favourite.clicked.connect(lambda on: self.favourite_requested.emit(session.gene or "", on))
        self.previous.clicked.connect(lambda: self.step_requested.emit(-1))
        self.next.clicked.connect(lambda: self.step_requested.emit(1))
        self.order.activated.connect(lambda: self.order_requested.emit(*self.order.currentData()))
        self.source.activated.connect(lambda: self.view_requested.emit({"source": self.source.currentData()}))
        self.divider.valueChanged.connect(lambda v: self.view_requested.emit({"divider": v / 1000}))
        self.one_scale.toggled.connect(lambda on: self.view_requested.emit({"one_scale": on}))
        self.shown.toggled.connect(lambda on: self.view_requested.emit({"heatmap": on}))
        self.opacity.valueChanged.connect(lambda v: self.view_requested.emit({"opacity": v / 100}))
        self.colour.colour_requested.connect(lambda colour: self.view_requested.emit({"colour": colour}))
        for signal in (session.result_changed, session.measured_changed, session.listing_changed):
            signal.connect(self._show_list)
        for signal in (session.result_changed, session.domains_changed, session.listing_changed):
            signal.connect(self._show_orders)
        for signal in (
            session.result_changed,
            session.gene_changed,
            session.measured_changed,
            session.listing_changed,
            session.view_changed,
        ):
            signal.connect(self._show)

    def _shows_chosen(self) -> None:
        """Turn to one gene, a blend or a signature; the signature is shown once there is one."""
        chosen = self.shows.currentText()
        if chosen == BLEND:
            self.blend.ask()
        elif self._session.view.blend or self._session.signature is not None:
            self.gene_requested.emit(self._session.gene or "")
        self._show_rows()

    def _show(self) -> None:
        session = self._session
        both = session.result is not None and session.measured is not None
        if session.source != self._listed_source:  # by swipe there are fewer genes
            self._show_list()
        self.gene.show_gene(session.gene or "")
        favourite = session.gene in session.remembered.favourites
        self.favourite.setChecked(favourite)
        self.favourite.setText("★" if favourite else "☆")
        for widget in (self.gene, self.favourite, self.previous, self.next, self.shown, self.opacity):
            widget.setEnabled(bool(session.genes))
        for widget in (self.order, self.shows, self.compare):
            widget.setEnabled(session.result is not None)
        view = session.view
        blocked = (self.source, self.divider, self.opacity, self.shown, self.one_scale, self.shows)
        for widget in blocked:
            widget.blockSignals(True)
        self.source.setCurrentIndex(self.source.findData(session.source))
        self.divider.setValue(round(view.divider * self.divider.maximum()))
        self.opacity.setValue(round(view.opacity * 100))
        self.shown.setChecked(view.heatmap)
        self.one_scale.setChecked(view.one_scale)
        if view.blend:
            self.shows.setCurrentText(BLEND)
        elif session.signature is not None:
            self.shows.setCurrentText(SIGNATURE)
        elif self.shows.currentText() == BLEND or session.result is None:
            self.shows.setCurrentText(ONE)
        for widget in blocked:
            widget.blockSignals(False)
        self.agreement.setText(self._agreement() if both else "")
        self.note.setText(self._about())
        self._show_rows()
        self._show_badge()

    def _show_rows(self) -> None:
        session, shows = self._session, self.shows.currentText()
        both = session.result is not None and session.measured is not None
        rows = {
            self._gene_row: shows == ONE,
            self.order: shows == ONE,
            self.blend: shows == BLEND,
            self.signature: shows == SIGNATURE,
            self.source: both,
            self.divider: session.source == "swipe",
            self.agreement: both and shows == ONE,
            self.one_scale: both,
        }
        for row, wanted in rows.items():
            self._form.setRowVisible(row, wanted)

    def _show_list(self) -> None:
        """Favourites, recent ones, then all; those not predictable grey."""
        session = self._session
        result, held = session.result, session.result.held_out if session.result else None
        doubted = set()
        if result is not None and held is not None:
            doubted = {g for g, sure in zip(result.genes, held.predictable(), strict=True) if not sure}
        there = set(session.genes)
        first = [g for g in session.remembered.favourites if g in there]
        recent = [g for g in session.remembered.recent if g in there and g not in first]
        entries = [
            Entry(
                gene, group, gene in doubted, "Not predictable on held-out tissue" if gene in doubted else ""
            )
            for group, genes in enumerate((first, recent, session.genes))
            for gene in genes
            if group < 2 or (gene not in first and gene not in recent)
        ]
        self._listed_source = session.source
        self.gene.set_entries(entries)
        self.gene.show_gene(session.gene or "")
        self.blend.set_entries([e for e in entries if result is not None and e.gene in result.genes])

    def _show_orders(self) -> None:
        result = self._session.result
        choices = [(text, (by, None)) for by, text in ORDERS.items() if by != "markers"]
        if result is None or result.held_out is None:
            choices = [c for c in choices if c[1][0] != "pcc"]
        if result is not None and result.domains is not None:
            choices += [
                (f"By markers of {name}", ("markers", label))
                for label, name in sorted(result.domains.names.items())
            ]
        shown = [(self.order.itemText(i), self.order.itemData(i)) for i in range(self.order.count())]
        with signals_blocked(self.order):
            if shown != choices:
                self.order.clear()
                for text, data in choices:
                    self.order.addItem(text, data)
            at = [data for _, data in choices]
            by = self._session.listed_by
            self.order.setCurrentIndex(at.index(by) if by in at else 0)

    def _show_badge(self) -> None:
        """How far the gene shown can be believed."""
        session = self._session
        result, gene = session.result, session.gene
        told = result is not None and gene in result.genes and session.source != "measured"
        told = told and not session.view.blend and session.signature is None
        self._form.setRowVisible(self._badge_row, told)
        if told:
            text = result.reliability(gene)
            self.badge.setText(f"{gene}: {text}")
            self.mark.setPixmap(_dot("#8a8a8a" if text.startswith("Not ") else "#2ca25f"))

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


def _dot(colour: str) -> QPixmap:
    """A filled circle: green for a gene that can be predicted, grey for one that cannot."""
    picture = QPixmap(2 * DOT, 2 * DOT)
    picture.setDevicePixelRatio(2)  # sharp on screens of both kinds
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(1, 2, DOT - 3, DOT - 3)
    painter.end()
    return picture
