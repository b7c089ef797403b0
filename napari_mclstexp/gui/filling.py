"""The map of a prediction that fills in while its spots arrive."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.core.maps import SEQUENTIAL, Map
from napari_mclstexp.gui.spot_map import HEATMAP

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.gui.domain_layer import DomainLayer
    from napari_mclstexp.gui.spot_map import SpotMap
    from napari_mclstexp.gui.statement import Statement
    from napari_mclstexp.gui.unlike_spots import UnlikeSpots
    from napari_mclstexp.session import Session


class Filling:
    """Draws spots as they arrive, of the gene shown, or of the one that differs most among the first spots.

    Parameters
    ----------
    viewer : napari.Viewer
        The window.
    session : Session
        What is predicted.
    heatmap, domains, unlike
        Layers of its result.
    statement : Statement
        Says how far it is.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        heatmap: SpotMap,
        domains: DomainLayer,
        unlike: UnlikeSpots,
        statement: Statement,
    ) -> None:
        self._viewer, self._session, self._statement = viewer, session, statement
        self._heatmap, self._domains, self._unlike = heatmap, domains, unlike
        self._values: NDArray[np.float32] | None = None
        self._gene = ""
        self.begun = self._closed = False

    @property
    def going(self) -> bool:
        """Whether spots have arrived, and not yet all."""
        return self._values is not None

    def expect(self) -> None:
        """Make the layers of a result before there is one.

        napari takes a tenth of a second or two for each, and longer to draw it first: each is made in a turn
        of its own, so that the window answers in between, and unseen until it has something to show.
        """
        self._statement.prepare()
        for layer in (self._domains, self._heatmap, self._unlike):
            if not layer.drawn:
                QTimer.singleShot(0, partial(self._make, layer))

    def _make(self, layer: DomainLayer | SpotMap | UnlikeSpots) -> None:
        if self._session.slide is not None and not self._closed and not layer.drawn:
            active = self._viewer.layers.selection.active
            layer.prepare(self._session.scale)
            self._viewer.layers.selection.active = active

    def begin(self) -> None:
        """Get ready for the spots of a prediction."""
        self.begun = True
        self.expect()
        QTimer.singleShot(0, self._select)
        if self._session.result is None:
            self._statement.say("Predicting")

    def _select(self) -> None:
        """Select the map: keys of the slide's or the domains' layer would take the place of ours."""
        if self.begun and not self._closed and self._heatmap.drawn:
            self._viewer.layers.selection.active = self._heatmap.layer

    def close(self) -> None:
        """Make no layer any more."""
        self._closed = True
        self.end()

    def fill(self, step: Progress) -> bool:
        """Draw the spots that came with a step; whether they are the first."""
        scale = self._session.scale
        canvas = None if step.drawing is None else step.drawing.canvas
        first = self._values is None or len(self._values) != len(step.grid)
        if first:
            self._values = np.full(len(step.grid), np.nan, dtype=np.float32)
            self._gene = self._session.gene if self._session.gene in step.genes else ""
            self._heatmap.draw(step.grid, _map("", self._values), scale, HEATMAP, canvas)
            self._domains.look("hidden")  # those of the run before
            self._unlike.look(visible=False, opacity=1.0)
        if step.rows is None or not self._heatmap.drawn:
            return first
        if not self._gene:
            self._gene = step.genes[int(np.nan_to_num(step.expression).std(axis=0).argmax())]
        self._values[step.rows] = step.expression[:, step.genes.index(self._gene)]
        name = f"{HEATMAP}: {self._gene}, filling in"
        self._heatmap.draw(step.grid, _map(self._gene, self._values), scale, name, canvas)
        self._statement.say(f"{self._gene}, {step.done:,} of {step.total:,} spots")
        if step.drawing is not None:
            QTimer.singleShot(0, partial(self._domains.lie, step.drawing.cells, scale))
        return first

    def end(self) -> bool:
        """Draw no more; whether spots had arrived. What `begun` says stays until the result is shown."""
        arrived, self._values = self.going, None
        return arrived


def _map(gene: str, values: NDArray[np.float32]) -> Map:
    """Map of values that are not all there yet."""
    return Map(gene, values, colour_limits(values), SEQUENTIAL[0], "")
