"""Part of step 4: annotations, drawn or imported, with class, note and author."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_mclstexp.core.domain_edits import Annotate, Unannotate
from napari_mclstexp.gui.panels.swatch import swatch
from napari_mclstexp.gui.panels.tools import tool_buttons

if TYPE_CHECKING:
    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.session import Session

IDENTITY = Qt.ItemDataRole.UserRole
TOOLS = {
    "polygon": ("Polygon", "Click its corners; a double click, or Enter, ends it"),
    "freehand": ("Freehand", "Draw around an area with the button held"),
}
FIELDS = {"of_class": "Class", "name": "Name", "note": "Note", "author": "Author"}
FILTER = "GeoJSON (*.geojson *.json);;All files (*)"
ROWS_SEEN = 6


class AnnotationsForm(QWidget):
    """List of annotations, what is said of each, and how more are made."""

    tool_requested = Signal(dict)
    edit_requested = Signal(object)
    import_requested = Signal(object)
    visit_requested = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.buttons = tool_buttons(TOOLS, self.tool_requested.emit)
        row = QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button, 1)
        self.bring = QPushButton("Import …")
        self.bring.setToolTip("Annotations of a GeoJSON file, such as QuPath writes")
        row.addWidget(self.bring, 1)
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["Annotation", "Area"])
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setToolTip("Double-click to go there")
        self.list.header().setStretchLastSection(False)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.fields = {name: QLineEdit() for name in FIELDS}
        self.fields["of_class"].setPlaceholderText("such as Tumour")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, title in FIELDS.items():
            form.addRow(title, self.fields[name])
            self.fields[name].editingFinished.connect(self._typed)
        self.delete = QPushButton("Delete")
        self.delete.setToolTip("Take the annotation selected in the list away")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.list)
        layout.addLayout(form)
        layout.addWidget(self.delete)
        self.bring.clicked.connect(self._choose)
        self.delete.clicked.connect(self._delete)
        self.list.itemSelectionChanged.connect(self._selected)
        self.list.itemDoubleClicked.connect(lambda item, _: self.visit_requested.emit(item.data(0, IDENTITY)))
        session.tool_changed.connect(self._show_tool)
        session.result_changed.connect(self._show)
        session.domains_changed.connect(self._show)
        self._show()

    def about(self) -> dict[str, str]:
        """What is said of an annotation that is drawn now: of each the class and author, which stay."""
        words = self._words()
        return {"of_class": words["of_class"], "author": words["author"]} if self._chosen() else words

    def _words(self) -> dict[str, str]:
        return {name: field.text().strip() for name, field in self.fields.items()}

    def _chosen(self) -> Annotation | None:
        """The annotation selected in the list."""
        items = self.list.selectedItems()
        identity = items[0].data(0, IDENTITY) if items else None
        return next((note for note in self._session.annotations if note.identity == identity), None)

    def _choose(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Import annotations", "", FILTER)
        if name:
            self.import_requested.emit(Path(name))

    def _delete(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self.edit_requested.emit(Unannotate(chosen.identity))

    def _typed(self) -> None:
        """What was typed is said of the annotation selected."""
        chosen = self._chosen()
        if chosen is not None and any(getattr(chosen, name) != text for name, text in self._words().items()):
            said = replace(chosen, **self._words())
            self.edit_requested.emit(Annotate(**{n: getattr(said, n) for n in said.__dataclass_fields__}))

    def _selected(self) -> None:
        chosen = self._chosen()
        self.delete.setEnabled(chosen is not None)
        for name, field in self.fields.items():
            if chosen is not None or name in ("name", "note"):  # class and author stay for the next
                field.setText("" if chosen is None else getattr(chosen, name))

    def _show(self) -> None:
        notes, chosen = self._session.annotations, self._chosen()
        result = self._session.result
        self.setEnabled(result is not None and result.domains is not None)
        before = {self.list.topLevelItem(i).data(0, IDENTITY) for i in range(self.list.topLevelItemCount())}
        with signals_blocked(self.list):
            self.list.clear()
            for note in notes:
                item = QTreeWidgetItem([note.title, self._area(note)])
                item.setIcon(0, swatch(note.colour))
                item.setData(0, IDENTITY, note.identity)
                said = (note.of_class, note.note, note.author and f"by {note.author}")
                item.setToolTip(0, "\n".join(filter(None, said)))
                self.list.addTopLevelItem(item)
                if (chosen is not None and note.identity == chosen.identity) or (
                    len(notes) == len(before) + 1 and note.identity not in before
                ):  # the one drawn now
                    self.list.clearSelection()
                    item.setSelected(True)
        self.list.setVisible(bool(notes))
        self.list.setFixedHeight(
            self.list.sizeHintForRow(0) * min(len(notes), ROWS_SEEN) + self.list.header().height() + 8
        )
        self.delete.setVisible(bool(notes))
        self._selected()

    def _area(self, note: Annotation) -> str:
        about = self._session.result.provenance  # type: ignore[union-attr]
        mm2 = note.area.area * about.mpp_x * about.mpp_y / 1e6
        return f"{mm2:.2f} mm²" if math.isfinite(mm2) else "–"

    def _show_tool(self) -> None:
        for kind, button in self.buttons.items():
            button.setChecked(kind == self._session.tool.kind)
