"""Spots on synthetic tissue, and the counts that they hold.

The counts follow what is drawn inside each spot: genes belong to programmes, and the regions and nuclei
below a spot say how strong each programme is there. Noise that cannot be learned comes on top.
"""

from __future__ import annotations

from typing import NamedTuple

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from .synthetic_fields import STEP, Floats, Points, noise
from .synthetic_tissue import REGIONS, SyntheticTissue

__all__ = ["GENES", "MEDIAN_COUNTS", "SPOT_UM", "Spots", "express", "place_spots"]

SPOT_UM = 55.0
"""Diameter of a spot."""
MEDIAN_COUNTS = 4000

# What each programme, at full strength, adds to the expression of each gene (relative units).
_PROGRAMMES: dict[str, dict[str, float]] = {
    "tumour": {
        "ERBB2": 9,
        "EPCAM": 6,
        "KRT8": 9,
        "KRT18": 8,
        "KRT19": 10,
        "KRT7": 4,
        "MUC1": 5,
        "CDH1": 5,
        "ESR1": 2,
        "GATA3": 4,
        "FASN": 4,
        "XBP1": 5,
        "CLDN4": 3,
        "PCNA": 1,
        "VEGFA": 0.6,
        "GAPDH": 5,
        "ACTB": 5,
        "B2M": 4,
    },
    "differentiated": {"ESR1": 7, "GATA3": 4, "TFF1": 9, "AGR2": 6, "XBP1": 4, "MUC1": 3},
    "proliferating": {
        "MKI67": 5,
        "TOP2A": 5,
        "CCNB1": 4,
        "PCNA": 5,
        "BIRC5": 3.5,
        "FASN": 3,
        "ERBB2": 4,
        "GAPDH": 5,
    },
    "duct": {
        "KRT5": 7,
        "KRT14": 8,
        "EPCAM": 5,
        "KRT7": 6,
        "KRT19": 4,
        "KRT18": 3,
        "CDH1": 4,
        "CLDN4": 4,
        "ACTA2": 6,
        "AGR2": 2,
    },
    "collagen": {"COL1A1": 14, "COL1A2": 12, "COL3A1": 10, "SPARC": 6, "POSTN": 6, "FN1": 5},
    "stroma": {
        "COL1A1": 5,
        "COL1A2": 5,
        "COL3A1": 6,
        "DCN": 6,
        "LUM": 6,
        "FN1": 3,
        "SPARC": 3,
        "VIM": 7,
        "ACTA2": 2,
        "B2M": 3,
    },
    "loose": {"DCN": 8, "LUM": 8, "VIM": 2},
    "immune": {
        "PTPRC": 5,
        "CD3D": 4,
        "CD3E": 4,
        "CD8A": 3.5,
        "CD4": 3,
        "CCL19": 2,
        "VIM": 5,
        "B2M": 9,
        "CD68": 2,
        "IGKC": 6,
    },
    "follicle": {"MS4A1": 6, "CD79A": 6, "CXCL13": 5, "CCL19": 4, "IGKC": 12},
    "fat": {"ADIPOQ": 12, "PLIN1": 9, "FABP4": 14, "LPL": 7, "LEP": 3, "VIM": 4, "FASN": 1.5},
    "vessel": {"PECAM1": 9, "VWF": 9, "ACTA2": 6, "FABP4": 3, "VIM": 4},
    "hypoxia": {"VEGFA": 6, "CA9": 6, "CD68": 4, "GAPDH": 5},
    "everywhere": {"ACTB": 6, "GAPDH": 3, "B2M": 5, "MALAT1": 30},
}
# Expressed at the same share wherever the spot lies: there is nothing to predict them from.
_UNRELATED = {"TTN": 0.003, "NEB": 0.002, "SNAP25": 0.004, "HBB": 0.006}
GENES = tuple(dict.fromkeys(g for p in (*_PROGRAMMES.values(), _UNRELATED) for g in p))
"""The gene symbols of every synthetic section, in order."""


class Spots(NamedTuple):
    """The n spots on the tissue.

    Attributes
    ----------
    points
        (n, 2) full-resolution x, y of the centres.
    row, col
        (n,) place in the array; columns count by 2 where the array is hexagonal.
    shares
        (n,) share of each spot taken by each region.
    disc
        Rows and columns, each (n, m), of the m layout pixels below each spot.
    """

    points: Points
    row: npt.NDArray[np.int64]
    col: npt.NDArray[np.int64]
    shares: dict[str, Floats]
    disc: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def place_spots(tissue: SyntheticTissue, pitch_um: float, hexagonal: bool) -> Spots:
    """Lay the array over the slide and keep the spots that lie mostly on tissue.

    Parameters
    ----------
    tissue
        The layout.
    pitch_um
        Distance between the centres of neighbouring spots.
    hexagonal
        Whether every other row is shifted by half a pitch, as on Visium.
    """
    height, width = tissue.shape
    pitch = pitch_um / tissue.mpp
    rise = pitch * np.sqrt(0.75) if hexagonal else pitch
    margin = 0.5 * SPOT_UM / tissue.mpp
    rows, cols = int((height - 2 * margin) / rise) + 1, int((width - 2 * margin) / pitch) + 1
    row, col = (a.ravel() for a in np.mgrid[:rows, :cols])
    shift = 0.5 * (row % 2) if hexagonal else np.zeros(len(row))
    points = np.column_stack([margin + (col + shift) * pitch, margin + row * rise])
    if hexagonal:
        col = 2 * col + row % 2
    radius = 0.5 * SPOT_UM / tissue.um
    reach = int(radius) + 1
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    near = np.hypot(dy, dx) <= radius
    on_slide = points[:, 0] <= width - margin
    points, row, col = points[on_slide], row[on_slide], col[on_slide]
    grid = tissue.angle.shape
    at = (points / STEP).astype(int)
    disc = (np.clip(at[:, 1:] + dy[near], 0, grid[0] - 1), np.clip(at[:, :1] + dx[near], 0, grid[1] - 1))
    shares = {name: cover[disc].mean(1) for name, cover in tissue.cover.items()}
    kept = np.sum(list(shares.values()), axis=0) > 0.6
    return Spots(
        points[kept],
        row[kept],
        col[kept],
        {name: share[kept] for name, share in shares.items()},
        (disc[0][kept], disc[1][kept]),
    )


def _activity(tissue: SyntheticTissue, spots: Spots) -> pd.DataFrame:
    """Strength of each programme per spot, from what is drawn inside the spot."""
    tree = cKDTree(spots.points)
    radius = 0.5 * SPOT_UM / tissue.mpp
    count = {}
    for kind, points in tissue.nuclei.items():
        hits = np.zeros(len(spots.points))
        if len(points):
            where, spot = tree.query(points, distance_upper_bound=radius)
            np.add.at(hits, spot[np.isfinite(where)], 1)
        count[kind] = hits
    mean = {name: values[spots.disc].mean(1) for name, values in tissue.programme.items()}
    rim = np.exp(-np.abs(tissue.depth["necrosis"][spots.disc]).mean(1) / 50)
    share, tumour = spots.shares, count["tumour"] / 15
    return pd.DataFrame(
        {
            "tumour": tumour,
            "differentiated": tumour * (1 - mean["proliferation"]) ** 2,
            "proliferating": tumour * mean["proliferation"] ** 2 * 1.5,
            "duct": count["duct"] / 14,
            "collagen": share["stroma"] * mean["collagen"],
            "stroma": share["stroma"] * (0.6 + count["stroma"] / 6),
            "loose": share["stroma"] * (1 - mean["collagen"]),
            "immune": count["immune"] / 35,
            "follicle": np.clip(count["immune"] / 35 - 0.25, 0, None) ** 1.5,
            "fat": share["fat"],
            "vessel": 4 * share["vessel"],
            "hypoxia": rim * tumour + 0.5 * share["necrosis"],
            "everywhere": np.full(len(spots.points), 0.8),
        }
    )


def express(rng: np.random.Generator, tissue: SyntheticTissue, spots: Spots) -> ad.AnnData:
    """Draw the counts of every spot.

    Parameters
    ----------
    rng
        Source of randomness.
    tissue
        The layout.
    spots
        The spots on it.

    Returns
    -------
    anndata.AnnData
        Spots x `GENES`, counts in ``X`` and ``layers["counts"]``, full-resolution x, y in
        ``obsm["spatial"]``, array place and region in ``obs``.
    """
    activity, n_spots = _activity(tissue, spots), len(spots.points)
    visible = activity.to_numpy()
    # Part of each programme varies smoothly with nothing in the picture to show for it.
    for k in range(visible.shape[1]):
        unseen = noise(rng, tissue.cover["stroma"].shape, 500 / tissue.um)
        swing = 0.55 * tissue.at(unseen, spots.points) + rng.normal(0, 0.45, n_spots)
        visible[:, k] *= np.exp(swing)
    loadings = pd.DataFrame(_PROGRAMMES).T.reindex(columns=GENES).fillna(0).to_numpy()
    loadings = loadings * np.exp(rng.normal(0, 0.20, loadings.shape[1]))  # this patient's own
    rate = visible @ loadings + 0.07 * loadings.max(0)
    share = rate / rate.sum(1, keepdims=True) * (1 - sum(_UNRELATED.values()))
    for gene, level in _UNRELATED.items():
        share[:, GENES.index(gene)] = level
    shape = 1 / 0.4**2
    depth = rng.gamma(shape, MEDIAN_COUNTS / (shape - 1 / 3), n_spots)
    burst = rng.gamma(1 / 0.45, 0.45, share.shape)  # negative binomial, dispersion 0.45
    counts = sparse.csr_matrix(rng.poisson(depth[:, None] * share * burst).astype(np.float32))
    region = np.array(REGIONS)[np.argmax([spots.shares[r] for r in REGIONS], axis=0)]
    obs = pd.DataFrame(
        {
            "in_tissue": np.ones(n_spots, int),
            "array_row": spots.row,
            "array_col": spots.col,
            "region": pd.Categorical(region, categories=REGIONS),
        },
        index=[f"spot_{r:03d}x{c:03d}" for r, c in zip(spots.row, spots.col, strict=True)],
    )
    data = ad.AnnData(X=counts, obs=obs, var=pd.DataFrame(index=list(GENES)))
    data.layers["counts"] = counts.copy()
    data.obsm["spatial"] = spots.points
    return data
