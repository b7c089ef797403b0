"""The mouse as a tool over the slide: brush, fill and lasso for domains, outlines for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, Qt

from napari_mclstexp.core.annotations import annotation
from napari_mclstexp.core.domain_edits import Annotate, Assign, Edit, Split
from napari_mclstexp.core.palette import domain_colour
from napari_mclstexp.core.reach import pitch_px
from napari_mclstexp.core.strokes import Stroke, Strokes
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.slides import spatial
from napari_mclstexp.gui.telling import tell_in_words
from napari_mclstexp.gui.trace import Trace
from napari_mclstexp.session.values import NEW

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.gui.layers import Layers
    from napari_mclstexp.session import Session

BRUSHES = ("brush", "erase")
OUTLINES = ("lasso", "freehand")


class Painting(QObject):
    """Follows the mouse while a tool is taken.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose canvas.
    session : Session
        Tool and domains.
    layers : Layers
        Shows a stroke while it goes on.
    edit : callable
        Takes an edit of the domains.
    about : callable
        What is said of an annotation that is drawn: attributes of :class:`.Annotation` by name.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        layers: Layers,
        edit: Callable[[Edit], None],
        about: Callable[[], dict[str, str]],
    ) -> None:
        super().__init__()
        self._viewer, self._session, self._layers = viewer, session, layers
        self._edit, self._about = edit, about
        self._strokes: Strokes | None = None
        self._corners: list[tuple[float, float]] = []
        self._trace: Trace | None = None
        self._panning = False
        session.tool_changed.connect(self._taken)
        self._callbacks = (
            (viewer.mouse_drag_callbacks, self._dragged),
            (viewer.mouse_move_callbacks, self._moved),
            (viewer.mouse_double_click_callbacks, self._double_clicked),
        )
        for callbacks, ours in self._callbacks:
            callbacks.append(ours)
        self._canvas = viewer.window._qt_window._qt_viewer.canvas.native
        self._canvas.installEventFilter(self)

    def disconnect(self) -> None:
        """Follow the mouse no longer."""
        self._session.tool_changed.disconnect(self._taken)
        for callbacks, ours in self._callbacks:
            if ours in callbacks:
                callbacks.remove(ours)
        self._canvas.removeEventFilter(self)
        self._viewer.scene.camera.mouse_pan = True
        if self._trace is not None:
            self._trace.deleteLater()
            self._trace = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102 - Qt's name
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        if event.type() in kinds and event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._panning = event.type() == QEvent.Type.KeyPress
            self._viewer.scene.camera.mouse_pan = self._panning or not self._session.tool.kind
        return super().eventFilter(watched, event)

    def _taken(self) -> None:
        """Another tool, or none."""
        tool = self._session.tool
        self._corners = []
        if tool.kind and self._trace is None:
            self._trace = Trace(self._canvas)
        self._viewer.scene.camera.mouse_pan = not tool.kind
        if self._trace is not None:
            self._trace.show_path([])
            self._trace.show_ring(None)
            self._trace.setVisible(bool(tool.kind))

    def give_up(self) -> None:
        """Leave an outline that was begun; without one, the tool."""
        if self._corners:
            self._corners = []
            self._show_path([])
        else:
            self._session.set_tool(kind="")

    def close_outline(self) -> None:
        """End a polygon that is drawn by its corners."""
        if self._session.tool.kind == "polygon" and self._corners:
            corners, self._corners = self._corners, []
            self._show_path([])
            self._annotate(np.array(corners))

    def _place(self, event: Any) -> tuple[float, float]:
        """y, x in full-resolution px of a mouse event."""
        y, x = np.array(event.position[-2:]) / spatial(self._session.scale)["scale"]
        return float(y), float(x)

    def _on_screen(self, y_px: float, x_px: float) -> tuple[float, float]:
        """x, y on the canvas, logical px."""
        per_px = spatial(self._session.scale)["scale"]
        camera, size = self._viewer.scene.camera, self._viewer.canvas.size
        y = (y_px * per_px[0] - camera.center[-2]) * camera.zoom + size[0] / 2
        x = (x_px * per_px[1] - camera.center[-1]) * camera.zoom + size[1] / 2
        return x, y

    def _finder(self) -> Strokes | None:
        result = self._session.result
        if result is None or result.domains is None or self._session.job.predicting:
            return None
        if self._strokes is None or self._strokes.grid is not result.grid:
            self._strokes = Strokes(result.grid)
        return self._strokes

    def _dragged(self, _: napari.Viewer, event: Any) -> Generator[None, None, None]:
        kind, finder = self._session.tool.kind, self._finder()
        if not kind or finder is None or event.button != 1 or self._panning:
            return
        self._viewer.scene.camera.mouse_pan = False  # napari gives it back where another layer is selected
        if kind in BRUSHES:
            yield from self._brushed(finder, event)
        elif kind in OUTLINES:
            yield from self._outlined(finder, event)
        elif kind == "fill":
            self._filled(finder, self._place(event))
        elif kind == "polygon":
            self._corners.append(self._place(event))
            self._show_path(self._corners)

    def _brushed(self, finder: Strokes, event: Any) -> Generator[None, None, None]:
        tool, domains = self._session.tool, self._session.result.domains
        label = 0 if tool.kind == "erase" else tool.target
        stroke = Stroke(finder, domains.labels, domains.locked, tool.across, careful=tool.careful)
        self._show_stroke(stroke, event, label)
        yield
        while event.type == "mouse_move":
            self._show_stroke(stroke, event, label)
            yield
        self._give(stroke.rows, label)

    def _show_stroke(self, stroke: Stroke, event: Any, label: int) -> None:
        at = self._place(event)
        new = stroke.to(*at)
        if label != NEW:
            self._layers.paint(new, label)
        self._show_ring(at)

    def _outlined(self, finder: Strokes, event: Any) -> Generator[None, None, None]:
        path = [self._place(event)]
        yield
        while event.type == "mouse_move":
            path.append(self._place(event))
            self._show_path(path)
            yield
        self._show_path([])
        if self._session.tool.kind == "freehand":
            self._annotate(np.array(path))
            return
        rows = finder.inside(np.array(path))
        if len(path) > 2 and len(rows) == 0:
            tell_in_words("There is no spot inside this line. Draw around the spots that you mean.")
        self._give(rows, self._session.tool.target)

    def _filled(self, finder: Strokes, at: tuple[float, float]) -> None:
        found = finder.under(np.array([at]), 1)
        if len(found):
            self._give(
                finder.patch(self._session.result.domains.labels, int(found[0])), self._session.tool.target
            )

    def _give(self, rows: NDArray[np.intp], label: int) -> None:
        """Give spots to a domain; a new one is made with the first of them, and then is the one painted."""
        domains = self._session.result.domains
        if label != NEW:
            rows = rows[domains.labels[rows] != label]
        if len(rows) == 0:
            return
        spots = tuple(rows.tolist())
        if label != NEW:
            self._edit(Assign(spots, label))
            return
        made = max(domains.names, default=0) + 1
        name = next(f"Domain {i}" for i in range(made, 10_000) if f"Domain {i}" not in domains.names.values())
        self._edit(Split(spots, name, domain_colour(made)))
        if made in self._session.result.domains.names:
            self._session.set_tool(target=made)

    def _annotate(self, outline: NDArray[np.float64]) -> None:
        import shapely

        try:
            if len(outline) < 3:
                raise ValueError
            area = shapely.make_valid(shapely.Polygon(outline[:, ::-1]))
            parts = [part for part in shapely.get_parts(area) if part.geom_type == "Polygon"]
            drawn = annotation(shapely.union_all(parts), **self._about())
        except (ValueError, MclstexpError):
            tell_in_words("An annotation needs an outline that encloses an area. Draw around it.")
            return
        self._edit(Annotate(**{name: getattr(drawn, name) for name in drawn.__dataclass_fields__}))

    def _moved(self, _: napari.Viewer, event: Any) -> None:
        if not self._session.tool.kind or self._trace is None:
            return
        at = self._place(event)
        self._show_ring(at)
        if self._corners:
            self._show_path([*self._corners, at])

    def _double_clicked(self, _: napari.Viewer, event: Any) -> None:
        self.close_outline()

    def _show_ring(self, at: tuple[float, float]) -> None:
        """The brush where the mouse is."""
        tool, finder = self._session.tool, self._finder()
        if self._trace is None or finder is None or tool.kind not in BRUSHES:
            return
        x, y = self._on_screen(*at)
        edge = self._on_screen(at[0], at[1] + tool.across * pitch_px(finder.grid)[1] / 2)
        self._trace.show_ring((x, y, edge[0] - x))

    def _show_path(self, path: list[tuple[float, float]]) -> None:
        if self._trace is not None:
            self._trace.show_path([self._on_screen(*at) for at in path])
