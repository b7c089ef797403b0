"""What stands beside the main dock: navigator, card of a spot, genes side by side; and going to domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QCoreApplication, QEvent, Qt

from napari_mclstexp.gui.slides import spatial
from napari_mclstexp.gui.spot_view import SpotView

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from napari_mclstexp.core.spot_card import SpotCard
    from napari_mclstexp.gui.compare import CompareWindow
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.gui.measure_view import MeasureView
    from napari_mclstexp.gui.navigator import Navigator
    from napari_mclstexp.session import Session

NAVIGATOR, SPOT, MEASURES = "Navigator", "Spot", "Measurements"
MARGIN = 1.3
"""Of a domain that is gone to: what is seen over what it spans."""


class Side:
    """Opens and closes the parts beside the dock.

    Parameters
    ----------
    viewer : napari.Viewer
        The window.
    session : Session
        What they show.
    jobs : Jobs
        Work beside the job.
    """

    def __init__(self, viewer: napari.Viewer, session: Session, jobs: Jobs) -> None:
        self._viewer, self._session, self._jobs = viewer, session, jobs
        self.spot: SpotView | None = None
        self.navigator: Navigator | None = None
        self.comparison: CompareWindow | None = None
        self.measures: MeasureView | None = None
        self._widgets: dict[str, QWidget] = {}
        self._visited = 0
        session.slide_changed.connect(self._follow)
        session.result_changed.connect(self._result_changed)

    def disconnect(self) -> None:
        """Close all of them, and follow no longer."""
        self._session.slide_changed.disconnect(self._follow)
        self._session.result_changed.disconnect(self._result_changed)
        for part in (self.navigator, self.comparison):
            if part is not None:
                part.close_down()
        open_window = getattr(self._viewer.window, "_qt_window", None) is not None
        for widget in self._widgets.values():
            if open_window and widget.parent() is not None:
                self._viewer.window.remove_dock_widget(widget)
            # at once: a widget without a parent that lives until the interpreter ends can crash its exit
            widget.deleteLater()
            QCoreApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)
        self._widgets.clear()
        self.navigator = self.comparison = self.spot = self.measures = None

    def _dock(self, name: str, widget: QWidget, area: str) -> None:
        """Show a widget in a dock of its own; a dock that a person closed is gone, and is made anew."""
        if widget.parent() is None:
            self._viewer.window.add_dock_widget(widget, name=name, area=area)
            self._widgets[name] = widget
        widget.parent().show()

    def _follow(self) -> None:
        """Show the navigator once there is a slide."""
        if self._session.slide is not None and self.navigator is None:
            from napari_mclstexp.gui.navigator import Navigator

            self.navigator = Navigator(self._viewer, self._session, self._jobs)
            self.show_navigator()

    def show_navigator(self) -> None:
        """Show it, hidden or closed as it may be."""
        if self.navigator is not None:
            self._dock(NAVIGATOR, self.navigator, "left")

    def show_spot(self, card: SpotCard) -> None:
        """Show a spot's card below the slide."""
        if self._session.spot != card.row:
            return
        if self.spot is None:
            self.spot = SpotView()
        if not self.spot.isVisible():
            self._below(SPOT, self.spot)
        self.spot.show_card(card)

    def _below(self, name: str, widget: QWidget) -> None:
        """Show a widget below the slide, between what stands left and right of that."""
        main = self._viewer.window._qt_window
        main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        docked = [other for other in (self.spot, self.measures) if other not in (None, widget)]
        others = [other.parent() for other in docked if other.parent() is not None]
        seen = [other for other in others if other.isVisible()]
        for other in seen:
            other.hide()  # side by side, be it for a moment, they would widen the window
        self._dock(name, widget, "bottom")
        for other in others:
            main.tabifyDockWidget(other, widget.parent())
        for other in seen:
            other.show()
        widget.parent().raise_()

    def show_measures(self) -> tuple[MeasureView, bool]:
        """Show what is measured below the slide; whether that is for the first time."""
        first = self.measures is None
        if self.measures is None:
            from napari_mclstexp.gui.measure_view import MeasureView

            self.measures = MeasureView()
        self._below(MEASURES, self.measures)
        return self.measures, first

    def hide_spot(self) -> None:
        """Hide the card."""
        if self.spot is not None and self.spot.parent() is not None:
            self.spot.parent().hide()

    def compare(self) -> None:
        """Show up to four genes side by side."""
        from napari_mclstexp.gui.compare import CompareWindow

        result, gene = self._session.result, self._session.gene
        if result is None:
            return
        if self.comparison is None:
            self.comparison = CompareWindow(self._viewer, self._session)
        others = [g for g in (*self._session.remembered.recent, *self._session.genes) if g in result.genes]
        genes = dict.fromkeys(g for g in (gene, *others) if g in result.genes)
        self.comparison.show()
        self.comparison.set_genes(tuple(genes)[:2])
        self.comparison.raise_()

    def visit_domain(self, label: int) -> None:
        """Bring a domain to the middle of the view, whole."""
        result = self._session.result
        if result is None or result.domains is None:
            return
        centres = result.grid.centres_px[result.domains.labels == label]
        if len(centres) == 0:
            return
        self._visited = label
        self._visit(centres.min(axis=0), centres.max(axis=0))

    def visit_annotation(self, identity: str) -> None:
        """Bring an annotation to the middle of the view, whole."""
        for note in self._session.annotations:
            if note.identity == identity:
                x0, y0, x1, y1 = note.area.bounds
                self._visit(np.array([y0, x0]), np.array([y1, x1]))

    def _visit(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Bring a box, y, x in full-resolution px, to the middle of the view."""
        per_px = np.array(spatial(self._session.scale)["scale"])
        low, high = low * per_px, high * per_px
        least = max(self._session.result.grid.pitch_px) * per_px.max() * 2
        span = np.maximum(high - low, least) * MARGIN
        camera = self._viewer.scene.camera
        camera.zoom = float((np.array(self._viewer.canvas.size) / span).min())
        camera.center = tuple((low + high) / 2)

    def next_domain(self) -> None:
        """Go to the domain after the one visited last."""
        result = self._session.result
        if result is not None and result.domains is not None:
            labels = sorted(result.domains.names)
            self.visit_domain(next((i for i in labels if i > self._visited), labels[0]))

    def _result_changed(self) -> None:
        self._visited = 0
