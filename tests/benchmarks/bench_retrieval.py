"""Searching a bank of a million spots, beside faiss's flat index where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_mclstexp.core.nearest import lengths, nearest

from .ratios import interleaved, ratio

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SPOTS, WIDTH, QUERIES, NEAREST = 1_000_000, 256, 1_000, 200


def test_million(benchmark: BenchmarkFixture) -> None:
    """1,000 queries among 1,000,000 spots of 256, the nearest 200 of each."""
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    rng = np.random.default_rng(0)
    bank = rng.standard_normal((SPOTS, WIDTH), dtype=np.float32)
    bank /= np.linalg.norm(bank, axis=1)[:, None]
    asked = bank[:: SPOTS // QUERIES] + 0.05 * rng.standard_normal((QUERIES, WIDTH), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=1)[:, None]
    index = faiss.IndexFlatIP(WIDTH)
    index.add(bank)
    known = lengths(bank)
    found: dict[str, np.ndarray] = {}
    ways = {
        "ours": lambda: found.update(ours=nearest(asked, bank, NEAREST, known)[0]),
        "faiss": lambda: found.update(faiss=index.search(asked, NEAREST)[1]),
    }
    took: dict[str, float] = {}
    benchmark.pedantic(lambda: took.update(interleaved(ways, 3)), rounds=1)
    alike = np.mean(
        [len(set(a) & set(b)) / NEAREST for a, b in zip(found["ours"], found["faiss"], strict=True)]
    )
    benchmark.extra_info["same spots as faiss"] = float(alike)
    benchmark.extra_info["ratios"] = {
        "1,000 queries among 1,000,000 spots: faiss flat / ours": ratio(
            took["faiss"] / took["ours"], "at least 1"
        )
    }
