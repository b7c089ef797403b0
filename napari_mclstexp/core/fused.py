"""The image encoder for inference on a CPU: the same sums with fewer passes over memory.

A DenseNet layer joins all maps before it, normalises them, and multiplies them with a matrix. Here the maps
of a block lie in one table, pixels x channels, into which each layer writes its own; a 1 x 1 convolution is a
product of matrices; a normalisation after a convolution is part of its weights; and a transition averages
before it multiplies, which is the same and a quarter of the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from napari_mclstexp.core.model import cropped

if TYPE_CHECKING:
    from torch import Tensor

    from napari_mclstexp.core.model import ImageEncoder

BLOCKS = 4


class FusedEncoder:
    """A trained image encoder, rearranged.

    Parameters
    ----------
    encoder : ImageEncoder
        In evaluation state, float32, on the CPU. Its later changes are not followed.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        maps = encoder.features
        self._margin = encoder.margin_px
        self._corrected, self._mean, self._std = encoder.corrected, encoder.mean, encoder.std
        scale, self._stem_shift = _affine(maps.norm0)
        self._stem = _channels_last(maps.conv0.weight * scale[:, None, None, None])
        self._blocks = [
            [_Layer(layer) for layer in getattr(maps, f"denseblock{i + 1}").children()] for i in range(BLOCKS)
        ]
        self._transitions = [getattr(maps, f"transition{i + 1}") for i in range(BLOCKS - 1)]
        self._joins = [_affine(part.norm) for part in self._transitions]
        self._mixes = [_matrix(part.conv) for part in self._transitions]
        self._end = _affine(maps.norm5)

    @torch.inference_mode()
    def __call__(self, patches: Tensor) -> Tensor:
        """Encode patches (B, 3, H, W) float32 RGB in [0, 1], margin included, as features (B, 1024)."""
        return cropped(self.maps(patches), self._margin).mean(dim=(2, 3))

    @torch.inference_mode()
    def maps(self, patches: Tensor, share: int = 1) -> Tensor:
        """Feature maps of patches or of larger pictures, also between two steps of the network's stride.

        Parameters
        ----------
        patches : torch.Tensor
            (B, 3, H, W) float32 RGB in [0, 1].
        share : int
            Steps in a stride of 32 px: 1, 2, 4 or 8. The poolings from that step on run once for each shift.

        Returns
        -------
        torch.Tensor
            (share * share * B, 1024, h, w), those of each shift in turn, by y, then x.
        """
        if self._corrected:
            patches = (patches - self._mean) / self._std
        patches = patches.contiguous(memory_format=torch.channels_last)
        stem = F.relu_(F.conv2d(patches, self._stem, self._stem_shift, stride=2, padding=3))
        grid = F.max_pool2d(stem, 3, 2, 1)  # (B, 64, H/4, W/4)
        for level, (block, join, mix) in enumerate(zip(self._blocks, self._joins, self._mixes, strict=False)):
            scale, shift = join
            joined = _as_grid(F.relu_(torch.addcmul(shift, _dense(grid, block), scale)), grid.shape)
            averaged = _pooled(joined) if 2 ** (3 - level) > share else _pooled_shifted(joined)
            grid = _as_grid(_as_table(averaged) @ mix, averaged.shape)
        scale, shift = self._end
        table = torch.addcmul(shift, _dense(grid, self._blocks[-1]), scale)  # (B H W, 1024)
        if self._corrected:
            F.relu_(table)
        found = _as_grid(table, grid.shape)
        return by_shift(found, share)


class _Layer:
    """A layer of a dense block: normalised, mixed, and convolved to 32 maps."""

    def __init__(self, layer: Any) -> None:  # of torchvision's DenseNet
        self.scale, self.shift = _affine(layer.norm1)
        scale, self.mix_shift = _affine(layer.norm2)
        self.mix = (_matrix(layer.conv1) * scale).contiguous()
        self.weight = _channels_last(layer.conv2.weight)
        self.width = len(self.weight)


def _dense(grid: Tensor, block: list[_Layer]) -> Tensor:
    """Maps (B, C, H, W) and those that the layers add, as a table (B H W, C + 32 L)."""
    known = grid.shape[1]
    first = _as_table(grid)
    table = first.new_empty(len(first), known + sum(layer.width for layer in block))
    room = torch.empty_like(table).view(-1)
    table[:, :known] = first
    for layer in block:
        here = room[: len(table) * known].view(len(table), known)
        F.relu_(torch.addcmul(layer.shift, table[:, :known], layer.scale, out=here))
        mixed = F.relu_(torch.addmm(layer.mix_shift, here, layer.mix))  # (B H W, 128)
        own = F.conv2d(_as_grid(mixed, grid.shape), layer.weight, padding=1)
        table[:, known : known + layer.width] = _as_table(own)
        known += layer.width
    return table


def _pooled(grid: Tensor) -> Tensor:
    return F.avg_pool2d(grid, 2, 2)


def _pooled_shifted(grid: Tensor) -> Tensor:
    """Maps (B, C, H, W) pooled from each of four corners, as (4 B, C, h, w): by y, then x."""
    height, width = (2 * ((side - 1) // 2) for side in grid.shape[2:])
    return torch.cat([_pooled(grid[:, :, y : y + height, x : x + width]) for y in (0, 1) for x in (0, 1)])


def by_shift(maps: Tensor, share: int) -> Tensor:
    """Maps (share * share * B, ...) of poolings, the last pooling's shift first, in order of y, then x."""
    if share == 1:
        return maps
    poolings = share.bit_length() - 1
    apart = maps.view(*[2] * (2 * poolings), -1, *maps.shape[1:])  # (y, x, y, x, ..., B, C, h, w)
    order = [*range(0, 2 * poolings, 2), *range(1, 2 * poolings, 2)]
    return apart.permute(*order, *range(2 * poolings, apart.ndim)).flatten(0, 2 * poolings)


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Factor and summand (C,) that a normalisation in evaluation state is."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.double() - norm.running_mean.double() * scale
    return scale.detach().float(), shift.detach().float()


def _matrix(convolution: Any) -> Tensor:
    """Weights of a 1 x 1 convolution as a matrix (channels in, channels out)."""
    weight: Tensor = convolution.weight.detach()
    return weight[:, :, 0, 0].t().contiguous()


def _channels_last(weight: Tensor) -> Tensor:
    return weight.detach().contiguous(memory_format=torch.channels_last)


def _as_table(grid: Tensor) -> Tensor:
    """Maps (B, C, H, W), channels last in memory, as (B H W, C)."""
    return grid.permute(0, 2, 3, 1).reshape(-1, grid.shape[1])


def _as_grid(table: Tensor, like: torch.Size) -> Tensor:
    """A table (B H W, C) as maps (B, C, H, W) of the size `like`, channels last in memory."""
    return table.view(like[0], like[2], like[3], -1).permute(0, 3, 1, 2)
