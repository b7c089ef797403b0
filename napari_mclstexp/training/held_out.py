"""From an evaluation to the bundle that it is about."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.bundle import Bundle, load_bundle, save_bundle
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.errors import BundleError
from napari_mclstexp.training.evaluation import PANELS
from napari_mclstexp.training.options import NO_RECIPE, TrainingOptions

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.training.evaluation import Evaluation
    from napari_mclstexp.training.sections import Section


def options_of(bundle: Bundle, device: str) -> TrainingOptions:
    """The recipe by which a bundle was trained, for its own genes.

    Raises
    ------
    BundleError
        The bundle does not tell it.
    """
    recipe = bundle.spec.training.get("recipe")
    usual = TrainingOptions()
    names = {f.name for f in fields(usual)}.difference((*NO_RECIPE, "allow_download"))
    known = {name: getattr(usual, name) for name in names}
    if not isinstance(recipe, dict) or not _fits(recipe, known):
        msg = (
            f"The bundle {bundle.spec.name} does not tell by what recipe it was trained: it was imported, or "
            "made by an earlier version. Train it again, or evaluate without --bundle."
        )
        raise BundleError(msg)
    if recipe.get("initial", usual.initial) != usual.initial:
        msg = (
            f"The bundle {bundle.spec.name} was not trained from random weights; an evaluation cannot repeat "
            "its recipe yet. Evaluate without --bundle."
        )
        raise BundleError(msg)
    given = {name: value for name, value in recipe.items() if name in known}
    return TrainingOptions(**given, genes=bundle.spec.genes, device=device)


def _fits(recipe: dict[str, object], known: dict[str, object]) -> bool:
    """Whether each entry is one of a recipe, and of its kind."""
    for name, value in recipe.items():
        if name == "allow_download":
            continue
        if name not in known:
            return False
        usual = known[name]
        kinds = (int, float, type(None)) if usual is None or isinstance(usual, float) else (type(usual),)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(usual, bool):
            return False
    return True


def refuse_other_sections(bundle: Bundle, sections: list[Section]) -> None:
    """Raise BundleError unless the bundle was trained on just these sections."""
    trained = {str(s["section"]) for s in bundle.spec.sections}
    given = {s.name for s in sections}
    if trained != given:
        msg = (
            f"The bundle {bundle.spec.name} was trained on {', '.join(sorted(trained))}; given were "
            f"{', '.join(sorted(given))}. What is told of it must come from its own sections."
        )
        raise BundleError(msg)


def tell_bundle(path: Path, evaluation: Evaluation) -> Bundle:
    """Write into a bundle folder what its evaluation found, and which head won.

    Parameters
    ----------
    path : pathlib.Path
        The folder; it is replaced whole.
    evaluation : Evaluation
        Of the bundle's recipe on its sections.

    Returns
    -------
    Bundle
        As it is now.

    Raises
    ------
    BundleError
        The bundle is a zip, or is damaged.
    """
    if not path.is_dir():
        msg = f"{path.name} is a zip. Evaluate the bundle's folder, then zip it."
        raise BundleError(msg)
    bundle = load_bundle(path)
    held_out = held_out_of(evaluation, bundle.spec.genes)
    spec = replace(
        bundle.spec,
        head=evaluation.head,  # type: ignore[arg-type]
        head_reason=evaluation.head_reason,
        evaluation={**held_out.story(), "pcc": _figures(evaluation)},
    )
    half = all(bool((v == v.half().float()).all()) for v in bundle.weights.values() if v.is_floating_point())
    told = replace(bundle, spec=spec, beside=replace(bundle.beside, held_out=held_out))
    save_bundle(told, path, half=half, overwrite=True)
    return load_bundle(path)


def held_out_of(evaluation: Evaluation, genes: tuple[str, ...]) -> HeldOut:
    """What an evaluation says of these genes; of one that it did not score, nothing good."""
    pcc, low, high = evaluation.gene_table(evaluation.head)
    at = {gene: i for i, gene in enumerate(evaluation.genes)}
    rows = np.array([at.get(gene, -1) for gene in genes])

    def of(values: np.ndarray) -> np.ndarray:
        return np.where(rows < 0, 0.0, values[rows]).astype(np.float32)

    return HeldOut(
        pcc=of(pcc),
        low=of(low),
        high=of(high),
        width=of(evaluation.width),
        similarity=evaluation.similarity.astype(np.float32),
        protocol=f"leave-{evaluation.leave_out}-out",
        same_patient=evaluation.same_patient,
        sections=len(evaluation.sections),
        patients=len(set(evaluation.patients)),
        intervals=evaluation.resampled,
    )


def _figures(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Mean correlation by method and panel."""
    return {
        method.key: {panel: round(evaluation.panel_pcc(method.key, panel)[0], 4) for panel in PANELS}
        for method in evaluation.methods
    }
