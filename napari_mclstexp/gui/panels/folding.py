"""A part of a panel that can be folded away."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget


class Folding(QWidget):
    """A line that shows and hides a widget below it.

    Parameters
    ----------
    title : str
        Of the line.
    inside : QWidget
        What is folded away at first.
    """

    def __init__(self, title: str, inside: QWidget) -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setAutoRaise(True)
        self._inside = inside
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(inside)
        self.button.clicked.connect(lambda: self.fold(self._inside.isVisible()))
        self.fold(True)

    def fold(self, away: bool) -> None:
        """Fold it away, or out."""
        self._inside.setVisible(not away)
        self.button.setArrowType(Qt.ArrowType.RightArrow if away else Qt.ArrowType.DownArrow)
