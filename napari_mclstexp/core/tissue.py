"""Where tissue lies on a slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.filters import gaussian, threshold_otsu
from skimage.morphology import closing, disk, remove_small_holes, remove_small_objects

from napari_mclstexp.errors import NoTissueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

OVERVIEW_PX = 1024
SMOOTH_UM = 8.0
CLOSE_UM = 30.0
SMALLEST_UM2 = 20_000.0
"""Islands and holes below this area (a square of 140 um) are not kept."""

CHROMA_RANGE = (10.0, 60.0)
"""Bounds of the threshold on chroma (of 255): glass is grey, stained tissue is not."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Tissue on a reduced image of the slide.

    Attributes
    ----------
    mask : numpy.ndarray
        (h, w) bool.
    downsample_y, downsample_x : float
        Full-resolution pixels a pixel of the mask.
    """

    mask: NDArray[np.bool_]
    downsample_y: float
    downsample_x: float


def find_tissue(slide: Slide, scale: Scale) -> TissueMask:
    """Find tissue by its colour: chroma above an Otsu threshold, smoothed, small parts dropped.

    Parameters
    ----------
    slide : Slide
        Read at an overview of at most 1,024 px.
    scale : Scale
        um per px.

    Returns
    -------
    TissueMask
        With some tissue.

    Raises
    ------
    NoTissueError
        Nothing on the slide is coloured as stained tissue is.
    """
    image = slide.overview(OVERVIEW_PX).astype(np.float32)
    down_y, down_x = slide.height / image.shape[0], slide.width / image.shape[1]
    um = scale.mean * (down_y * down_x) ** 0.5  # um a pixel of the overview
    smooth = gaussian(image, sigma=max(1.0, SMOOTH_UM / um), channel_axis=2, preserve_range=True)
    chroma = smooth.max(axis=2) - smooth.min(axis=2)
    low, high = CHROMA_RANGE
    threshold = min(max(float(threshold_otsu(chroma)), low), high)
    mask = closing(chroma > threshold, disk(max(1, min(12, round(CLOSE_UM / um)))))
    smallest = int(max(4.0, SMALLEST_UM2 / um**2))
    mask = remove_small_holes(remove_small_objects(mask, max_size=smallest), max_size=smallest)
    if not mask.any():
        msg = (
            "No tissue was found on this slide: nothing on it is coloured as H&E-stained tissue is. Check "
            "that it is the right file and that it is stained with H&E."
        )
        raise NoTissueError(msg)
    return TissueMask(mask, down_y, down_x)
