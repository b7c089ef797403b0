"""Between slides and napari's image layers: a slide as layer data, and the slide that a layer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.gui.level_array import LevelArray

LAYER_NAME = "H&E"
KEY = "mclstexp_slide"

_open: WeakValueDictionary[str, Slide] = WeakValueDictionary()


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
    from napari_mclstexp.gui.level_array import LevelArray

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
    from napari_mclstexp.gui.level_array import LevelArray

    levels = layer.data if getattr(layer, "multiscale", False) else ()
    if levels and isinstance(levels[0], LevelArray) and levels[0].colour_managed != managed:
        for level in levels:
            level.colour_managed = managed
        read_anew(layer)


def read_anew(layer: Layer) -> None:
    """Let a slide's layer be read again; a refresh alone shows the coarsest level as napari keeps it."""
    layer.data = list(layer.data)
