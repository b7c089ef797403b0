"""Dense maps: the features of overlapping patches from one pass over the region that they share.

Spots on a square grid whose pitch is the image encoder's stride, or a half, a quarter or an eighth of it,
have patches whose feature maps lie on one grid, too. The convolutional trunk then runs once over a region
with a margin around it, and each patch is a window on its feature map. Between two steps of a stride the
last poolings are repeated, shifted, as in the "shift-and-stitch" of Long et al. (CVPR 2015), while the layers
before them run once. Without a margin in the model, zeros at a patch's border would make its features others
than these; how near they are with it, a bundle tells from its training sections.
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from napari_mclstexp.core.appearance import appearance, appearance_of_windows
from napari_mclstexp.core.backends import maps_backend
from napari_mclstexp.core.context import Queries
from napari_mclstexp.core.encode import embedded
from napari_mclstexp.core.fitting_batch import Fitting
from napari_mclstexp.core.grid import SQUARE
from napari_mclstexp.core.model import EMBEDDING, IMAGE_FEATURES, STRIDE, cropped
from napari_mclstexp.core.patches import Field, read_area, read_batches, without_margin, worked_ahead
from napari_mclstexp.core.slide.watch import check_there
from napari_mclstexp.errors import DeviceMemoryError, SlideError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_mclstexp.core.backends import Maps
    from napari_mclstexp.core.bundle_spec import BundleSpec
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

BATCH = 8
"""Patches a forward pass where a region goes patch by patch."""
DENSE_PITCH_UM = 32.0
"""The widest pitch of a dense map."""
SHARES = (1, 2, 4, 8)
"""Steps in a stride that the trunk has shifts for: down to the stride of its first block."""
REGION = {1: 32, 2: 32, 4: 16, 8: 8}
"""By steps in a stride: at most so many strides, a side, share one pass: a second or two on two cores."""
AROUND = 4
"""Strides by which halves of a region reach over the cut: embeddings differ by under 1e-4 of their length."""


def dense_grid(spec: BundleSpec) -> str:
    """The grid of a model's dense map: square, its pitch a whole share of the stride and at most 32 um.

    A stride over 256 um is too wide for that: then the pitch is an eighth of it. A model without a margin has
    no dense map: its spots lie 32 um apart, and go patch by patch.

    Returns
    -------
    str
        As :func:`.grid.parse_grid` reads it.
    """
    pitch = DENSE_PITCH_UM
    if spec.mpp is not None and spec.margin_px:
        pitches = [STRIDE * spec.mpp / share for share in SHARES]
        pitch = next((p for p in pitches if p <= DENSE_PITCH_UM), pitches[-1])
    return f"{SQUARE}{pitch!r}"


def share_of(grid: SpotGrid, spec: BundleSpec) -> int | None:
    """Into how many steps a grid divides the model's stride; None where patches have no map in common."""
    if spec.mpp is None or not spec.margin_px or grid.layout != "square":
        return None
    return next((n for n in SHARES if math.isclose(grid.pitch_um * n, STRIDE * spec.mpp, rel_tol=1e-6)), None)


def by_region(grid: SpotGrid, share: int) -> tuple[SpotGrid, list[slice]]:
    """A grid's spots, so ordered that those of a region follow each other, and the rows of each region."""
    if not len(grid):
        return grid, []
    steps = np.column_stack([grid.array_row, grid.array_col])
    steps = steps - steps.min(axis=0)
    span = steps.max(axis=0) + 1
    tiles = -(-span // (REGION[share] * share))  # as few as can be, all of one size
    at = steps // (-(-span // (tiles * share)) * share)
    order = np.lexsort((grid.array_col, grid.array_row, at[:, 1], at[:, 0]))
    begins = np.flatnonzero(np.r_[True, (np.diff(at[order], axis=0) != 0).any(axis=1)])
    ends = np.r_[begins[1:], len(order)]
    return grid.take(order), [slice(int(a), int(b)) for a, b in zip(begins, ends, strict=True)]


def dense_queries(
    slide: Slide,
    grid: SpotGrid,
    regions: list[slice],
    spec: BundleSpec,
    scale: Scale,
    network: MclSTExp,
    unread: NDArray[np.bool_],
    fitting: Fitting | None = None,
) -> Generator[tuple[slice, Queries], None, None]:
    """Encode the spots of a grid, region by region; the next region is read meanwhile.

    Parameters
    ----------
    slide : Slide
        What to read from.
    grid : SpotGrid
        N spots, square, ordered by :func:`by_region`.
    regions : list of slice
        Rows of each region.
    spec : BundleSpec
        The model's, with a margin.
    scale : Scale
        um per px of the slide.
    network : MclSTExp
        In evaluation state, on its device.
    unread : numpy.ndarray
        (N,) bool: spots at which the slide cannot be decoded are marked. A region with such goes patch by
        patch.
    fitting : Fitting, optional
        Knows what fits into the device's memory.

    Yields
    ------
    rows : slice
        Which of the N spots.
    queries : Queries
        Of them.

    Raises
    ------
    DeviceError, ModelError, SlideError
        As in :func:`.encode.encode_patches`.
    """
    fitting = fitting or Fitting(BATCH)
    maps_of = maps_backend(network)
    device = next(network.parameters()).device
    plans = [_Plan.of(grid, rows, spec) for rows in regions]
    seen = worked_ahead([partial(plan.see, slide, spec, scale) for plan in plans])
    field = Field(spec.patch_px, spec.field_um).widened(spec.margin_px)

    def whole(
        rows: slice, plan: _Plan, pixels: NDArray[np.uint8], looks: NDArray[np.float32]
    ) -> tuple[slice, Queries]:
        return rows, Queries(*_at_once(network, plan, pixels, device, maps_of, fitting), looks)

    def alone(rows: slice, patches: NDArray[np.uint8]) -> tuple[slice, Queries]:
        found = fitting(network, patches, device, network.image_encoder)
        return rows, Queries(*found, appearance(without_margin(patches, network.image_encoder.margin_px)))

    def tasks() -> Generator[Callable[[], tuple[slice, Queries]], None, None]:
        for rows, plan, region in zip(regions, plans, seen, strict=True):
            if region is not None:
                yield partial(whole, rows, plan, *region)
                continue
            patches = read_batches(slide, grid.centres_px[rows], field, scale, BATCH, unread[rows])
            with closing(patches):
                for part, batch in patches:
                    yield partial(alone, slice(rows.start + part.start, rows.start + part.stop), batch)

    coming = tasks()
    found = worked_ahead(coming, name="encode")
    with threadpool_limits(1, user_api="blas"), closing(seen), closing(coming), closing(found):
        yield from found


def _at_once(
    network: MclSTExp,
    plan: _Plan,
    pixels: NDArray[np.uint8],
    device: torch.device,
    maps_of: Maps,
    fitting: Fitting,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features (n, 1024) and embeddings (n, 256) of a region's spots; by its halves where it does not fit."""
    halves = plan.halves(pixels)
    if fitting.has_room(pixels) or not halves:
        try:
            return embedded(network, pixels[None], device, partial(plan.features, maps_of=maps_of))
        except DeviceMemoryError:
            if not halves:
                raise
        fitting.divide(pixels, device)
    features, embeddings = (np.empty((len(plan.at), n), np.float32) for n in (IMAGE_FEATURES, EMBEDDING))
    for spots, half, within in halves:
        features[spots], embeddings[spots] = _at_once(network, half, within, device, maps_of, fitting)
    return features, embeddings


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """One region: where it lies, and at which steps its spots do.

    Attributes
    ----------
    at : numpy.ndarray
        (n, 2) int64 steps, y and x, of each spot from the region's first.
    first_px : tuple of float
        y, x of the centre of the first step's patch, in full-resolution pixels.
    share : int
        Steps a stride.
    patch_px, margin_px : int
        Of the model.
    """

    at: NDArray[np.int64]
    first_px: tuple[float, float]
    share: int
    patch_px: int
    margin_px: int

    @classmethod
    def of(cls, grid: SpotGrid, rows: slice, spec: BundleSpec) -> _Plan:
        share = share_of(grid, spec) or 1
        at = np.column_stack([grid.array_row[rows], grid.array_col[rows]])
        low = at.min(axis=0)
        first = grid.centres_px[rows][0] - (at[0] - low) * np.array(grid.pitch_px)
        return cls(at - low, (float(first[0]), float(first[1])), share, spec.patch_px, spec.margin_px)

    @property
    def step(self) -> int:
        """Pixels of the model a step."""
        return STRIDE // self.share

    def see(
        self, slide: Slide, spec: BundleSpec, scale: Scale
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
        """Pixels (H, W, 3) of the region with its margin, and looks of its spots; see :mod:`.appearance`.

        None where a part of it cannot be decoded.
        """
        last = self.at.max(axis=0) * self.step  # from the first step's patch to the last one's
        within = STRIDE - self.step  # the last steps of a stride
        shape = -(-(last + self.patch_px + 2 * self.margin_px - within) // STRIDE) * STRIDE + within
        unit = np.array([spec.mpp / scale.mpp_y, spec.mpp / scale.mpp_x])  # type: ignore[operator]
        corner = np.array(self.first_px) - (self.patch_px / 2 + self.margin_px) * unit
        height, width = (int(n) for n in shape)
        try:
            pixels = read_area(slide, tuple(corner), tuple(shape * unit), (height, width))
        except SlideError:
            check_there(slide)
            return None
        return pixels, appearance_of_windows(pixels, self.at * self.step + self.margin_px, self.patch_px)

    def halves(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.bool_], _Plan, NDArray[np.uint8]]]:
        """The region in two, across its longer side: of each half which spots, their plan, and its pixels.

        Empty where all spots lie in one stride. Each half reaches over the cut by `AROUND`, so that spots
        beside it see what they see in the whole.
        """
        cell = self.at // self.share
        axis = int(np.ptp(cell, axis=0).argmax())
        along = cell[:, axis]
        middle = (along.min() + along.max() + 1) // 2
        parts = []
        for spots in (along < middle, along >= middle):
            if not spots.any() or spots.all():
                return []
            start = max(0, int(along[spots].min()) - AROUND)
            end = int(along[spots].max()) + AROUND
            field = -(-(self.patch_px + 2 * self.margin_px) // STRIDE)
            stop = (end + field) * STRIDE + STRIDE - self.step
            window = [slice(None), slice(None)]
            window[axis] = slice(start * STRIDE, stop)
            moved = self.at[spots]
            moved[:, axis] -= start * self.share
            parts.append((spots, replace(self, at=moved), pixels[tuple(window)]))
        return parts

    def features(self, pixels: torch.Tensor, maps_of: Maps) -> torch.Tensor:
        """Features (n, 1024) of the spots from the pixels (1, 3, H, W) of their region."""
        maps = cropped(maps_of(pixels, self.share), self.margin_px)  # (share * share, 1024, h, w)
        windows = F.avg_pool2d(maps, self.patch_px // STRIDE, stride=1)
        cell, rest = self.at // self.share, self.at % self.share
        shift = torch.from_numpy(rest[:, 0] * self.share + rest[:, 1])
        y, x = torch.from_numpy(cell[:, 0]), torch.from_numpy(cell[:, 1])
        return windows.permute(0, 2, 3, 1)[shift, y, x]
