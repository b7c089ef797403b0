"""One spot explained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.core.spot_card import SpotFinder, explain, hover_text

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result


@pytest.fixture
def result(result_path: Path) -> Result:
    return load_result(result_path)


def evaluated(result: Result, pcc: float = 0.4) -> Result:
    genes = len(result.genes)
    flat = np.full(genes, pcc, np.float32)
    held = HeldOut(
        flat, flat - 0.1, flat + 0.1, np.full(genes, 0.25, np.float32),
        np.linspace(0, 1, 101, dtype=np.float32), "leave-patient-out", False, 3, 3, "patients",
    )  # fmt: skip
    return replace(result, held_out=held)


def test_the_spot_at_a_place(result: Result) -> None:
    finder = SpotFinder(result.grid)
    pitch = result.grid.pitch_px[0]
    for row in (0, 7, len(result.grid) - 1):
        y, x = result.grid.centres_px[row]
        assert finder.at(y + 0.3 * pitch, x) == row
    assert finder.at(-3 * pitch, 0) is None


def test_what_a_hover_says(result: Result) -> None:
    row, gene = 5, "ERBB2"
    value = result.gene_values(gene)[row]
    text = hover_text(evaluated(result), row, gene)
    assert f"ERBB2 {value:.2f} (90 %: {value - 0.25:.2f} to {value + 0.25:.2f})" in text
    assert result.domains.names[int(result.domains.labels[row])] in text
    assert "(90 %" not in hover_text(result, row, gene), "no interval without an evaluation"
    unlike = np.ones(len(result.grid), bool)
    doubted = replace(result, trust=replace(result.trust, unlike=unlike))
    assert "not to be believed" in hover_text(doubted, row, gene)


def test_genes_that_stand_out_are_told_in_standard_deviations(result: Result) -> None:
    row = int(result.gene_values("ERBB2").argmax())
    card = explain(result, row)
    z = (result.expression[row] - result.expression.mean(0)) / result.expression.std(0)
    told = dict((*card.above, *card.below))
    for gene, difference in told.items():
        assert difference == pytest.approx(z[result.genes.index(gene)], abs=1e-4)
    assert [d for _, d in card.above] == sorted((d for _, d in card.above), reverse=True)
    assert card.above[0][0] == result.genes[int(z.argmax())]
    assert explain(evaluated(result, pcc=0.05), row).above == (), "genes not predictable are not told"


def test_the_matches_are_those_of_the_bundle(result: Result, bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    pictures = np.arange(len(bundle.expression) * 64 * 64 * 3, dtype=np.uint8).reshape(-1, 64, 64, 3)
    with_pictures = replace(bundle, beside=replace(bundle.beside, thumbnails=pictures))
    card = explain(result, 3, with_pictures)
    assert len(card.matches) == result.trust.rows.shape[1]
    for match, at, weight in zip(card.matches, result.trust.rows[3], result.trust.weights[3], strict=True):
        assert (match.section, match.patient) == (bundle.section[at], bundle.patient[at])
        assert match.weight == pytest.approx(float(weight))
        assert np.array_equal(match.thumbnail, pictures[at])
    assert {m.section for m in explain(result, 3).matches} == {""}
    other = explain(result, 3, replace(bundle, digest="another"))
    assert {m.section for m in other.matches} == {""}, "another model's spots are not shown as the matches"
