"""A whole prediction beside LazySlide, where that is installed: one encoder, the same tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_mclstexp.samples import sample_slide_path

from .bench_prediction import DEVICE, ROUNDS, SCALE, all_cores, chosen, laid, model, run
from .ratios import interleaved, ratio

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SIDE, TILES = 224, 192

__all__ = ["all_cores"]  # a fixture that every test of the module uses


def test_lazyslide(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """LazySlide reads and encodes; a whole prediction opens, matches and looks at each patch, too."""
    lazyslide = pytest.importorskip("lazyslide", reason="LazySlide is not installed")
    peer = pytest.importorskip("wsidata").open_wsi(str(sample_slide_path()))
    lazyslide.pp.find_tissues(peer)
    lazyslide.pp.tile_tissues(peer, SIDE, mpp=SCALE.mpp_x, slide_mpp=SCALE.mpp_x)
    peer.shapes["tiles"] = tiles = peer.shapes["tiles"].iloc[:TILES]
    middle = tiles.geometry.centroid
    grid = replace(laid(len(tiles)), centres_px=np.column_stack([middle.y, middle.x]))
    bundle = model(SIDE)
    name, network = chosen(bundle, grid, monkeypatch), bundle.network().to(DEVICE)

    def extract() -> None:
        lazyslide.tl.feature_extraction(
            peer,
            model=network.image_encoder,
            model_name="densenet121",
            transform=lambda tile: torch.from_numpy(np.array(tile)).permute(2, 0, 1).float() / 255,
            batch_size=32,
            device=DEVICE.type,
            pbar=False,
        )

    took: dict[str, float] = {}
    ways = {"ours": lambda: run(bundle, grid, name), "lazyslide": extract}
    benchmark.group = "LazySlide"
    benchmark.pedantic(lambda: took.update(interleaved(ways, ROUNDS)), rounds=1)
    benchmark.extra_info["patches a second"] = {way: round(TILES / s, 2) for way, s in took.items()}
    benchmark.extra_info["ratios"] = {
        f"{SIDE} px: LazySlide's extraction / whole prediction": ratio(took["lazyslide"] / took["ours"], "")
    }
