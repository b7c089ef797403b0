"""A layer of napari that is ours: made once and kept, for to make one or take one away takes napari long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer, Points
    from numpy.typing import NDArray


class OwnLayer:
    """Holds one layer of a viewer, which a person can delete at any time.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to draw.
    mark : callable, optional
        Gives the metadata of a layer that is made, by which its result is found when it is saved.
    """

    def __init__(self, viewer: napari.Viewer, mark: Callable[[], dict[str, Any]] = dict) -> None:
        self._viewer, self._mark = viewer, mark
        self.layer: Any = None

    @property
    def drawn(self) -> bool:
        """Whether the layer is there; a person can have removed it."""
        return self.layer is not None and self.layer in self._viewer.layers

    def _add(self, layer: Layer) -> None:
        """Add a layer, marked, and hold it."""
        layer.metadata = {**layer.metadata, **self._mark()}
        self.layer = self._viewer.add_layer(layer)

    def drop(self) -> None:
        """Take the layer away."""
        if self.drawn:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def change(part: Layer | Any, **values: object) -> None:
    """Set what differs: napari draws anew even where nothing has changed."""
    for name, value in values.items():
        if getattr(part, name) != value:
            setattr(part, name, value)


def place(layer: Layer, **where: Any) -> None:
    """Put a layer where it belongs: `scale`, `translate`, `units`, `axis_labels`."""
    where = {**where, "translate": where.get("translate", (0.0, 0.0))}
    moved = {name: value for name, value in where.items() if not _is(getattr(layer, name), value)}
    for name, value in moved.items():
        if name == "scale" and "translate" in moved:  # every viewer's layer is measured anew once, not twice
            with layer.events.scale.blocker():
                layer.scale = value
        else:
            setattr(layer, name, value)


def _is(there: Any, value: Any) -> bool:
    """Whether a place is that already; napari keeps units as objects."""
    return list(map(str, there)) == list(value) if isinstance(value[0], str) else np.array_equal(there, value)


def show_between(layer: Points, between: tuple[float, float] | None) -> None:
    """Show the points whose x lies between two full-resolution px; all of them for None."""
    x = layer.data[:, 1]
    shown = np.ones(len(x), dtype=bool) if between is None else (between[0] <= x) & (x < between[1])
    if not np.array_equal(shown, layer.shown):
        layer.shown = shown


def take_fitting_slices(layer: Points) -> None:
    """Let a layer pass over what points are in view where that tells of points it has no longer, or hides.

    napari finds that out on another thread, and what was asked before the points changed may come after.
    Where all dimensions are displayed, as here, napari 0.9 takes every point and does not ask `shown`.
    """
    state = layer._slicing_state
    take = state._update_slice_response

    def take_fitting(response: Any) -> None:
        if len(response.indices) == 0 or response.indices.max() < len(layer.data):
            kept = layer.shown[response.indices]
            take(replace(response, indices=response.indices[kept], size=response.size[kept]))

    state._update_slice_response = take_fitting


def move_points(
    layer: Points, centres_px: NDArray[np.float64], size: float, column: str = "", values: Any = None
) -> None:
    """Put other points into a layer, with the values of a column that colours them.

    napari looks up which points are in view on another thread, while each change of a colour draws those
    that it knew: of fewer points than before it would draw some that are gone.
    """
    with layer._face.events.blocker_all(), layer._border.events.blocker_all():
        layer.data = centres_px
        layer.set_view_slice()
        layer.size = size
        layer.shown = True
        if column:
            layer.features = {column: values}
    layer.set_view_slice()
    layer.events.set_data()
