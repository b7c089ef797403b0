"""Part of step 4: tools with which spots are given to domains over the slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_mclstexp.gui.panels.swatch import swatch
from napari_mclstexp.session.values import NEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mclstexp.session import Session

TOOLS = {
    "brush": ("Brush", "Give the spots that it is drawn over to the domain chosen"),
    "erase": ("Erase", "Take the spots that it is drawn over out of their domain"),
    "fill": ("Fill", "Click: give the whole patch under the mouse to the domain chosen"),
    "lasso": ("Lasso", "Draw around spots to give them to the domain chosen"),
}
WIDEST = 40
A_NEW_ONE = "A new domain"
TOLD = {
    "brush": "Draw over spots. Hold Space to move the slide.",
    "erase": "Draw over spots to take them out. Hold Space to move the slide.",
    "fill": "Click on a patch.",
    "lasso": "Draw around spots with the button held.",
}


def tool_buttons(
    tools: dict[str, tuple[str, str]], requested: Callable[[dict[str, str]], None]
) -> dict[str, QPushButton]:
    """A button a kind of tool, with its text and what it does; pressed again, it puts the tool away."""
    buttons = {}
    for kind, (text, does) in tools.items():
        button = QPushButton(text)
        button.setToolTip(does)
        button.setCheckable(True)
        button.clicked.connect(lambda checked, kind=kind: requested({"kind": kind if checked else ""}))
        buttons[kind] = button
    return buttons


class ToolsForm(QWidget):
    """Chooses a tool, the domain that it works for, and its width."""

    tool_requested = Signal(dict)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.buttons = tool_buttons(TOOLS, self.tool_requested.emit)
        row = QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button, 1)
        self.target = QComboBox()
        self.target.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.target.setMinimumContentsLength(8)
        self.across = QSpinBox()
        self.across.setRange(1, WIDEST)
        self.across.setSuffix(" wide")
        self.across.setToolTip("Width of brush and eraser, in spots")
        self.careful = QCheckBox("Spare the neighbours")
        self.careful.setToolTip(
            "A stroke changes only spots of the domain that it begins on, however far it is drawn"
        )
        self.told = QLabel()
        self.told.setWordWrap(True)
        into = QHBoxLayout()
        into.addWidget(self.target, 1)
        into.addWidget(self.across)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Into", into)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addLayout(form)
        layout.addWidget(self.careful)
        layout.addWidget(self.told)
        self.target.activated.connect(
            lambda _: self.tool_requested.emit({"target": self.target.currentData()})
        )
        self.across.valueChanged.connect(lambda across: self.tool_requested.emit({"across": across}))
        self.careful.toggled.connect(lambda careful: self.tool_requested.emit({"careful": careful}))
        session.tool_changed.connect(self._show)
        session.result_changed.connect(self._show_targets)
        session.domains_changed.connect(self._show_targets)
        self._show_targets()

    def _show_targets(self) -> None:
        result = self._session.result
        domains = None if result is None else result.domains
        self.setVisible(domains is not None)
        with signals_blocked(self.target):
            self.target.clear()
            if domains is not None:
                for label, name in sorted(domains.names.items()):
                    self.target.addItem(swatch(domains.colours[label]), name, label)
            self.target.addItem(A_NEW_ONE, NEW)
        self._show()

    def _show(self) -> None:
        tool = self._session.tool
        for kind, button in self.buttons.items():
            button.setChecked(kind == tool.kind)
        with signals_blocked(self.target):
            at = self.target.findData(tool.target)
            self.target.setCurrentIndex(self.target.findData(NEW) if at < 0 else at)
        with signals_blocked(self.across), signals_blocked(self.careful):
            self.across.setValue(tool.across)
            self.careful.setChecked(tool.careful)
        self.target.setEnabled(tool.kind != "erase")
        self.told.setText(TOLD.get(tool.kind, ""))
        self.told.setVisible(bool(self.told.text()))
