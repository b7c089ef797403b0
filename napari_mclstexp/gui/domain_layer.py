"""Domains as a layer of napari: outlined or filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_mclstexp.core.raster import raster_labels, raster_spots
from napari_mclstexp.core.reach import pitch_px
from napari_mclstexp.gui.own_layer import OwnLayer, change, place
from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.raster import Raster
    from napari_mclstexp.core.result import Domains, Result
    from napari_mclstexp.core.scale import Scale

NAME = "Domains"
OUTLINE_SHARE = 1 / 10
"""Of the pitch: how wide an outline is drawn; wider where spots are so many that it would not be seen."""
SCREEN_PX = 350
"""Pixels of the screen that tissue takes at least, a side, when a slide is in view."""
SOME = {1: "#808080"}
"""Colours of a layer without domains yet; without any, napari would draw it by another shader."""


class DomainLayer(OwnLayer):
    """Draws a result's domains."""

    def __init__(self, viewer: napari.Viewer, mark: Callable[[], dict[str, Any]] = dict) -> None:
        super().__init__(viewer, mark)
        self._raster: Raster | None = None
        self._grid: SpotGrid | None = None
        self._labels: NDArray[np.int32] | None = None
        self._said: tuple[object, ...] = ()

    def prepare(self, scale: Scale | None) -> None:
        """Make the layer before there is anything to draw."""
        if not self.drawn:
            nothing = Labels(
                np.zeros((2, 2), dtype=np.uint8),
                name=NAME,
                colormap=_colours(SOME),
                visible=False,
                **spatial(scale),
            )
            self._add(nothing)
            self.layer.editable = False  # it is painted spot by spot, with the tools of the dock
            self._grid, self._said = None, ()

    def draw(
        self,
        result: Result,
        scale: Scale | None,
        cells: Raster | None,
        hidden: frozenset[int] = frozenset(),
    ) -> None:
        """Draw the domains but those hidden; `cells` says which spot each pixel shows."""
        domains = result.domains
        if domains is None:
            self.drop()
            return
        self.prepare(scale)
        if self._grid is result.grid and (cells is None or cells is self._raster):
            self._repaint(np.flatnonzero(domains.labels != self._labels), domains.labels)
        else:
            self._raster = raster_spots(result.grid) if cells is None else cells
            picture = raster_labels(result.grid, domains.labels, self._raster).values
            self.layer.data = picture.astype(np.uint8)  # in place: it keeps its rank among the layers
        self._grid, self._labels = result.grid, domains.labels.copy()
        self._say(domains, hidden)
        self._place(self._raster, scale)

    def _say(self, domains: Domains, hidden: frozenset[int]) -> None:
        """Colours and names, where they have changed."""
        import pandas as pd

        shown = {label: c for label, c in domains.colours.items() if label not in hidden}
        said = (tuple(shown.items()), tuple(domains.names.items()))
        if said == self._said:
            return
        self._said = said
        self.layer.colormap = _colours(shown)
        labels = sorted(domains.names)
        self.layer.features = pd.DataFrame(
            {"index": labels, "domain": [domains.names[label] for label in labels]}
        )

    def paint(self, rows: NDArray[np.intp], label: int) -> None:
        """Show spots in a domain before they are given to it."""
        if self.drawn and self._labels is not None and len(rows):
            labels = self._labels.copy()
            labels[rows] = label
            self._repaint(rows, labels)
            self._labels = labels

    def _repaint(self, rows: NDArray[np.intp], labels: NDArray[np.int32]) -> None:
        """Paint the pixels of spots anew, and no others: there can be millions."""
        if len(rows) == 0:
            return
        at, pitch = self._grid.centres_px[rows], np.array(pitch_px(self._grid))
        origin, step = np.array(self._raster.origin_px), np.array(self._raster.step_px)
        shape = self._raster.values.shape
        low = np.clip(np.floor((at.min(axis=0) - pitch - origin) / step).astype(int), 0, shape)
        high = np.clip(np.ceil((at.max(axis=0) + pitch - origin) / step).astype(int) + 1, 0, shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        self.layer.data[box] = np.append(labels, 0)[self._raster.values[box]]
        self.layer.refresh(extent=False)

    def lie(self, cells: Raster, scale: Scale | None) -> None:
        """Lie over the spots of `cells` before there are domains: there will be less to do when they come."""
        if self.drawn and self.layer.data.shape != cells.values.shape:
            self._grid = None
            self.layer.data = np.zeros(cells.values.shape, dtype=np.uint8)
            self._place(cells, scale)

    def _place(self, raster: Raster, scale: Scale | None) -> None:
        about = spatial(scale)
        per_px = np.array(about["scale"])
        place(
            self.layer,
            **about | {"scale": per_px * raster.step_px, "translate": per_px * raster.origin_px},
        )

    def look(self, style: str) -> None:
        """Show them as "outlines", "filled" or "hidden"."""
        if self.drawn:
            outlines = style == "outlines"
            change(
                self.layer,
                visible=style != "hidden" and self._grid is not None,  # not before there is any
                contour=self._outline_px() if outlines else 0,
                opacity=0.95 if outlines else 0.5,
            )

    def _outline_px(self) -> int:
        if self._grid is None or self._raster is None:
            return 1
        wide = max(OUTLINE_SHARE * min(pitch_px(self._grid)) / min(self._raster.step_px), self._seen_px())
        return max(1, round(wide))

    def _seen_px(self) -> float:
        """Pixels that are one of the screen's where all spots are in view."""
        return max(self._raster.values.shape) / SCREEN_PX


def _colours(of_domains: dict[int, str]) -> DirectLabelColormap:
    clear = (0, 0, 0, 0)
    return DirectLabelColormap(color_dict={None: clear, 0: clear, **of_domains})
