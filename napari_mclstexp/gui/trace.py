"""What is being drawn over the slide: the ring of a brush and the line of an outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

LIGHT, DARK = QColor("#ffffff"), QColor("#202020")


class Trace(QWidget):
    """Lies over the canvas and lets the mouse through.

    Parameters
    ----------
    canvas : QWidget
        That it covers.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self._ring: tuple[float, float, float] | None = None
        self._path = QPolygonF()
        self.setGeometry(canvas.rect())
        canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102 - Qt's name
        if event.type() == QEvent.Type.Resize and watched is self.parent():
            self.setGeometry(self.parent().rect())
        return super().eventFilter(watched, event)

    def show_ring(self, ring: tuple[float, float, float] | None) -> None:
        """Show a circle: x and y of its middle, and its radius, px of the canvas; or none."""
        if ring != self._ring:
            self._ring = ring
            self.update()

    def show_path(self, path: list[tuple[float, float]]) -> None:
        """Show a line by x, y of its corners, px of the canvas; none where there are none."""
        if path or not self._path.isEmpty():
            self._path = QPolygonF([QPointF(x, y) for x, y in path])
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102 - Qt's name
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((DARK, 3.0), (LIGHT, 1.4)):  # seen on dark tissue and on white glass
            painter.setPen(QPen(colour, width))
            if self._ring is not None:
                x, y, radius = self._ring
                painter.drawEllipse(QPointF(x, y), radius, radius)
            if not self._path.isEmpty():
                painter.drawPolyline(self._path)
                for corner in (self._path.first(), self._path.last()):
                    painter.drawEllipse(corner, 2.5, 2.5)
        painter.end()
