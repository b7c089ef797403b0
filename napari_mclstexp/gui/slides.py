"""Between slides and napari's image layers: a slide as layer data, and the slide that a layer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from napari_mclstexp.core.slide.tiles import TILE_PX, TileReader
from napari_mclstexp.gui.telling import tell_in_words

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

LAYER_NAME = "H&E"
KEY = "mclstexp_slide"

_told: set[str] = set()
_open: WeakValueDictionary[str, Slide] = WeakValueDictionary()
_tiles = TileReader()


class LevelArray:
    """One level of a slide as an array that is read when sliced.

    Parameters
    ----------
    slide : Slide
        What to read.
    level : int
        Which level.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3
    chunks = (TILE_PX, TILE_PX, 3)

    def __init__(self, slide: Slide, level: int) -> None:
        self._slide, self._level = slide, level
        self.shape = (slide.levels[level].height, slide.levels[level].width, 3)
        self.size = int(np.prod(self.shape))
        self.colour_managed = False

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        whole = (*(k for k in key if k is not Ellipsis), slice(None), slice(None), slice(None))[:3]
        spans = [_span(k, n) for k, n in zip(whole, self.shape, strict=True)]
        (top, bottom, _), (left, right, _), _ = spans
        region, error = _tiles.read(
            self._slide,
            (left, top, max(0, right - left), max(0, bottom - top)),
            self._level,
            managed=self.colour_managed,
        )
        if error is not None and self._slide.picture_key not in _told:  # once: panning meets them again
            _told.add(self._slide.picture_key)
            tell_in_words(f"{error} Such parts are shown white.")
        inside = tuple(
            slice(None, None, step) if isinstance(k, slice) else 0
            for k, (_, _, step) in zip(whole[:2], spans[:2], strict=True)
        )
        return region[(*inside, whole[2])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :, :], dtype=dtype)


def _span(key: Any, size: int) -> tuple[int, int, int]:
    if isinstance(key, slice):
        return key.indices(size)
    at = int(key) % size
    return at, at + 1, 1


def spatial(scale: Scale | None) -> dict[str, Any]:
    """Scale, units and axes that every layer over a slide has: um, or pixels where mpp is unknown."""
    if scale is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel"), "axis_labels": ("y", "x")}
    return {
        "scale": (scale.mpp_y, scale.mpp_x),
        "units": ("micrometer", "micrometer"),
        "axis_labels": ("y", "x"),
    }


def layer_data(slide: Slide) -> tuple[list[LevelArray], dict[str, Any], str]:
    """Slide as napari layer data: lazy pyramid, metadata, ``"image"``.

    The layer's name does not tell the file's.
    """
    _open[slide.picture_key] = slide
    about = {
        "name": LAYER_NAME,
        "rgb": True,
        "multiscale": True,
        "contrast_limits": (0, 255),
        "metadata": {KEY: slide.picture_key},
        **spatial(slide.scale),
    }
    return [LevelArray(slide, level) for level in range(len(slide.levels))], about, "image"


def slide_of(layer: Layer) -> Slide | None:
    """Slide that a layer shows, None where it is none of ours or closed."""
    return _open.get(layer.metadata.get(KEY, ""))


def show_managed(layer: Layer, managed: bool) -> None:
    """Show a slide's layer by its ICC profile, or as it is stored; others are left as they are."""
    levels = layer.data if getattr(layer, "multiscale", False) else ()
    if levels and isinstance(levels[0], LevelArray) and levels[0].colour_managed != managed:
        for level in levels:
            level.colour_managed = managed
        read_anew(layer)


def read_anew(layer: Layer) -> None:
    """Let a slide's layer be read again; a refresh alone shows the coarsest level as napari keeps it."""
    layer.data = list(layer.data)
