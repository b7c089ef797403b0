"""Spots as a picture: which spot a pixel shows, and values over them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_mclstexp.core.drawing import POINTS_AT_MOST, Watched, drawing_of
from napari_mclstexp.core.grid import SpotGrid
from napari_mclstexp.core.progress import Progress
from napari_mclstexp.core.raster import MAX_PIXELS, canvas_of, raster_labels, raster_spots
from napari_mclstexp.core.tissue import TissueMask


def grid(rows: int, columns: int, layout: str = "square", pitch: float = 100.0) -> SpotGrid:
    row, col = (a.ravel() for a in np.mgrid[:rows, :columns])
    shift = 0.5 * (row % 2) if layout == "hexagonal" else 0.0
    tall = pitch * np.sqrt(3) / 2 if layout == "hexagonal" else pitch
    centres = np.column_stack([150 + row * tall, 150 + (col + shift) * pitch]).astype(float)
    ids = np.array([f"{r}x{c}" for r, c in zip(row, col, strict=True)])
    return SpotGrid(ids, centres, row, col, layout, (pitch, pitch), 50.0)


@pytest.mark.parametrize("layout", ["square", "hexagonal", "given"])
def test_each_pixel_shows_the_nearest_spot(layout: str) -> None:
    spots = grid(7, 6, layout)
    raster = raster_spots(spots)
    pixels = raster.centres_px()
    distance = np.linalg.norm(pixels[:, None] - spots.centres_px[None], axis=2)
    shown = raster.values.ravel()
    there = shown >= 0
    np.testing.assert_allclose(
        distance[there, shown[there]], distance[there].min(axis=1), atol=1e-6
    )  # of two at the same distance it may be either
    assert there[distance.min(axis=1) < 40].all(), "a pixel well inside a spot is empty"
    assert not there[distance.min(axis=1) > 80].any(), "a pixel far from all spots is filled"


def test_labels_fill_the_cells_of_their_spots() -> None:
    spots = grid(4, 4)
    labels = np.arange(16, dtype=np.int32) % 3
    raster = raster_labels(spots, labels)
    at = np.rint((spots.centres_px - raster.origin_px) / raster.step_px).astype(int)
    assert raster.values[at[:, 0], at[:, 1]].tolist() == labels.tolist()


def test_values_as_cells_and_smooth() -> None:
    spots = grid(6, 6)
    values = (spots.centres_px[:, 0] + 2 * spots.centres_px[:, 1]).astype(np.float32)  # a plane
    cells, smooth = canvas_of(spots), canvas_of(spots, smooth=True)
    assert not cells.smooth
    assert smooth.smooth
    picture, pixels = smooth.paint(values), smooth.raster.centres_px()
    inside = ((pixels > spots.centres_px.min(0) + 1) & (pixels < spots.centres_px.max(0) - 1)).all(axis=1)
    plane = pixels[:, 0] + 2 * pixels[:, 1]
    np.testing.assert_allclose(picture.ravel()[inside], plane[inside], rtol=1e-3)
    stepped = cells.paint(values)
    assert set(np.unique(stepped[np.isfinite(stepped)])) == set(values)
    assert np.isnan(picture).any(), "beyond the spots nothing is drawn"


def test_a_spot_without_a_value_stays_empty_and_does_not_darken_its_neighbours() -> None:
    spots = grid(5, 5)
    values = np.full(25, 4.0, np.float32)
    values[12] = np.nan
    canvas = canvas_of(spots, smooth=True)
    picture = canvas.paint(values)
    assert np.isnan(picture[canvas.raster.values == 12]).all()
    others = picture[(canvas.raster.values >= 0) & (canvas.raster.values != 12)]
    np.testing.assert_allclose(others, 4.0, rtol=1e-5)


def test_the_map_is_clipped_to_the_tissue() -> None:
    spots = grid(6, 6)
    mask = np.zeros((80, 80), bool)
    mask[:, :40] = True  # x up to 400 of 800 px
    canvas = canvas_of(spots, smooth=True, tissue=TissueMask(mask, 10.0, 10.0))
    drawn = np.isfinite(canvas.paint(np.ones(36, np.float32))).ravel()
    x = canvas.raster.centres_px()[:, 1]
    assert drawn.any()
    assert not drawn[x >= 400].any()


def test_a_hollow_border_is_not_bridged_by_spots_far_apart() -> None:
    whole = grid(8, 9)
    hollow = whole.take(np.flatnonzero(~((whole.array_row < 2) & (abs(whole.array_col - 4) < 3))))
    values = np.ones(len(hollow), np.float32)
    corners = (hollow.array_row == 0) & ((hollow.array_col == 1) | (hollow.array_col == 7))
    values[corners] = 9.0  # the long side of thin triangles over the bay goes from one to the other
    canvas = canvas_of(hollow, smooth=True)
    picture = canvas.paint(values).ravel()
    below = canvas.raster.values.ravel() >= 0
    y, x = canvas.raster.centres_px().T
    bay = below & (y > 300) & (y < 360) & (x > 400) & (x < 700)
    assert bay.any()
    np.testing.assert_allclose(picture[bay], 1.0, atol=1e-4)


def test_one_spot_and_spots_in_one_line() -> None:
    for rows, columns in ((1, 1), (1, 9)):
        spots = grid(rows, columns)
        picture = canvas_of(spots, smooth=True).paint(np.ones(len(spots), np.float32))
        assert np.nanmax(picture) == pytest.approx(1.0)


def test_many_spots_become_a_picture_of_bounded_size() -> None:
    assert drawing_of(grid(10, 10)).canvas is None
    assert drawing_of(grid(10, 10), smooth=True).canvas.smooth
    many = grid(151, POINTS_AT_MOST // 150)
    canvas = drawing_of(many).canvas
    assert canvas is not None
    assert canvas.raster.values.size <= 1.01 * MAX_PIXELS
    assert len(np.unique(canvas.raster.values)) == len(many) + 1, "each spot has a pixel"


def test_steps_are_watched_and_what_is_thrown_goes_in() -> None:
    class Stop(Exception):
        pass

    spots, many = grid(3, 3), grid(151, POINTS_AT_MOST // 150)
    heard = []

    def steps():
        yield Progress("Laying", 0, 9, grid=many)
        try:
            yield Progress("Predicting", 4, 9, rows=slice(0, 4), grid=spots)
        except Stop:
            heard.append("stop")
        yield Progress("Predicting", 9, 9, rows=slice(4, 9), grid=spots)
        return "result"

    watched = Watched()
    run = watched(steps())
    assert next(run).drawing.canvas is not None
    assert next(run).drawing.canvas is None
    assert run.throw(Stop()).done == 9
    with pytest.raises(StopIteration) as end:
        next(run)
    assert end.value.value == "result"
    assert heard == ["stop"]
    assert watched.drawing(spots).cells.values.max() == len(spots) - 1
    fewer = grid(2, 3)
    assert watched.drawing(fewer).cells.values.max() == len(fewer) - 1
    assert watched.spots_a_second > 0
