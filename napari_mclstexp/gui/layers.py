"""Session events -> napari layers. With the parts that it is made of the only code that touches layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer

from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.core.maps import Map, value_map
from napari_mclstexp.gui.annotation_layer import AnnotationLayer
from napari_mclstexp.gui.divider import Divider
from napari_mclstexp.gui.domain_layer import DomainLayer
from napari_mclstexp.gui.filling import Filling
from napari_mclstexp.gui.known_line import KnownLine
from napari_mclstexp.gui.slides import LAYER_NAME, layer_data, read_anew, show_managed, slide_of, spatial
from napari_mclstexp.gui.spot_map import HEATMAP, SpotMap
from napari_mclstexp.gui.statement import Statement
from napari_mclstexp.gui.unlike_spots import UnlikeSpots
from napari_mclstexp.gui.writers import Saved

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.maps import Colour
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.session import Session

MEASURED = "Measured gene"


class Layers:
    """Shows a session in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to show it.
    session : Session
        What to show.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._slide: Layer | None = None
        self._saved = Saved(session)
        mark = self._saved.mark
        self._heatmap, self._measured = SpotMap(viewer, mark), SpotMap(viewer)
        self._unlike = UnlikeSpots(viewer, mark)
        self._domains, self._annotations = DomainLayer(viewer, mark), AnnotationLayer(viewer)
        self.line = KnownLine(viewer)
        self._divider = Divider(viewer, lambda at: session.set_view(divider=at))
        self._statement = Statement(viewer, session)
        self._filling = Filling(viewer, session, self._heatmap, self._domains, self._unlike, self._statement)
        self._provisional = self._left = False
        self._drawn_by, self._hidden = _drawn_by(session), session.view.hidden
        self._stacked: tuple[object, object] | None = None
        session.slide_changed.connect(self._show_slide)
        session.scale_changed.connect(self._show_scale)
        session.result_changed.connect(self._show_result)
        session.domains_changed.connect(self._show_domains)
        session.drawing_changed.connect(self._show_gene)
        session.gene_changed.connect(self._show_gene)
        session.measured_changed.connect(self._show_measured)
        session.view_changed.connect(self._view_changed)
        session.job_changed.connect(self._show_job)

    def slide_in_viewer(self) -> Slide | None:
        """Slide of the topmost layer of ours that another way of opening brought."""
        found = (slide_of(layer) for layer in reversed(self._viewer.layers))
        return next((slide for slide in found if slide is not None), None)

    def disconnect(self) -> None:
        """Follow the session no longer; a map that was filling in goes, and what stays cannot be saved."""
        self._saved.close()
        self._left = True
        self._divider.hide()
        self._statement.disconnect()
        if self._filling.begun:
            self._statement.hide()
        if self._filling.going or self._session.result is None:
            self._drop_result()
        self._filling.close()
        for name in ("slide", "scale", "result", "domains", "drawing", "gene", "measured", "view", "job"):
            getattr(self._session, f"{name}_changed").disconnect()

    def _show_slide(self) -> None:
        slide = self._session.slide
        shown = [layer for layer in self._viewer.layers if slide and slide_of(layer) is slide]
        newest = shown[-1] if shown else None  # the same slide can have been opened twice
        if self._session.result is None:  # layers in um beside one in pixels, and napari ignores all units
            self._drop_result()
        if self._session.measured is None:
            self._measured.drop()
        for layer in (*shown[:-1], self._slide):
            if layer is not None and layer != newest:
                self._drop(layer)
        if slide is not None and newest is None:
            data, about, _ = layer_data(slide)
            about |= spatial(self._session.scale)
            newest = self._viewer.add_layer(Image(data, **about))
        self._slide = newest
        self._provisional = slide is not None and not slide.prepared
        if newest is not None:
            newest.name = LAYER_NAME  # napari had numbered it beside its predecessor
        self._viewer.canvas.overlays.scale_bar.visible = slide is not None
        self._viewer.reset_view()

    def draw_line(self, wanted: bool) -> None:
        """Let a line be drawn over the slide, or give that up."""
        self.line.drop()
        if wanted and self._session.slide is not None:
            self.line.begin(self._session.slide, self._session.scale)

    def _show_scale(self) -> None:
        if self._slide is None:
            return
        about = spatial(self._session.scale)
        for name, value in about.items():
            setattr(self._slide, name, value)
        self._measured.drop()  # drawn anew at this scale
        self._show_gene()
        self._viewer.reset_view()

    def _show_result(self) -> None:
        result = self._session.result
        if result is None:
            self._drop_result()
            self._show_view()
            return
        if not self._filling.begun:  # else they are shown when that ends
            self._show_domains()
            self._show_unlike()

    def _show_unlike(self) -> None:
        result = self._session.result
        if result is not None:
            self._unlike.draw(result.grid, result.unlike, self._session.scale)
            self._show_view()

    def _show_domains(self) -> None:
        result, drawing = self._session.result, self._session.drawing
        if result is None:
            return
        cells, hidden = None if drawing is None else drawing.cells, self._session.view.hidden
        self._domains.draw(result, self._session.scale, cells, hidden)
        self._annotations.draw(result, self._session.scale)
        self._stack()
        self._show_view()

    def _stack(self) -> None:
        """Lay domains below points, which leave them room, and above a picture, when either is new."""
        if not (self._domains.drawn and self._heatmap.drawn):
            return
        domains, heatmap = pair = self._domains.layer, self._heatmap.layer
        if pair == self._stacked:
            return
        self._stacked, layers = pair, self._viewer.layers
        layers.move(layers.index(domains), layers.index(heatmap) + isinstance(heatmap, Image))
        layers.selection.active = heatmap  # the keys of domains' own layer undo brushes alone

    def paint(self, rows: NDArray[np.intp], label: int) -> None:
        """Show spots in a domain while a stroke goes on; its end comes with the session's domains."""
        self._domains.paint(rows, label)

    def _show_measured(self) -> None:
        if self._session.measured is None:
            self._measured.drop()
            self._show_view()

    def _show_gene(self) -> None:
        session, gene = self._session, self._session.gene
        result, measured = session.result, session.measured
        if gene is None:
            return
        predicted = session.predicted_map
        counted = None
        if measured is not None and gene in measured.genes:
            values, colour = measured.gene_values(gene), session.view.colour
            counted = value_map(gene, values, measured.unit, _plain(colour), values)
        if session.view.one_scale and isinstance(predicted, Map) and counted is not None:
            limits = colour_limits(np.concatenate([predicted.values, counted.values]))
            predicted, counted = _within(predicted, limits), _within(counted, limits)
        if counted is None:
            self._measured.drop()
        else:
            self._measured.draw(measured.grid, counted, session.scale, f"{MEASURED}: {gene}")
        if self._filling.going:
            pass
        elif predicted is None:
            self._heatmap.drop()
        else:
            name = f"{HEATMAP}: {predicted.name}"
            self._heatmap.draw(result.grid, predicted, session.scale, name, session.canvas)
            self._stack()
        self._show_view()

    def _show_job(self) -> None:
        """Let the map fill in while a prediction runs; show the slide sharp once it is prepared."""
        job = self._session.job
        if job.predicting and job.progress is None:
            self._filling.begin()
        if self._provisional and self._session.slide is not None and self._session.slide.prepared:
            self._provisional = False
            read_anew(self._slide)
        step = job.progress
        if job.running and step is not None and step.grid is not None:
            if self._filling.fill(step):
                QTimer.singleShot(0, self._show_view)
        elif not job.running and self._filling.begun:
            filled = self._filling.end()  # the result takes its place, or what was there before comes back
            if self._session.result is None:
                self._drop_result()
            if filled and self._session.gene is not None:
                self._show_gene()
            elif filled:
                self._show_view()
            for show in (self._settle_domains, self._settle):
                QTimer.singleShot(0, show)  # each in a turn of its own: the window answers in between

    def _settle_domains(self) -> None:
        if not self._left:
            self._show_domains()
            self._domains.look(self._session.view.domains)

    def _settle(self) -> None:
        if not self._left and not self._filling.going:
            self._filling.begun = False
            self._show_unlike()
            self._show_view()

    def expect_result(self) -> None:
        """A prediction may begin soon: make its layers."""
        if self._session.result is None and self._session.slide is not None:
            self._filling.expect()

    def _drop_result(self) -> None:
        for part in (self._unlike, self._heatmap, self._domains, self._annotations):
            part.drop()

    def _view_changed(self) -> None:
        drawn_by = _drawn_by(self._session)
        hidden = self._session.view.hidden
        if drawn_by != self._drawn_by:
            self._drawn_by = drawn_by
            self._show_gene()
        elif hidden != self._hidden:
            self._hidden = hidden
            self._show_domains()
        else:
            self._show_view()

    def _show_view(self) -> None:
        view, slide = self._session.view, self._session.slide
        if self._slide is not None:
            show_managed(self._slide, view.colour_managed)
        going = self._filling.going
        source = "predicted" if going else self._session.source
        swipe = source == "swipe" and view.heatmap and slide is not None
        at = view.divider * slide.width if swipe else 0.0
        self._heatmap.look(
            visible=view.heatmap and source != "measured" and (going or self._session.result is not None),
            opacity=view.opacity,
            between=(-np.inf, at) if swipe else None,
            bar="top_left" if swipe else "top_right",
        )
        self._measured.look(
            visible=view.heatmap and source != "predicted",
            opacity=view.opacity,
            between=(at, np.inf) if swipe else None,
        )
        if swipe:
            self._divider.show(slide, self._session.scale, view.divider)
        else:
            self._divider.hide()
        if not going:
            self._statement.show()
        if not self._filling.begun:
            self._domains.look(view.domains)
            self._unlike.look(
                visible=view.heatmap and source != "measured",
                opacity=view.opacity,
                between=(-np.inf, at) if swipe else None,
            )

    def _drop(self, layer: Layer | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _drawn_by(session: Session) -> tuple[object, ...]:
    """What of the view makes another map, rather than another look of the same."""
    view = session.view
    return view.one_scale, view.colour, view.blend


def _plain(colour: Colour) -> Colour:
    """How measured values are coloured: they have no reference mean, and their own scale."""
    return replace(colour, centred=False, by="percentiles" if colour.by == "all genes" else colour.by)


def _within(shown: Map, limits: tuple[float, float]) -> Map:
    return replace(shown, limits=limits)
