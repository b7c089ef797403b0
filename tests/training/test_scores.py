"""Scores and their intervals, against other ways to reckon them; folds that hold out what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from napari_mclstexp.errors import ModelError, SectionError
from napari_mclstexp.training.folds import make_folds, refuse_leaks
from napari_mclstexp.training.ridge import choose_penalty, solve
from napari_mclstexp.training.scores import (
    BlockSums,
    covering_width,
    interval,
    morans_i,
    replicate_correlations,
    resampled_over,
    spatial_blocks,
    whole_correlation,
)

RNG = np.random.default_rng(5)


def pair(count: int = 120, genes: int = 6, strength: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    measured = RNG.normal(size=(count, genes))
    return strength * measured + RNG.normal(size=(count, genes)), measured


def grid(side: int) -> np.ndarray:
    return np.column_stack([a.ravel() for a in np.mgrid[:side, :side]]).astype(float)


def test_correlation_from_block_sums_is_scipys() -> None:
    predicted, measured = pair()
    predicted[:, 3] = 2.0
    sums = BlockSums.of(predicted, measured, RNG.integers(0, 9, 120))
    expected = [stats.pearsonr(predicted[:, i], measured[:, i])[0] if i != 3 else 0 for i in range(6)]
    np.testing.assert_allclose(whole_correlation(sums), expected, atol=1e-12)


def test_a_bootstrap_over_single_spots_is_the_usual_one() -> None:
    predicted, measured = pair(60, 1)
    sums = BlockSums.of(predicted, measured, np.arange(60))
    ours = replicate_correlations([sums], ["P1"], 0, 4000)[:, 0]
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 60, 60) for _ in range(4000)]
    usual = [np.corrcoef(predicted[d, 0], measured[d, 0])[0, 1] for d in drawn]
    assert ours.mean() == pytest.approx(np.mean(usual), abs=0.005)
    assert ours.std() == pytest.approx(np.std(usual), rel=0.08)


def test_blocks_lie_together_and_hold_about_as_many_spots() -> None:
    positions = grid(12)
    blocks = spatial_blocks(positions)
    counts = np.bincount(blocks)
    assert counts.min() > 0
    assert counts.max() - counts.min() <= 4
    for block in np.unique(blocks):
        extent = np.ptp(positions[blocks == block], axis=0)
        assert extent.max() <= 5


def test_with_five_patients_whole_patients_are_resampled() -> None:
    patients = ["A", "A", "B", "C", "D", "E"]
    sections = [BlockSums.of(*pair(50), np.zeros(50, int)) for _ in patients]
    draws = replicate_correlations(sections, patients, 0)
    whole = np.stack([whole_correlation(s) for s in sections])
    assert resampled_over(patients) == "patients"
    assert "spatial blocks" in resampled_over(patients[:4])
    assert draws.shape == (500, 6)
    assert (draws <= whole.max(axis=0) + 1e-12).all()
    assert (draws >= whole.min(axis=0) - 1e-12).all()
    low, high = interval(draws)
    assert ((low <= whole.mean(axis=0)) & (whole.mean(axis=0) <= high)).all()
    panel = replicate_correlations(sections, patients, 0, panel_mean=True)
    np.testing.assert_allclose(panel, draws.mean(axis=1), atol=1e-12)
    np.testing.assert_array_equal(draws, replicate_correlations(sections, patients, 0))


def test_morans_i_by_its_formula() -> None:
    values = RNG.normal(size=(25, 2))
    near = (RNG.random((25, 25)) < 0.2).astype(float)
    np.fill_diagonal(near, 0)
    z = values - values.mean(axis=0)
    by_hand = [
        sum(w * z[i, g] * z[j, g] for (i, j), w in np.ndenumerate(near)) / near.sum() / z[:, g].var()
        for g in range(2)
    ]
    np.testing.assert_allclose(morans_i(values, sparse.csr_matrix(near)), by_hand, rtol=1e-9)
    assert morans_i(np.ones((25, 1)), sparse.csr_matrix(near)).tolist() == [0]


def test_conformal_widths_cover_new_values() -> None:
    known, new = (np.abs(RNG.standard_t(3, size=(n, 40))) for n in (400, 4000))
    width = covering_width(known, 0.9)
    assert (new <= width).mean() == pytest.approx(0.9, abs=0.01)
    np.testing.assert_array_equal(covering_width(known[:3], 0.9), known[:3].max(axis=0))


def test_ridge_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge as Usual

    x, y = RNG.normal(3, 2, (40, 7)), RNG.normal(size=(40, 3))
    for inputs in (x, RNG.normal(size=(40, 90))):
        weight, bias = solve(inputs, y, 2.0)
        z = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-6) / np.sqrt(inputs.shape[1])
        np.testing.assert_allclose(inputs @ weight + bias, Usual(alpha=2.0).fit(z, y).predict(z), atol=1e-6)


def test_the_penalty_is_chosen_across_sections() -> None:
    section = np.repeat(["a", "b", "c"], 40)
    x = RNG.normal(size=(120, 5))
    exact = x @ RNG.normal(size=(5, 4))
    assert choose_penalty(x, exact, section) == 1.0
    assert choose_penalty(x, RNG.normal(size=(120, 4)), section) == 100.0


PATIENTS = {"A1": "Anna", "A2": "Anna", "B1": "Berta", "C1": "Cilly"}


def test_no_fold_trains_on_what_it_holds_out() -> None:
    folds = make_folds(PATIENTS, "section")
    assert [f.held_out for f in folds] == [("A1",), ("A2",), ("B1",), ("C1",)]
    assert [f.same_patient for f in folds] == [True, True, False, False]
    for fold in folds:
        assert not set(fold.held_out) & set(fold.trained)
        assert set(fold.held_out) | set(fold.trained) == set(PATIENTS)
    by_patient = make_folds(PATIENTS, "patient")
    assert [f.held_out for f in by_patient] == [("A1", "A2"), ("B1",), ("C1",)]
    assert not any(f.same_patient for f in by_patient)
    for fold in by_patient:
        assert not {PATIENTS[s] for s in fold.held_out} & {PATIENTS[s] for s in fold.trained}


def test_one_of_a_kind_cannot_be_left_out() -> None:
    with pytest.raises(SectionError, match=r"there is one: Anna\. With --leave-out section"):
        make_folds({"A1": "Anna", "A2": "Anna"}, "patient")
    with pytest.raises(SectionError, match="takes two; there is one: A1"):
        make_folds({"A1": "Anna"}, "section")


def test_a_leak_stops_the_evaluation() -> None:
    fold = make_folds(PATIENTS, "patient")[0]
    section = np.array(["B1", "C1", "A2"])
    with pytest.raises(ModelError, match="holds what is held out"):
        refuse_leaks(fold, "patient", section, np.array(["Berta", "Cilly", "Anna"]), PATIENTS)
    with pytest.raises(ModelError, match="Anna"):  # another section of the patient, under a new name
        refuse_leaks(fold, "patient", np.array(["X9"]), np.array(["Anna"]), PATIENTS)
    refuse_leaks(fold, "patient", section[:2], np.array(["Berta", "Cilly"]), PATIENTS)
    same = make_folds(PATIENTS, "section")[0]
    refuse_leaks(same, "section", np.array(["A2"]), np.array(["Anna"]), PATIENTS)
