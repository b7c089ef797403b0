"""Small pictures of a slide: the right colour in the right place, and nothing claimed of what is unlike."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from results import build, laid

from napari_mclstexp.cohort.pictures import SIDE_PX, bar_colours, draw_domains, draw_gene, frame_of
from napari_mclstexp.core.grid import given_grid, make_grid
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.core.trust import SpotTrust
from napari_mclstexp.errors import ExportError, GeneError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result


def on_white(result: Result) -> Result:
    """The same on clear glass, so that colours are what is drawn."""
    return replace(result, hires=np.full_like(result.hires, 255), lowres=np.full_like(result.lowres, 255))


def with_unlike(result: Result, unlike: NDArray[np.bool_]) -> Result:
    count = len(result.grid)
    none = np.zeros((count, 1))
    trust = SpotTrust(np.ones(count, np.int32), None, unlike, none.astype(np.int32), none.astype(np.float32))
    return replace(result, trust=trust)


def at_spots(result: Result, path: Path) -> NDArray[np.int_]:
    """(N, 3) median colour around the middle of each spot."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    places = frame_of(result).at(result.grid.centres_px)
    return np.array(
        [np.median(pixels[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3], axis=(0, 1)) for y, x in places]
    )


def hidden_by_the_bar(colours: NDArray[np.int_]) -> NDArray[np.bool_]:
    return (colours.max(axis=1) < 90) & (np.ptp(colours, axis=1) < 12)


@pytest.mark.parametrize("layout", ["hexagonal", "square", "given"])
def test_domains_in_their_colours(layout: str, tmp_path: Path) -> None:
    result = on_white(laid(layout))
    found = at_spots(result, draw_domains(result, tmp_path / "d.png"))
    domains = result.domains
    assert domains is not None
    colour = np.array([rgb(domains.colours[int(label)]) for label in domains.labels])
    half = 255 + (colour - 255) * 0.5
    off = np.minimum(np.abs(found - half).max(axis=1), np.abs(found - colour).max(axis=1))
    assert (off < 16).mean() > 0.9  # the rest lies beneath the scale bar, or right between two spots


def test_tissue_is_seen_through_the_domains(tmp_path: Path) -> None:
    result = laid("square")
    hires = np.full((80, 100, 3), 230, np.uint8)
    hires[:, ::8] = (120, 60, 140)
    result = replace(result, hires=hires)
    with Image.open(draw_domains(result, tmp_path / "d.png")) as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    y, x = frame_of(result).at(result.grid.centres_px[[60]])[0]
    assert np.ptp(pixels[y, max(0, x - 60) : x + 60]) > 40


def test_a_gene_between_limits_that_are_given(tmp_path: Path) -> None:
    result = on_white(laid("square"))
    values = result.gene_values("ERBB2")
    low, high = 1.0, 3.0
    found = at_spots(result, draw_gene(result, "ERBB2", (low, high), tmp_path / "g.png"))
    bar = np.array([rgb(colour) for colour in bar_colours(256)])
    expected = bar[((values - low) / (high - low) * 256).clip(0, 255).astype(int)]
    shown = ~hidden_by_the_bar(found)
    assert shown.mean() > 0.9
    assert (np.abs(found - expected).max(axis=1)[shown] < 16).mean() > 0.97
    assert (values < low).any()
    assert (values > high).any()


def test_spots_unlike_the_reference_are_grey(tmp_path: Path) -> None:
    result = on_white(laid("square"))
    unlike = np.arange(len(result.grid)) % 3 == 0
    found = at_spots(
        with_unlike(result, unlike),
        draw_gene(with_unlike(result, unlike), "CD3D", (0, 4), tmp_path / "g.png"),
    )
    grey = np.ptp(found, axis=1) < 12
    shown = ~hidden_by_the_bar(found)
    assert shown.mean() > 0.9
    assert (grey == unlike)[shown].mean() > 0.99  # the edge of the scale bar may lie on one
    told = found[unlike & shown].max(axis=1) < 225
    assert told.mean() > 0.98, "an unlike spot is not to be taken for glass"


def test_off_the_spots_there_is_no_colour(tmp_path: Path) -> None:
    result = on_white(laid("hexagonal"))
    for path in (
        draw_domains(result, tmp_path / "d.png"),
        draw_gene(result, "CD3D", (0, 4), tmp_path / "g.png"),
    ):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        frame = frame_of(result)
        y0, x0, y1, x1 = frame.box_px
        row, col = np.mgrid[0 : frame.size[0] : 4, 0 : frame.size[1] : 4]
        places = np.column_stack(
            [
                y0 + (row.ravel() + 0.5) / frame.size[0] * (y1 - y0),
                x0 + (col.ravel() + 0.5) / frame.size[1] * (x1 - x0),
            ]
        )
        apart = np.linalg.norm(places[:, None] - result.grid.centres_px[None], axis=2).min(axis=1)
        far = pixels[row.ravel(), col.ravel()][apart > 1.1 * result.grid.pitch_px[1]]
        assert len(far) > 20
        assert ((far.min(axis=1) > 240) | hidden_by_the_bar(far)).mean() > 0.95


def test_size_metadata_and_the_same_bytes_again(tmp_path: Path, result_path: Path) -> None:
    result = load_result(result_path)
    path = draw_gene(result, result.genes[0], (0.0, 3.0), tmp_path / "g.png")
    before = path.read_bytes()
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert max(image.size) == SIDE_PX
        assert not set(image.info) - {"transparency"}
    assert draw_gene(result, result.genes[0], (0.0, 3.0), path).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["g.png"]


def test_true_to_the_tissue_where_x_and_y_have_scales_of_their_own() -> None:
    alike, apart = (frame_of(laid("square", mpp)) for mpp in ((0.5, 0.5), (0.5, 1.0)))
    (tall, wide), (taller, wider) = alike.size, apart.size
    y0, x0, y1, x1 = apart.box_px
    assert taller / wider == pytest.approx(2 * (y1 - y0) / (x1 - x0), rel=0.02)
    y0, x0, y1, x1 = alike.box_px
    assert tall / wide == pytest.approx((y1 - y0) / (x1 - x0), rel=0.02)


def test_a_scale_bar_where_the_scale_is_known(tmp_path: Path) -> None:
    known = on_white(laid("square"))
    unknown = replace(known, provenance=replace(known.provenance, mpp_x=float("nan"), mpp_y=float("nan")))
    dark = []
    for name, result in (("k", known), ("u", unknown)):
        with Image.open(draw_gene(result, "ERBB2", (0, 4), tmp_path / f"{name}.png")) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        dark.append(int((pixels.max(axis=2) < 90).sum()))
    assert dark[0] > 1000
    assert dark[1] < 100


def test_limits_that_are_alike_one_spot_alone_and_no_domains(tmp_path: Path) -> None:
    result = replace(on_white(laid("square")), domains=None)
    assert draw_gene(result, "ERBB2", (2.0, 2.0), tmp_path / "g.png").is_file()
    assert draw_gene(result, "ERBB2", (float("nan"), 1.0), tmp_path / "n.png").is_file()
    assert draw_domains(result, tmp_path / "d.png").is_file()
    one = given_grid(np.array(["a"]), np.array([[300.0, 200.0]]), (600, 500), Scale(0.5, 0.5, "test"))
    lone = build(one, (600, 500))
    assert draw_domains(lone, tmp_path / "l.png").is_file()
    assert draw_gene(lone, "ERBB2", (0, 1), tmp_path / "l.png").is_file()


def test_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(GeneError, match="NOPE"):
        draw_gene(laid("square"), "NOPE", (0, 1), tmp_path / "g.png")
    with pytest.raises(ExportError, match="does not exist"):
        draw_domains(laid("square"), tmp_path / "absent" / "d.png")


def test_five_thousand_spots_take_well_under_a_second(tmp_path: Path) -> None:
    grid = make_grid(
        TissueMask(np.ones((160, 160), bool), 50.0, 50.0), Scale(0.5, 0.5, "test"), "hexagonal", 55.0
    )
    assert len(grid) > 5000
    result = on_white(build(grid, (8000, 8000)))
    draw_gene(result, "ERBB2", (0, 4), tmp_path / "warm.png")
    began = time.process_time()
    draw_domains(result, tmp_path / "d.png")
    draw_gene(result, "CD3D", (0, 4), tmp_path / "g.png")
    assert time.process_time() - began < 2.0
