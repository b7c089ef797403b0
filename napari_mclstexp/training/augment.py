"""Augmentation of patches on the device: turn by any angle, mirror, shift colours and stains."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from napari_mclstexp.core.appearance import STAINS


def augment(
    wide: Tensor,
    patch_px: int,
    jitter: float,
    stain: float,
    generator: torch.Generator,
    share: slice = slice(None),
) -> Tensor:
    """Turn, mirror, crop and colour-shift.

    Parameters
    ----------
    wide : torch.Tensor
        (B, P, P, 3) uint8 with P >= patch_px * sqrt 2.
    patch_px : int
        Side of the outcome.
    jitter : float
        Strength of brightness, contrast and saturation changes.
    stain : float
        Strength of changes of each stain; 0: none.
    generator : torch.Generator
        Source of randomness, on the CPU.
    share : slice
        Patches to do. What each undergoes does not depend on it: it is drawn for them all.

    Returns
    -------
    torch.Tensor
        (B, 3, patch_px, patch_px) float32 in [0, 1], B: those of `share`.
    """
    whole = len(wide)
    angle = torch.rand(whole, generator=generator)[share] * 2 * torch.pi
    mirror = torch.where(torch.rand(whole, generator=generator)[share] < 0.5, -1.0, 1.0)
    shades = (2 * torch.rand(3, whole, 1, 1, 1, generator=generator) - 1)[:, share]
    stains = (2 * torch.rand(2, whole, 3, 1, 1, generator=generator) - 1)[:, share] if stain else None
    wide = wide[share]
    count, side = wide.shape[0], wide.shape[1]
    cos, sin = torch.cos(angle), torch.sin(angle)
    zoom = patch_px / side
    turn = torch.zeros(count, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1] = zoom * mirror * cos, -zoom * sin
    turn[:, 1, 0], turn[:, 1, 1] = zoom * mirror * sin, zoom * cos
    pixels = wide.permute(0, 3, 1, 2).float() / 255.0
    where = F.affine_grid(turn.to(pixels), [count, 3, patch_px, patch_px], align_corners=False)
    patches = F.grid_sample(pixels, where, align_corners=False, padding_mode="reflection")

    strength = 1 + jitter * shades.to(patches)
    patches = patches * strength[0]  # brightness
    patches = (patches - patches.mean(dim=(1, 2, 3), keepdim=True)) * strength[1] + patches.mean(
        dim=(1, 2, 3), keepdim=True
    )  # contrast
    grey = patches.mean(dim=1, keepdim=True)
    patches = ((patches - grey) * strength[2] + grey).clamp(0, 1)  # saturation
    return patches if stains is None else restain(patches, stain * stains.to(patches))


def restain(patches: Tensor, drawn: Tensor) -> Tensor:
    """Make each stain of each patch denser or fainter, and add to or take from it.

    By colour deconvolution after Ruifrok and Johnston (2001): optical density is linear in the stains.

    Parameters
    ----------
    patches : torch.Tensor
        (B, 3, H, W) in [0, 1].
    drawn : torch.Tensor
        (2, B, 3, 1, 1): by what share each stain grows, and twice what is added to its density.

    Returns
    -------
    torch.Tensor
        (B, 3, H, W) in [0, 1].
    """
    mix = torch.tensor(STAINS, dtype=patches.dtype, device=patches.device)  # (stain, colour)
    density = -torch.log(patches.clamp(min=1 / 255))
    stains = torch.einsum("bchw,cs->bshw", density, torch.linalg.inv(mix))
    stains = stains * (1 + drawn[0]) + drawn[1] / 2
    return torch.exp(-torch.einsum("bshw,sc->bchw", stains, mix)).clamp(0, 1)


def centre(wide: Tensor, patch_px: int) -> Tensor:
    """Middle of wide patches (B, P, P, 3) uint8 as (B, 3, patch_px, patch_px) float32 in [0, 1]."""
    cropped: Tensor = v2.functional.center_crop(wide.permute(0, 3, 1, 2), [patch_px, patch_px])
    return cropped.float() / 255.0
