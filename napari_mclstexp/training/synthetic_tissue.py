"""Layout of synthetic tissue sections: where each region and each nucleus lies.

Nothing here comes from a specimen. Every section is drawn from a seeded random generator, for
the demo and for the tests, and is to be called synthetic wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .synthetic_fields import (
    STEP,
    Floats,
    Mask,
    Points,
    Shape,
    blobs,
    noise,
    pick,
    ramp,
    scatter,
    signed_distance,
    tidy,
    top,
    unit,
)

__all__ = ["REGIONS", "WAVER_UM", "SyntheticTissue", "lay_out"]

Wave: TypeAlias = Callable[..., Floats]

REGIONS = ("stroma", "tumour", "immune", "fat", "necrosis", "duct")
WAVER_UM = 1.6
"""How far the walls between fat cells bend."""


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
        "proliferation": unit(wave(1000) + 0.3 * wave(300)),
        "collagen": unit(wave(500, 2) - 0.4 * front),
        "infiltrate": unit(wave(350, 2) + front - 1.6),
        "waver": wave(24),
    }
    crowd = front + 0.8 * wave(420) + 0.8 * wave(110, 2)
    beside = (depth["tissue"] > 0) & (depth["tumour"] < 0) & (depth["fat"] < 0)
    immune = tidy(top(crowd, beside, rng.uniform(0.13, 0.19)), 2500 / um**2) & beside
    depth["immune"] = signed_distance(immune, um)
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
    tissue = tidy(edge > 0, 9000 / um**2)
    crack = np.abs(wave(420, 5)) * 90 - 13 * np.clip(wave(520) - 1.0, 0, 1)
    return signed_distance(tissue & ~tidy(tissue & (crack < 0), 500 / um**2), um)


def _regions(rng: np.random.Generator, wave: Wave, um: float, depth: dict[str, Floats]) -> None:
    """Add the depth inside fat, tumour and necrosis."""
    inside = depth["tissue"] > 0
    yy, xx = np.indices(inside.shape, np.float32)
    # Fat to one side.
    side = rng.uniform(0, 2 * np.pi)
    lean = np.cos(side) * xx / inside.shape[1] + np.sin(side) * yy / inside.shape[0]
    fat = top(3.6 * lean + 0.75 * wave(650, 3), inside, rng.uniform(0.11, 0.17))
    depth["fat"] = signed_distance(tidy(fat, 40000 / um**2), um)
    # Nests: domain-warped noise in the rest, cut up by septa.
    bulk = 0.5 * wave(1100) + wave(300) + 0.5 * wave(120, 2)
    septa = np.minimum(np.abs(wave(330, 2)), 1.3 * np.abs(wave(210, 2)) + 0.08 * wave(60))
    bulk -= 2.4 * np.exp(-np.clip(septa, 0, None) / 0.13) * unit(wave(700) + 0.9)
    warp = [yy + wave(130, 2) * 26 / um, xx + wave(130, 2) * 26 / um]
    bulk = ndimage.map_coordinates(bulk, warp, order=1, mode="nearest")
    room = inside & (depth["fat"] < -25)
    tumour = tidy(top(bulk, room, rng.uniform(0.42, 0.50)), 1800 / um**2) & room
    depth["tumour"] = signed_distance(tumour, um)
    # Necrosis in the heart of large nests.
    heart = np.clip(depth["tumour"], 0, 260) / 60 + 0.8 * wave(260, 3)
    dead = tidy((depth["tumour"] > 55) & (heart > 3.25), 2500 / um**2)
    depth["necrosis"] = signed_distance(dead, um)


def _tubes(rng: np.random.Generator, um: float, depth: dict[str, Floats], glandular: Mask) -> None:
    """Add the depth inside ducts and lobules, vessels, and the lumens of tumour glands."""
    grid, solid, nest = glandular.shape, depth["tissue"], depth["tumour"]
    area = float((solid > 0).sum()) * um**2 / 1e6
    free = np.minimum(solid, -np.maximum(np.maximum(nest, depth["fat"]), depth["immune"]))
    ducts: list[tuple[float, float, float]] = []
    for x, y in pick(rng, free > 60, round(2.2 * area)):
        if rng.random() < 0.5:
            ducts.append((x, y, rng.uniform(32, 58)))
            continue
        for dx, dy in rng.normal(0, 52 / um, (int(rng.integers(7, 13)), 2)):
            ducts.append((x + dx, y + dy, rng.uniform(15, 24)))
    depth["duct"] = blobs(rng, grid, np.array(ducts).reshape(-1, 3), um)
    at = pick(rng, (free > 12) & (depth["duct"] < -15), round(14 * area))
    vessels = np.column_stack([at, rng.gamma(4, 3.0, len(at)) + 5])
    depth["vessel"] = blobs(rng, grid, vessels, um)
    for name in ("duct", "vessel"):
        depth[name] = np.minimum(depth[name], np.minimum(solid, -nest - 4))
    viable = (nest > 24) & (depth["necrosis"] < -40)
    at = pick(rng, viable & glandular, round(34 * area))
    depth["gland"] = blobs(rng, grid, np.column_stack([at, rng.gamma(4, 1.2, len(at)) + 2]), um)


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
