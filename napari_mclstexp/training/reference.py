"""From a trained network and its spots to the reference: bank, queries seen in context, linear head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.transforms import v2

from napari_mclstexp.core.bundle_beside import THUMBNAIL_PX
from napari_mclstexp.core.context import Neighbours, Queries, Seen, centred
from napari_mclstexp.core.encode import encode_patches, encode_spots
from napari_mclstexp.core.heads import Bank
from napari_mclstexp.training.options import field_side, patch_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingOptions

CONTEXT = 1.5
"""Radius in which a query is seen with its neighbours, in distances between training spots."""

BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The reference spots of a trained network.

    Attributes
    ----------
    bank : Bank
        M spots.
    context_um : float or None
        Radius in which queries are seen.
    alone, seen : Queries, Seen
        The reference spots' own patches.
    """

    bank: Bank
    context_um: float | None
    alone: Queries
    seen: Seen


def reference_of(model: MclSTExp, data: TrainingData, options: TrainingOptions) -> Reference:
    """Encode the training spots and their patches.

    Parameters
    ----------
    model : MclSTExp
        Trained on `data`; on the CPU, in evaluation state.
    data : TrainingData
        M spots.
    options : TrainingOptions
        The recipe.
    """
    paper = options.mode == "paper"
    values = training_values(data, options)
    count = len(data.section)
    context_um = None if paper else CONTEXT * spot_distance_of(data)
    alone, seen = encode_data(model, data, np.ones(count, dtype=bool), context_um, options)
    bank = Bank(
        encode_spots(model, values, data.positions, data.section),
        values,
        max(1, min(options.top_k, count if paper else count // 3)),
        options.weighting,
        1.0 if paper else float(model.log_temperature.detach().exp()),
    )
    return Reference(bank, context_um, alone, seen)


def training_values(data: TrainingData, options: TrainingOptions) -> NDArray[np.float32]:
    """Expression that is learned: apart from each section's level, but in mode ``paper``."""
    return data.expression if options.mode == "paper" else centred(data.expression, data.section)


def encode_data(
    model: MclSTExp,
    data: TrainingData,
    rows: NDArray[np.bool_],
    context_um: float | None,
    options: TrainingOptions,
) -> tuple[Queries, Seen]:
    """Encode the patches of some spots, alone and with the spots around them in their own section."""
    patches, section = centre_crop(data.patches[rows], patch_side(options)), data.section[rows]
    device = torch.device("cpu")
    parts = [encode_patches(model, patches[i : i + BATCH], device) for i in range(0, len(patches), BATCH)]
    alone = Queries.joined(parts)
    positions = data.positions[rows]
    embeddings, described = np.empty_like(alone.embeddings), None
    for name in np.unique(section):
        own = np.flatnonzero(section == name)
        around = None if context_um is None else Neighbours(positions[own], context_um)
        seen = alone.rows(own).seen_among(around)
        if described is None:
            described = np.empty((len(section), seen.described.shape[1]), dtype=np.float32)
        embeddings[own], described[own] = seen.embeddings, seen.described
    return alone, Seen(embeddings, described if described is not None else np.empty((0, 0), np.float32))


def centre_crop(wide: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Middle (N, side, side, 3) of patches that were read wider."""
    start = (wide.shape[1] - side) // 2
    return np.ascontiguousarray(wide[:, start : start + side, start : start + side])


def thumbnails_of(data: TrainingData, options: TrainingOptions) -> NDArray[np.uint8]:
    """Patches of the reference spots as small pictures, (M, THUMBNAIL_PX, THUMBNAIL_PX, 3) uint8."""
    pixels = torch.from_numpy(centre_crop(data.patches, field_side(options))).permute(0, 3, 1, 2)
    small = v2.functional.resize(pixels, [THUMBNAIL_PX, THUMBNAIL_PX], antialias=True)
    return np.ascontiguousarray(small.permute(0, 2, 3, 1).numpy())


def spot_distance_of(data: TrainingData) -> float:
    """Median distance between neighbouring spots over all sections, in um."""
    names = np.unique(data.section)
    return float(np.median([spot_distance(data.positions[data.section == n]) for n in names]))


def spot_distance(positions: NDArray[np.float64]) -> float:
    """Median distance of a section's spots (N, 2) from their nearest."""
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return 1.0
    distance, _ = cKDTree(positions).query(positions, k=2)
    return float(np.median(distance[:, 1])) or 1.0
