"""What is exported is imported again as it was, whatever it is; places come back at any scale and level.

``HYPOTHESIS_PROFILE=soak`` tries 1,000 of each.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from results import build, laid
from scipy.spatial import cKDTree

from napari_mclstexp.core.annotations import Annotation, annotation, read_annotations
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.geojson import one_line
from napari_mclstexp.core.grid import given_grid, read_spots
from napari_mclstexp.core.result import Domains, Result
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from pathlib import Path

PROFILE = settings(
    max_examples=1000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=32)
MPP = st.floats(0.1, 2.0)  # what is plausible of a slide
COLOUR = st.integers(0, 2**24 - 1).map(lambda n: f"#{n:06x}")
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
LINE = TEXT.map(one_line)


@cache
def base() -> Result:
    return laid("square")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Libraries that are loaded when first used may draw random numbers then, which no strategy may."""
    laid("square")


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Any numbers, names, colours and scale on a small grid."""
    mpp = (draw(MPP), draw(MPP))
    count = draw(st.integers(2, 12))
    xy = draw(
        st.lists(
            st.tuples(st.floats(0, 2399), st.floats(0, 1999)),
            min_size=count, max_size=count, unique_by=lambda p: (round(p[0], 1), round(p[1], 1)),
        )
    )  # fmt: skip
    ids = draw(st.lists(LINE.filter(bool), min_size=count, max_size=count, unique=True))
    grid = given_grid(np.array(ids, dtype=str), np.array(xy), (2400, 2000), Scale(*mpp, "test"))
    result = build(grid, (2400, 2000), mpp)
    genes = tuple(draw(st.lists(LINE.filter(bool), min_size=1, max_size=4, unique=True)))
    shape = (count, len(genes))
    names = draw(st.lists(LINE.filter(bool), min_size=1, max_size=3, unique=True))
    labels = draw(arrays.arrays(np.int32, count, elements=st.integers(0, len(names))))
    domains = Domains(
        labels,
        {i + 1: name for i, name in enumerate(names)},
        {i + 1: draw(COLOUR) for i in range(len(names))},
    )
    return replace(
        result,
        genes=genes,
        expression=draw(arrays.arrays(np.float32, shape, elements=NUMBER)),
        similarity=draw(arrays.arrays(np.float32, count, elements=NUMBER)),
        domains=domains,
    )


@PROFILE
@given(result=results())
def test_a_result_reads_back_as_it_was_saved(tmp_path: Path, result: Result) -> None:
    read = load_result(save_result(result, tmp_path / "r.h5ad", overwrite=True))
    assert read.genes == result.genes
    for name in ("expression", "similarity", "spread", "effective_k", "hires", "lowres"):
        np.testing.assert_array_equal(getattr(read, name), getattr(result, name), err_msg=name)
    for name in ("ids", "centres_px", "array_row", "array_col"):
        np.testing.assert_array_equal(getattr(read.grid, name), getattr(result.grid, name), err_msg=name)
    np.testing.assert_equal(read.provenance.as_dict(), result.provenance.as_dict())
    assert read.domains is not None
    assert result.domains is not None
    said, meant = read.domains, result.domains
    assert [said.names.get(int(n)) for n in said.labels] == [meant.names.get(int(n)) for n in meant.labels]
    assert {said.names[i]: said.colours[i] for i in said.names} == {
        meant.names[i]: meant.colours[i] for i in meant.names
    }


@st.composite
def notes(draw: st.DrawFn) -> Annotation:
    """Any annotation that a person could draw."""
    x, y = draw(st.floats(-500, 5000)), draw(st.floats(-500, 5000))
    corners = draw(st.lists(st.tuples(st.floats(-900, 900), st.floats(-900, 900)), min_size=3, max_size=8))
    area = shapely.MultiPoint([(x + dx, y + dy) for dx, dy in corners]).convex_hull
    if draw(st.booleans()):
        area = area.difference(area.centroid.buffer(3.0))
    assume(area.area > 50 and area.geom_type == "Polygon")
    about: dict[str, Any] = {key: draw(LINE) for key in ("name", "of_class", "author")}
    try:
        return annotation(area, note=draw(TEXT), colour=draw(COLOUR), **about)
    except DomainError:
        assume(False)
        raise


@PROFILE
@given(drawn=st.lists(notes(), min_size=1, max_size=4))
def test_annotations_come_back_from_geojson(tmp_path: Path, drawn: list[Annotation]) -> None:
    result = base()
    assert result.domains is not None
    result = replace(result, domains=replace(result.domains, annotations=tuple(drawn)))
    path = export_result(result, tmp_path / "a.geojson", overwrite=True)
    read = read_annotations(path)[-len(drawn) :]
    told = [(n.wkt, n.name, n.of_class, n.note, n.author, n.colour) for n in read]
    assert told == [(n.wkt, n.name, n.of_class, n.note, n.author, n.colour) for n in drawn]


@PROFILE
@given(
    mpp=st.tuples(MPP, MPP),
    offset=st.tuples(st.floats(0, 100_000), st.floats(0, 100_000)),
    spread=st.floats(20, 3000),
    seed=st.integers(0, 2**32 - 1),
)
def test_spots_come_back_at_any_scale_and_offset(
    tmp_path: Path, mpp: tuple[float, float], offset: tuple[float, float], spread: float, seed: int
) -> None:
    xy = np.random.default_rng(seed).uniform(0, spread, (8, 2)) + offset
    size = tuple(int(n) + 2 for n in xy.max(axis=0))
    ids = np.array([f"s{i}" for i in range(len(xy))])
    result = build(given_grid(ids, xy, size, Scale(*mpp, "test")), size, mpp)
    read, places = read_spots(export_result(result, tmp_path / "s.csv", overwrite=True))
    assert read.tolist() == ids.tolist()
    np.testing.assert_allclose(places, xy, rtol=0, atol=5.001e-4)  # thousandths of a pixel are written
    loaded = load_result(save_result(result, tmp_path / "r.h5ad", overwrite=True))
    np.testing.assert_array_equal(loaded.grid.centres_px[:, ::-1], xy)


@PROFILE
@given(
    mpp=st.tuples(MPP, MPP),
    offset=st.tuples(st.floats(300, 4000), st.floats(300, 4000)),
    seed=st.integers(0, 2**32 - 1),
    suffix=st.sampled_from([".ome.zarr", ".ome.tif"]),
)
def test_labels_lie_where_their_spots_do_at_any_scale_level_and_offset(
    tmp_path: Path, mpp: tuple[float, float], offset: tuple[float, float], seed: int, suffix: str
) -> None:
    """From a pixel of a level, by the scale that the file tells of it, to the spot there."""
    chance = np.random.default_rng(seed)
    steps = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2)
    xy = steps * (100 / np.array(mpp)) + offset
    size = tuple(int(n) + 300 for n in xy.max(axis=0))
    grid = given_grid(np.arange(len(xy)).astype(str), xy, size, Scale(*mpp, "test"))
    labels = chance.permutation(len(xy)).astype(np.int32) + 1
    names = {int(n): f"d{n}" for n in labels}
    result = build(grid, size, mpp)
    result = replace(result, domains=Domains(labels, names, dict.fromkeys(names, "#4477aa")))
    path = export_result(result, tmp_path / f"t{suffix}", overwrite=True)
    tree = cKDTree(xy * mpp)
    pixel = np.hypot(*levels_of(path)[0][1])
    for image, step_um, first_um in levels_of(path):
        rows, columns = np.nonzero(image)
        assert len(rows)
        some = chance.choice(len(rows), min(60, len(rows)), replace=False)
        at_um = np.column_stack([columns[some], rows[some]]) * step_um + first_um
        near, which = tree.query(at_um, k=2)
        sure = near[:, 1] - near[:, 0] > pixel  # a border between spots lies somewhere in a pixel
        assert sure.any()
        assert (image[rows[some], columns[some]][sure] == labels[which[sure, 0]]).all()


def levels_of(path: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Labels of each level, um from pixel to pixel and of the first one's centre, both x, y."""
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="r")["labels/domains"]
        found = []
        for told in group.attrs["ome"]["multiscales"][0]["datasets"]:
            scale, shift = (t for t in told["coordinateTransformations"])
            found.append(
                (
                    group[told["path"]][...],
                    np.array(scale["scale"])[::-1],
                    np.array(shift["translation"])[::-1],
                )
            )
        return found
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        step = np.array([pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]])
        series = tiff.series[0]
        # Of labels every second pixel is taken: all levels begin with the same one.
        return [(level.asarray(), step * 2**i, step / 2) for i, level in enumerate(series.levels)]
