"""The mouse over the slide: a spot pointed at tells its value, a spot clicked is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QToolTip

from napari_mclstexp.core.spot_card import SpotFinder, hover_text
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari

    from napari_mclstexp.session import Session

STILL_PX = 4
"""Screen pixels that the mouse may move in a click."""


class Pointing:
    """Follows the mouse.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose canvas.
    session : Session
        Whose spots; a click chooses one.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._finder: SpotFinder | None = None
        self._grid: object = None
        self._shown: int | None = None
        viewer.mouse_move_callbacks.append(self._moved)
        viewer.mouse_drag_callbacks.append(self._pressed)

    def disconnect(self) -> None:
        """Follow the mouse no longer."""
        for callbacks, ours in (
            (self._viewer.mouse_move_callbacks, self._moved),
            (self._viewer.mouse_drag_callbacks, self._pressed),
        ):
            if ours in callbacks:
                callbacks.remove(ours)
        QToolTip.hideText()

    def _row(self, position: tuple[float, ...]) -> int | None:
        """Row of the spot at a position in the world."""
        result = self._session.result
        if result is None or self._session.job.predicting:
            return None
        if self._grid is not result.grid:
            self._grid, self._finder = result.grid, SpotFinder(result.grid)
        y, x = np.array(position[-2:]) / spatial(self._session.scale)["scale"]
        return None if self._finder is None else self._finder.at(float(y), float(x))

    def _moved(self, _: napari.Viewer, event: Any) -> None:
        row = self._row(event.position) if self._session.view.heatmap else None
        if row is None:
            if self._shown is not None:
                QToolTip.hideText()
            self._shown = None
            return
        session = self._session
        told = session.gene if session.signature is None and not session.view.blend else None
        self._shown = row
        QToolTip.showText(QCursor.pos(), hover_text(session.result, row, told))

    def _pressed(self, viewer: napari.Viewer, event: Any) -> Generator[None, None, None]:
        if event.button != 1 or event.modifiers or self._session.tool.kind or _drawing(viewer):
            return
        start = np.array(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos, dtype=float) - start).max() <= STILL_PX:
            row = self._row(event.position)
            if row is not None:
                self._session.set_spot(row)


def _drawing(viewer: napari.Viewer) -> bool:
    """Whether the mouse draws or paints in the selected layer."""
    active = viewer.layers.selection.active
    return active is not None and str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
