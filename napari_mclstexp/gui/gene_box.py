"""A dropdown of genes with type-ahead search: by symbol, by a part of it, or by an alias."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - Qt's signature
from dataclasses import replace

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtWidgets import QComboBox, QCompleter
from superqt.utils import signals_blocked

from napari_mclstexp.core.genes import find_genes
from napari_mclstexp.gui.gene_rows import GENE, Entry, GeneRows

FOUND_AT_MOST = 50


class GeneBox(QComboBox):
    """Dropdown of genes; what is typed finds symbols first, then aliases."""

    picked = Signal(str)
    opening = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[Entry, ...] = ()
        self._shown = ""
        self._items = GeneRows(self)
        self.setModel(self._items)  # once: with another model Qt gives that to the line's completer, too
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setMaxVisibleItems(20)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)
        self.setToolTip("Type a part of a gene symbol, or an alias such as HER2")
        self._found = GeneRows(self)
        self._completer = completer = QCompleter(self._found, self)
        completer.setCompletionRole(GENE)  # the gene is what the line then holds, not how it was found
        completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setMaxVisibleItems(12)
        self.lineEdit().setCompleter(completer)  # the line's, for a dropdown's own takes rows for its own
        completer.activated[QModelIndex].connect(self._completed)
        self.lineEdit().textEdited.connect(self._search)
        self.lineEdit().editingFinished.connect(self._typed)
        self.activated.connect(self._activated)

    def set_entries(self, entries: Sequence[Entry], empty: str = "") -> None:
        """Offer these genes, in their order; with `empty` an entry for none above them."""
        if tuple(entries) == self._entries and self.count():
            return
        self._entries = tuple(entries)
        with signals_blocked(self):
            none = [Entry("", entries[0].group if entries else 2, text=empty)] if empty else []
            self._items.set_entries((*none, *self._entries))
            self.show_gene(self._shown)

    def show_gene(self, gene: str) -> None:
        """Show a gene as the one chosen."""
        self._shown = gene
        with signals_blocked(self):
            self.setCurrentIndex(self._items.row_of(gene))
            self.lineEdit().setText(gene)

    def gene(self) -> str:
        """The gene chosen; empty for none."""
        return self._shown

    def showPopup(self) -> None:
        """Open the list; who fills it is told first."""
        self.opening.emit()
        super().showPopup()

    def _search(self, text: str) -> None:
        known = {entry.gene: entry for entry in self._entries}
        found = find_genes(text.strip(), tuple(known))[:FOUND_AT_MOST]
        self._found.set_entries(
            [replace(known[f.gene], group=2, text=f"{f.gene}   ({f.by})" if f.by else f.gene) for f in found]
        )
        self._completer.complete()

    def _completed(self, index: QModelIndex) -> None:
        self._pick(str(index.data(GENE)))

    def _activated(self, index: int) -> None:
        gene = self.itemData(index, GENE)
        if gene is not None:
            self._pick(str(gene))

    def _typed(self) -> None:
        text = self.lineEdit().text().strip()
        popup = self._completer.popup()
        if popup.isVisible() and popup.currentIndex().isValid():  # that one is taken
            return
        popup.hide()
        if text == self._shown:
            return
        if not text:
            self.show_gene(self._shown)
            return
        found = find_genes(text, tuple(entry.gene for entry in self._entries))
        best = found[0] if found else None
        sure = best is not None and text.upper() in (best.gene.upper(), best.by.upper())
        self._pick(best.gene if best is not None and sure else text)

    def _pick(self, gene: str) -> None:
        """Ask for a gene; it is shown once it is taken."""
        self.lineEdit().setText(self._shown)
        if gene != self._shown:
            self.picked.emit(gene)
