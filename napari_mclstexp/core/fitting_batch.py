"""Batches that fit: where a device has no room for one, it is encoded in halves, down to single patches."""

from __future__ import annotations

import logging
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
            except DeviceMemoryError:
                if len(part) == 1:
                    raise
                self._halve(len(part), device.type)
            else:
                start += len(part)
        features, embeddings = zip(*found, strict=True)
        return np.concatenate(features), np.concatenate(embeddings)

    def _halve(self, tried: int, device: str) -> None:
        self.size = tried // 2
        self.note = f"{spoken(device)} has no room for {self._asked} patches at once: {self.size} are taken."
        log.warning("%s", self.note)
        if device == "cuda":
            torch.cuda.empty_cache()
