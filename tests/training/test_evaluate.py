"""Evaluation on held-out sections: nothing leaks, chance stays chance, and the bundle is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from steps import finish

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.errors import BundleError, GeneError, ModelError, SectionError
from napari_mclstexp.training import evaluate as module
from napari_mclstexp.training.evaluate import evaluate
from napari_mclstexp.training.held_out import options_of
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.sections import name_patients, read_section, tell_patients

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.training.evaluation import Evaluation

OPTIONS = TrainingOptions(epochs=2, patch_px=32, batch_size=16, top_k=8, device="cpu")
PATIENTS = {"S1": "Anna Secret", "S2": "Anna Secret", "S3": "Berta"}


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory, make_section: Callable[..., Path]) -> list[Path]:
    """Three sections of two patients, 49 spots each."""
    folder = tmp_path_factory.mktemp("three")
    return [
        make_section(folder, name, seed=i, spots=(7, 7), patient=patient)
        for i, (name, patient) in enumerate(PATIENTS.items())
    ]


@pytest.fixture(scope="module")
def found(sections: list[Path]) -> Evaluation:
    """By section."""
    return finish(evaluate([read_section(str(p)) for p in sections], OPTIONS, "section"))[1]


def test_every_section_is_held_out_once_and_every_method_scored(found: Evaluation) -> None:
    assert [s.name for s in found.sections] == list(PATIENTS)
    assert [s.same_patient for s in found.sections] == [True, True, False]
    assert [s.patient for s in found.sections] == ["P1", "P1", "P2"]
    assert found.same_patient
    for section in found.sections:
        assert set(section.scores) == {m.key for m in found.methods}
        assert section.spots == 49
        assert 0 <= section.coverage <= 1
        for score in section.scores.values():
            figures = (score.mse, score.mae, score.mse_ratio, score.variance_ratio, score.morans)
            assert np.isfinite(figures).all()
    assert found.panel_pcc("training-mean", "all")[0] == 0
    assert found.sections[0].scores["training-mean"].mse_ratio == pytest.approx(1)
    assert "spatial blocks" in found.resampled
    assert len(found.history) == 3
    assert all(len(h) == 2 for h in found.history)


def test_shuffled_pairs_fall_to_chance(found: Evaluation) -> None:
    mean, low, high = found.panel_pcc("shuffled", "all")
    assert abs(mean) < 0.08  # 36 correlations of 49 spots each: about 0.024 by chance
    assert low < 0.05
    assert high > -0.05


def test_our_head_of_a_section_is_chosen_without_it(found: Evaluation) -> None:
    heads = [m.key for m in found.methods if m.kind == "head"]
    for i, section in enumerate(found.sections):
        others = [s for j, s in enumerate(found.sections) if j != i]
        means = {h: np.mean([s.scores[h].pcc.mean() for s in others]) for h in heads}
        assert means[section.head] == max(means.values())


@pytest.mark.parametrize("leave_out", ["section", "patient"])
def test_no_network_and_no_bank_ever_sees_what_is_held_out(
    sections: list[Path], leave_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What every fold's network is trained on, and what its bank holds, seen where they are made."""
    trained, banks = [], []
    fit, score = module.fit_network, module.score_fold

    def watch_fit(data, *rest):
        trained.append((set(data.section.tolist()), set(data.patient.tolist())))
        return fit(data, *rest)

    def watch_score(model, data, part, held, *rest):
        banks.append((set(part.section.tolist()), set(part.patient.tolist()), {s.name for s in held}))
        return score(model, data, part, held, *rest)

    monkeypatch.setattr(module, "fit_network", watch_fit)
    monkeypatch.setattr(module, "score_fold", watch_score)
    options = replace(OPTIONS, epochs=1)
    _, found = finish(evaluate([read_section(str(p)) for p in sections], options, leave_out))
    patient = {"S1": "P1", "S2": "P1", "S3": "P2"}
    assert len(trained) == len(banks) == (3 if leave_out == "section" else 2)
    for (names, patients), (bank, bank_patients, held) in zip(trained, banks, strict=True):
        assert names == bank
        assert patients == bank_patients
        assert not bank & held
        if leave_out == "patient":
            assert not bank_patients & {patient[h] for h in held}
    assert found.same_patient == (leave_out == "section")


def test_a_leak_is_noticed_at_run_time(sections: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = module.part_of

    def leaking(data, trained, *rest):
        return whole(data, [read_section(str(p)) for p in sections], *rest)

    monkeypatch.setattr(module, "part_of", leaking)
    with pytest.raises(ModelError, match="holds what is held out"):
        finish(evaluate([read_section(str(p)) for p in sections], OPTIONS, "section"))


def test_the_same_seed_gives_the_same_figures(sections: list[Path], found: Evaluation) -> None:
    _, again = finish(evaluate([read_section(str(p)) for p in sections], OPTIONS, "section"))
    assert again.head == found.head
    for method in found.methods:
        np.testing.assert_array_equal(again.pcc(method.key), found.pcc(method.key))
        assert again.panel_pcc(method.key, "top50") == found.panel_pcc(method.key, "top50")
    np.testing.assert_array_equal(again.width, found.width)


def test_genes_of_a_panel_that_no_model_has_score_0(sections: list[Path], tmp_path: Path) -> None:
    panel = tmp_path / "panel.txt"
    panel.write_text("ERBB2\nNOSUCHGENE\nVIM\n")
    options = replace(OPTIONS, epochs=1, genes=str(panel))
    read = [read_section(str(p)) for p in sections]
    _, found = finish(evaluate(read, options, "section", panel=str(panel)))
    assert found.genes == ("ERBB2", "NOSUCHGENE", "VIM")
    assert found.absent == ("NOSUCHGENE",)
    for method in found.methods:
        assert (found.pcc(method.key)[:, 1] == 0).all()


def test_what_cannot_be_scored_is_refused_before_any_training(sections: list[Path], tmp_path: Path) -> None:
    read = [read_section(str(p)) for p in sections]
    panel = tmp_path / "panel.txt"
    panel.write_text("NOSUCHGENE\n")
    with pytest.raises(GeneError, match="No gene of the panel is known"):
        finish(evaluate(read, OPTIONS, "section", panel=str(panel)))
    counts = read[1].counts.copy()
    counts.data[:] = 1
    poor = [read[0], replace(read[1], values=counts), read[2]]
    with pytest.raises(SectionError, match="Section S2 has 0 spots of 200 counts"):
        finish(evaluate(poor, OPTIONS, "section"))


def test_patients_can_be_told(sections: list[Path]) -> None:
    read = [read_section(str(p)) for p in sections]
    assert tell_patients(read).startswith("Taken as 2 patients: S1 + S2; S3.")
    told = name_patients(read, ["S3=Anna Secret"])
    assert tell_patients(told).startswith("Taken as 1 patient: S1 + S2 + S3.")


def test_a_recipe_from_a_stranger_starts_nothing(trained: tuple[Bundle, bool]) -> None:
    bundle = trained[0]
    assert options_of(bundle, "cpu").epochs == 1
    for entry, why in (
        ({"initial": "imagenet", "allow_download": True}, "not trained from random weights"),
        ({"initial": "/etc/passwd"}, "not trained from random weights"),
        ({"epochs": "many"}, "does not tell by what recipe"),
        ({"thumbnails": True}, "does not tell by what recipe"),
        ({"shell": "x"}, "does not tell by what recipe"),
    ):
        recipe = bundle.spec.training["recipe"] | entry
        spoilt = replace(bundle, spec=replace(bundle.spec, training={"recipe": recipe}))
        with pytest.raises(BundleError, match=why):
            options_of(spoilt, "cpu")


def test_an_interrupted_evaluation_goes_on_with_the_folds_that_are_trained(
    sections: list[Path], found: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = [read_section(str(p)) for p in sections]
    steps = evaluate(read, OPTIONS, "section", networks=tmp_path / "networks")
    for step in steps:
        if step.fold == 3 and step.training is not None:
            steps.close()
    assert len(list((tmp_path / "networks").iterdir())) == 2
    times = []
    fit = module.fit_network
    monkeypatch.setattr(module, "fit_network", lambda *rest: (times.append(1), fit(*rest))[1])
    _, again = finish(evaluate(read, OPTIONS, "section", networks=tmp_path / "networks"))
    assert len(times) == 1
    np.testing.assert_array_equal(again.pcc("mean"), found.pcc("mean"))
    assert again.history == found.history


def test_the_command_evaluates_a_bundle_and_tells_it(
    run: Callable, sections: list[Path], slide_path: Path, tmp_path: Path
) -> None:
    small = ["--epochs", 2, "--patch-px", 32, "--batch-size", 16, "--top-k", 8, "--device", "cpu"]
    made = run("train", *sections, "--out", tmp_path / "b", *small)
    assert made.code == 0, made.err
    before = load_bundle(tmp_path / "b")
    assert before.spec.head_reason == "not evaluated on held-out sections"
    words = ["evaluate", *sections, "--leave-out", "section", "--device", "cpu", "--bundle", tmp_path / "b"]
    done = run(*words, "--out", tmp_path / "report")
    assert done.code == 0, done.err
    assert (tmp_path / "report" / "report.html").is_file()
    assert not (tmp_path / "report.networks").exists()
    told = load_bundle(tmp_path / "b")
    assert told.spec.head_reason.startswith("best of retrieval")
    assert told.spec.evaluation["same_patient"] is True
    assert all(np.array_equal(told.weights[k], before.weights[k]) for k in before.weights)
    shown = run("bundle", "show", tmp_path / "b").out
    assert "same patient in training" in shown
    assert f"predicts by  {told.spec.head}" in shown

    out = tmp_path / "r.h5ad"
    assert run("predict", slide_path, "--bundle", tmp_path / "b", "--out", out, "--device", "cpu").code == 0
    result = ad.read_h5ad(out)
    assert {"patients", "similarity_percentile", "similarity", "spread", "effective_k"} <= set(result.obs)
    assert {"heldout_pcc", "heldout_pcc_low", "heldout_pcc_high", "interval_width", "predictable"} <= set(
        result.var
    )
    np.testing.assert_array_equal(result.var["heldout_pcc"], told.beside.held_out.pcc)
    assert result.obs["similarity_percentile"].between(0, 100).all()
    assert result.obs["patients"].between(1, 2).all()
    assert result.obsm["match_rows"].shape == result.obsm["match_weights"].shape
    assert result.uns["mclstexp"]["evaluation"]["protocol"] == "leave-section-out"

    mine = tmp_path / "b.training" / "thesis.txt"  # where a training keeps its epochs
    mine.parent.mkdir()
    mine.write_text("years of work")
    again = run("train", *sections, "--out", tmp_path / "b", "--overwrite", *small)
    assert again.code == 0, again.err
    assert mine.read_text() == "years of work"

    for words_of, why in (
        ((*words, "--panel", tmp_path / "p"), "exclude each other"),
        ((*words[:-1], tmp_path / "b.zip"), "is no bundle folder"),
        ((*words[:-2], "--patient", "S9=Anna"), "--patient takes SECTION=NAME"),
        ((*words[:-2], "--patch-px", 0), "--patch-px is 0"),
        ((*words[:-2], "--seed", -1), "seed -1 is out of range"),
    ):
        refused = run(*words_of, "--out", tmp_path / "refused")
        assert refused.code == 2, refused.err
        assert why in refused.err
        assert not (tmp_path / "refused").exists()

    other = run(*words[:3], *words[4:], "--out", tmp_path / "other")
    assert other.code == 2
    assert "was trained on S1, S2, S3" in other.err
