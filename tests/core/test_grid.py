"""Tissue and spots: where predictions are made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from napari_mclstexp.core.grid import given_grid, make_grid, parse_grid, read_spots
from napari_mclstexp.core.pipeline import lay_spots
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import TissueMask, find_tissue
from napari_mclstexp.errors import GridError, NoTissueError, ScaleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def everywhere(height: int = 2000, width: int = 2400) -> TissueMask:
    """Tissue over a whole slide, seen at a tenth."""
    return TissueMask(np.ones((height // 10, width // 10), dtype=bool), 10.0, 10.0)


@pytest.mark.parametrize("mpp", [(0.5, 0.5), (0.25, 0.26), (0.737, 0.733)])
@pytest.mark.parametrize("pitch", [100.0, 55.5])
def test_hexagonal_spots_are_a_pitch_apart(mpp: tuple[float, float], pitch: float) -> None:
    scale = Scale(*mpp, "test")
    grid = make_grid(everywhere(), scale, "hexagonal", pitch)
    um = grid.centres_px * (scale.mpp_y, scale.mpp_x)
    tree = cKDTree(um)
    nearest = tree.query(um, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest, pitch, atol=1e-6)
    neighbours = [len(near) - 1 for near in tree.query_ball_point(um, pitch + 1e-6)]
    assert max(neighbours) == 6
    rows = np.unique(um[:, 0].round(9))
    np.testing.assert_allclose(np.diff(rows), pitch * math.sqrt(3) / 2, atol=1e-6)
    assert grid.pitch_um == pitch
    assert len(set(grid.ids.tolist())) == len(grid)


def test_hexagonal_spots_are_numbered_as_visium_does() -> None:
    grid = make_grid(everywhere(), Scale(0.5, 0.5, "test"), "hexagonal", 100.0)
    assert (grid.array_row % 2 == grid.array_col % 2).all()
    um = grid.centres_px * 0.5
    x = um[:, 1] - um[0, 1]
    np.testing.assert_allclose(x, (grid.array_col - grid.array_col[0]) * 50.0, atol=1e-6)
    np.testing.assert_allclose(
        um[:, 0], um[0, 0] + (grid.array_row - grid.array_row[0]) * 50 * math.sqrt(3), atol=1e-6
    )
    for row in np.unique(grid.array_row):
        assert set(np.diff(np.sort(grid.array_col[grid.array_row == row]))) == {2}


def test_square_spots_are_a_pitch_apart() -> None:
    scale = Scale(0.737, 0.7, "test")
    grid = make_grid(everywhere(6000, 5000), scale, "square", 200.0)
    um = grid.centres_px * (scale.mpp_y, scale.mpp_x)
    tree = cKDTree(um)
    np.testing.assert_allclose(tree.query(um, k=2)[0][:, 1], 200.0, atol=1e-6)
    assert max(len(near) - 1 for near in tree.query_ball_point(um, 200 + 1e-6)) == 4
    np.testing.assert_allclose(um[:, 0] - um[0, 0], (grid.array_row - grid.array_row[0]) * 200, atol=1e-6)
    np.testing.assert_allclose(um[:, 1] - um[0, 1], (grid.array_col - grid.array_col[0]) * 200, atol=1e-6)


@pytest.mark.parametrize("layout", ["hexagonal", "square"])
def test_spots_lie_on_the_slide_and_cover_it(layout: str) -> None:
    tissue = everywhere()
    grid = make_grid(tissue, Scale(0.5, 0.5, "test"), layout, 100.0)
    y, x = grid.centres_px.T
    assert (y >= 0).all()
    assert (y < 2000).all()
    assert (x >= 0).all()
    assert (x < 2400).all()
    area = 100.0**2 * (math.sqrt(3) / 2 if layout == "hexagonal" else 1)
    assert len(grid) == pytest.approx(1000 * 1200 / area, rel=0.12)


def test_spots_off_the_tissue_are_left_out() -> None:
    mask = np.zeros((200, 240), dtype=bool)
    mask[50:150, 60:180] = True
    grid = make_grid(TissueMask(mask, 10.0, 10.0), Scale(0.5, 0.5, "test"), "hexagonal", 50.0)
    y, x = grid.centres_px.T
    assert ((y > 480) & (y < 1520) & (x > 580) & (x < 1820)).all()
    assert len(grid) == pytest.approx(500 * 600 / (50**2 * math.sqrt(3) / 2), rel=0.1)


def test_names_and_pitches_of_grids() -> None:
    assert parse_grid("visium") == ("hexagonal", 100.0)
    assert parse_grid("st") == ("square", 200.0)
    assert parse_grid("55.5") == ("hexagonal", 55.5)
    for text in ("", "hex", "0", "-50", "nan", "inf", "1e9", "100um"):
        with pytest.raises(GridError, match="no spot grid"):
            parse_grid(text)


def test_a_pitch_that_gives_millions_of_spots_is_refused() -> None:
    with pytest.raises(GridError, match="wider"):
        make_grid(everywhere(60_000, 60_000), Scale(0.5, 0.5, "test"), "hexagonal", 2.0)


def test_tissue_is_what_is_stained(
    tmp_path: Path, picture: Callable[..., np.ndarray], make_slide: Callable[..., Path]
) -> None:
    with open_slide(make_slide(tmp_path / "t.tif", picture(2, 1600, 1200))) as slide:
        tissue = find_tissue(slide, Scale(1.0, 1.0, "test"))
    height, width = tissue.mask.shape
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((x / width - 0.5) / 0.47, (y / height - 0.5) / 0.47)
    assert tissue.mask[radius < 0.9].mean() > 0.99
    assert tissue.mask[radius > 1.12].mean() < 0.01
    assert tissue.downsample_x * width == 1600
    assert tissue.downsample_y * height == 1200


@pytest.mark.parametrize("shade", [255, 243, 128, 0])
@pytest.mark.parametrize("noise", [0, 3])
def test_no_tissue_on_bare_glass(tmp_path: Path, shade: int, noise: int) -> None:
    grain = np.random.default_rng(0).normal(0, 1, (700, 800, 1)) * noise
    glass = np.clip(np.full((700, 800, 3), shade) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(glass).save(tmp_path / "g.png")
    with open_slide(tmp_path / "g.png") as slide, pytest.raises(NoTissueError, match="No tissue"):
        lay_spots(slide, Scale(0.5, 0.5, "test"))


def test_a_grid_needs_a_scale(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((70, 80, 3), np.uint8)).save(tmp_path / "g.png")
    with open_slide(tmp_path / "g.png") as slide, pytest.raises(ScaleError, match="Give um per pixel"):
        lay_spots(slide, None, grid="st")


# --- given spots -------------------------------------------------------------


def test_spots_of_a_file_keep_their_names_order_and_places(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(
        "note,spot_id,x_px,y_px\na,007,10.5,20\nb,NA,30,40.25\nc,1e3,0,0\nd,x y,99,49\n"
    )
    ids, xy = read_spots(tmp_path / "s.csv")
    assert ids.tolist() == ["007", "NA", "1e3", "x y"]
    np.testing.assert_array_equal(xy, [[10.5, 20], [30, 40.25], [0, 0], [99, 49]])
    grid = given_grid(ids, xy, (100, 50), None)
    np.testing.assert_array_equal(grid.centres_px, xy[:, ::-1])
    assert grid.ids.tolist() == ids.tolist()
    assert math.isnan(grid.pitch_um)


def test_the_pitch_of_given_spots_is_their_median_distance() -> None:
    xy = np.array([[0.0, 0], [10, 0], [20, 0], [20, 12], [50, 50]])
    grid = given_grid(np.array(list("abcde")), xy, (100, 100), Scale(0.5, 0.5, "test"))
    assert grid.pitch_px == (10.0, 10.0)
    assert grid.pitch_um == pytest.approx(5.0)


@pytest.mark.parametrize("xy", [(-0.1, 5), (5, -1), (100, 5), (5, 50), (math.nan, 5), (5, math.inf)])
def test_a_centre_outside_the_slide_is_an_error(xy: tuple[float, float]) -> None:
    with pytest.raises(GridError, match=r"outside the slide of 100 x 50 px, such as bad"):
        given_grid(np.array(["good", "bad"]), np.array([(1.0, 1.0), xy]), (100, 50), None)


def test_a_name_twice_is_an_error() -> None:
    with pytest.raises(GridError, match="'b' is given twice"):
        given_grid(np.array(["a", "b", "b"]), np.ones((3, 2)), (10, 10), None)


def test_no_spots_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("spot_id,x_px,y_px\n")
    with pytest.raises(GridError, match="No spots"):
        given_grid(*read_spots(tmp_path / "none.csv"), (10, 10), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spot_id,x_px\na,1\n",
        "id,x_px,y_px\na,1,2\n",
        "spot_id,x_px,y_px\na,one,2\n",
        "spot_id,x_px,y_px\na,,2\n",
        "spot_id;x_px;y_px\na;1;2\n",
        "spot_id,x_px,y_px\na,1,2,3\nb,4,5,6\n",  # which are x and y?
        "spot_id,x_px,y_px\na,1,2\nb,4,5,6\n",
        'spot_id,x_px,y_px\n"a,1,2\n',
        "\x00\x01\x02",
    ],
)
def test_a_table_of_another_form_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(GridError, match="spot_id,x_px,y_px"):
        read_spots(tmp_path / "s.csv")


def test_spot_files_of_excel_and_of_other_alphabets_are_read(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes("\ufeffspot_id,x_px,y_px\r\nÄ1,1,2\r\n".encode())
    ids, xy = read_spots(tmp_path / "s.csv")
    assert ids.tolist() == ["Ä1"]
    assert xy.tolist() == [[1, 2]]


def test_an_absent_or_unreadable_spot_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="no spot file"):
        read_spots(tmp_path / "nothing.csv")
    with pytest.raises(GridError):
        read_spots(tmp_path)
    (tmp_path / "latin.csv").write_bytes("spot_id,x_px,y_px\nÄ,1,2\n".encode("latin-1"))
    with pytest.raises(GridError):
        read_spots(tmp_path / "latin.csv")
