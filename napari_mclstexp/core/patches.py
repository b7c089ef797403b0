"""Reading patches around spots, ahead of the model."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from napari_mclstexp.core.slide.watch import check_there
from napari_mclstexp.errors import ScaleError, SlideError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from numpy.typing import NDArray

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

T = TypeVar("T")

READERS = 2
AHEAD = 2
"""Batches that are read while the model works on one."""


@dataclass(frozen=True, slots=True)
class Field:
    """What part of the tissue a patch shows, and by how many pixels.

    Attributes
    ----------
    patch_px : int
        Pixels a side.
    field_um : float or None
        um a side; None takes native pixels of the slide.
    """

    patch_px: int
    field_um: float | None

    def widened(self, margin_px: int) -> Field:
        """The field with a margin of so many pixels on each side."""
        side = self.patch_px + 2 * margin_px
        um = None if self.field_um is None else self.field_um * side / self.patch_px
        return Field(side, um)

    def size_px(self, scale: Scale | None) -> tuple[float, float]:
        """Height and width of the field in full-resolution pixels.

        Raises
        ------
        ScaleError
            The field is in um and the slide's scale is unknown.
        """
        if self.field_um is None:
            return float(self.patch_px), float(self.patch_px)
        if scale is None:
            msg = "The slide's scale is unknown, and the model reads fields in um. Give um per pixel."
            raise ScaleError(msg)
        return self.field_um / scale.mpp_y, self.field_um / scale.mpp_x


def read_patch(
    slide: Slide, centre_px: NDArray[np.float64], field: Field, scale: Scale | None
) -> NDArray[np.uint8]:
    """Read one patch; white beyond the slide's border.

    A native-pixel patch is [round(c) - patch_px / 2, + patch_px / 2). A field in um is read from the
    coarsest level that is not coarser than the patch, and resampled with antialiasing.

    Parameters
    ----------
    slide : Slide
        What to read from.
    centre_px : numpy.ndarray
        (2,) y, x in full-resolution pixels.
    field : Field
        Size of the patch.
    scale : Scale or None
        um per px of the slide.

    Returns
    -------
    numpy.ndarray
        (patch_px, patch_px, 3) uint8 RGB.
    """
    side = field.patch_px
    y, x = centre_px
    if field.field_um is None:
        return slide.read(round(x) - side // 2, round(y) - side // 2, side, side)
    height, width = field.size_px(scale)
    return read_area(slide, (y - height / 2, x - width / 2), (height, width), (side, side))


def read_area(
    slide: Slide, corner_px: tuple[float, float], size_px: tuple[float, float], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Read a rectangle, resampled with antialiasing from the coarsest level that is not coarser than it.

    Parameters
    ----------
    slide : Slide
        What to read from; white beyond its border.
    corner_px, size_px : tuple of float
        y, x of the corner at the top left; height and width: in full-resolution pixels.
    shape : tuple of int
        Height and width of what is returned.

    Returns
    -------
    numpy.ndarray
        (*shape, 3) uint8 RGB.
    """
    (y, x), (height, width) = corner_px, size_px
    finest = min(height / shape[0], width / shape[1])
    level = max(i for i, lv in enumerate(slide.levels) if i == 0 or lv.downsample <= finest * 1.001)
    down = slide.levels[level].downsample
    left, top = x / down, y / down
    margin = 2  # pixels beyond the field that the filter at its border draws on
    x0, y0 = int(np.floor(left)) - margin, int(np.floor(top)) - margin
    x1, y1 = int(np.ceil(left + width / down)) + margin, int(np.ceil(top + height / down)) + margin
    region = Image.fromarray(slide.read(x0, y0, x1 - x0, y1 - y0, level))
    box = (left - x0, top - y0, left - x0 + width / down, top - y0 + height / down)
    return np.array(region.resize(shape[::-1], Image.Resampling.BILINEAR, box=box))


def without_margin(patches: NDArray[np.uint8], margin_px: int) -> NDArray[np.uint8]:
    """Patches (B, P, P, 3) of those (B, P + 2 margin, P + 2 margin, 3) that were read with a margin."""
    height, width = patches.shape[1:3]
    return patches[:, margin_px : height - margin_px, margin_px : width - margin_px]


def worked_ahead(
    tasks: Iterable[Callable[[], T]], threads: int = 1, ahead: int = 1, name: str = "read"
) -> Generator[T, None, None]:
    """Outcomes of tasks in their order; `ahead` of them are worked on by threads while one is used.

    Where there is no next task because of an error, it is raised once those before are used.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=f"mclstexp-{name}")
    rest, broken = iter(tasks), None
    try:
        coming = deque(pool.submit(task) for task in islice(rest, ahead))
        while coming:
            found = coming.popleft().result()
            if broken is None:
                try:
                    coming.extend(pool.submit(task) for task in islice(rest, 1))
                except Exception as error:  # noqa: BLE001 - raised below
                    broken = error
            yield found
        if broken is not None:
            raise broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_batches(
    slide: Slide,
    centres_px: NDArray[np.float64],
    field: Field,
    scale: Scale | None,
    batch_size: int,
    unread: NDArray[np.bool_] | None = None,
) -> Generator[tuple[slice, NDArray[np.uint8]], None, None]:
    """Read patches batch by batch, a few batches ahead, on threads.

    Parameters
    ----------
    slide : Slide
        What to read from.
    centres_px : numpy.ndarray
        (N, 2) y, x in full-resolution pixels.
    field : Field
        Size of the patches.
    scale : Scale or None
        um per px of the slide.
    batch_size : int
        Patches a batch.
    unread : numpy.ndarray, optional
        (N,) bool. Where it is given, a patch on which a part of the slide cannot be decoded is white, and
        marked here, in time for its batch.

    Yields
    ------
    rows : slice
        Which of the N spots.
    patches : numpy.ndarray
        (B, patch_px, patch_px, 3) uint8 RGB.

    Raises
    ------
    SlideError
        A patch cannot be read and `unread` is not given; or the slide is no longer there.
    """

    def patch(spot: int) -> NDArray[np.uint8]:
        try:
            return read_patch(slide, centres_px[spot], field, scale)
        except SlideError:
            if unread is None:
                raise
            check_there(slide)
            unread[spot] = True
            return np.full((field.patch_px, field.patch_px, 3), 255, dtype=np.uint8)

    spots = range(len(centres_px))
    with closing(worked_ahead((partial(patch, n) for n in spots), READERS, AHEAD * batch_size)) as patches:
        for start in spots[::batch_size]:
            batch = np.stack(list(islice(patches, batch_size)))
            yield slice(start, start + len(batch)), batch
