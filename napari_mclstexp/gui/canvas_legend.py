"""Legend of the domains on the picture: names, areas and spots; a click hides a domain or goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QToolButton, QWidget

from napari_mclstexp.gui.panels.domain import domain_sizes
from napari_mclstexp.gui.panels.swatch import SIZE, swatch

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

EDGE = 10
BAR = 80
"""Room of a colour bar in the corner, with its numbers."""
MOST = 16
"""Domains listed; of more than these the dock has the whole list."""
GONE = "#00000000"
STYLE = """
#canvas_legend { background: rgba(20, 22, 26, 190); border-radius: 6px; }
#canvas_legend QToolButton, #canvas_legend QLabel
  { background: transparent; border: none; color: #f2f2f2; padding: 1px 3px; font-size: 11px; }
#canvas_legend QToolButton:hover { background: rgba(255, 255, 255, 50); border-radius: 3px; }
"""


class CanvasLegend(QFrame):
    """Lies in the upper left corner of the canvas while domains are drawn.

    Parameters
    ----------
    canvas : QWidget
        Where it lies.
    session : Session
        Whose domains.
    """

    visit_requested = Signal(int)
    view_requested = Signal(dict)

    def __init__(self, canvas: QWidget, session: Session) -> None:
        super().__init__(canvas)
        self._session = session
        self._said: tuple[object, ...] = ()
        self.rows: dict[int, tuple[QToolButton, QToolButton]] = {}
        self.setObjectName("canvas_legend")
        self.setStyleSheet(STYLE)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(6, 4, 8, 4)
        self._grid.setHorizontalSpacing(2)
        self._grid.setVerticalSpacing(0)
        self._signals = (session.result_changed, session.domains_changed, session.view_changed)
        for signal in self._signals:
            signal.connect(self._show)
        session.job_changed.connect(self._show_soon)
        self._show()

    def disconnect(self) -> None:
        """Follow the session no longer, and go."""
        for signal in self._signals:
            signal.disconnect(self._show)
        self._session.job_changed.disconnect(self._show_soon)
        self.hide()
        self.deleteLater()

    def _lie(self) -> None:
        """In the corner; beside the colour bar of predicted values where that has the corner."""
        self.adjustSize()
        swiped = self._session.source == "swipe" and self._session.view.heatmap
        self.move(EDGE + BAR if swiped else EDGE, EDGE)

    def _show_soon(self) -> None:
        QTimer.singleShot(0, self._show)  # in a turn of its own: much else is drawn when a job ends

    def _show(self) -> None:
        session = self._session
        result, view = session.result, session.view
        domains = None if result is None else result.domains
        shown = domains is not None and view.legend and view.domains != "hidden"
        if result is None or domains is None or not shown or session.job.predicting:
            self.hide()
            return
        sizes = domain_sizes(result)
        said = (sizes, dict(domains.names), dict(domains.colours), domains.locked, view.hidden)
        if said != self._said:
            self._said = said
            self._fill(sizes)
        self._lie()
        self.show()

    def _fill(self, sizes: dict[int, tuple[str, str]]) -> None:
        while self._grid.count():
            widget = self._grid.takeAt(0).widget()
            widget.hide()
            widget.deleteLater()
        self.rows.clear()
        domains, hidden = self._session.result.domains, self._session.view.hidden
        for row, (label, (spots, area)) in enumerate(list(sizes.items())[:MOST]):
            away = label in hidden
            square = _button("Click to show" if away else "Click to hide")
            square.setIcon(swatch(GONE if away else domains.colours[label]))
            square.setIconSize(QSize(SIZE, SIZE))
            square.clicked.connect(lambda _, label=label: self._toggle(label))
            name = _button("Click to go there")
            text = domains.names[label]
            name.setText(text if len(text) <= 24 else text[:23] + "…")
            name.clicked.connect(lambda _, label=label: self.visit_requested.emit(label))
            self.rows[label] = square, name
            self._grid.addWidget(square, row, 0)
            self._grid.addWidget(name, row, 1, Qt.AlignmentFlag.AlignLeft)
            for column, told in ((2, area), (3, spots)):
                number = QLabel(told)
                number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self._grid.addWidget(number, row, column)
        if len(sizes) > MOST:
            self._grid.addWidget(QLabel(f"and {len(sizes) - MOST} more"), MOST, 1)
        for i in range(self._grid.count()):  # what is not shown yet takes no room
            self._grid.itemAt(i).widget().show()

    def _toggle(self, label: int) -> None:
        self.view_requested.emit({"hidden": self._session.view.hidden ^ {label}})


def _button(tip: str) -> QToolButton:
    button = QToolButton()
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys stay with the picture
    return button
