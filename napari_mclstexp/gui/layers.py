"""Session events -> napari layers. The only code that touches ``viewer.layers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.colormaps import DirectLabelColormap

from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.core.raster import raster_labels
from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.gui.divider import Divider
from napari_mclstexp.gui.slides import LAYER_NAME, layer_data, manage_colour, slide_of, spatial
from napari_mclstexp.gui.spot_map import SpotMap
from napari_mclstexp.gui.unlike_spots import UnlikeSpots

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.session import Session

HEATMAP, MEASURED, DOMAINS, LINE = "Predicted gene", "Measured gene", "Domains", "Known length"
OUTLINE_PX = 1
MEASURED_STATEMENT = "Measured. For research use only."
SWIPE_STATEMENT = "Left of the line: predicted from H&E. Right: measured.\nFor research use only."


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
        self._heatmap, self._measured = SpotMap(viewer), SpotMap(viewer)
        self._unlike = UnlikeSpots(viewer)
        self._divider = Divider(viewer, lambda at: session.set_view(divider=at))
        self._domains: Labels | None = None
        self._filling: NDArray[np.float32] | None = None
        self._filling_gene = ""
        self._provisional = False
        self._one_scale = session.view.one_scale
        self._line: Shapes | None = None
        session.slide_changed.connect(self._show_slide)
        session.scale_changed.connect(self._show_scale)
        session.result_changed.connect(self._show_result)
        session.gene_changed.connect(self._show_gene)
        session.measured_changed.connect(self._show_measured)
        session.view_changed.connect(self._view_changed)
        session.job_changed.connect(self._show_job)

    @property
    def heatmap(self) -> Points | None:
        """The layer of the predicted gene."""
        return self._heatmap.layer

    @property
    def domains(self) -> Labels | None:
        """The layer of the domains."""
        return self._domains

    def slide_in_viewer(self) -> Slide | None:
        """Slide of the topmost layer of ours that another way of opening brought."""
        found = (slide_of(layer) for layer in reversed(self._viewer.layers))
        return next((slide for slide in found if slide is not None), None)

    def disconnect(self) -> None:
        """Follow the session no longer; a map that was filling in goes."""
        self._divider.hide()
        if self._filling is not None:
            self._heatmap.drop()
            self._unlike.drop()
            self._viewer.canvas.overlays.text.visible = False
        for name in ("slide", "scale", "result", "gene", "measured", "view", "job"):
            getattr(self._session, f"{name}_changed").disconnect()

    def _show_slide(self) -> None:
        slide = self._session.slide
        shown = [layer for layer in self._viewer.layers if slide and slide_of(layer) is slide]
        newest = shown[-1] if shown else None  # the same slide can have been opened twice
        for layer in (*shown[:-1], self._slide):
            if layer is not None and layer != newest:
                self._drop(layer)
        if slide is not None and newest is None:
            data, about, _ = layer_data(slide)
            newest = self._viewer.add_layer(Image(data, **about))
        self._slide = newest
        self._provisional = slide is not None and not slide.prepared
        if newest is not None:
            newest.name = LAYER_NAME  # napari had numbered it beside its predecessor
        self._viewer.canvas.overlays.scale_bar.visible = slide is not None
        self._viewer.reset_view()

    def draw_line(self, wanted: bool) -> None:
        """Let a line be drawn over the slide, or give that up."""
        self._drop(self._line)
        self._line = None
        if wanted and self._session.slide is not None:
            width = max(self._session.slide.width, self._session.slide.height) / 300
            layer = Shapes(
                ndim=2, name=LINE, edge_color="yellow", edge_width=width, **spatial(self._session.scale)
            )
            self._line = self._viewer.add_layer(layer)
            self._line.mode = "add_line"

    def drawn_line(self) -> NDArray[np.float64] | None:
        """Ends (2, 2) of the line drawn last, y, x in full-resolution px; None where there is none.

        With painted domains the one thing that is read back from a layer.
        """
        if self._line is None or self._line not in self._viewer.layers or not self._line.data:
            return None
        return np.asarray(self._line.data[-1], dtype=np.float64)[:2]

    def _show_scale(self) -> None:
        if self._slide is None:
            return
        about = spatial(self._session.scale)
        for name, value in about.items():
            setattr(self._slide, name, value)
        self._measured.rescale(self._session.scale)
        self._viewer.reset_view()

    def _show_result(self) -> None:
        result = self._session.result
        self._unlike.drop()
        if result is None:
            self._heatmap.drop()
            self._drop(self._domains)
            self._domains = None
            self._show_view()
            return
        if result.unlike is not None:
            self._unlike.draw(result.grid, result.unlike, self._session.scale)
        self._show_domains()

    def _show_measured(self) -> None:
        if self._session.measured is None:
            self._measured.drop()
            self._show_view()

    def _show_gene(self) -> None:
        session, gene = self._session, self._session.gene
        result, measured = session.result, session.measured
        if gene is None:
            return
        predicted = result.believable(gene) if result is not None and gene in result.genes else None
        counted = measured.gene_values(gene) if measured is not None and gene in measured.genes else None
        limits = None
        if session.view.one_scale and predicted is not None and counted is not None:
            limits = colour_limits(np.concatenate([predicted, counted]))
        if counted is None:
            self._measured.drop()
        else:
            name = f"{MEASURED}: {gene}"
            self._measured.draw(measured.grid, counted, session.scale, name, limits)
        if self._filling is None and predicted is None:
            self._heatmap.drop()
        elif self._filling is None:
            self._heatmap.draw(result.grid, predicted, session.scale, f"{HEATMAP}: {gene}", limits)
        self._show_view()

    def _say(self, text: str, statement: str = STATEMENT) -> None:
        overlay = self._viewer.canvas.overlays.text
        overlay.text = f"{text}\n{statement}"
        overlay.position = "bottom_left"
        overlay.font_size = 9
        overlay.visible = True

    def _show_job(self) -> None:
        """Let the map fill in while a prediction runs; show the slide sharp once it is prepared."""
        job = self._session.job
        if self._provisional and self._session.slide is not None and self._session.slide.prepared:
            self._provisional = False
            self._slide.refresh()
        step = job.progress
        if job.running and step is not None and step.grid is not None:
            self._fill(step)
        elif not job.running and self._filling is not None:
            self._filling = None  # what was there before comes back, until a result arrives
            self._heatmap.drop()
            self._show_gene()
            self._show_view()

    def _fill(self, step: Progress) -> None:
        if self._filling is None or len(self._filling) != len(step.grid):
            self._filling = np.full(len(step.grid), np.nan, dtype=np.float32)
            self._filling_gene = self._session.gene if self._session.gene in step.genes else ""
            self._heatmap.draw(step.grid, self._filling, self._session.scale, HEATMAP)
            self._show_view()
            if self._domains is not None:
                self._domains.visible = False  # those of the run before
        if step.rows is None or not self._heatmap.drawn:
            return
        if not self._filling_gene:
            self._filling_gene = step.genes[int(step.expression.std(axis=0).argmax())]
        gene = self._filling_gene
        self._filling[step.rows] = step.expression[:, step.genes.index(gene)]
        self._heatmap.draw(step.grid, self._filling, self._session.scale, f"{HEATMAP}: {gene}, filling in")
        self._say(f"{gene}, {step.done:,} of {step.total:,} spots")

    def _show_domains(self) -> None:
        result = self._session.result
        if result is None or result.domains is None:
            return
        raster = raster_labels(result.grid, result.domains.labels)
        about = spatial(self._session.scale)
        scale = np.array(about["scale"])
        colours: dict[int | None, object] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0), **result.domains.colours}
        drawn = {
            "colormap": DirectLabelColormap(color_dict=colours),
            "features": pd.DataFrame(
                {
                    "index": sorted(result.domains.names),
                    "domain": [result.domains.names[i] for i in sorted(result.domains.names)],
                }
            ),
            "scale": tuple(scale * raster.step_px),
            "translate": tuple(scale * raster.origin_px),
        }
        if self._domains is not None and self._domains in self._viewer.layers:
            self._domains.data = raster.values  # in place: it keeps its rank among the layers
            for name, value in drawn.items():
                setattr(self._domains, name, value)
        else:
            layer = Labels(raster.values, name=DOMAINS, **{**about, **drawn})
            self._domains = self._viewer.add_layer(layer)

        self._show_view()

    def _view_changed(self) -> None:
        view = self._session.view
        if view.one_scale != self._one_scale:
            self._one_scale = view.one_scale
            self._show_gene()
        else:
            self._show_view()

    def _show_view(self) -> None:
        view, slide = self._session.view, self._session.slide
        self._manage_colour(view.colour_managed)
        source = "predicted" if self._filling is not None else self._session.source
        swipe = source == "swipe" and view.heatmap and slide is not None
        at = view.divider * slide.width if swipe else 0.0
        self._heatmap.look(
            visible=view.heatmap and source != "measured",
            opacity=view.opacity,
            between=(-np.inf, at) if swipe else None,
            bar="top_left" if swipe else "top_right",
        )
        self._unlike.look(
            visible=view.heatmap and source != "measured" and self._filling is None,
            opacity=view.opacity,
            between=(-np.inf, at) if swipe else None,
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
        if self._filling is None:
            self._say_what(source)
        if self._domains is not None:
            self._domains.visible = view.domains != "hidden"
            outlines = view.domains == "outlines"
            self._domains.contour = OUTLINE_PX if outlines else 0
            self._domains.opacity = 0.95 if outlines else 0.5

    def _say_what(self, source: str) -> None:
        """Say on the canvas what the colours are."""
        result, measured, gene = self._session.result, self._session.measured, self._session.gene
        hidden = not self._session.view.heatmap
        if result is None and (measured is None or hidden):
            self._viewer.canvas.overlays.text.visible = False
        elif hidden:
            self._say("Domains of predicted expression")
        elif source == "measured":
            unit = _short(measured.unit) if gene in measured.genes else "not among the genes of this section"
            self._say(f"{gene}, measured: {unit}", MEASURED_STATEMENT)
        elif source == "swipe":
            units = dict.fromkeys(map(_short, (result.provenance.normalisation, measured.unit)))
            self._say(f"{gene}, {' | '.join(units)}", SWIPE_STATEMENT)
        else:
            said = f"{gene}, {_short(result.provenance.normalisation)}"
            if result.unlike is not None and result.unlike.any():
                said += f"\nGrey crosses: {result.unlike.sum():,} spots unlike the reference"
            self._say(said)

    def _manage_colour(self, managed: bool) -> None:
        if self._slide is not None and self._slide.data[0].colour_managed != managed:
            manage_colour(self._slide.data, managed)
            self._slide.refresh()

    def _drop(self, layer: Layer | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _short(unit: str) -> str:
    """Unit of expression in a few words: the canvas is narrow, and the dock has the whole."""
    return unit.partition(" of the spot")[0]
