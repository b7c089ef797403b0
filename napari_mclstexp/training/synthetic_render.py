"""Rendering of synthetic tissue: hematoxylin and eosin by optical density.

The picture is Beer-Lambert: two dye concentrations per pixel, drawn from the layout (fibres,
cytoplasm, fat membranes, stamped nuclei), seen through the stain's optical density.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from .synthetic_fields import STEP, Floats, Points, noise, ramp
from .synthetic_tissue import WAVER_UM, SyntheticTissue

__all__ = ["render"]

Stamp: TypeAlias = tuple[Floats, Floats]
Span: TypeAlias = tuple[float, float]

# Natural-log optical density of unit hematoxylin and eosin in R, G and B.
_STAINS = np.array([[0.57, 0.75, 0.37], [0.16, 0.86, 0.42]])
_GLASS = np.array([243.0, 241.0, 244.0])
# Per kind of nucleus: length (um), width / length, hematoxylin, texture, roughness of outline.
_NUCLEI: dict[str, tuple[Span, Span, Span, float, float]] = {
    "tumour": ((7.5, 16.0), (0.60, 0.95), (0.85, 1.50), 0.28, 0.11),
    "immune": ((4.8, 7.2), (0.78, 1.0), (1.55, 2.25), 0.20, 0.07),
    "stroma": ((10.0, 20.0), (0.13, 0.28), (1.15, 1.75), 0.16, 0.08),
    "duct": ((6.5, 9.0), (0.60, 0.85), (1.35, 1.75), 0.18, 0.05),
    "mitosis": ((6.0, 10.0), (0.35, 0.60), (2.3, 2.8), 0.20, 0.22),
    "fat": ((7.0, 11.0), (0.20, 0.35), (1.3, 1.7), 0.10, 0.06),
    "debris": ((1.5, 4.5), (0.50, 1.0), (1.2, 2.2), 0.10, 0.15),
}
_STAMPS, _ANGLES, _STRIP = 192, 24, 256


def render(rng: np.random.Generator, tissue: SyntheticTissue) -> npt.NDArray[np.uint8]:
    """Draw a laid-out section as H&E-like RGB.

    Parameters
    ----------
    rng
        Source of randomness.
    tissue
        The layout.

    Returns
    -------
    npt.NDArray[np.uint8]
        Full-resolution height x width x 3.
    """
    hema, eosin = _ground(rng, tissue)
    _stamp_nuclei(rng, tissue, hema, eosin)
    return _develop(rng, hema, eosin, tissue.mpp)


def _enlarge(coarse: Floats, rows: slice, columns: int, factor: int) -> Floats:
    """Interpolate rows of a coarse field linearly at ``factor`` times its resolution."""

    def places(start: int, stop: int, size: int) -> tuple[npt.NDArray[np.intp], Floats]:
        at = np.clip((np.arange(start, stop) + 0.5) / factor - 0.5, 0, size - 1.001)
        low = at.astype(np.intp)
        return low, np.asarray(at - low, np.float32)

    low, weight = places(rows.start, rows.stop, coarse.shape[0])
    weight = weight[:, None]
    tall = coarse[low] * (1 - weight) + coarse[low + 1] * weight
    low, weight = places(0, columns, coarse.shape[1])
    return np.asarray(tall[:, low] * (1 - weight) + tall[:, low + 1] * weight, np.float32)


def _fibres(rng: np.random.Generator, tissue: SyntheticTissue) -> Floats:
    """Noise drawn out along the fibre direction, at half resolution."""
    shape = (-(-tissue.shape[0] // 2), -(-tissue.shape[1] // 2))
    um = tissue.mpp * 2
    dy = _enlarge(np.sin(tissue.angle), slice(0, shape[0]), shape[1], STEP // 2)
    dx = _enlarge(np.cos(tissue.angle), slice(0, shape[0]), shape[1], STEP // 2)
    out = np.zeros(shape, np.float32)
    for grain_um, share, strides in ((0.8, 0.95, (1, 3, 9)), (3.6, 1.0, (3, 9, 27))):
        lines = rng.standard_normal(shape, dtype=np.float32)
        lines = ndimage.gaussian_filter(lines, grain_um / um)
        for stride in strides:
            total = lines.copy()
            for tap in (-2, -1, 1, 2):
                for top in range(0, shape[0], _STRIP):
                    rows = slice(top, min(top + _STRIP, shape[0]))
                    y = np.arange(rows.start, rows.stop)[:, None] + tap * stride / um * dy[rows]
                    x = np.arange(shape[1])[None] + tap * stride / um * dx[rows]
                    y = np.clip(np.rint(y), 0, shape[0] - 1).astype(np.int32)
                    x = np.clip(np.rint(x), 0, shape[1] - 1).astype(np.int32)
                    total[rows] += lines[y, x]
            lines = total
        out += share * lines / lines.std()
    out /= out.std()
    return out


def _walls(points: Points, where: Floats, tissue: SyntheticTissue, bend_um: float) -> Floats:
    """Distance in um to the wall between cells grown from points, at half resolution."""
    shape = (-(-tissue.shape[0] // 2), -(-tissue.shape[1] // 2))
    out = np.full(shape, 99, np.float32)
    inside = _enlarge(where, slice(0, shape[0]), shape[1], STEP // 2) > 0.05
    rows, cols = np.nonzero(inside)
    if len(points) < 4 or not len(rows):
        return out
    at = np.column_stack([cols * 2 + 1.0, rows * 2 + 1.0])
    at[:, 0] += tissue.at(tissue.programme["waver"], at) * bend_um / tissue.mpp
    near, _ = cKDTree(points).query(at, k=3)
    near = near * tissue.mpp
    wall = 0.5 * (near[:, 1] - near[:, 0])
    corner = 0.32 * (near[:, 2] - near[:, 0])  # rounds the corners off
    out[rows, cols] = -np.logaddexp(-wall / 1.5, -corner / 1.5) * 1.5
    return out


def _ground(rng: np.random.Generator, tissue: SyntheticTissue) -> tuple[Floats, Floats]:
    """Dye concentrations of everything but the nuclei."""
    (height, width), um = tissue.shape, tissue.um
    grid, depth, programme = tissue.angle.shape, tissue.depth, tissue.programme
    fibres = _fibres(rng, tissue)
    fat_wall = _walls(tissue.nuclei["adipocyte"], tissue.cover["fat"], tissue, WAVER_UM)
    bodies = np.concatenate([tissue.nuclei["tumour"], tissue.nuclei["duct"]])
    lined = tissue.cover["tumour"] + tissue.cover["duct"]
    cell_wall = _walls(bodies, lined, tissue, 0.5)
    mottle = noise(rng, grid, 60 / um, 3)
    cleft = noise(rng, grid, 150 / um, 2)
    hema, eosin = (np.zeros(tissue.shape, np.float32) for _ in range(2))
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))

        def up(coarse: Floats, factor: int = STEP, rows: slice = rows) -> Floats:
            return _enlarge(coarse, rows, width, factor)

        size = (rows.stop - rows.start, width)
        grain = ndimage.gaussian_filter(rng.standard_normal(size, dtype=np.float32), 1.5) * 5.0
        rough = grain * 0.5
        fibre, patch = up(fibres, 2), up(mottle)
        collagen = up(programme["collagen"])

        # Stroma: bundles of collagen, slit where it is loose.
        slit = ramp(-fibre - 1.05 - 0.9 * collagen, 0.8) * 0.75
        body = 0.40 + 0.26 * collagen + (0.15 + 0.05 * collagen) * fibre + 0.018 * grain
        e = np.clip(body + 0.03 * patch, 0.08, 1.3) * (1 - slit)
        h = (0.075 + 0.02 * patch + 0.02 * fibre + 0.015 * grain).clip(0.02) * (1 - 0.6 * slit)
        immune = ramp(up(depth["immune"]) + rough * 4, 50)
        e *= 1 - 0.45 * immune
        h += 0.16 * immune

        # Fat: empty cells, thin walls.
        fat = ramp(up(depth["fat"]) + rough, 3)
        wall = up(fat_wall, 2)
        film = np.exp(-((np.clip(wall, 0, None) / (1.1 + 0.25 * patch).clip(0.5)) ** 2))
        e += fat * (0.42 * film - e)
        h += fat * (0.05 * film - h)

        # Tumour and duct epithelium: granular amphophilic cytoplasm, faint cell borders.
        nest, duct = up(depth["tumour"]), up(depth["duct"])
        lumen = np.maximum(ramp(duct - 17 + rough, 2), ramp(up(depth["gland"]) + rough, 2))
        vital = np.maximum(ramp(nest + rough, 3), ramp(duct + rough, 2))
        border = np.exp(-((np.clip(up(cell_wall, 2), 0, None) / 0.9) ** 2))
        fast = up(programme["proliferation"])
        e += vital * (0.47 - 0.10 * fast + 0.05 * patch + 0.036 * grain - 0.12 * border - e)
        h += vital * (0.27 + 0.10 * fast + 0.04 * patch + 0.036 * grain - 0.09 * border - h)
        # Nests shrink from the stroma here and there.
        gap = ramp(up(cleft) - 0.5, 0.6) * np.exp(-(((nest + 3.5) / 2.6) ** 2)) * (1 - immune)
        # Necrosis: smudged, more eosin, no borders.
        dead = ramp(up(depth["necrosis"]) + rough * 6, 14)
        e += dead * (0.62 + 0.10 * patch + 0.06 * grain + 0.05 * fibre - e)
        h += dead * (0.19 + 0.06 * patch + 0.05 * grain - h)

        # Vessels: a thin wall, some blood.
        vessel = up(depth["vessel"])
        blood = ramp(patch - 0.3, 0.3) * ramp(vessel - 4.5, 1) * (0.55 + 0.45 * ramp(grain, 1.2))
        hollow = np.maximum(lumen, ramp(vessel - 3.5, 1.5))
        e += ramp(vessel, 2) * 0.12
        frayed = up(depth["tissue"]) + rough + 1.8 * fibre * (1 - vital)
        clear = (1 - hollow) * (1 - gap) * ramp(frayed, 3)
        eosin[rows] = np.clip(e, 0, None) * clear + 0.95 * blood
        hema[rows] = np.clip(h, 0, None) * clear
    return hema, eosin


def _stamps(rng: np.random.Generator, kind: str, mpp: float) -> list[Stamp]:
    """Draw nuclei of one kind, by length or, where they follow the fibres, by angle.

    Each is a soft mask and the hematoxylin under it.
    """
    lengths, ratios, darkness, texture, rough = _NUCLEI[kind]
    by_angle = kind in {"stroma", "fat"}
    stamps: list[Stamp] = []
    for i in range(_STAMPS):
        length = rng.uniform(*lengths)
        if not by_angle:
            length = lengths[0] + (lengths[1] - lengths[0]) * i / (_STAMPS - 1)
        half, ratio = 0.5 * length / mpp, rng.uniform(*ratios)
        angle = np.pi * (i * _ANGLES // _STAMPS) / _ANGLES if by_angle else rng.uniform(0, np.pi)
        reach = int(half * 1.25) + 2
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        y, x = y - rng.uniform(-0.5, 0.5), x - rng.uniform(-0.5, 0.5)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        if by_angle:
            across = across + rng.normal(0, 0.10) * along**2 / half  # a slight bend
        phi, radius = np.arctan2(across / ratio, along), np.hypot(along, across / ratio)
        edge = 1 + sum(rng.normal(0, rough / k) * np.cos(k * phi + rng.uniform(0, 6)) for k in (2, 3, 4, 5))
        inner = (edge * half - radius) * ratio**0.5
        mask = np.clip(inner / 1.6 + 0.5, 0, 1)
        speckle = ndimage.gaussian_filter(rng.standard_normal(x.shape), 0.55 / mpp)
        speckle /= max(float(speckle.std()), 1e-6)
        dye = 1 + texture * speckle + 0.20 * np.exp(-((inner / (0.6 / mpp)) ** 2))
        if kind == "tumour":
            dye -= 0.22 * np.clip(inner / (2.5 / mpp), 0, 1)
            for _ in range(int(rng.choice(4, p=[0.3, 0.4, 0.2, 0.1]))):
                far, turn = rng.uniform(0, 0.5) * half, rng.uniform(0, 2 * np.pi)
                gap = np.hypot(along - far * np.cos(turn), across - far * ratio * np.sin(turn))
                size = rng.uniform(0.5, 0.8) / mpp
                dye += rng.uniform(0.5, 0.9) * np.exp(-((gap / size) ** 2) / 2)
        dye *= rng.uniform(*darkness)
        stamps.append((mask.astype(np.float32), np.clip(dye, 0.3, 3).astype(np.float32)))
    return stamps


def _stamp_nuclei(rng: np.random.Generator, tissue: SyntheticTissue, hema: Floats, eosin: Floats) -> None:
    """Add the nuclei to the dye concentrations, in place."""
    height, width = tissue.shape
    for kind in ("fat", "stroma", "duct", "tumour", "debris", "immune", "mitosis"):
        points = tissue.nuclei[kind]
        count = len(points)
        stamps = _stamps(rng, kind, tissue.mpp)
        if kind in {"stroma", "fat"}:
            turn = tissue.at(tissue.angle, points) + rng.normal(0, 0.16, count)
            slot = np.floor(turn / np.pi * _ANGLES + 0.5).astype(int) % _ANGLES
            each = _STAMPS // _ANGLES
            chosen = slot * each + rng.integers(0, each, count)
        elif kind == "tumour":
            fast = tissue.at(tissue.programme["proliferation"], points)
            rank = 0.08 + 0.55 * fast + 0.19 * rng.standard_normal(count)
            chosen = np.clip(rank * _STAMPS, 0, _STAMPS - 1).astype(int)
        else:
            chosen = rng.integers(0, _STAMPS, count)
        focus = rng.beta(6, 1.3, count).astype(np.float32)
        for (x, y), index, sharp in zip(points.astype(int), chosen, focus, strict=True):
            mask, dye = stamps[index]
            reach = mask.shape[0] // 2
            if not (reach <= x < width - reach and reach <= y < height - reach):
                continue
            window = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
            alpha = mask * sharp
            hema[window] += alpha * (dye - hema[window])
            eosin[window] *= 1 - 0.45 * alpha


def _develop(rng: np.random.Generator, hema: Floats, eosin: Floats, mpp: float) -> npt.NDArray[np.uint8]:
    """Turn dye concentrations into RGB through this section's own stain."""
    height, width = hema.shape
    stains = (_STAINS + rng.normal(0, 0.02, (2, 3))) * rng.normal(1, 0.06, (2, 1))
    stains = stains.clip(0.02).astype(np.float32)
    for dye in (hema, eosin):
        ndimage.gaussian_filter(dye, 0.37 / mpp, output=dye)
    light = 1 + 0.010 * noise(rng, (height // 32 + 1, width // 32 + 1), 60)
    glass = (_GLASS + rng.normal(0, 0.8, 3)).astype(np.float32)
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        lamp = _enlarge(light.astype(np.float32), rows, width, 32)
        speck = rng.standard_normal(lamp.shape, dtype=np.float32) * 0.5
        for channel in range(3):
            density = hema[rows] * stains[0, channel] + eosin[rows] * stains[1, channel]
            shade = glass[channel] * lamp * np.exp(-density) + speck
            picture[rows, :, channel] = np.clip(np.rint(shade), 0, 255)
    return picture
