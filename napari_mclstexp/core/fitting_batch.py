"""What fits: where a device has no room for a batch or a region, it is encoded in halves, and so on."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp.core.encode import embedded
from napari_mclstexp.core.room import spoken
from napari_mclstexp.errors import DeviceMemoryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.backends import Encode
    from napari_mclstexp.core.model import MclSTExp

log = logging.getLogger(__name__)


class Fitting:
    """Embeds pictures as :func:`.encode.embedded` does, as many at once as the device has room for.

    Regions of a dense map are divided by those who lay them: they ask :meth:`has_room`, and tell of what has
    not fitted by :meth:`divide`.

    Parameters
    ----------
    size : int
        Patches a forward pass, to begin with.

    Attributes
    ----------
    size : int
        Patches a forward pass, as they have fitted so far.
    note : str
        What is told where they are fewer than was asked for; else empty.
    """

    def __init__(self, size: int) -> None:
        self.size, self._asked = size, size
        self._too_large = math.inf
        self.note = ""

    def __call__(
        self, model: MclSTExp, pictures: NDArray[np.uint8], device: torch.device, encode: Encode
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (N, 1024) and embeddings (N, 256) of pictures (N, H, W, 3).

        Raises
        ------
        DeviceMemoryError
            Not even one picture fits.
        ModelError
            As in :func:`.encode.embedded`.
        """
        found: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        start = 0
        while start < len(pictures):
            part = pictures[start : start + self.size]
            try:
                found.append(embedded(model, part, device, encode))
                start += len(part)
                continue
            except DeviceMemoryError:
                if len(part) == 1:
                    raise
            self.size = len(part) // 2
            tried = f"{self._asked} patches at once: {self.size} are taken"
            self._tell(tried, device.type)
        features, embeddings = zip(*found, strict=True)
        return np.concatenate(features), np.concatenate(embeddings)

    def has_room(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether as many pixels (H, W, 3) of a region may fit: no fewer have failed."""
        return pixels.size < self._too_large

    def divide(self, pixels: NDArray[np.uint8], device: torch.device) -> None:
        """Take smaller regions than these pixels (H, W, 3) from now on: they have not fitted."""
        self._too_large = pixels.size
        height, width = pixels.shape[:2]
        self._tell(f"{height:,} x {width:,} pixels at once: smaller regions are taken", device.type)

    def _tell(self, tried: str, device: str) -> None:
        """Tell of what has not fitted, whose error is no more: it would hold its memory."""
        self.note = f"{spoken(device)} has no room for {tried}."
        log.warning("%s", self.note)
        if device == "cuda":
            torch.cuda.empty_cache()
