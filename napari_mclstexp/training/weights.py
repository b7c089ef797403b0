"""Weights before and after training: what they start from, and their rounding."""

from __future__ import annotations

import hashlib
import math
import pickle
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_mclstexp.errors import BundleError
from napari_mclstexp.training.augment import centre

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingOptions

__all__ = ["INITIAL", "check_initial", "describe_initial", "load_initial", "round_to_half"]

INITIAL = RANDOM, IMAGENET = "random", "imagenet"
OLD_KEY = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
"""How torchvision's files name the layers of a dense layer: norm.1 is norm1."""
PATIENCE_S = 30.0

HALF_COSINE = 0.9999
"""Weights are stored as float16 where every patch embedding keeps at least this cosine."""


def check_initial(options: TrainingOptions) -> None:
    """Raise BundleError where the initial weights are not there and may not be downloaded."""
    if options.initial == RANDOM:
        return
    if options.initial != IMAGENET:
        _refuse_absent(Path(options.initial))
    elif not options.allow_download and not _imagenet_file().is_file():
        msg = (
            f"The ImageNet weights are not on this machine. They would be downloaded from {_imagenet_url()} "
            f"(about 30 MB) to {_imagenet_file().parent}: add --allow-download to allow it, or give --init "
            "a file with torchvision's densenet121."
        )
        raise BundleError(msg)


def describe_initial(initial: str) -> str:
    """What a bundle says of its initial weights: no names of files."""
    if initial == RANDOM:
        return RANDOM
    if initial == IMAGENET:
        return "imagenet (torchvision IMAGENET1K_V1)"
    _refuse_absent(Path(initial))
    return f"file, sha256 {hashlib.sha256(Path(initial).read_bytes()).hexdigest()}"


def load_initial(model: MclSTExp, options: TrainingOptions) -> None:
    """Give the image encoder the weights that the options name.

    Parameters
    ----------
    model : MclSTExp
        Of random weights; all but its image encoder keeps them.
    options : TrainingOptions
        What to begin with.

    Raises
    ------
    BundleError
        They cannot be downloaded or read, or are not of a DenseNet-121.
    """
    check_initial(options)
    if options.initial == RANDOM:
        return
    path = _fetched() if options.initial == IMAGENET else Path(options.initial)
    features = model.image_encoder.features
    found, expected = _features_of(_read(path)), features.state_dict()
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            found[name] = tensor
        elif name not in found:
            msg = f"{path.name} lacks {name}: it is not torchvision's densenet121."
            raise BundleError(msg)
        elif found[name].shape != tensor.shape or not bool(torch.isfinite(found[name]).all()):
            shape, wanted = tuple(found[name].shape), tuple(tensor.shape)
            why = f"has the shape {shape}, not {wanted}" if shape != wanted else "is not finite"
            msg = f"{name} in {path.name} {why}. Give a file of torchvision's densenet121."
            raise BundleError(msg)
    features.load_state_dict({name: found[name] for name in expected})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix.lower() == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (
        safetensors.SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        msg = f"{path.name} is no file of tensors alone, or is damaged. For safety nothing else is unpickled."
        raise BundleError(msg) from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        msg = f"{path.name} is not a state dict: it should map names to tensors."
        raise BundleError(msg)
    return found


def _features_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image encoder's part of a DenseNet, by the names of today."""
    return {
        OLD_KEY.sub(r"\1\2", name.removeprefix("features.")): tensor
        for name, tensor in state.items()
        if not name.startswith("classifier.")
    }


def _fetched() -> Path:
    """The file with the ImageNet weights, downloaded if need be, its hash checked."""
    path = _imagenet_file()
    if not path.is_file():
        former = socket.getdefaulttimeout()
        socket.setdefaulttimeout(PATIENCE_S)
        try:
            _weights().get_state_dict(progress=sys.stderr.isatty(), check_hash=True, weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            msg = (
                f"The ImageNet weights were not downloaded from {_imagenet_url()}: {reason}. Try again, or "
                "give --init a file with torchvision's densenet121."
            )
            raise BundleError(msg) from error
        finally:
            socket.setdefaulttimeout(former)
    prefix = path.stem.rpartition("-")[2]
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(prefix):
        msg = f"{path} is damaged: its hash does not fit its name. Remove it, and download it again."
        raise BundleError(msg)
    return path


def _weights() -> WeightsEnum:
    from torchvision.models import DenseNet121_Weights

    return DenseNet121_Weights.IMAGENET1K_V1


def _imagenet_url() -> str:
    return str(_weights().url)


def _imagenet_file() -> Path:
    """Where torchvision keeps, or would keep, the ImageNet weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(_imagenet_url()).path).name


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        msg = f"There are no initial weights at {path}. Give --init random, imagenet, or a file."
        raise BundleError(msg)


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
