"""Training the network alone, without the bundle that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.training.distributed import ALONE, Processes
from napari_mclstexp.training.loop import Loop
from napari_mclstexp.training.weights import load_initial

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_mclstexp.training.checkpoint import Kept
    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingOptions, TrainingProgress


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network.

    Attributes
    ----------
    model : MclSTExp
        On the CPU, in evaluation state.
    history : list of dict
        Loss and accuracy of each epoch.
    """

    model: MclSTExp
    history: list[dict[str, float]]


def fit_network(
    data: TrainingData,
    options: TrainingOptions,
    device: torch.device,
    kept: Kept | None = None,
    processes: Processes = ALONE,
) -> Generator[TrainingProgress, None, Fitted]:
    """Train the network alone. Closing the generator cancels it.

    Parameters
    ----------
    data : TrainingData
        What to train on.
    options : TrainingOptions
        How.
    device : torch.device
        Where.
    kept : Kept, optional
        The checkpoints of this very training.
    processes : Processes
        Those that train together.

    Yields
    ------
    TrainingProgress
        After each step.

    Returns
    -------
    Fitted
        The network and how its training went.

    Raises
    ------
    ModelError
        The loss is not finite any more.
    BundleError
        The initial weights cannot be had.
    SectionError
        There are too few spots for so many processes.
    CheckpointError, ExportError
        A checkpoint cannot be read, or written.
    """
    torch.manual_seed(options.seed)
    rows = position_rows(data, options)
    model = MclSTExp(data.expression.shape[1], options.mode, rows, options.margin_px)
    if processes.first:
        load_initial(model, options)
    history = yield from Loop(model.to(device), data, options, device, processes).run(kept)
    return Fitted(model.cpu().eval(), history)


def position_rows(
    data: TrainingData, options: TrainingOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Array x and y that are in use, ascending: what mode ``paper`` has an embedding of."""
    if options.mode != "paper":
        return None
    x, y = (np.unique(np.rint(data.positions).astype(np.int64)[:, i]) for i in (0, 1))
    return x, y
