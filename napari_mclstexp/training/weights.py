"""Weights before, during and after training: what they start from, their running average, their rounding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mclstexp.training.augment import centre

if TYPE_CHECKING:
    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.training.data import TrainingData

__all__ = ["Average", "round_to_half"]

HALF_COSINE = 0.9999
"""Weights are stored as float16 where every patch embedding keeps at least this cosine."""


class Average:
    """Exponential moving average of a network's parameters over the steps of its training.

    The average of the last hundred or so steps predicts better than the last step alone (Polyak averaging).
    Running statistics of batch normalisation are averages already, and are left to the network.

    Parameters
    ----------
    model : MclSTExp
        Before its first step.
    decay : float
        Share that the average keeps at each step, once warm: min(decay, (1 + t) / (10 + t)) at step t.

    Attributes
    ----------
    values : dict of str to torch.Tensor
        The averaged parameters.
    steps : int
        Steps that they average.
    """

    def __init__(self, model: MclSTExp, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: MclSTExp) -> None:
        """Take the parameters after one more step into the average."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in model.named_parameters():
            self.values[name].lerp_(parameter, 1 - keep)
        self.steps += 1

    @torch.no_grad()
    def copy_to(self, model: MclSTExp) -> None:
        """Make the average the network's own parameters."""
        for name, parameter in model.named_parameters():
            parameter.copy_(self.values[name])

    def state_dict(self) -> dict[str, Tensor | int]:
        """The average, to be stored."""
        return {**self.values, "": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Go on from a stored average."""
        for name, value in self.values.items():
            value.copy_(torch.as_tensor(state[name]))
        self.steps = int(state[""])


@torch.inference_mode()
def round_to_half(model: MclSTExp, data: TrainingData, patch_px: int) -> bool:
    """Round the weights to float16 where the patch embeddings stay the same in direction."""
    sample = np.linspace(0, len(data.patches) - 1, min(64, len(data.patches))).astype(int)
    patches = centre(torch.from_numpy(data.patches[sample]), patch_px)
    before = model.encode_images(patches)
    exact = {key: value.clone() for key, value in model.state_dict().items()}
    rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in exact.items()}
    if all(bool(torch.isfinite(v).all()) for v in rounded.values()):
        model.load_state_dict(rounded)
        worst = float(F.cosine_similarity(before, model.encode_images(patches)).min())
        if math.isfinite(worst) and worst >= HALF_COSINE:
            return True
        model.load_state_dict(exact)
    return False
