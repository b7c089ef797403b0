"""Spots that are seen among their neighbours while others are still to come."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.context import Disc, Neighbours, Queries
from napari_mclstexp.core.recent import Recent

if TYPE_CHECKING:
    from napari_mclstexp.core.context import Seen

RADIUS, SIDE = 3.0, 40


def known(count: int) -> Queries:
    rng = np.random.default_rng(7)
    return Queries(*(rng.normal(size=(count, n)).astype(np.float32) for n in (1024, 256, APPEARANCE)))


def tiles(side: int, tile: int) -> tuple[np.ndarray, list[slice]]:
    """Steps (N, 2) of a square, tile after tile, and the rows of each tile."""
    at = np.argwhere(np.ones((side, side), dtype=bool))
    order = np.lexsort((at[:, 1], at[:, 0], at[:, 1] // tile, at[:, 0] // tile))
    counts = np.unique(at[order] // tile @ (side, 1), return_counts=True)[1]
    ends = np.cumsum(counts)
    return at[order], [slice(int(b - n), int(b)) for b, n in zip(ends, counts, strict=True)]


def run(recent: Recent, alone: Queries, step: int) -> tuple[dict[int, Seen], list[int]]:
    """Encode so many at a time: what each part was seen as, by its first row, and after how many spots."""
    seen: dict[int, Seen] = {}
    after: list[int] = []
    for start in range(0, len(alone), step):
        rows = slice(start, min(start + step, len(alone)))
        recent.put(rows, alone.rows(rows))
        for part, _, found in recent.seen(rows.stop):
            assert part.start not in seen
            seen[part.start] = found
            after.append(rows.stop)
    return seen, after


@pytest.mark.parametrize("lattice", [True, False])
@pytest.mark.parametrize("step", [7, 64, 1600])
def test_each_part_is_seen_as_if_all_were_known(lattice: bool, step: int) -> None:
    at, parts = tiles(SIDE, 8)
    around = Disc(at, RADIUS) if lattice else Neighbours(at.astype(float), RADIUS)
    alone = known(len(at))
    seen, after = run(Recent(len(at), parts, around, np.zeros(len(at), dtype=bool)), alone, step)
    assert list(seen) == [part.start for part in parts]
    if step < len(at):
        assert after[0] <= 2 * SIDE * 8 + step, "the first is seen once the tiles around it are there"
    for part in parts:
        whole = alone.seen_among(around, part)
        np.testing.assert_array_equal(seen[part.start].embeddings, whole.embeddings)
        np.testing.assert_array_equal(seen[part.start].described, whole.described)


@pytest.mark.parametrize("lattice", [True, False])
def test_what_is_absent_is_neighbour_of_none(lattice: bool) -> None:
    at, parts = tiles(SIDE, 8)
    absent = np.random.default_rng(1).random(len(at)) < 0.3
    absent[parts[3]] = True

    def around(at: np.ndarray) -> Disc | Neighbours:
        return Disc(at, RADIUS) if lattice else Neighbours(at.astype(float), RADIUS)

    alone, there = known(len(at)), np.flatnonzero(~absent)
    seen, _ = run(Recent(len(at), parts, around(at), absent), alone, 64)
    assert list(seen) == [part.start for part in parts if part != parts[3]]
    without = alone.rows(there).seen_among(around(at[there]))
    for name in ("embeddings", "described"):
        found = np.concatenate([getattr(part, name) for part in seen.values()])
        np.testing.assert_allclose(found, getattr(without, name), atol=1e-6)


def test_features_are_let_go_once_nobody_needs_them() -> None:
    """Of 32,000 spots, whose features take 131 MB, a few rows of parts are held at a time."""
    at = np.argwhere(np.ones((640, 50), dtype=bool))
    parts = [slice(start, start + 500) for start in range(0, len(at), 500)]
    part = known(500)
    tracemalloc.start()
    try:
        recent = Recent(len(at), parts, Neighbours(at.astype(float), RADIUS), np.zeros(len(at), dtype=bool))
        before, seen = tracemalloc.get_traced_memory()[0], 0
        for rows in parts:
            recent.put(rows, part)
            seen += sum(1 for _ in recent.seen(rows.stop))
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert seen == len(parts)
    assert peak < 40e6
