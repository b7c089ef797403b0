"""Which spots a stroke, an outline and a patch mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from results import laid

from napari_mclstexp.core.strokes import Stroke, Strokes

PLACES = st.tuples(st.floats(-200, 2200), st.floats(-200, 2600))


@pytest.fixture(scope="module", params=["hexagonal", "square", "given"])
def strokes(request: pytest.FixtureRequest) -> Strokes:
    return Strokes(laid(request.param).grid)


def test_brush_of_one_takes_the_spot_that_it_is_on(strokes: Strokes) -> None:
    for row in (0, 7, len(strokes.grid) - 1):
        at = strokes.grid.centres_px[row]
        assert row in strokes.under(at[None], 1)
        assert len(strokes.under(at[None], 1)) == 1
    assert len(strokes.under(np.array([[-5000.0, -5000.0]]), 1)) == 0


@given(start=PLACES, end=PLACES, across=st.integers(1, 9))
def test_a_stroke_passes_no_spot_by(strokes: Strokes, start: tuple, end: tuple, across: int) -> None:
    """Drawn in one step it takes what it takes in a hundred."""
    count = len(strokes.grid)
    none = np.zeros(count, dtype=np.int32)
    once = Stroke(strokes, none, frozenset(), across, careful=False)
    once.to(*start)
    once.to(*end)
    centres, pitch = strokes.grid.centres_px, np.array(strokes.grid.pitch_px)
    along = np.linspace(start, end, 100)
    distance = np.sqrt((((centres[:, None] - along[None]) / pitch) ** 2).sum(axis=2)).min(axis=1)
    # Well inside the brush; one spot wide, only where no other is nearer.
    sure = np.flatnonzero(distance < (across / 2 - 0.25 if across > 1 else 0.05))
    assert set(sure.tolist()) <= set(once.rows.tolist())
    reach = across / 2 + 0.01 if across > 1 else 0.76
    assert (distance[once.rows] <= reach + 0.2).all()


def test_a_careful_stroke_spares_the_neighbours_and_the_locked(strokes: Strokes) -> None:
    grid = strokes.grid
    middle = np.median(grid.centres_px[:, 1])
    labels = np.where(grid.centres_px[:, 1] < middle, 1, 2).astype(np.int32)
    left, right = (grid.centres_px[labels == i] for i in (1, 2))
    start, end = left[left[:, 1].argmin()], right[right[:, 1].argmax()]
    careful = Stroke(strokes, labels, frozenset(), 5, careful=True)
    careful.to(*start)
    careful.to(*end)
    assert len(careful.rows)
    assert (labels[careful.rows] == 1).all()
    bold = Stroke(strokes, labels, frozenset(), 5, careful=False)
    bold.to(*start)
    bold.to(*end)
    assert set(labels[bold.rows]) == {1, 2}
    locked = Stroke(strokes, labels, frozenset({2}), 5, careful=False)
    locked.to(*start)
    locked.to(*end)
    assert set(labels[locked.rows]) == {1}
    steps = Stroke(strokes, labels, frozenset(), 5, careful=False)
    new = [steps.to(*place) for place in (start, end, start)]
    assert len(new[2]) == 0, "what is taken is not new again"
    assert sorted(np.concatenate(new)) == sorted(steps.rows)


def test_inside_an_outline(strokes: Strokes) -> None:
    centres = strokes.grid.centres_px
    low, high = np.percentile(centres, (25, 75), axis=0)
    box = np.array([low, (low[0], high[1]), high, (high[0], low[1])])
    inside = ((centres >= low) & (centres <= high)).all(axis=1)
    assert sorted(strokes.inside(box)) == np.flatnonzero(inside).tolist()
    bow_tie = box[[0, 2, 1, 3]]
    assert 0 < len(strokes.inside(bow_tie)) < inside.sum(), "both loops, and not what lies between them"
    assert len(strokes.inside(box[:2])) == 0


def test_a_patch_hangs_together(strokes: Strokes) -> None:
    centres = strokes.grid.centres_px
    far = centres[:, 1] > np.percentile(centres[:, 1], 80)
    near = centres[:, 1] < np.percentile(centres[:, 1], 20)
    labels = np.where(far | near, 1, 2).astype(np.int32)
    row = int(np.flatnonzero(near)[0])
    patch = strokes.patch(labels, row)
    assert row in patch
    assert near[patch].all(), "the same domain on the other side is another patch"
