"""Where on the slide one is: a small map with the view's frame, the magnification, a ruler; going places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.ruler import Ruler
from napari_mclstexp.gui.slides import spatial
from napari_mclstexp.gui.telling import tell_in_words

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session

OVERVIEW_PX = 512
FRAME = "#1e88e5"
UM_AT_1X = 10.0
"""Um per pixel at a magnification of 1: 40x scans have about 0.25."""
NUMBER = r"(\d+\.?\d*|\.\d+)"
PLACE = re.compile(rf"\s*{NUMBER}\s*[,; ]\s*{NUMBER}\s*(px|um|µm|mm)?\s*", re.IGNORECASE)


class Navigator(QWidget):
    """Small map, magnification, ruler, and a line to go to a spot or a place.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose view.
    session : Session
        Whose slide.
    jobs : Jobs
        Fetches the overview beside the job.
    """

    def __init__(self, viewer: napari.Viewer, session: Session, jobs: Jobs) -> None:
        super().__init__()
        self._viewer, self._session, self._jobs = viewer, session, jobs
        self.map = Minimap()
        self.magnification = QLabel()
        self.magnification.setWordWrap(True)
        self.place = QLineEdit()
        self.place.setPlaceholderText("Go to a spot, or x, y in px, µm, mm")
        self.ruler_button = QPushButton("Ruler")
        self.ruler_button.setCheckable(True)
        self.ruler_button.setToolTip("Drag over the slide to measure")
        self.ruler = Ruler(viewer, session)
        row = QHBoxLayout()
        row.addWidget(self.place, 1)
        row.addWidget(self.ruler_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.map, 1)
        layout.addWidget(self.magnification)
        layout.addLayout(row)
        self.map.asked.connect(self._move_to)
        self.place.returnPressed.connect(self._go)
        self.ruler_button.toggled.connect(self._measure)
        self._camera = viewer.scene.camera.events
        for event in (self._camera.center, self._camera.zoom):
            event.connect(self._show_frame)
        viewer.canvas.events.size.connect(self._show_frame)
        session.slide_changed.connect(self._fetch)
        session.scale_changed.connect(self._show_frame)
        self._fetch()

    def close_down(self) -> None:
        """Follow viewer and session no longer."""
        for event in (self._camera.center, self._camera.zoom):
            event.disconnect(self._show_frame)
        self._viewer.canvas.events.size.disconnect(self._show_frame)
        self._session.slide_changed.disconnect(self._fetch)
        self._session.scale_changed.disconnect(self._show_frame)
        self.ruler.switch(False)

    def _fetch(self) -> None:
        slide = self._session.slide
        self.map.show_picture(None)
        self.ruler_button.setChecked(False)
        for part in (self.place, self.ruler_button):
            part.setEnabled(slide is not None)
        if slide is not None:
            self._jobs.aside(lambda: _overview(slide), self.map.show_picture)
        self._show_frame()

    def _per_px(self) -> NDArray[np.float64]:
        """World units a full-resolution px, y and x."""
        return np.array(spatial(self._session.scale)["scale"])

    def _show_frame(self) -> None:
        slide, scale = self._session.slide, self._session.scale
        if slide is None:
            self.magnification.setText("No slide yet")
            return
        camera = self._viewer.scene.camera
        size = np.array([slide.height, slide.width]) * self._per_px()
        half = np.array(self._viewer.canvas.size) / camera.zoom / 2
        centre = np.array(camera.center[-2:])
        self.map.show_frame((centre - half) / size, (centre + half) / size)
        if scale is None:
            self.magnification.setText(f"{camera.zoom:.0%} of full resolution")
            return
        across = 2 * half[1]
        told = f"{across / 1000:.2f} mm" if across >= 1000 else f"{across:.0f} µm"
        self.magnification.setText(
            f"{UM_AT_1X * camera.zoom:.3g}× · {1 / camera.zoom:.3g} µm a screen px · {told} across"
        )

    def _move_to(self, y: float, x: float) -> None:
        """Bring a place of the slide, 0 to 1, to the middle."""
        slide = self._session.slide
        if slide is not None:
            self._centre(np.array([y * slide.height, x * slide.width]))

    def _centre(self, place_px: NDArray[np.float64]) -> None:
        self._viewer.scene.camera.center = tuple(place_px * self._per_px())

    def _measure(self, on: bool) -> None:
        self.ruler.switch(on)

    def _go(self) -> None:
        text, result = self.place.text().strip(), self._session.result
        if not text:
            return
        if result is not None and text in result.grid.ids:
            row = int(np.flatnonzero(result.grid.ids == text)[0])
            self._centre(result.grid.centres_px[row])
            self._session.set_spot(row)
            return
        found, slide, scale = PLACE.fullmatch(text), self._session.slide, self._session.scale
        if found is None or slide is None:
            tell_in_words(
                f"There is no spot {text!r}, and it is no place such as 1200, 800 px or 1.2, 0.8 mm."
            )
            return
        xy = np.array([float(found[1]), float(found[2])])
        unit = (found[3] or "px").lower()
        if unit != "px":
            if scale is None:
                tell_in_words("The slide's scale is unknown, so that only px can be gone to.")
                return
            xy *= (1000.0 if unit == "mm" else 1.0) / np.array([scale.mpp_x, scale.mpp_y])
        if xy[0] > slide.width or xy[1] > slide.height:
            tell_in_words(f"That is beyond the slide, which has {slide.width:,} x {slide.height:,} px.")
            return
        self._centre(xy[::-1])


def _overview(slide: Slide) -> NDArray[np.uint8] | None:
    """Overview of a slide; none of one that cannot be read, of which its picture tells already."""
    try:
        return slide.overview(OVERVIEW_PX)
    except MclstexpError:
        return None


class Minimap(QWidget):
    """The slide, small, and the frame of what is seen."""

    asked = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(110)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip("Click or drag to move the view")
        self._picture: QImage | None = None
        self._frame = QRectF()

    def sizeHint(self) -> QSize:
        """Room for a square slide."""
        return QSize(220, 170)

    def show_picture(self, picture: NDArray[np.uint8] | None) -> None:
        """Show an overview (h, w, 3), or none."""
        self._picture = None
        if picture is not None:
            height, width = picture.shape[:2]
            data = np.ascontiguousarray(picture).tobytes()
            self._picture = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.update()

    def show_frame(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Show the frame from y, x to y, x, in shares of the slide."""
        self._frame = QRectF(QPointF(low[1], low[0]), QPointF(high[1], high[0]))
        self.update()

    def area(self) -> QRectF:
        """Where the slide is drawn, px of this widget."""
        if self._picture is None:
            return QRectF()
        size = QSize(self._picture.width(), self._picture.height())
        size.scale(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        corner = QPointF((self.width() - size.width()) / 2, (self.height() - size.height()) / 2)
        return QRectF(corner.x(), corner.y(), size.width(), size.height())

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw both."""
        if self._picture is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        area = self.area()
        painter.drawImage(area, self._picture)
        frame = QRectF(
            area.x() + self._frame.x() * area.width(),
            area.y() + self._frame.y() * area.height(),
            self._frame.width() * area.width(),
            self._frame.height() * area.height(),
        ).intersected(area.adjusted(1, 1, -1, -1))
        painter.setPen(QPen(QColor(FRAME), 2))
        painter.drawRect(frame)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go there."""
        self._ask(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go along."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._ask(event)

    def _ask(self, event: QMouseEvent) -> None:
        area, at = self.area(), event.position()
        if area.width() > 0:
            y, x = (at.y() - area.y()) / area.height(), (at.x() - area.x()) / area.width()
            self.asked.emit(min(1.0, max(0.0, y)), min(1.0, max(0.0, x)))
