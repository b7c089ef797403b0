"""Genes as the rows of a dropdown; Qt asks for those alone that are on screen, of however many."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - Qt's signatures
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, Qt
from qtpy.QtGui import QFont, QPalette
from qtpy.QtWidgets import QWidget  # noqa: TC002 - Qt's signature

GENE = Qt.ItemDataRole.UserRole
SEPARATOR = "separator"
"""By this accessible description Qt's dropdowns know a line between rows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One gene in the dropdown.

    Attributes
    ----------
    gene : str
        Its symbol; empty for none.
    group : int
        Groups are parted by a line: 0 favourites, 1 recent, 2 all others.
    doubtful : bool
        Whether a map of it is not to be believed; shown grey.
    about : str
        Shown while the mouse rests on it.
    text : str
        Shown instead of the symbol.
    """

    gene: str
    group: int = 2
    doubtful: bool = False
    about: str = ""
    text: str = ""


class GeneRows(QAbstractListModel):
    """Rows of entries, with lines between their groups.

    Parameters
    ----------
    box : QWidget
        Whose font and palette they have.
    """

    def __init__(self, box: QWidget) -> None:
        super().__init__(box)
        self._box = box
        self._rows: list[Entry | None] = []
        self._row_of: dict[str, int] = {}

    def set_entries(self, entries: Sequence[Entry]) -> None:
        """Show these, in their order."""
        rows: list[Entry | None] = []
        for entry in entries:
            if rows and rows[-1] is not None and rows[-1].group != entry.group:
                rows.append(None)
            rows.append(entry)
        self.beginResetModel()
        self._rows = rows
        self._row_of = {entry.gene: row for row, entry in enumerate(rows) if entry is not None}
        self.endResetModel()

    def row_of(self, gene: str) -> int:
        """Row of a gene; -1 where it is not among them."""
        return self._row_of.get(gene, -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: D102 - Qt's name
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:  # noqa: D102 - Qt's name
        if not index.isValid() or self._rows[index.row()] is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        if not index.isValid():
            return None
        entry = self._rows[index.row()]
        if entry is None:
            return SEPARATOR if role == Qt.ItemDataRole.AccessibleDescriptionRole else None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return entry.text or entry.gene
        if role == GENE:
            return entry.gene
        if role == Qt.ItemDataRole.ToolTipRole:
            return entry.about or None
        if role == Qt.ItemDataRole.FontRole and entry.group == 0:
            font = QFont(self._box.font())
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ForegroundRole and entry.doubtful:
            return self._box.palette().brush(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text)
        return None
