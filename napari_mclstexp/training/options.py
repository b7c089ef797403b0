"""What a training is told, and what it tells on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mclstexp.core.measured.expression import MIN_COUNTS

if TYPE_CHECKING:
    from napari_mclstexp.core.model import Mode
    from napari_mclstexp.core.retrieval import Weighting
    from napari_mclstexp.training.preprocess import Wanted

FIELD_UM = 112.0
"""Side of the tissue field of a patch, 224 px at 0.5 um per px, where the distance of spots is unknown."""
TOP_K = 200


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    mode : {"corrected", "paper"}
        See :mod:`.core.model`.
    epochs : int
        Passes over all spots.
    seed : int
        Same seed, same machine, same weights.
    genes : str, int or tuple of str
        See :func:`.preprocess.choose_genes`.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    batch_size : int or None
        Spots a step; 64, in mode ``paper`` 128.
    patch_px : int
        Pixels of a patch's side (mode ``corrected``).
    field_um : float or None
        um of a patch's side (mode ``corrected``); None: 1.2 times the distance between spots.
    stain : float
        Strength of the shift of each stain in augmentation (mode ``corrected``).
    ema : float
        Share that the running average of the weights keeps at each step; the average is what the bundle
        holds. 0: the last weights themselves, as always in mode ``paper``.
    top_k : int
        Reference spots that a prediction averages; at most a third of them all in mode ``corrected``.
    weighting : {"inverse-square", "softmax"}
        See :func:`.core.retrieval.match`.
    min_counts : int
        Spots with fewer counts are left out.
    thumbnails : bool
        Keep a small picture of each reference patch in the bundle: patients' tissue.
    name, licence : str
        Written into the bundle.
    """

    mode: Mode = "corrected"
    epochs: int = 10
    seed: int = 0
    genes: Wanted = 1000
    device: str = "auto"
    batch_size: int | None = None
    patch_px: int = 112
    field_um: float | None = None
    stain: float = 0.15
    ema: float = 0.99
    top_k: int = TOP_K
    weighting: Weighting = "inverse-square"
    min_counts: int = MIN_COUNTS
    thumbnails: bool = False
    name: str = "model"
    licence: str = "unspecified"


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """State of the training after one step.

    Attributes
    ----------
    epoch, epochs : int
        Epoch being trained, from 1, and of how many.
    step, steps : int
        Steps done in it, and of how many.
    loss : float
        Mean loss in the epoch so far.
    accuracy : float
        Share of patches in the epoch so far whose own spot was the nearest in the batch.
    seconds_left : float
        Estimate for the whole training.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    seconds_left: float
