"""What a training is told, and what it tells on its way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.measured.expression import MIN_COUNTS
from napari_mclstexp.core.model import STRIDE
from napari_mclstexp.errors import SectionError
from napari_mclstexp.training.weights import INITIAL, check_initial, describe_initial

if TYPE_CHECKING:
    from napari_mclstexp.core.model import Mode
    from napari_mclstexp.core.retrieval import Weighting
    from napari_mclstexp.training.preprocess import Wanted

FIELD_UM = 112.0
"""Side of the tissue field of a patch, 224 px at 0.5 um per px, where the distance of spots is unknown."""
PAPER_PATCH_PX = 224
"""Side of a patch in mode ``paper``, in px of the slide."""
TOP_K = 200
NO_RECIPE = ("genes", "device", "name", "licence", "thumbnails", "allow_download")
"""Options that do not change what is trained, or that the bundle tells otherwise."""


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
    margin_px : int
        Pixels around the patch that it is read with, a multiple of 32 (mode ``corrected``); see
        :class:`.core.model.ImageEncoder`.
    field_um : float or None
        um of a patch's side (mode ``corrected``); None: 1.2 times the distance between spots.
    stain : float
        Strength of the shift of each stain in augmentation (mode ``corrected``).
    initial : str
        What the image encoder begins with: ``random``, ``imagenet`` (torchvision's), or a file of
        torchvision's densenet121.
    allow_download : bool
        Whether the weights of ``imagenet`` may be downloaded, where they are not on this machine.
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
    margin_px: int = 0
    field_um: float | None = None
    stain: float = 0.15
    initial: str = "random"
    allow_download: bool = False
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
    note : str
        What else there is to tell, before the first step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    seconds_left: float
    note: str = ""


def field_side(options: TrainingOptions) -> int:
    """Pixels of the side of the field that a patch shows."""
    return PAPER_PATCH_PX if options.mode == "paper" else options.patch_px


def patch_side(options: TrainingOptions) -> int:
    """Pixels of a patch's side, its margin included."""
    return field_side(options) + 2 * options.margin_px


def check_options(options: TrainingOptions) -> None:
    """Refuse numbers that cannot be trained with."""
    if options.epochs < 1:
        msg = f"{options.epochs} epochs cannot be trained. Choose 1 or more."
        raise SectionError(msg)
    if options.batch_size is not None and options.batch_size < 2:
        msg = f"A batch of {options.batch_size} spots has nothing to contrast. Choose 2 or more."
        raise SectionError(msg)
    if options.top_k < 1:
        msg = f"top-k is {options.top_k}. Choose 1 or more."
        raise SectionError(msg)
    if not 0 <= options.seed < 2**32:
        msg = f"The seed {options.seed} is out of range. Choose 0 to {2**32 - 1}."
        raise SectionError(msg)
    if not 32 <= options.patch_px <= 1024:
        msg = f"--patch-px is {options.patch_px}. Choose 32 to 1024."
        raise SectionError(msg)
    if options.margin_px not in range(0, 257, STRIDE) or (options.margin_px and options.mode == "paper"):
        msg = f"--margin-px is {options.margin_px}. Choose a multiple of {STRIDE} to 256; none in mode paper."
        raise SectionError(msg)
    if options.field_um is not None and not 10 <= options.field_um <= 2000:
        msg = f"--field-um is {options.field_um:g}. Choose 10 to 2000."
        raise SectionError(msg)
    check_initial(options)


def recipe_of(options: TrainingOptions) -> dict[str, Any]:
    """What has to be known to train the like again, without names of files and machines."""
    recipe = {k: v for k, v in asdict(options).items() if k not in NO_RECIPE}
    if options.initial not in INITIAL:
        recipe["initial"] = describe_initial(options.initial)
    return recipe
