"""Embedding reference spots with the network, in either mode, independent of batching."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp.core.model import MclSTExp, neighbourhoods

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256


@torch.inference_mode()
def encode_spots(
    model: MclSTExp,
    expression: NDArray[np.float32],
    positions: NDArray[np.float64],
    section: NDArray[np.str_],
) -> NDArray[np.float32]:
    """Embed spots of one or more sections.

    Parameters
    ----------
    model : MclSTExp
        In evaluation state.
    expression : numpy.ndarray
        (M, G) normalised expression.
    positions : numpy.ndarray
        (M, 2) x, y: um (``corrected``) or array indices (``paper``).
    section : numpy.ndarray
        (M,) section of each spot. ``paper`` takes the spots of a section as one sequence, in order.

    Returns
    -------
    numpy.ndarray
        (M, 256) float32 raw embeddings.
    """
    device = next(model.parameters()).device
    values = torch.from_numpy(np.ascontiguousarray(expression, dtype=np.float32))
    result = np.empty((len(expression), model.spot_projection.fc.out_features), dtype=np.float32)
    if model.mode == "paper":
        array_xy = torch.from_numpy(np.rint(positions).astype(np.int64))
        for name in dict.fromkeys(section.tolist()):
            rows = np.flatnonzero(section == name)
            sequence = model.encode_sequence(values[rows].to(device), array_xy[rows].to(device))
            result[rows] = sequence.cpu().numpy()
        return result
    indices, offsets, present = neighbourhoods(positions, section)
    for start in range(0, len(values), BATCH):
        block = slice(start, start + BATCH)
        result[block] = (
            model.encode_neighbourhoods(
                values[torch.from_numpy(indices[block])].to(device),
                torch.from_numpy(offsets[block]).to(device),
                torch.from_numpy(present[block]).to(device),
            )
            .cpu()
            .numpy()
        )
    return result
