"""Layers in which a person says where to predict: regions that are drawn, and the tissue's mask painted.

What they hold is read back through :meth:`Places.drawn_regions` and :meth:`Places.painted_tissue` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Shapes
from napari.utils.colormaps import DirectLabelColormap

from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_mclstexp.core.tissue import TissueMask
    from napari_mclstexp.session import Session

REGIONS, TISSUE = "Regions", "Tissue"
GREEN = "#1b9e5a"


class Places:
    """Layers of regions and of the tissue.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw.
    session : Session
        Whose regions are shown.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._regions: Shapes | None = None
        self._tissue: Labels | None = None
        session.slide_changed.connect(self._clear)
        session.place_changed.connect(self._show_regions)

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.slide_changed.disconnect(self._clear)
        self._session.place_changed.disconnect(self._show_regions)

    def draw_regions(self, wanted: bool) -> None:
        """Let polygons be drawn, beginning with the regions in force; or give that up."""
        if not wanted:
            self._show_regions()
            return
        self._show_regions()
        if self._regions is None:
            self._regions = self._viewer.add_layer(self._shapes([]))
        self._regions.editable = True
        self._viewer.layers.selection.active = self._regions
        self._regions.mode = "add_polygon"

    def drawn_regions(self) -> list[NDArray[np.float64]]:
        """Outlines (n, 2) y, x in full-resolution px of what is drawn."""
        if self._regions is None or self._regions not in self._viewer.layers:
            return []
        return [np.asarray(outline, dtype=np.float64)[:, -2:] for outline in self._regions.data]

    def paint_tissue(self, tissue: TissueMask | None) -> None:
        """Let a mask be painted, or with None give that up."""
        self._drop(self._tissue)
        self._tissue = None
        if tissue is None:
            return
        about = spatial(self._session.scale)
        step = np.array([tissue.downsample_y, tissue.downsample_x])
        per_px = np.array(about["scale"])
        layer = Labels(
            tissue.mask.astype(np.uint8),
            name=TISSUE,
            opacity=0.4,
            colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: GREEN}),
            **{**about, "scale": tuple(per_px * step), "translate": tuple(per_px * (step - 1) / 2)},
        )
        self._tissue = self._viewer.add_layer(layer)
        self._tissue.brush_size = 20
        self._tissue.selected_label = 1
        self._viewer.layers.selection.active = self._tissue
        self._tissue.mode = "paint"

    def painted_tissue(self) -> NDArray[np.bool_] | None:
        """The mask as it is painted, (h, w) bool; None where none is."""
        if self._tissue is None or self._tissue not in self._viewer.layers:
            return None
        return np.asarray(self._tissue.data) > 0

    def _show_regions(self) -> None:
        """Show the regions in force, not to be changed."""
        self._drop(self._regions)
        self._regions = None
        self.paint_tissue(None)
        regions = self._session.regions
        if regions is not None:
            outlines = [
                np.asarray(part.exterior.coords)[:-1, ::-1]
                for polygon in regions.polygons
                for part in getattr(polygon, "geoms", [polygon])
            ]
            self._regions = self._viewer.add_layer(self._shapes(outlines))
            self._regions.editable = False

    def _shapes(self, outlines: list[NDArray[np.float64]]) -> Shapes:
        slide = self._session.slide
        width = max(slide.width, slide.height) / 250 if slide is not None else 1.0
        return Shapes(
            outlines or None,
            ndim=2,
            shape_type="polygon",
            name=REGIONS,
            edge_color=GREEN,
            edge_width=width,
            face_color="transparent",
            **spatial(self._session.scale),
        )

    def _clear(self) -> None:
        for layer in (self._regions, self._tissue):
            self._drop(layer)
        self._regions = self._tissue = None

    def _drop(self, layer: Layer | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
