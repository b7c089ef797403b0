"""Annotations as a layer of napari: their outlines, each in its own colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes

from napari_mclstexp.gui.own_layer import OwnLayer
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale

NAME = "Annotations"
WIDTH_SHARE = 1 / 250
"""Of the slide's longer side: how wide an outline is drawn."""


class AnnotationLayer(OwnLayer):
    """Draws the annotations of a result."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(viewer)
        self._shown: tuple[object, ...] = ()

    def draw(self, result: Result, scale: Scale | None) -> None:
        """Draw them, where they have changed; no layer where there are none."""
        notes = () if result.domains is None else result.domains.annotations
        shown = (notes, scale)
        if shown == self._shown and (self.drawn or not notes):
            return
        self._shown = shown
        active, rank = self._viewer.layers.selection.active, None
        if self.drawn:
            rank = self._viewer.layers.index(self.layer)
            self.drop()
        if not notes:
            return
        rings = [(ring, note.colour) for note in notes for ring in _rings(note)]
        about = result.provenance
        layer = Shapes(
            [ring for ring, _ in rings],
            shape_type="polygon",
            name=NAME,
            edge_color=[colour for _, colour in rings],
            edge_width=max(about.width, about.height) * WIDTH_SHARE,
            face_color="transparent",
            **spatial(scale),
        )
        layer.editable = False
        self.layer = self._viewer.add_layer(layer)
        if rank is not None:
            self._viewer.layers.move(len(self._viewer.layers) - 1, rank)
        self._viewer.layers.selection.active = active


def _rings(note: Annotation) -> list[NDArray[np.float64]]:
    """Outlines (n, 2) y, x of an annotation's parts and their holes, without the point that closes them."""
    import shapely

    parts = shapely.get_parts(note.area)
    return [np.asarray(ring.coords)[:-1, ::-1] for part in parts for ring in (part.exterior, *part.interiors)]
