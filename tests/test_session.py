"""The window's state: what follows from a slide, a scale, a result and a measured section."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest

from napari_mclstexp.cohort.folder import Cohort, Shown
from napari_mclstexp.core.measured.reading import read_measured
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import GeneError
from napari_mclstexp.session import Session
from napari_mclstexp.session.paging import Paging

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.measured.on_slide import Measured


@pytest.fixture
def session(section: Path) -> Session:
    """Of an open slide whose scale nothing tells."""
    session = Session()
    session.set_slide(open_slide(section))
    session.set_scale(None)
    return session


@pytest.fixture
def measured(session: Session, section: Path) -> Measured:
    return read_measured(section, session.slide)


def scaled(measured: Measured, mpp: float) -> Measured:
    return dataclasses.replace(measured, scale=Scale(mpp, mpp, "spots"))


def test_a_measured_section_settles_a_scale_that_is_unknown(session: Session, measured: Measured) -> None:
    session.set_measured(scaled(measured, 0.74))
    assert session.scale.mpp_x == 0.74
    session.set_measured(scaled(measured, 0.5))  # in its place
    assert session.scale.mpp_x == 0.5


def test_but_not_one_that_is_known(session: Session, measured: Measured) -> None:
    session.set_scale(Scale(0.6, 0.6, "typed"))
    session.set_measured(scaled(measured, 0.74))
    assert session.scale.mpp_x == 0.6


def test_a_prediction_is_not_lost(session: Session, measured: Measured, result_path: Path) -> None:
    result = load_result(result_path)
    session.set_result(result)
    session.set_measured(scaled(measured, 0.74))
    assert session.result is result
    assert session.scale is None


def test_the_gene_is_one_that_can_be_shown(session: Session, measured: Measured, result_path: Path) -> None:
    result = load_result(result_path)
    session.set_measured(dataclasses.replace(measured, scale=None))
    assert session.gene == measured.top_gene
    session.set_result(dataclasses.replace(result, genes=("ONLY_PREDICTED", *result.genes[1:])))
    session.set_gene("ONLY_PREDICTED")
    assert session.genes == tuple(sorted(session.result.genes))
    session.set_view(source="swipe")
    assert "ONLY_PREDICTED" not in session.genes
    with pytest.raises(GeneError, match="does not predict the gene 'NOPE'"):
        session.set_gene("NOPE")
    session.set_scale(Scale(0.6, 0.6, "typed"))  # the prediction goes
    assert session.gene == measured.top_gene
    session.set_measured(None)
    assert session.gene is None


def test_another_slide_starts_anew(session: Session, measured: Measured, slide_path: Path) -> None:
    session.set_measured(measured)
    session.set_slide(open_slide(slide_path))
    assert session.measured is session.pairing is session.gene is None


def test_a_cohorts_slides_share_colours(session: Session, result_path: Path) -> None:
    """Within the cohort's limits, else those of the slide on which a gene was seen first."""
    result = load_result(result_path)
    known, other = result.genes[:2]
    session.set_result(result, gene=known)
    cohort = Cohort(
        result_path, (), result_path, "", "", "", {}, (Shown(known, 0.5, 1.5), Shown(other, 1.0, math.nan))
    )
    session.set_paging(Paging.of(cohort, (), session.view.colour))
    session.set_result(result, gene=known, page=True)
    assert session.shows_page
    assert session.predicted_map.limits == (0.5, 1.5)
    session.set_gene(other)
    seen = session.predicted_map.limits
    assert seen not in ((0.5, 1.5), session.view.colour.percentiles)
    brighter = dataclasses.replace(result, expression=result.expression + 3)
    session.set_result(brighter, page=True)
    assert (session.gene, session.predicted_map.limits) == (other, seen)
    session.set_view(colour=dataclasses.replace(session.view.colour, numbers=(0.0, 9.0)))  # typed
    session.set_gene(known)
    session.set_gene(other)
    assert session.predicted_map.limits == (0.0, 9.0)
    session.share_colours(wanted=False)
    assert session.view.colour.by == "percentiles"
    session.set_result(result)
    assert not session.shows_page
