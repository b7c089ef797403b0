"""Agreement of domains by their number, as a small curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_mclstexp.core.stability import Stability

LINE, CHOSEN = "#4c9be8", "#e69f00"
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 110, 34, 10, 18, 20


class StabilityCurve(QWidget):
    """Mean agreement with its range, 0 to 1, for each number of domains; the one taken is marked."""

    def __init__(self) -> None:
        super().__init__()
        self._curve: Stability | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Domains are found in several draws of the spots: 1 means that they come out the same each time"
        )
        self.hide()

    def show_curve(self, curve: Stability | None) -> None:
        """Show another curve, or none."""
        self._curve = curve
        self.setVisible(curve is not None)
        self.update()

    def sizeHint(self) -> QSize:  # noqa: D102 - Qt's name
        return QSize(260, HEIGHT)

    def _at(self, index: int, agreement: float) -> QPointF:
        """Place of a value on the widget."""
        count = max(1, len(self._curve.counts) - 1) if self._curve else 1
        x = LEFT + (self.width() - LEFT - RIGHT) * index / count
        return QPointF(x, TOP + (self.height() - TOP - BOTTOM) * (1 - max(0.0, agreement)))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102 - Qt's name
        curve = self._curve
        if curve is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(text)
        painter.drawText(2, 12, f"Agreement by number: {curve.best} is taken")
        for agreement in (0.0, 0.5, 1.0):
            at = self._at(0, agreement)
            painter.drawText(2, int(at.y()) + 4, f"{agreement:.1f}")
            painter.setPen(QPen(QColor(text.red(), text.green(), text.blue(), 60)))
            painter.drawLine(at, self._at(len(curve.counts) - 1, agreement))
            painter.setPen(text)
        for i, count in enumerate(curve.counts):
            painter.drawText(int(self._at(i, 0).x()) - 5, self.height() - 4, str(count))
        painter.setPen(QPen(QColor(LINE), 1))
        for i, (low, high) in enumerate(zip(curve.low, curve.high, strict=True)):
            painter.drawLine(self._at(i, low), self._at(i, high))
        painter.setPen(QPen(QColor(LINE), 2))
        points = [self._at(i, mean) for i, mean in enumerate(curve.mean)]
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(Qt.PenStyle.NoPen)
        for count, point in zip(curve.counts, points, strict=True):
            painter.setBrush(QColor(CHOSEN if count == curve.best else LINE))
            size = 4.5 if count == curve.best else 3.0
            painter.drawEllipse(point, size, size)
        painter.end()
