"""The mclSTExp network: a DenseNet-121 image encoder and a Transformer over spots.

Method: Min, Shi, Zhang, Wan and Wang, "Multimodal contrastive learning for spatial gene expression
prediction using histology images", arXiv 2407.08216. Two modes:

``paper``
    follows the published implementation: no ImageNet normalisation, the last ReLU of the DenseNet
    dropped, learned tables of array positions, one sequence of spots a section.
``corrected``
    (default) ImageNet normalisation, the ReLU kept, each spot seen with its fixed neighbourhood in
    its own section, positions in um relative to the spot, learned temperature.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mclstexp.core.torchvision_apart import densenet121
from napari_mclstexp.errors import BundleError

Mode = Literal["paper", "corrected"]
MODES: tuple[Mode, ...] = ("paper", "corrected")

IMAGE_FEATURES = 1024
EMBEDDING = 256
HEADS = 8
HEAD_DIM = 64
LAYERS = 2
NEIGHBOURS = 16
"""Spots in a neighbourhood, the spot itself included (``corrected``)."""

STRIDE = 32
"""Pixels of a patch to one of the image encoder's feature map, a side."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageEncoder(nn.Module):
    """DenseNet-121 features, averaged over the patch.

    Parameters
    ----------
    mode : {"paper", "corrected"}
        See the module's text.
    margin_px : int
        Pixels around the patch, a multiple of 32, that are read with it and cropped from its feature map.
        The maps of a patch then depend little on its border, and are near those of a larger picture.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mode: Mode, margin_px: int = 0) -> None:
        super().__init__()
        self.margin_px = margin_px
        self.features = densenet121(weights=None).features
        self.corrected = mode == "corrected"
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Encode patches (B, 3, H, W) float32 RGB in [0, 1], margin included, as features (B, 1024)."""
        if self.corrected:
            patches = (patches - self.mean) / self.std
        maps = self.features(patches)  # (B, 1024, H/32, W/32)
        if self.corrected:
            maps = F.relu(maps)
        return cropped(maps, self.margin_px).mean(dim=(2, 3))  # (B, 1024)


def cropped(maps: Tensor, margin_px: int) -> Tensor:
    """Feature maps (B, C, h, w) without what lies in the margin of their patches."""
    cells = margin_px // STRIDE
    return maps[:, :, cells : maps.shape[2] - cells, cells : maps.shape[3] - cells]


class ProjectionHead(nn.Module):
    """Linear -> GELU -> linear -> dropout, plus residual, then LayerNorm."""

    def __init__(self, width_in: int, width: int = EMBEDDING, dropout: float = 0.0) -> None:
        super().__init__()
        self.projection = nn.Linear(width_in, width)
        self.fc = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Project (B, width_in) to (B, width)."""
        projected = self.projection(x)  # (B, width)
        return self.norm(projected + self.dropout(self.fc(F.gelu(projected))))  # (B, width)


class SpotBlock(nn.Module):
    """One pre-norm Transformer layer; query, key and value without bias, MLP as wide as its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.attn_norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Linear(inner, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Attend among tokens (B, S, width); ``present`` (B, S) bool leaves out padding."""
        batch, length, _ = x.shape
        qkv = self.to_qkv(self.attn_norm(x)).view(batch, length, 3, HEADS, HEAD_DIM)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, S, 64)
        mask = None if present is None else present[:, None, None, :]  # (B, 1, 1, S)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.to_out(mixed.transpose(1, 2).reshape(batch, length, -1))  # (B, S, width)
        return x + self.mlp(self.mlp_norm(x))  # (B, S, width)


class PositionTable(nn.Module):
    """Learned embedding of array indices that keeps only the rows in use.

    Parameters
    ----------
    rows : numpy.ndarray
        (R,) int64 array indices that have a row, ascending.
    width : int
        Width of the embedding: the number of genes.
    """

    rows: Tensor

    def __init__(self, rows: np.ndarray, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.as_tensor(np.asarray(rows, dtype=np.int64)))
        self.weight = nn.Parameter(torch.randn(len(rows), width))

    def forward(self, indices: Tensor) -> Tensor:
        """Embed array indices (...,) int64 as (..., width)."""
        at = torch.searchsorted(self.rows, indices.contiguous()).clamp(max=len(self.rows) - 1)
        if not bool((self.rows[at] == indices).all()):
            msg = (
                "A spot has an array position for which this model has no embedding. "
                "Encode only spots of the sections that the model was trained on."
            )
            raise BundleError(msg)
        return F.embedding(at, self.weight)


class MclSTExp(nn.Module):
    """Image and spot encoders with their projection heads into one space of 256.

    Parameters
    ----------
    n_genes : int
        Number of genes G.
    mode : {"paper", "corrected"}
        See the module's text.
    position_rows : tuple of numpy.ndarray, optional
        Array x and y indices in use, ascending (``paper`` only).
    margin_px : int
        See :class:`ImageEncoder`.
    """

    def __init__(
        self,
        n_genes: int,
        mode: Mode = "corrected",
        position_rows: tuple[np.ndarray, np.ndarray] | None = None,
        margin_px: int = 0,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.image_encoder = ImageEncoder(mode, margin_px)
        self.image_projection = ProjectionHead(IMAGE_FEATURES)
        if mode == "paper":
            rows_x, rows_y = position_rows or (np.arange(1), np.arange(1))
            self.x_table = PositionTable(rows_x, n_genes)
            self.y_table = PositionTable(rows_y, n_genes)
        else:
            self.position = nn.Sequential(nn.Linear(2, 64), nn.GELU(), nn.Linear(64, n_genes))
            self.log_temperature = nn.Parameter(torch.tensor(0.1).log())
        self.spot_encoder = nn.ModuleList(SpotBlock(n_genes) for _ in range(LAYERS))
        self.spot_projection = ProjectionHead(n_genes)

    def encode_images(self, patches: Tensor) -> Tensor:
        """Embed patches (B, 3, H, W) float32 RGB in [0, 1], margin included, as (B, 256)."""
        return self.embed_features(self.image_encoder(patches))

    def embed_features(self, features: Tensor) -> Tensor:
        """Embed image features (B, 1024) as (B, 256)."""
        return self._finish(self.image_projection(features))

    def encode_sequence(self, expression: Tensor, array_xy: Tensor) -> Tensor:
        """Embed one sequence of spots, ``paper``: expression (S, G), array_xy (S, 2) -> (S, 256)."""
        x = expression + self.x_table(array_xy[:, 0]) + self.y_table(array_xy[:, 1])  # (S, G)
        tokens = x[None]  # (1, S, G)
        for block in self.spot_encoder:
            tokens = block(tokens)
        return self._finish(self.spot_projection(tokens[0]))

    def encode_neighbourhoods(self, expression: Tensor, offsets: Tensor, present: Tensor) -> Tensor:
        """Embed each spot from its neighbourhood, ``corrected``.

        Parameters
        ----------
        expression : torch.Tensor
            (B, K, G) float32; token 0 is the spot itself.
        offsets : torch.Tensor
            (B, K, 2) float32, x and y relative to the spot, in spot pitches.
        present : torch.Tensor
            (B, K) bool, False for padding.

        Returns
        -------
        torch.Tensor
            (B, 256) float32, of unit length.
        """
        tokens = expression + self.position(offsets)  # (B, K, G)
        for block in self.spot_encoder:
            tokens = block(tokens, present)
        return self._finish(self.spot_projection(tokens[:, 0]))

    def _finish(self, embeddings: Tensor) -> Tensor:
        return F.normalize(embeddings, dim=1) if self.mode == "corrected" else embeddings


def neighbourhoods(
    positions: np.ndarray, section: np.ndarray, size: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest spots of each spot within its own section, itself first.

    Parameters
    ----------
    positions : numpy.ndarray
        (M, 2) float64 x, y in any unit.
    section : numpy.ndarray
        (M,) section names.
    size : int
        Spots a neighbourhood.

    Returns
    -------
    indices : numpy.ndarray
        (M, size) int64 into the M spots; padding repeats the spot itself.
    offsets : numpy.ndarray
        (M, size, 2) float32 relative to the spot, in the section's median spot distance.
    present : numpy.ndarray
        (M, size) bool, False for padding.
    """
    from scipy.spatial import cKDTree

    count = len(positions)
    indices = np.repeat(np.arange(count)[:, None], size, axis=1)
    offsets = np.zeros((count, size, 2), dtype=np.float32)
    present = np.zeros((count, size), dtype=bool)
    present[:, 0] = True
    for name in np.unique(section):
        members = np.flatnonzero(section == name)
        if len(members) < 2:
            continue
        local = positions[members]
        found = min(size, len(members))
        distance, near = cKDTree(local).query(local, k=found)
        near[:, 0] = np.arange(len(members))  # ties between spots at one place
        pitch = float(np.median(distance[:, 1])) or 1.0
        indices[members, :found] = members[near]
        offsets[members, :found] = (local[near] - local[:, None]) / pitch
        present[members, :found] = True
    return indices, offsets, present
