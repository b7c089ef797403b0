"""Layout of synthetic tissue sections: where each region and each nucleus lies.

Nothing here comes from a specimen. Every section is drawn from a seeded random generator, for
the demo and for the tests, and is to be called synthetic wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

__all__ = ["REGIONS", "STEP", "WAVER_UM", "SyntheticTissue", "lay_out", "noise", "ramp", "scatter"]

Floats: TypeAlias = npt.NDArray[np.float32]
Points: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Shape: TypeAlias = tuple[int, int]
Wave: TypeAlias = Callable[..., Floats]

REGIONS = ("stroma", "tumour", "immune", "fat", "necrosis", "duct")
STEP = 4
"""Full-resolution pixels per side of a layout pixel."""
WAVER_UM = 1.6
"""How far the walls between fat cells bend."""
_FAR = 120.0  # um from a duct or a vessel where its signed distance stops falling


@dataclass
class SyntheticTissue:
    """Layout of one synthetic section, on a grid of one pixel per `STEP` full pixels.

    Attributes
    ----------
    shape
        Full-resolution height and width.
    mpp
        Micrometres per full-resolution pixel.
    depth
        Signed distance in um from the edge of each structure, positive inside.
    cover
        Share of each layout pixel taken by each region of `REGIONS`, and by ``"vessel"``.
    programme
        Smooth 0-to-1 fields ``"proliferation"``, ``"collagen"``, ``"infiltrate"``, and the unit
        noise ``"waver"`` that bends the walls between cells.
    angle
        Direction of the collagen fibres in radians.
    nuclei
        Full-resolution x, y of the nuclei of each kind, and of the fat cells, ``"adipocyte"``.
    """

    shape: Shape
    mpp: float
    depth: dict[str, Floats]
    cover: dict[str, Floats]
    programme: dict[str, Floats]
    angle: Floats
    nuclei: dict[str, Points] = field(default_factory=dict)

    @property
    def um(self) -> float:
        """Micrometres per layout pixel."""
        return self.mpp * STEP

    def at(self, values: Floats, points: Points) -> Floats:
        """Values of a layout field at full-resolution x, y points."""
        index = np.clip((points / STEP).astype(int), 0, np.array(values.shape[::-1]) - 1)
        found: Floats = values[index[:, 1], index[:, 0]]
        return found


def noise(rng: np.random.Generator, shape: Shape, scale: float, octaves: int = 1) -> Floats:
    """Draw smooth noise of zero mean and unit deviation.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns.
    scale
        Size of the features in pixels.
    octaves
        Number of layers, each of half the scale and 0.55 of the amplitude of the last.
    """
    out = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(scale / 2**octave, 1.5)
        basis = [_spline(n, cell) for n in shape]
        knots = rng.standard_normal((basis[0].shape[1], basis[1].shape[1]), dtype=np.float32)
        out += (basis[0] @ knots @ basis[1].T) * np.float32(0.55**octave)
    out -= out.mean()
    out /= max(float(out.std()), 1e-6)
    return out


def _spline(n: int, cell: float) -> Floats:
    """Weights of the cubic B-spline knots, ``cell`` pixels apart, on ``n`` pixels."""
    knots = np.arange(int(n / cell) + 4)
    t = np.abs((np.arange(n) / cell + 1.0)[:, None] - knots[None])
    inner, outer = 2 / 3 - t**2 + t**3 / 2, (2 - t) ** 3 / 6
    weights: Floats = np.where(t < 1, inner, np.where(t < 2, outer, 0)).astype(np.float32)
    return weights


def ramp(distance: Floats, width: float) -> Floats:
    """Soft 0-to-1 step at zero, ``width`` wide."""
    step: Floats = np.clip(distance / width + 0.5, 0, 1).astype(np.float32)
    return step


def _unit(values: Floats) -> Floats:
    """Squash noise of unit deviation into 0 to 1."""
    squashed: Floats = (0.5 * (1 + np.tanh(0.9 * values))).astype(np.float32)
    return squashed


def _signed(mask: Mask, um: float) -> Floats:
    """Smoothed signed distance in um from the edge of a mask, positive inside."""
    if not mask.any():
        return np.full(mask.shape, -1e4, np.float32)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    depth: Floats = ndimage.gaussian_filter((inside - outside).astype(np.float32) * um, 1.2)
    return depth


def _top(values: Floats, where: Mask, share: float) -> Mask:
    """Pixels of ``where`` with the highest values, a ``share`` of them."""
    if share <= 0 or not where.any():
        return np.zeros_like(where)
    return where & (values > np.quantile(values[where], 1 - share))


def _tidy(mask: Mask, smallest: float) -> Mask:
    """Drop the islands and fill the holes of fewer than ``smallest`` pixels."""
    for _ in range(2):
        labels, count = ndimage.label(mask)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        mask = ~(mask & (sizes[labels] >= smallest))
    return mask


def _blobs(rng: np.random.Generator, grid: Shape, discs: Points, um: float) -> Floats:
    """Signed distance in um of lobed discs, each a layout x, y and a radius in um."""
    height, width = grid
    depth = np.full(grid, -_FAR, np.float32)
    for x, y, radius in discs:
        reach = int((1.5 * radius + _FAR) / um) + 3
        rows = slice(max(int(y) - reach, 0), min(int(y) + reach, height))
        cols = slice(max(int(x) - reach, 0), min(int(x) + reach, width))
        dy, dx = np.mgrid[rows, cols].astype(np.float32)
        dy, dx = (dy - y) * um, (dx - x) * um
        phi, squeeze = np.arctan2(dy, dx), rng.uniform(0.05, 0.32)
        lobes = squeeze * np.cos(2 * (phi - rng.uniform(0, np.pi)))
        lobes += 0.06 * np.cos(3 * phi + rng.uniform(0, 6)) + 0.04 * np.cos(5 * phi)
        level = radius * (1 + lobes) - np.hypot(dx, dy)
        depth[rows, cols] = np.maximum(depth[rows, cols], level)
    return depth


def lay_out(rng: np.random.Generator, shape: Shape, mpp: float) -> SyntheticTissue:
    """Lay out the regions and the nuclei of one synthetic section.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Full-resolution height and width.
    mpp
        Micrometres per full-resolution pixel.
    """
    um = mpp * STEP
    grid = (-(-shape[0] // STEP), -(-shape[1] // STEP))

    def wave(scale_um: float, octaves: int = 1) -> Floats:
        return noise(rng, grid, scale_um / um, octaves)

    depth = {"tissue": _outline(rng, wave, um)}
    _regions(rng, wave, um, depth)
    front = np.exp(-np.clip(-depth["tumour"], 0, None) / 120) * np.float32(1.4)
    programme = {
        "proliferation": _unit(wave(1000) + 0.3 * wave(300)),
        "collagen": _unit(wave(500, 2) - 0.4 * front),
        "infiltrate": _unit(wave(350, 2) + front - 1.6),
        "waver": wave(24),
    }
    crowd = front + 0.8 * wave(420) + 0.8 * wave(110, 2)
    beside = (depth["tissue"] > 0) & (depth["tumour"] < 0) & (depth["fat"] < 0)
    immune = _tidy(_top(crowd, beside, rng.uniform(0.13, 0.19)), 2500 / um**2) & beside
    depth["immune"] = _signed(immune, um)
    _tubes(rng, um, depth, programme["proliferation"] + 0.2 * wave(150) < 0.36)
    tissue = SyntheticTissue(shape, mpp, depth, {}, programme, _flow(wave, depth))
    _cover(tissue)
    _scatter_nuclei(rng, tissue)
    return tissue


def _outline(rng: np.random.Generator, wave: Wave, um: float) -> Floats:
    """Depth inside the tissue: a ragged superellipse with a few tears."""
    ragged, frayed = np.tanh(wave(800)), wave(160, 5)
    height, width = ragged.shape
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    u, v = xx / width * 2 - 1, yy / height * 2 - 1
    frame = np.maximum(np.abs(u), np.abs(v)) + 0.03 * wave(260, 4)
    tilt = rng.uniform(-0.25, 0.25)
    u, v = u * np.cos(tilt) + v * np.sin(tilt), v * np.cos(tilt) - u * np.sin(tilt)
    edge = 0.885 - (np.abs(u / 0.97) ** 2.6 + np.abs(v / 0.95) ** 2.6) ** (1 / 2.6)
    edge = edge + 0.075 * ragged + 0.020 * frayed - 6 * np.clip(frame - 0.88, 0, None)
    tissue = _tidy(edge > 0, 9000 / um**2)
    crack = np.abs(wave(420, 5)) * 90 - 13 * np.clip(wave(520) - 1.0, 0, 1)
    return _signed(tissue & ~_tidy(tissue & (crack < 0), 500 / um**2), um)


def _regions(rng: np.random.Generator, wave: Wave, um: float, depth: dict[str, Floats]) -> None:
    """Add the depth inside fat, tumour and necrosis."""
    inside = depth["tissue"] > 0
    yy, xx = np.indices(inside.shape, np.float32)
    # Fat to one side.
    side = rng.uniform(0, 2 * np.pi)
    lean = np.cos(side) * xx / inside.shape[1] + np.sin(side) * yy / inside.shape[0]
    fat = _top(3.6 * lean + 0.75 * wave(650, 3), inside, rng.uniform(0.11, 0.17))
    depth["fat"] = _signed(_tidy(fat, 40000 / um**2), um)
    # Nests: domain-warped noise in the rest, cut up by septa.
    bulk = 0.5 * wave(1100) + wave(300) + 0.5 * wave(120, 2)
    septa = np.minimum(np.abs(wave(330, 2)), 1.3 * np.abs(wave(210, 2)) + 0.08 * wave(60))
    bulk -= 2.4 * np.exp(-np.clip(septa, 0, None) / 0.13) * _unit(wave(700) + 0.9)
    warp = [yy + wave(130, 2) * 26 / um, xx + wave(130, 2) * 26 / um]
    bulk = ndimage.map_coordinates(bulk, warp, order=1, mode="nearest")
    room = inside & (depth["fat"] < -25)
    tumour = _tidy(_top(bulk, room, rng.uniform(0.42, 0.50)), 1800 / um**2) & room
    depth["tumour"] = _signed(tumour, um)
    # Necrosis in the heart of large nests.
    heart = np.clip(depth["tumour"], 0, 260) / 60 + 0.8 * wave(260, 3)
    dead = _tidy((depth["tumour"] > 55) & (heart > 3.25), 2500 / um**2)
    depth["necrosis"] = _signed(dead, um)


def _tubes(rng: np.random.Generator, um: float, depth: dict[str, Floats], glandular: Mask) -> None:
    """Add the depth inside ducts and lobules, vessels, and the lumens of tumour glands."""
    grid, solid, nest = glandular.shape, depth["tissue"], depth["tumour"]
    area = float((solid > 0).sum()) * um**2 / 1e6
    free = np.minimum(solid, -np.maximum(np.maximum(nest, depth["fat"]), depth["immune"]))
    ducts: list[tuple[float, float, float]] = []
    for x, y in _pick(rng, free > 60, round(2.2 * area)):
        if rng.random() < 0.5:
            ducts.append((x, y, rng.uniform(32, 58)))
            continue
        for dx, dy in rng.normal(0, 52 / um, (int(rng.integers(7, 13)), 2)):
            ducts.append((x + dx, y + dy, rng.uniform(15, 24)))
    depth["duct"] = _blobs(rng, grid, np.array(ducts).reshape(-1, 3), um)
    at = _pick(rng, (free > 12) & (depth["duct"] < -15), round(14 * area))
    vessels = np.column_stack([at, rng.gamma(4, 3.0, len(at)) + 5])
    depth["vessel"] = _blobs(rng, grid, vessels, um)
    for name in ("duct", "vessel"):
        depth[name] = np.minimum(depth[name], np.minimum(solid, -nest - 4))
    viable = (nest > 24) & (depth["necrosis"] < -40)
    at = _pick(rng, viable & glandular, round(34 * area))
    depth["gland"] = _blobs(rng, grid, np.column_stack([at, rng.gamma(4, 1.2, len(at)) + 2]), um)


def _pick(rng: np.random.Generator, where: Mask, count: int) -> Points:
    """Random x, y of up to ``count`` pixels of a mask."""
    rows, cols = np.nonzero(where)
    chosen = rng.integers(0, len(rows), count) if len(rows) else np.zeros(0, int)
    return np.column_stack([cols[chosen], rows[chosen]]).astype(float)


def _flow(wave: Wave, depth: dict[str, Floats]) -> Floats:
    """Fibre direction: a slow wavy flow that wraps around nests, ducts and vessels."""
    near = np.maximum(np.maximum(depth["tumour"], depth["duct"]), depth["vessel"])
    smooth = ndimage.gaussian_filter(np.clip(near, -250, 20), 4)
    down, right = np.gradient(smooth)
    around = np.arctan2(right, -down)
    free = 0.9 * wave(900) + 0.35 * wave(220)
    hug = np.exp(-np.clip(-near, 0, None) / 45) * 0.9
    sine = hug * np.sin(2 * around) + (1 - hug) * np.sin(2 * free)
    cosine = hug * np.cos(2 * around) + (1 - hug) * np.cos(2 * free)
    crimp = 0.22 * wave(38) + 0.12 * wave(18)
    angle: Floats = (0.5 * np.arctan2(sine, cosine) + crimp).astype(np.float32)
    return angle


def _cover(tissue: SyntheticTissue) -> None:
    """Turn signed distances into shares of each layout pixel."""
    left = ramp(tissue.depth["tissue"], 2 * tissue.um)
    for name in ("necrosis", "tumour", "duct", "vessel", "immune", "fat"):
        tissue.cover[name] = left * ramp(tissue.depth[name], 2 * tissue.um)
        left = left - tissue.cover[name]
    tissue.cover["stroma"] = left


def scatter(rng: np.random.Generator, density: Floats, spacing: float | Floats, um: float) -> Points:
    """Scatter points on a density, none closer than a spacing.

    Parameters
    ----------
    rng
        Source of randomness.
    density
        Candidates per square um, on the layout grid.
    spacing
        Smallest distance in um, for the whole grid or per layout pixel.
    um
        Micrometres per layout pixel.

    Returns
    -------
    Points
        Full-resolution x, y.
    """
    total = np.cumsum(density, dtype=np.float64)
    count = int(total[-1] * um**2)
    flat = np.searchsorted(total, rng.random(count) * total[-1])
    rows, cols = np.divmod(np.minimum(flat, density.size - 1), density.shape[1])
    points = np.column_stack([cols, rows]) + rng.random((count, 2))
    if count < 2:
        return points * STEP
    apart = np.broadcast_to(np.asarray(spacing, np.float32), density.shape)[rows, cols] / um
    pairs = cKDTree(points).query_pairs(float(apart.max()), output_type="ndarray")
    gap = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    pairs = np.sort(pairs[gap < apart[pairs].mean(1)], axis=1)
    kept, open_ = np.zeros(count, bool), np.ones(count, bool)
    while len(pairs):  # the lower index of a close pair wins, in rounds
        wins = open_.copy()
        wins[pairs[:, 1]] = False
        kept |= wins
        open_ &= ~wins
        open_[pairs[wins[pairs[:, 0]], 1]] = False
        pairs = pairs[open_[pairs].all(axis=1)]
    return points[kept | open_] * STEP


def _scatter_nuclei(rng: np.random.Generator, tissue: SyntheticTissue) -> None:
    """Place the nuclei of every kind."""
    cover, depth, um = tissue.cover, tissue.depth, tissue.um
    fast, crowd = tissue.programme["proliferation"], tissue.programme["infiltrate"]
    nest = cover["tumour"] * (depth["tumour"] > 4) * (depth["necrosis"] < -3)
    nest = nest * (depth["gland"] < -5)
    inner = np.minimum(depth["duct"], depth["tissue"] - 5)
    wall = ((inner > 3) & (inner < 15)).astype(np.float32)
    ring = ((depth["vessel"] > 0.5) & (depth["vessel"] < 3.5)).astype(np.float32)
    loose = cover["stroma"] * (depth["tissue"] > 6)
    dense = cover["immune"] * np.clip(depth["immune"] / 45 + 0.25, 0.1, 1)
    stray = loose * (0.00012 + 0.0022 * crowd**3) + nest * 0.0010 * crowd**4
    tissue.nuclei = {
        "tumour": scatter(rng, nest * 0.034, 10.8 - 2.6 * fast, um),
        "mitosis": scatter(rng, nest * 0.00022 * fast**2, 30, um),
        "duct": scatter(rng, wall * 0.045, 6.2, um),
        "immune": scatter(rng, dense * 0.065 + stray, 5.1, um),
        "stroma": scatter(rng, loose * 0.0017 + cover["immune"] * 0.0006 + ring * 0.010, 9, um),
        "adipocyte": scatter(rng, (depth["fat"] > -40) * np.float32(0.0022), 42, um),
        "debris": scatter(rng, cover["necrosis"] * 0.0060, 3.0, um),
    }
    _line_fat(rng, tissue)


def _line_fat(rng: np.random.Generator, tissue: SyntheticTissue) -> None:
    """Put a nucleus, flat, on the wall between some neighbouring fat cells."""
    cells = tissue.nuclei["adipocyte"]
    if len(cells) < 2:
        tissue.nuclei["fat"] = np.zeros((0, 2))
        return
    _, beside = cKDTree(cells).query(cells, k=2)
    across = cells[beside[:, 1]] - cells
    middle = cells + across / 2
    middle[:, 0] -= tissue.at(tissue.programme["waver"], middle) * WAVER_UM / tissue.mpp
    inside = np.all((middle > 0) & (middle < tissue.shape[::-1]), axis=1)
    chosen = inside & (rng.random(len(cells)) < 0.4)
    chosen[chosen] = tissue.at(tissue.depth["fat"], middle[chosen]) > 4
    middle, across = middle[chosen], across[chosen]
    cols, rows = (middle / STEP).astype(int).T
    tissue.angle[rows, cols] = np.arctan2(across[:, 0], -across[:, 1])
    tissue.nuclei["fat"] = middle
