"""Domains of 100,000 spots: a stroke of the brush, from the mouse to the last layer, and their polygons.

Goals: under 50 ms for each step of a stroke and for its end; polygons in under 3 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import numpy as np
import pytest

from napari_mclstexp.core.cells import domain_areas
from napari_mclstexp.core.domain_edits import Assign
from napari_mclstexp.core.drawing import drawing_of
from napari_mclstexp.core.grid import given_grid, make_grid
from napari_mclstexp.core.result import Domains
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.strokes import Stroke, Strokes
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.gui.dock import MclstexpDock
from tests.benchmarks.bench_window import made_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from napari_mclstexp.core.result import Result

SPOTS = 100_000
ACROSS = 9


def labelled() -> Result:
    """Square domains of random colours and one pixel noise on the grid of :func:`made_up`."""
    result = made_up(SPOTS, 3)
    rows, columns = result.grid.array_row // 40, result.grid.array_col // 40
    labels = ((rows * 3 + columns) % 7 + 1).astype(np.int32)
    noise = np.random.default_rng(0).random(len(labels)) < 0.05
    labels[noise] = 1
    colours = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#f0e442", "#332288")
    return result.with_domains(
        Domains(labels, {i: f"D{i}" for i in range(1, 8)}, dict(enumerate(colours, start=1)))
    )


@pytest.fixture
def dock(slide_path: Path) -> Iterator[MclstexpDock]:
    """The dock in a shown window, with a slide and 100,000 spots in domains."""
    viewer = napari.Viewer(show=True)
    dock = MclstexpDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    dock.session.set_slide(open_slide(slide_path))
    dock.session.set_scale(Scale(0.5, 0.5, "made up"))
    result = labelled()
    dock.session.set_result(result, drawing_of(result.grid))
    yield dock
    viewer.close()


@pytest.mark.parametrize("style", ["filled", "outlines"])
@pytest.mark.parametrize("part", ["step", "end"])
def test_stroke(benchmark: BenchmarkFixture, dock: MclstexpDock, part: str, style: str) -> None:
    """A step of a stroke nine spots wide, and its end."""
    session = dock.session
    session.set_view(domains=style)
    strokes = Strokes(session.result.grid)
    rng = np.random.default_rng(1)
    size = session.result.provenance.width

    def begun() -> tuple[tuple[Stroke, np.ndarray], dict[str, object]]:
        domains = session.result.domains
        stroke = Stroke(strokes, domains.labels, domains.locked, ACROSS, careful=False)
        at = rng.uniform(0.1, 0.9, 2) * size
        dock.layers.paint(stroke.to(*at), 3)
        return (stroke, at), {}

    def step(stroke: Stroke, at: np.ndarray) -> None:
        dock.layers.paint(stroke.to(*(at + 300)), 3)

    def end(stroke: Stroke, at: np.ndarray) -> None:
        session.edit_domains(Assign(tuple(stroke.rows.tolist()), 3))

    benchmark.pedantic({"step": step, "end": end}[part], setup=begun, rounds=25)


@pytest.mark.parametrize("layout", ["hexagonal", "square", "given"])
def test_polygons(benchmark: BenchmarkFixture, layout: str) -> None:
    """Polygons of all domains, as exports and measures take them."""
    result = labelled()
    grid = result.grid
    if layout != "square":
        mask = TissueMask(np.ones((400, 400), dtype=bool), 100.0, 100.0)
        grid = make_grid(mask, Scale(0.5, 0.5, "made up"), "hexagonal", 67.0)
    if layout == "given":
        xy = grid.centres_px[:, ::-1].round()  # as positions of Visium come
        grid = given_grid(grid.ids, xy, (40_000, 40_000), Scale(0.5, 0.5, "made up"))
    y, x = (grid.centres_px // 4_000).astype(int).T
    labels = ((y * 3 + x) % 7 + 1).astype(np.int32)
    noise = np.random.default_rng(0).random(len(labels)) < 0.05
    labels[noise] = 1
    domains = Domains(labels, result.domains.names, result.domains.colours)
    benchmark.extra_info["spots"] = len(grid)
    benchmark.pedantic(domain_areas, args=(grid, domains), rounds=2)
