"""Evaluation on held-out sections: folds -> training -> heads and baselines -> scores.

Everything is fitted within a fold on what it trains on: genes, levels, penalties, panels. What is chosen
afterwards (the head, the widths of intervals) is chosen for each section by the other folds alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_mclstexp import __version__
from napari_mclstexp.core.atomic import make_folder
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.held_out import COVERAGE
from napari_mclstexp.errors import GeneError, SectionError
from napari_mclstexp.training.data import TrainingData, load_training_data
from napari_mclstexp.training.evaluation import PANELS, Evaluation, HeldOutSection
from napari_mclstexp.training.fit import patch_field
from napari_mclstexp.training.fold_scores import FoldOutcome, score_fold
from napari_mclstexp.training.folds import make_folds, refuse_leaks
from napari_mclstexp.training.kept import keep_network, load_network, network_file
from napari_mclstexp.training.methods import HEAD_METHODS, METHODS
from napari_mclstexp.training.network import fit_network
from napari_mclstexp.training.options import check_options, recipe_of
from napari_mclstexp.training.preprocess import choose_genes, expression_of, listed_genes, rich_spots
from napari_mclstexp.training.scores import covering_width
from napari_mclstexp.training.unlike_scores import read_others

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.training.folds import Fold, LeaveOut
    from napari_mclstexp.training.network import Fitted
    from napari_mclstexp.training.options import TrainingOptions, TrainingProgress
    from napari_mclstexp.training.sections import Section
    from napari_mclstexp.training.unlike_scores import OtherSlide

FEWEST = 8
"""Spots that a section needs to be scored."""
SHARES = tuple(np.round(np.arange(0.1, 1.01, 0.1), 1).tolist())


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """Where an evaluation is.

    Attributes
    ----------
    fold, folds : int
        Fold at work, from 1, and of how many.
    stage : str
        What is done.
    training : TrainingProgress or None
        While its network is trained.
    """

    fold: int
    folds: int
    stage: str
    training: TrainingProgress | None = None


def evaluate(
    sections: list[Section],
    options: TrainingOptions,
    leave_out: LeaveOut,
    *,
    panel: str | None = None,
    others: Sequence[OtherSlide] = (),
    networks: Path | None = None,
) -> Generator[EvaluationProgress, None, Evaluation]:
    """Train and score fold by fold. Closing the generator cancels it.

    Parameters
    ----------
    sections : list of Section
        With distinct names.
    options : TrainingOptions
        The recipe; each fold is trained by it anew.
    leave_out : {"patient", "section"}
        What each fold holds out.
    panel : str, optional
        File with the genes to score; those that a fold's model lacks score 0 in it. By default the genes
        that are chosen in every fold.
    others : sequence of OtherSlide
        Slides of another kind, to be told apart from the held-out tissue.
    networks : pathlib.Path, optional
        Folder where each fold's network is kept, and taken from where it lies there already.

    Yields
    ------
    EvaluationProgress
        After each training step, and at each stage.

    Returns
    -------
    Evaluation
        What was found.

    Raises
    ------
    SectionError, GeneError, ScaleError, DeviceError, ModelError, ExportError
        See each class.
    """
    check_options(options)
    folds = make_folds({s.name: s.patient for s in sections}, leave_out)
    by_name = {s.name: s for s in sections}
    chosen = [
        choose_genes([by_name[n] for n in fold.trained], options.genes, options.min_counts) for fold in folds
    ]
    genes = listed_genes(panel) if panel else tuple(sorted(set(chosen[0]).intersection(*chosen[1:])))
    if not all(set(genes).intersection(own) for own in chosen):
        what = "No gene of the panel is known to every fold" if panel else "No gene is chosen in every fold"
        msg = f"{what}. Choose more genes, or other ones."
        raise GeneError(msg)
    for section in sections:
        if (rich := int(rich_spots(section, options.min_counts).sum())) < FEWEST:
            msg = (
                f"Section {section.name} has {rich} spots of {options.min_counts} counts or more; {FEWEST} "
                "are needed to score it. Leave it out, or lower --min-counts."
            )
            raise SectionError(msg)
    if networks is not None:
        make_folder(networks)
    yield EvaluationProgress(0, len(folds), "Reading patches")
    shared = sorted(set(sections[0].genes).intersection(*(s.genes for s in sections[1:])))
    field = patch_field(options, sections)
    wide = field.widened(options.margin_px)
    data = load_training_data(sections, tuple(shared[:1]), wide, options.min_counts)
    unlike = read_others(others, field)
    patients = {str(n): str(p) for n, p in zip(data.section, data.patient, strict=True)}
    outcomes, history, seconds = [], [], []
    for number, (fold, own) in enumerate(zip(folds, chosen, strict=True), 1):
        trained = [by_name[name] for name in fold.trained]
        part = part_of(data, trained, own, options.min_counts)
        refuse_leaks(fold, leave_out, part.section, part.patient, patients)
        began = time.monotonic()
        fitted = yield from _network(part, own, options, networks, (number, len(folds)))
        seconds.append(time.monotonic() - began)
        history.append(fitted.history)
        yield EvaluationProgress(number, len(folds), "Scoring")
        held = [by_name[name] for name in fold.held_out]
        outcomes.append(score_fold(fitted.model, data, part, held, own, genes, options, unlike))
    yield EvaluationProgress(len(folds), len(folds), "Summing up")
    return _sum_up(folds, outcomes, genes, leave_out, options, panel, patients, history, seconds)


def _network(
    part: TrainingData,
    genes: tuple[str, ...],
    options: TrainingOptions,
    networks: Path | None,
    at: tuple[int, int],
) -> Generator[EvaluationProgress, None, Fitted]:
    """Train the network of a fold, or take the one that was kept."""
    path = None if networks is None else network_file(networks, part, genes, options)
    if path is not None and (kept := load_network(path, part, options)) is not None:
        yield EvaluationProgress(*at, "Taking the network that was kept")
        return kept
    training = fit_network(part, options, choose_device(options.device))
    while True:
        try:
            step = next(training)
        except StopIteration as stop:
            fitted: Fitted = stop.value
            break
        yield EvaluationProgress(*at, "Training", step)
    if path is not None:
        keep_network(path, fitted)
    return fitted


def part_of(
    data: TrainingData, sections: list[Section], genes: tuple[str, ...], min_counts: int
) -> TrainingData:
    """The spots of some sections, with the expression of these genes."""
    names = [s.name for s in sections]
    rows = np.isin(data.section, names)
    values = [expression_of(s, genes)[rich_spots(s, min_counts)] for s in sections]
    return replace(
        data,
        patches=data.patches[rows],
        expression=np.concatenate(values),
        positions=data.positions[rows],
        section=data.section[rows],
        patient=data.patient[rows],
        poor=sum(int((~rich_spots(s, min_counts)).sum()) for s in sections),
    )


def _sum_up(
    folds: tuple[Fold, ...],
    outcomes: list[FoldOutcome],
    genes: tuple[str, ...],
    leave_out: LeaveOut,
    options: TrainingOptions,
    panel: str | None,
    patients: dict[str, str],
    history: list[list[dict[str, float]]],
    seconds: list[float],
) -> Evaluation:
    """Choose the head, and what an interval needs, each for a section by the other folds."""
    everyone = range(len(folds))
    heads = HEAD_METHODS[:2] if options.mode == "paper" else HEAD_METHODS  # a paper bundle has no ridge
    head = _best_head(outcomes, everyone, heads)
    told = []
    for i in everyone:
        rest = [j for j in everyone if j != i]
        own_head = _best_head(outcomes, rest, heads)
        width = covering_width(np.concatenate([outcomes[j].residuals[own_head] for j in rest]), COVERAGE)
        for section in outcomes[i].sections:
            inside = outcomes[i].residuals[own_head][section.rows] <= width
            told.append(
                HeldOutSection(
                    name=section.name,
                    patient=patients[section.name],
                    fold=i,
                    same_patient=folds[i].same_patient,
                    spots=len(inside),
                    poor=section.poor,
                    panels=outcomes[i].panels,
                    scores=section.scores,
                    coverage=float(inside.mean()),
                    depth=section.depth[own_head],
                    looks=section.looks[own_head],
                    head=own_head,
                )
            )
    similarity = np.concatenate([o.similarity for o in outcomes])
    means = {h: _mean_pcc(outcomes, everyone, h) for h in heads}
    reason = (
        f"best of {', '.join(f'{h} {v:.3f}' for h, v in means.items())}: PCC over {len(genes)} genes in "
        f"{len(told)} held-out sections"
        + (", patients partly in training" if any(f.same_patient for f in folds) else ", patients held out")
    )
    return Evaluation(
        genes=genes,
        absent=tuple(sorted(set().union(*(o.absent for o in outcomes)))),
        methods=METHODS,
        sections=tuple(told),
        leave_out=leave_out,
        folds=folds,
        seed=options.seed,
        head=head,
        head_reason=reason,
        width=covering_width(np.concatenate([o.residuals[head] for o in outcomes]), COVERAGE),
        similarity=np.percentile(similarity, np.arange(101)),
        risk=_risk(outcomes, head, similarity),
        unlike=tuple(row for o in outcomes for row in o.unlike),
        history=tuple(history),
        seconds=tuple(seconds),
        about=_about(options, panel),
    )


def _mean_pcc(outcomes: list[FoldOutcome], which: Sequence[int], head: str) -> float:
    found = [s.scores[head].pcc.mean() for i in which for s in outcomes[i].sections]
    return float(np.mean(found))


def _best_head(outcomes: list[FoldOutcome], which: Sequence[int], heads: Sequence[str]) -> str:
    """Head of the highest correlation over all genes; the first of equals."""
    return max(heads, key=lambda head: _mean_pcc(outcomes, which, head))


def _risk(
    outcomes: list[FoldOutcome], head: str, similarity: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """Mean error of the most similar spots over that of all, by the share that is kept."""
    error = np.concatenate([o.residuals[head].mean(axis=1) for o in outcomes])
    order = np.argsort(-similarity, kind="stable")
    whole = float(error.mean()) or 1.0
    kept = [order[: max(1, round(share * len(order)))] for share in SHARES]
    return tuple((share, float(error[rows].mean()) / whole) for share, rows in zip(SHARES, kept, strict=True))


def _chosen_by(options: TrainingOptions, panel: str | None) -> str:
    """How the genes that are scored were chosen: by a list, in each fold, or for the bundle."""
    if isinstance(options.genes, tuple):
        return "bundle"
    return "fold" if panel is None and str(options.genes).isdigit() else "given"


def _about(options: TrainingOptions, panel: str | None) -> dict[str, Any]:
    """What stands in the record: the recipe without names of files, and versions."""
    return {
        **recipe_of(options),
        "genes": int(str(options.genes)) if str(options.genes).isdigit() else "a list",
        "genes_chosen": _chosen_by(options, panel),
        "panels": list(PANELS),
        "coverage": COVERAGE,
        "version": __version__,
        "torch": torch.__version__,
    }
