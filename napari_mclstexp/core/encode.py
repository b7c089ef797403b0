"""Encoding patches and reference spots with the network, in either mode, independent of batching."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp.core.appearance import appearance
from napari_mclstexp.core.context import Queries
from napari_mclstexp.core.model import MclSTExp, neighbourhoods
from napari_mclstexp.core.patches import without_margin
from napari_mclstexp.core.room import is_out_of_memory, no_room
from napari_mclstexp.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.backends import Encode

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


@torch.inference_mode()
def encode_patches(
    model: MclSTExp, patches: NDArray[np.uint8], device: torch.device, encode: Encode | None = None
) -> Queries:
    """Encode patches.

    Parameters
    ----------
    model : MclSTExp
        In evaluation state, on `device`.
    patches : numpy.ndarray
        (B, P, P, 3) uint8 RGB, with the model's margin.
    device : torch.device
        Where to compute.
    encode : callable, optional
        See :func:`.backends.image_backend`; the model's own image encoder by default.

    Returns
    -------
    Queries
        Of B patches.

    Raises
    ------
    DeviceMemoryError
        The device ran out of memory.
    ModelError
        The network returned numbers that are not finite.
    """
    features, embeddings = embedded(model, patches, device, encode or model.image_encoder)
    looks = appearance(without_margin(patches, model.image_encoder.margin_px))
    return Queries(features, embeddings, looks)


@torch.inference_mode()
def embedded(
    model: MclSTExp, pictures: NDArray[np.uint8], device: torch.device, encode: Encode
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features (N, 1024) and embeddings (N, 256), float32, of what `encode` finds in pictures (B, H, W, 3).

    Raises
    ------
    DeviceMemoryError, ModelError
        As in :func:`encode_patches`.
    """
    try:
        pixels = (
            torch.from_numpy(pictures).to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
        )
        features = encode(pixels)
        embeddings = model.embed_features(features).float().cpu().numpy()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise no_room(device.type, len(pictures)) from error
    if not np.isfinite(embeddings).all():
        msg = "The network returned numbers that are not finite; nothing of this prediction was kept."
        raise ModelError(msg)
    return features.float().cpu().numpy(), embeddings
