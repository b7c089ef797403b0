"""By what a prediction is made: what was asked for, checked, and the rest chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_mclstexp import __version__
from napari_mclstexp.core.backends import check_backend, told_as
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.heads import Bank, Head, check_head
from napari_mclstexp.core.result import Provenance
from napari_mclstexp.errors import BundleError, DeviceError

if TYPE_CHECKING:
    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

CPU_BATCH_PIXELS = 8 * 224 * 224
"""Pixels a batch on two processors: half a second of work, so that a cancel is heard soon."""
MOST_THREADS = 16
"""Up to which a batch grows with the processors: its maps are held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class How:
    """By what spots are predicted.

    Attributes
    ----------
    bundle : Bundle
        The model.
    bank : Bank
        Its reference spots, with as many matches a query as are averaged.
    head : str
        See :mod:`.heads`.
    batch : int
        Patches a forward pass.
    device : torch.device
        Where the network runs.
    backend : str
        See :data:`.backends.BACKENDS`; empty until it is chosen.
    """

    bundle: Bundle
    bank: Bank
    head: Head
    batch: int
    device: torch.device
    backend: str

    @property
    def usual(self) -> bool:
        """Whether matches are counted and weighted as they were where the held-out similarities come from."""
        return self.bank.k == self.bundle.spec.top_k and "softmax" not in self.head


def choose_how(
    bundle: Bundle,
    top_k: int | None,
    head: Head | None,
    batch_size: int | None,
    device: str,
    backend: str | None,
) -> How:
    """Check what is asked for as in :func:`.predict.predict`, and choose what is not.

    Raises
    ------
    BundleError, DeviceError
        The model, or this computer, has no such thing.
    """
    spec = bundle.spec
    chosen = choose_device(device)
    k = spec.top_k if top_k is None else top_k
    if not 1 <= k <= len(bundle.expression):
        msg = f"top-k is {k}, but the bundle has {len(bundle.expression)} reference spots. Choose 1 to that."
        raise BundleError(msg)
    chosen_head = check_head(head or spec.head, bundle.beside.ridge)
    batch = (
        default_batch_size(spec.patch_px + 2 * spec.margin_px, chosen) if batch_size is None else batch_size
    )
    if batch < 1:
        msg = f"A batch of {batch} patches cannot be. Choose 1 or more."
        raise DeviceError(msg)
    named = "" if backend is None else check_backend(backend, chosen)
    return How(bundle, bundle.bank(k), chosen_head, batch, chosen, named)


def provenance_of(slide: Slide, grid: SpotGrid, scale: Scale | None, how: How) -> Provenance:
    """What a result tells of how it came to be, but for the seed and the notes on its slide."""
    spec = how.bundle.spec
    return Provenance(
        slide_fingerprint=slide.fingerprint,
        width=slide.width,
        height=slide.height,
        mpp_x=scale.mpp_x if scale else math.nan,
        mpp_y=scale.mpp_y if scale else math.nan,
        mpp_source=scale.source if scale else "unknown",
        layout=grid.layout,
        pitch_um=grid.pitch_um,
        bundle_id=how.bundle.id,
        bundle_hash=how.bundle.digest,
        mode=spec.mode,
        normalisation=spec.normalisation,
        field_um=math.nan if spec.field_um is None else spec.field_um,
        patch_px=spec.patch_px,
        top_k=how.bank.k,
        weighting=spec.weighting,
        backend=told_as(how.backend, how.device.type),
        device=how.device.type,
        batch_size=how.batch,
        threads=torch.get_num_threads(),
        seed=0,
        version=__version__,
        head=how.head,
    )


def default_batch_size(patch_px: int, device: torch.device) -> int:
    """Patches a forward pass, from their size: 8 at 224 px on two processors, more on more; 64 on a GPU."""
    fits = max(1, min(64, CPU_BATCH_PIXELS // patch_px**2))
    if device.type != "cpu":
        return 8 * fits
    return fits * min(max(2, torch.get_num_threads()), MOST_THREADS) // 2
