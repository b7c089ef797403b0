"""What is drawn over the spots: values, their limits and colours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_mclstexp.core.limits import centred_limits, colour_limits
from napari_mclstexp.core.maps import DIVERGING, Colour, blend, gene_map
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result


@pytest.fixture
def result(result_path: Path) -> Result:
    found = load_result(result_path)
    known = np.zeros(len(found.grid), bool)  # the small model takes many spots for unlike its reference
    return replace(found, trust=replace(found.trust, unlike=known))


def test_limits_of_a_sparse_gene_do_not_collapse() -> None:
    values = np.zeros(1000)
    values[:5] = 3.0  # the 1st and 99th percentile are both 0
    assert colour_limits(values) == (0.0, 3.0)
    assert colour_limits(np.full(9, 2.0)) == (2.0, 3.0)
    assert colour_limits(np.full(9, np.nan)) == (0.0, 1.0)


def test_limits_by_percentile_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=501)
    assert colour_limits(values, (5, 95)) == pytest.approx(tuple(np.percentile(values, (5, 95))))
    low, high = centred_limits(values + 1, (5, 95))
    assert low == -high
    assert high == pytest.approx(max(abs(np.percentile(values + 1, (5, 95)))))


def test_a_gene_by_percentile_by_number_and_on_the_scale_of_all_genes(result: Result) -> None:
    values = result.gene_values("ERBB2")
    by_percentile = gene_map(result, "ERBB2", Colour(percentiles=(10, 90)))
    assert by_percentile.limits == pytest.approx(tuple(np.percentile(values, (10, 90))))
    assert by_percentile.clipped == (
        int((values < np.percentile(values, 10)).sum()),
        int((values > np.percentile(values, 90)).sum()),
    )
    assert gene_map(result, "ERBB2", Colour(by="numbers", numbers=(0.5, 2))).limits == (0.5, 2)
    shared = [gene_map(result, g, Colour(by="all genes")).limits for g in result.genes]
    assert len(set(shared)) == 1
    assert shared[0] == pytest.approx(tuple(np.percentile(result.expression, (1, 99))))


def test_above_and_below_the_reference_mean(result: Result) -> None:
    shown = gene_map(result, "ERBB2", Colour(centred=True, colormap="cividis"))
    mean = result.reference_mean[result.genes.index("ERBB2")]
    np.testing.assert_allclose(shown.values, result.gene_values("ERBB2") - mean, rtol=1e-6)
    assert shown.limits[0] == -shown.limits[1]
    assert shown.colormap == DIVERGING
    assert "difference from the reference mean" in shown.unit
    with pytest.raises(GeneError, match="predict again"):
        gene_map(replace(result, reference_mean=None), "ERBB2", Colour(centred=True))


def test_a_spot_unlike_the_reference_has_no_colour(result: Result) -> None:
    unlike = np.zeros(len(result.grid), bool)
    unlike[3] = True
    doubted = replace(result, trust=replace(result.trust, unlike=unlike))
    assert np.isnan(gene_map(doubted, "ERBB2", Colour()).values[3])
    assert np.isnan(blend(doubted, ("ERBB2", "CD3D")).rgb[3]).all()
    assert np.isfinite(gene_map(doubted, "ERBB2", Colour()).values[~unlike]).all()


def test_a_blend_gives_each_gene_a_channel(result: Result) -> None:
    shown = blend(result, ("ERBB2", "CD3D"), (0, 100))
    for channel, gene in enumerate(("ERBB2", "CD3D")):
        values = result.gene_values(gene)
        scaled = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(shown.rgb[:, channel], scaled, atol=1e-5)
    assert (shown.rgb[:, 2] == 0).all()
    assert shown.name == "ERBB2 red, CD3D green"
    for genes in (("ERBB2",), ("ERBB2", "CD3D", "VIM", "DCN")):
        with pytest.raises(GeneError, match="two or three"):
            blend(result, genes)
