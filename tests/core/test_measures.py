"""What is measured of domains and annotations, against values worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import shapely
from results import build, laid

from napari_mclstexp.core.annotations import annotation
from napari_mclstexp.core.cells import domain_areas
from napari_mclstexp.core.domain_edits import Annotate
from napari_mclstexp.core.export.measures import write_measures
from napari_mclstexp.core.grid import make_grid
from napari_mclstexp.core.measures import border_profile, enrichment, measure, measure_all
from napari_mclstexp.core.result import Domains, Result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.errors import DomainError, ExportError, GeneError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def halves() -> Result:
    """A square grid of 20 x 20 spots, 50 um apart; the left half is one domain, the right half the other."""
    grid = make_grid(
        TissueMask(np.ones((100, 100), dtype=bool), 20.0, 20.0), Scale(0.5, 0.5, "test"), "square", 50.0
    )
    made = build(grid, (2000, 2000))
    right = grid.centres_px[:, 1] > 1000
    expression = made.expression.copy()
    expression[:, 0] = np.where(right, 5, 1)
    expression[:, 1] = grid.centres_px[:, 1] * 0.5  # um from the left edge
    labels = np.where(right, 2, 1).astype(np.int32)
    domains = Domains(labels, {1: "left", 2: "right"}, {1: "#112233", 2: "#445566"})
    return replace(made, expression=expression, domains=domains)


def test_area_spots_and_genes(halves: Result) -> None:
    table = measure(halves, ["ERBB2", "COL1A1"]).set_index("name")
    spots = np.bincount(halves.domains.labels)[1:]
    assert table["spots"].tolist() == spots.tolist()
    np.testing.assert_allclose(table["area_mm2"], spots * 0.05**2, rtol=1e-3)
    assert table["ERBB2 mean"].tolist() == [1, 5]
    left = halves.expression[halves.domains.labels == 1, 1]
    assert table.loc["left", "COL1A1 mean"] == pytest.approx(left.mean())
    assert table.loc["left", "COL1A1 5%"] == pytest.approx(np.percentile(left, 5))
    assert table.loc["left", "COL1A1 95%"] == pytest.approx(np.percentile(left, 95))
    assert "ERBB2" in table.loc["right", "markers (Cohen's d)"]
    assert "ERBB2" not in table.loc["left", "markers (Cohen's d)"]
    with pytest.raises(GeneError):
        measure(halves, ["NOSUCH"])


def test_an_annotation_counts_the_spots_whose_centres_it_holds(halves: Result) -> None:
    note = annotation(shapely.box(0, 0, 1000, 500), name="corner", of_class="Tumour")
    edit = Annotate(**{k: getattr(note, k) for k in type(note).__dataclass_fields__})
    row = measure(halves.with_domains(edit.apply(halves.domains), 1)).set_index("name").loc["corner"]
    y, x = halves.grid.centres_px.T
    assert row["kind"] == "annotation"
    assert row["class"] == "Tumour"
    assert row["spots"] == ((x <= 1000) & (y <= 500)).sum()
    assert row["area_mm2"] == pytest.approx(1000 * 500 * 0.25 / 1e6)


def test_an_unknown_scale_leaves_areas_open(halves: Result) -> None:
    about = replace(halves.provenance, mpp_x=math.nan, mpp_y=math.nan)
    unscaled = replace(halves, provenance=about)
    assert measure(unscaled)["area_mm2"].isna().all()
    with pytest.raises(DomainError, match="scale"):
        border_profile(unscaled, "ERBB2", shapely.box(0, 0, 10, 10))


def test_neighbourhoods_are_held_against_chance(halves: Result) -> None:
    found = enrichment(halves)
    assert found.names == ("left", "right")
    np.testing.assert_allclose(found.z, found.z.T)
    assert found.z[0, 0] > 10
    assert found.z[0, 1] < -10
    shuffled = np.random.default_rng(4).permutation(halves.domains.labels)
    mixed = enrichment(replace(halves, domains=replace(halves.domains, labels=shuffled)))
    assert np.abs(mixed.z).max() < 4
    np.testing.assert_array_equal(found.z, enrichment(halves).z)
    with pytest.raises(DomainError, match="two domains"):
        enrichment(replace(halves, domains=Domains(np.ones_like(shuffled), {1: "all"}, {1: "#000000"})))


def test_a_gene_by_its_distance_to_a_border(halves: Result) -> None:
    """COL1A1 says how far right a spot lies, so that it falls by distance from the right half's border."""
    profile = border_profile(halves, "COL1A1", shapely.box(1000, -1e6, 1e6, 1e6))
    assert (np.diff(profile.distance_um) > 0).all()
    np.testing.assert_allclose(profile.mean + profile.distance_um, 500, atol=60)
    assert profile.spots.sum() == len(halves.grid)
    assert (profile.low <= profile.mean).all()
    assert (profile.mean <= profile.high).all()
    inside = profile.distance_um < 0
    assert profile.spots[inside].sum() == pytest.approx((halves.grid.centres_px[:, 1] > 1000).sum(), abs=40)


def test_all_at_once_is_what_each_gives(halves: Result, tmp_path: Path) -> None:
    note = annotation(shapely.box(0, 0, 500, 2000), name="=edge")
    noted = halves.with_domains(replace(halves.domains, annotations=(note,)))
    found = measure_all(noted, ("COL1A1", "ERBB2"), 1)
    assert found.parts == ("left", "right", "=edge")
    pd.testing.assert_frame_equal(found.table, measure(noted, ("COL1A1", "ERBB2")))
    np.testing.assert_array_equal(found.neighbours.z, enrichment(noted).z)
    by_hand = border_profile(noted, "COL1A1", domain_areas(noted.grid, noted.domains)[2])
    np.testing.assert_allclose(found.border.mean, by_hand.mean)
    unknown = replace(noted, provenance=replace(noted.provenance, mpp_x=math.nan, mpp_y=math.nan))
    assert measure_all(unknown, ("COL1A1",)).border is None
    with pytest.raises(DomainError, match="no domain and no annotation"):
        measure_all(replace(noted, domains=None), ("COL1A1",))

    path = write_measures(noted, found.table, tmp_path / "m.csv")
    table = pd.read_csv(path)
    assert table["spots"].tolist() == [200, 200, int((noted.grid.centres_px[:, 1] <= 500).sum())]
    assert table["name"].tolist()[2] == "'=edge", "a spreadsheet would take it for a formula"
    assert json.loads((tmp_path / "m.provenance.json").read_text())["slide_fingerprint"] == "f" * 64
    with pytest.raises(ExportError, match="exists"):
        write_measures(noted, found.table, path)


def test_without_domains_there_is_nothing_to_measure() -> None:
    assert len(measure(replace(laid("hexagonal"), domains=None))) == 0
