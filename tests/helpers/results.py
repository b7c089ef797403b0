"""Results of arbitrary values, for tests of what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.domains import find_domains
from napari_mclstexp.core.grid import given_grid, make_grid
from napari_mclstexp.core.result import Provenance, Result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.tissue import TissueMask

if TYPE_CHECKING:
    from napari_mclstexp.core.grid import SpotGrid

GENES = ("ERBB2", "COL1A1", "HLA-A", "CD3D")


def build(
    grid: SpotGrid, size: tuple[int, int], mpp: tuple[float, float] = (0.5, 0.5), seed: int = 0
) -> Result:
    """A result of arbitrary values on this grid, in four domains."""
    rng = np.random.default_rng(seed)
    count, genes = len(grid), GENES
    provenance = Provenance(
        slide_fingerprint="f" * 64, width=size[0], height=size[1], mpp_x=mpp[0], mpp_y=mpp[1],
        mpp_source="test", layout=grid.layout, pitch_um=grid.pitch_um, bundle_id="b-1", bundle_hash="0" * 64,
        mode="corrected", normalisation="log1p", field_um=112.0, patch_px=32, top_k=8, weighting="softmax",
        backend="torch", device="cpu", batch_size=4, threads=1, seed=0, version="0",
    )  # fmt: skip
    result = Result(
        grid=grid,
        genes=genes,
        expression=rng.gamma(2, size=(count, len(genes))).astype(np.float32),
        similarity=rng.uniform(-1, 1, count).astype(np.float32),
        spread=rng.uniform(0, 1, count).astype(np.float32),
        effective_k=rng.uniform(1, 8, count).astype(np.float32),
        provenance=provenance,
        hires=rng.integers(0, 256, (80, 100, 3), dtype=np.uint8),
        lowres=rng.integers(0, 256, (24, 30, 3), dtype=np.uint8),
    )
    return find_domains(result, min(4, count))


def laid(layout: str, mpp: tuple[float, float] = (0.5, 0.5)) -> Result:
    """On a grid over an irregular mask, so that domains have holes and islands."""
    rng = np.random.default_rng(3)
    mask = np.kron(rng.random((10, 12)) > 0.2, np.ones((20, 20), dtype=bool))
    if layout == "given":
        xy = rng.uniform(0, (2400, 2000), (150, 2))
        return build(
            given_grid(np.arange(150).astype(str), xy, (2400, 2000), Scale(*mpp, "test")), (2400, 2000), mpp
        )
    grid = make_grid(
        TissueMask(mask, 10.0, 10.0), Scale(*mpp, "test"), layout, 50.0 if layout == "hexagonal" else 60.0
    )
    return build(grid, (2400, 2000), mpp)
