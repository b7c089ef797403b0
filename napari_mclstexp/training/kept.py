"""Networks of an evaluation's folds, kept so that an interrupted evaluation goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import safetensors
import safetensors.torch
import torch

from napari_mclstexp.core.atomic import write_bytes
from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.training.network import Fitted, position_rows
from napari_mclstexp.training.options import recipe_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingOptions

HISTORY = "history"
NAME = re.compile(r"[0-9a-f]{24}\.safetensors")
"""Names of the files; only such are ever removed."""


def network_file(folder: Path, data: TrainingData, genes: tuple[str, ...], options: TrainingOptions) -> Path:
    """Where the network is kept that is trained on these spots by this recipe."""
    digest = hashlib.sha256(json.dumps([recipe_of(options), genes], sort_keys=True).encode())
    for part in (data.patches, data.expression, data.positions):
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update("\n".join(data.section.tolist()).encode())
    return folder / f"{digest.hexdigest()[:24]}.safetensors"


def load_network(path: Path, data: TrainingData, options: TrainingOptions) -> Fitted | None:
    """The network that was kept there; None where there is none, or a damaged one."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as stored:
            history = json.loads((stored.metadata() or {})[HISTORY])
        rows = position_rows(data, options)
        model = MclSTExp(data.expression.shape[1], options.mode, rows, options.margin_px)
        model.load_state_dict(safetensors.torch.load(path.read_bytes()))
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, OSError):
        return None
    return Fitted(model.to(memory_format=torch.channels_last).eval(), history)  # as it was trained


def keep_network(path: Path, fitted: Fitted) -> None:
    """Keep a network.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_bytes`.
    """
    state = {key: value.contiguous() for key, value in fitted.model.state_dict().items()}
    content = safetensors.torch.save(state, {HISTORY: json.dumps(fitted.history)})
    write_bytes(path, content, overwrite=True)
