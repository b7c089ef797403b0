"""What napari loads and compiles when the first layer of a kind is made, done ahead on a worker."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from napari.layers import Points
from napari.utils.colormaps import DirectLabelColormap


def warm_up() -> None:
    """Make layers as those of a result that nobody sees; takes 2 s once, so not on the main thread."""
    import_module("shapely")  # what outlines take
    Points(np.zeros((1, 2)), features={"value": [0.0]}, face_color="value")  # loads pandas
    clear = (0, 0, 0, 0)
    colours = DirectLabelColormap(color_dict={None: clear, 0: clear})
    colours.map(np.zeros(2, dtype=np.uint8))  # compiles what colours labels
