"""Where tissue lies on a slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import isotropic_erosion, remove_small_holes, remove_small_objects

from napari_mclstexp.errors import NoTissueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

OVERVIEW_PX = 1024
DETAIL_UM = 15.0
"""Detail finer than this makes texture; smears of stain and uneven light on glass are coarser."""

SPREAD_UM = 25.0
"""Texture is averaged over this radius, so that fat, all thin walls, is one area."""

HALO_UM = 35.0
"""How far that averaging reaches beyond the tissue's border; taken off again."""

TEXTURE_RANGE = (2.0, 8.0)
"""Bounds of the threshold on texture, in grey levels of 255."""

STAINED = 20.0
"""Chroma (of 255) that a tenth of each island must reach: dust, print and noise are grey."""

SMALLEST_UM2 = 20_000.0
"""Islands and holes below this area (a square of 140 um) are not kept."""


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
    """Find tissue by its texture and stain.

    Fine detail of the green channel, averaged and thresholded after Otsu, finds tissue, fat included, and
    passes over smears of stain; islands without colour are dropped.

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
    green = image[..., 1]  # both stains absorb it
    detail = np.abs(green - gaussian(green, sigma=max(1.0, DETAIL_UM / um), preserve_range=True))
    texture = gaussian(detail, sigma=max(1.0, SPREAD_UM / um), preserve_range=True)
    low, high = TEXTURE_RANGE
    threshold = min(max(float(np.expm1(threshold_otsu(np.log1p(texture)))), low), high)
    smallest = int(max(4.0, SMALLEST_UM2 / um**2))
    mask = remove_small_holes(texture > threshold, max_size=smallest)
    mask = remove_small_objects(isotropic_erosion(mask, HALO_UM / um), max_size=smallest)
    mask = _stained(mask, image.max(axis=2) - image.min(axis=2))
    if not mask.any():
        msg = (
            "No tissue was found on this slide: nothing on it is coloured as H&E-stained tissue is. Check "
            "that it is the right file and that it is stained with H&E."
        )
        raise NoTissueError(msg)
    return TissueMask(mask, down_y, down_x)


def _stained(mask: NDArray[np.bool_], chroma: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Islands of which at least a tenth is coloured."""
    islands = label(mask)
    kept = [
        region.label
        for region in regionprops(islands, intensity_image=chroma)
        if np.percentile(region.image_intensity[region.image], 90) >= STAINED
    ]
    return np.isin(islands, kept)
