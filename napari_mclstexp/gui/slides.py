"""Between slides and napari's image layers: a slide as layer data, and the slide that a layer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import dask.array as da
import numpy as np
from napari.utils.notifications import show_error

from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

LAYER_NAME = "H&E"
KEY = "mclstexp_slide"
TILE_PX = 512

_told: set[str] = set()
_open: WeakValueDictionary[str, Slide] = WeakValueDictionary()


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

    def __init__(self, slide: Slide, level: int) -> None:
        self._slide, self._level = slide, level
        self.shape = (slide.levels[level].height, slide.levels[level].width, 3)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        rows, columns = (k.indices(n) for k, n in zip(key[:2], self.shape[:2], strict=True))
        width, height = columns[1] - columns[0], rows[1] - rows[0]
        try:
            region = self._slide.read(columns[0], rows[0], width, height, self._level)
        except SlideError as error:
            region = np.full((height, width, 3), 255, dtype=np.uint8)
            if self._slide.fingerprint not in _told:  # once a slide: panning meets the same tiles again
                _told.add(self._slide.fingerprint)
                show_error(f"{error} Such parts are shown white.")
        return region[:: rows[2], :: columns[2], key[2] if len(key) > 2 else slice(None)]


def spatial(scale: Scale | None) -> dict[str, Any]:
    """Scale, units and axes that every layer over a slide has: um, or pixels where mpp is unknown."""
    if scale is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel"), "axis_labels": ("y", "x")}
    return {"scale": (scale.mpp_y, scale.mpp_x), "units": ("um", "um"), "axis_labels": ("y", "x")}


def layer_data(slide: Slide) -> tuple[list[da.Array], dict[str, Any], str]:
    """Slide as napari layer data: lazy pyramid, metadata, ``"image"``.

    The layer's name does not tell the file's.
    """
    pyramid = [
        da.from_array(LevelArray(slide, level), chunks=(TILE_PX, TILE_PX, 3), asarray=False, name=False)
        for level in range(len(slide.levels))
    ]
    _open[slide.fingerprint] = slide
    about = {
        "name": LAYER_NAME,
        "rgb": True,
        "multiscale": True,
        "contrast_limits": (0, 255),
        "metadata": {KEY: slide.fingerprint},
        **spatial(slide.scale),
    }
    return pyramid, about, "image"


def slide_of(layer: Layer) -> Slide | None:
    """Slide that a layer shows, None where it is none of ours or closed."""
    return _open.get(layer.metadata.get(KEY, ""))
