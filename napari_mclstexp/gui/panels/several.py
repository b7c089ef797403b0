"""Parts of step 3 that show more than one gene: a blend of three, and a signature."""

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
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_mclstexp.core.maps import CHANNELS
from napari_mclstexp.gui.gene_box import GeneBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_mclstexp.core.signatures import GeneSet
    from napari_mclstexp.gui.gene_rows import Entry
    from napari_mclstexp.session import Session

SHOWN_ABSENT = 6


class BlendForm(QWidget):
    """Three genes in one picture."""

    blend_requested = Signal(tuple)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.boxes = [GeneBox() for _ in CHANNELS]
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for box, channel in zip(self.boxes, CHANNELS, strict=True):
            form.addRow(channel.capitalize(), box)
            box.picked.connect(lambda gene, box=box: self._picked(box, gene))
        session.gene_changed.connect(self._show)

    def set_entries(self, entries: Sequence[Entry]) -> None:
        """Offer these genes."""
        for box in self.boxes[:2]:
            box.set_entries(entries)
        self.boxes[2].set_entries(entries, empty="none")

    def ask(self) -> None:
        """Ask for a blend of the genes chosen; those that were never chosen are taken from the first ones."""
        chosen = [box.gene() for box in self.boxes]
        result = self._session.result
        if result is None:
            return
        likely = [self._session.gene or "", *result.genes]
        for i in range(2):
            if chosen[i] not in result.genes:
                chosen[i] = next((g for g in likely if g in result.genes and g not in chosen), chosen[0])
        self.blend_requested.emit(tuple(gene for gene in chosen if gene))

    def _picked(self, box: GeneBox, gene: str) -> None:
        result = self._session.result
        if result is not None and (not gene or gene in result.genes):
            box.show_gene(gene)
        self.ask()

    def _show(self) -> None:
        if self._session.view.blend:
            genes = (*self._session.view.blend, "")
            for box, gene in zip(self.boxes, genes, strict=False):
                box.show_gene(gene)


class SignatureForm(QWidget):
    """A gene set, pasted or from a GMT file, as one map of mean z-scores."""

    pasted = Signal(str)
    file_chosen = Signal(object)
    signature_requested = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._sets: tuple[GeneSet, ...] = ()
        self.text = QPlainTextEdit()
        self.text.setPlaceholderText("Paste gene symbols: CD3D, CD3E, CD8A")
        self.text.setFixedHeight(58)
        self.text.setTabChangesFocus(True)
        self.show_button = QPushButton("Show the signature")
        self.file_button = QPushButton("GMT file …")
        self.sets = QComboBox()
        self.sets.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.sets.setToolTip("Gene sets of the file")
        self.note = QLabel()
        self.note.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.show_button, 1)
        row.addWidget(self.file_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(row)
        layout.addWidget(self.sets)
        layout.addWidget(self.note)
        self.show_button.clicked.connect(lambda: self.pasted.emit(self.text.toPlainText()))
        self.file_button.clicked.connect(self._choose)
        self.sets.activated.connect(lambda i: self.signature_requested.emit(self._sets[i]))
        session.gene_changed.connect(self._show)
        self._show()

    def set_sets(self, sets: tuple[GeneSet, ...]) -> None:
        """Offer the gene sets of a file, and show the first."""
        self._sets = sets
        self.sets.clear()
        self.sets.addItems([f"{s.name} ({len(s.genes)} genes)" for s in sets])
        if sets:
            self.signature_requested.emit(sets[0])
        self._show()

    def _choose(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Gene sets", "", "Gene sets (*.gmt);;All files (*)")
        if name:
            self.file_chosen.emit(Path(name))

    def _show(self) -> None:
        self.sets.setVisible(bool(self._sets))
        shown = self._session.signature
        self.note.setVisible(shown is not None)
        if shown is None:
            return
        genes, score = shown
        lines = [f"{len(score.used)} of {len(genes.genes)} genes are predicted by this model."]
        if score.absent:
            lines.append(f"Absent: {_some(score.absent)}.")
        if score.doubtful:
            lines.append(f"Not predictable: {_some(score.doubtful)}.")
        self.note.setText(" ".join(lines))


def _some(genes: Sequence[str]) -> str:
    more = len(genes) - SHOWN_ABSENT
    return ", ".join(genes[:SHOWN_ABSENT]) + (f" and {more} more" if more > 0 else "")
