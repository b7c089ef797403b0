"""Where tissue lies on a slide."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from napari_mclstexp.errors import GridError, NoTissueError, ResultError

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

MAX_PACKED_PX = 2**26
"""Pixels of a mask that is unpacked; one that was found has at most 1,024 x 1,024."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Tissue on a reduced image of the slide.

    Attributes
    ----------
    mask : numpy.ndarray
        (h, w) bool.
    downsample_y, downsample_x : float
        Full-resolution pixels a pixel of the mask.
    edited_px : int
        Pixels of the mask that a person changed.
    """

    mask: NDArray[np.bool_]
    downsample_y: float
    downsample_x: float
    edited_px: int = 0

    @property
    def story(self) -> str:
        """What a result tells of a person's changes; empty where there are none."""
        if self.edited_px == 0:
            return ""
        digest = hashlib.sha256(packed(self).encode()).hexdigest()
        return f"{self.edited_px:,} px of the mask changed by hand, sha256 {digest}"


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
    from skimage.filters import gaussian, threshold_otsu
    from skimage.morphology import isotropic_erosion, remove_small_holes, remove_small_objects

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


@dataclass(slots=True)
class _Found:
    """Masks of one slide by scale and by whether its levels were prepared."""

    masks: dict[tuple[Scale, bool], TissueMask] = field(default_factory=dict)
    finding: threading.Lock = field(default_factory=threading.Lock)


_found: WeakKeyDictionary[Slide, _Found] = WeakKeyDictionary()


def tissue_of(slide: Slide, scale: Scale) -> TissueMask:
    """Give what :func:`find_tissue` finds, which is looked for once while the slide is open.

    Threads that ask meanwhile wait for it. What follows a preparation of levels is found anew, since an
    overview of them can differ.
    """
    of_slide = _found.setdefault(slide, _Found())
    with of_slide.finding:
        key = (scale, slide.prepared)
        if key not in of_slide.masks:
            of_slide.masks[key] = find_tissue(slide, scale)
        return of_slide.masks[key]


def edited(mask: TissueMask, painted: NDArray[np.bool_]) -> TissueMask:
    """Take a mask as a person has painted it.

    Parameters
    ----------
    mask : TissueMask
        As it was before: give the one that was found, then `edited_px` is the difference from it. Changes to
        a mask that was edited already are added to those.
    painted : numpy.ndarray
        (h, w) bool, of the mask's shape. It may be empty; then no spots can be laid by it.

    Returns
    -------
    TissueMask
        With a copy of `painted`.

    Raises
    ------
    GridError
        The shapes differ.
    """
    if painted.shape != mask.mask.shape:
        msg = (
            f"The painted mask has {painted.shape} px, but the slide's has {mask.mask.shape}. "
            "Paint on the mask of this slide."
        )
        raise GridError(msg)
    painted = painted.astype(bool)
    changed = int((painted != mask.mask).sum())
    return TissueMask(painted, mask.downsample_y, mask.downsample_x, mask.edited_px + changed)


def packed(mask: TissueMask) -> str:
    """Mask as a short text, without loss.

    Its height, width, both downsamples and edited pixels, then its bits, compressed by zlib, in base64.
    """
    height, width = mask.mask.shape
    bits = base64.b64encode(zlib.compress(np.packbits(mask.mask).tobytes(), 9)).decode("ascii")
    down_y, down_x = float(mask.downsample_y), float(mask.downsample_x)
    return f"{height} {width} {down_y!r} {down_x!r} {mask.edited_px} {bits}"


def unpacked(text: str, most_px: int = MAX_PACKED_PX) -> TissueMask:
    """Mask of what :func:`packed` wrote.

    Parameters
    ----------
    text : str
        The packed mask.
    most_px : int
        Pixels that it may have; no more than these are ever unpacked.

    Raises
    ------
    ResultError
        The text is damaged, or of too large a mask.
    """
    try:
        height, width, down_y, down_x, changed, bits = text.split(" ")
        mask_px, numbers = int(height) * int(width), (float(down_y), float(down_x))
        sound = min(int(height), int(width)) > 0 and int(changed) >= 0
        if not sound or mask_px > most_px or not all(0 < n < math.inf for n in numbers):
            msg = f"a mask of {height} x {width} px"
            raise ValueError(msg)
        whole = (mask_px + 7) // 8
        reader = zlib.decompressobj()
        raw = reader.decompress(base64.b64decode(bits, validate=True), whole + 1)
        if len(raw) != whole or not reader.eof or reader.unused_data:
            msg = "bits that do not fit its size"
            raise ValueError(msg)
    except (ValueError, binascii.Error, zlib.error) as error:
        msg = f"The tissue mask of this result is damaged or too large: {error}. Predict again."
        raise ResultError(msg) from error
    flat = np.unpackbits(np.frombuffer(raw, np.uint8), count=mask_px)
    return TissueMask(flat.reshape(int(height), int(width)).astype(bool), *numbers, int(changed))


def _stained(mask: NDArray[np.bool_], chroma: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Islands of which at least a tenth is coloured."""
    from skimage.measure import label, regionprops

    islands = label(mask)
    kept = [
        region.label
        for region in regionprops(islands, intensity_image=chroma)
        if np.percentile(region.image_intensity[region.image], 90) >= STAINED
    ]
    return np.isin(islands, kept)
