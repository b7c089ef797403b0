"""Small pictures for lists: a square of a colour, a padlock."""

from __future__ import annotations

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

SIZE = 14


def swatch(colour: str) -> QIcon:
    """Square of a colour, ``#rrggbb``."""
    square = QPixmap(SIZE, SIZE)
    square.fill(QColor(colour))
    return QIcon(square)


def padlock(closed: bool, colour: QColor) -> QIcon:
    """Padlock of a colour; one that is open is faint."""
    picture = QPixmap(SIZE, SIZE)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setOpacity(1.0 if closed else 0.35)
    painter.setPen(QPen(colour, 1.6))
    painter.drawArc(QRectF(4, 1.5 if closed else 0.5, 6, 8), 0, 180 * 16 if closed else 150 * 16)
    painter.fillRect(QRectF(2.5, 6.5, 9, 6.5), colour)
    painter.end()
    return QIcon(picture)
