"""A forward pass recorded once on a CUDA GPU and replayed: its hundreds of kernels are launched as one.

Source: CUDA graphs as in the notes of PyTorch on CUDA semantics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

WARM_UP = 3
"""Passes before one is recorded: libraries choose their algorithms in the first ones."""


class Recorded:
    """An image encoder whose passes are replayed on a CUDA GPU; elsewhere it runs as it is.

    Parameters
    ----------
    encode : callable
        See :data:`.backends.Encode`. It must launch the same kernels for the same shape.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self._encode = encode
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self, patches: Tensor) -> Tensor:
        """Features (B, 1024) of patches (B, 3, H, W); see :data:`.backends.Encode`."""
        if patches.device.type != "cuda":
            return self._encode(patches)
        if self._graph is None:
            self._record(patches)
        if self._graph is None or patches.shape != self._patches.shape:  # the last batch is smaller
            return self._encode(patches)
        self._patches.copy_(patches)
        self._graph.replay()
        return self._features.clone()

    def _record(self, patches: Tensor) -> None:
        self._patches = patches.clone()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._encode(self._patches)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others pin memory meanwhile
            self._features = self._encode(self._patches)
        self._graph = graph


def pinned(patches: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """The same patches, for a CUDA GPU in memory that it reads by itself."""
    return torch.from_numpy(patches).pin_memory().numpy() if device.type == "cuda" else patches
