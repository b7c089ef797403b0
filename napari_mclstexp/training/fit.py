"""Training of a bundle from paired sections, as a generator of epochs."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp import __version__
from napari_mclstexp.core.bundle import Bundle
from napari_mclstexp.core.bundle_beside import Beside
from napari_mclstexp.core.bundle_spec import BundleSpec
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.measured.expression import NORMALISATION
from napari_mclstexp.core.patches import Field
from napari_mclstexp.core.unlike import fit_unlike
from napari_mclstexp.training.agreement import dense_agreement
from napari_mclstexp.training.checkpoint import Kept, fingerprint
from napari_mclstexp.training.data import TrainingData, load_training_data
from napari_mclstexp.training.distributed import ALONE, Processes
from napari_mclstexp.training.network import fit_network
from napari_mclstexp.training.options import (
    FIELD_UM,
    PAPER_PATCH_PX,
    TrainingOptions,
    TrainingProgress,
    check_options,
    patch_side,
    recipe_of,
)
from napari_mclstexp.training.preprocess import choose_genes
from napari_mclstexp.training.reference import (
    reference_of,
    spot_distance,
    thumbnails_of,
)
from napari_mclstexp.training.ridge import fit_head
from napari_mclstexp.training.weights import (
    describe_initial,
    round_to_half,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_mclstexp.training.checkpoint import Checkpoints
    from napari_mclstexp.training.reference import Reference
    from napari_mclstexp.training.sections import Section

log = logging.getLogger(__name__)

FIELD_TO_PITCH = 1.2
"""Side of a patch's field over the distance between spots, where no field is given."""


def train(
    sections: list[Section],
    options: TrainingOptions,
    *,
    checkpoints: Checkpoints | None = None,
    processes: Processes = ALONE,
) -> Generator[TrainingProgress, None, tuple[Bundle, bool]]:
    """Train on paired sections. Closing the generator cancels it.

    Parameters
    ----------
    sections : list of Section
        Training sections.
    options : TrainingOptions
        How.
    checkpoints : Checkpoints, optional
        Where each epoch is kept, and whether to go on from there; removing them is left to the caller.
    processes : Processes
        Those that train together; this is the first of them, the others call :func:`train_along`.

    Yields
    ------
    TrainingProgress
        After each step.

    Returns
    -------
    bundle : Bundle
        The trained model with its reference bank.
    half : bool
        Whether its weights are those of float16, and can be stored as such.

    Raises
    ------
    SectionError, GeneError, ScaleError, DeviceError, ModelError, BundleError, CheckpointError, ExportError
        See each class.
    """
    genes, patch, data = _prepare(sections, options)
    if data.poor:
        log.info("%d spots with fewer than %d counts left out", data.poor, options.min_counts)
    kept = _kept(checkpoints, data, genes, options, processes)
    fitted = yield from fit_network(data, options, choose_device(options.device), kept, processes)
    processes.leave()
    model = fitted.model
    half = round_to_half(model, data, patch_side(options))
    reference = reference_of(model, data, options)
    spec = _specify(options, patch, data, reference, genes, fitted.history)
    weights = {key: value.detach().clone() for key, value in model.state_dict().items()}
    paper = options.mode == "paper"
    beside = Beside(
        ridge=None if paper else fit_head(reference.seen.described, reference.bank.values),
        unlike=fit_unlike(reference.alone.looks, data.section),
        thumbnails=thumbnails_of(data, options) if options.thumbnails else None,
    )
    bundle = Bundle(
        spec,
        weights,
        data.expression,
        reference.bank.embeddings,
        data.section,
        data.patient,
        data.positions,
        beside=beside,
    )
    if options.margin_px:
        bundle = replace(bundle, spec=replace(spec, dense=dense_agreement(bundle, sections)))
    return bundle, half


def train_along(
    sections: list[Section],
    options: TrainingOptions,
    *,
    checkpoints: Checkpoints | None,
    processes: Processes,
) -> Generator[TrainingProgress, None, None]:
    """Do the share of a process that is not the first; see :func:`train`. It makes no bundle."""
    genes, _, data = _prepare(sections, options)
    kept = _kept(checkpoints, data, genes, options, processes)
    yield from fit_network(data, options, choose_device(options.device), kept, processes)
    processes.leave()


def _prepare(
    sections: list[Section], options: TrainingOptions
) -> tuple[tuple[str, ...], Field, TrainingData]:
    """Genes, what a patch shows, and the spots."""
    check_options(options)
    choose_device(options.device)
    genes = choose_genes(sections, options.genes, options.min_counts)
    patch = patch_field(options, sections)
    return (
        genes,
        patch,
        load_training_data(sections, genes, patch.widened(options.margin_px), options.min_counts),
    )


def _kept(
    checkpoints: Checkpoints | None,
    data: TrainingData,
    genes: tuple[str, ...],
    options: TrainingOptions,
    processes: Processes,
) -> Kept | None:
    if checkpoints is None:
        return None
    return Kept(checkpoints, fingerprint(data, genes, recipe_of(options), processes.size))


def patch_field(options: TrainingOptions, sections: list[Section]) -> Field:
    """What a patch shows: a field that goes with the distance between spots, where none is given."""
    if options.mode == "paper":
        return Field(PAPER_PATCH_PX, None)
    if options.field_um is not None:
        return Field(options.patch_px, options.field_um)
    apart = [spot_distance(s.xy_px * (s.scale.mpp_x, s.scale.mpp_y)) for s in sections if s.scale is not None]
    field_um = FIELD_UM if not apart else round(FIELD_TO_PITCH * float(np.median(apart)), 1)
    return Field(options.patch_px, min(max(field_um, 50.0), 300.0))


def _specify(
    options: TrainingOptions,
    patch: Field,
    data: TrainingData,
    reference: Reference,
    genes: tuple[str, ...],
    history: list[dict[str, float]],
) -> BundleSpec:
    """Describe the trained model."""
    paper = options.mode == "paper"
    return BundleSpec(
        name=options.name,
        mode=options.mode,
        field_um=patch.field_um,
        patch_px=patch.patch_px,
        mpp=None if patch.field_um is None else patch.field_um / patch.patch_px,
        top_k=reference.bank.k,
        weighting=options.weighting,
        temperature=reference.bank.temperature,
        normalisation=NORMALISATION,
        genes=genes,
        sections=tuple(
            {
                "section": str(name),
                "patient": str(data.patient[data.section == name][0]),
                "spots": int((data.section == name).sum()),
            }
            for name in dict.fromkeys(data.section.tolist())
        ),
        licence=options.licence,
        training={
            "seed": options.seed,
            "epochs": options.epochs,
            "min_counts": options.min_counts,
            "spots_left_out": data.poor,
            "initial_weights": describe_initial(options.initial),
            "history": history,
            "version": __version__,
            "torch": torch.__version__,
            "recipe": recipe_of(replace(options, field_um=patch.field_um)),
        },
        context_um=reference.context_um,
        margin_px=options.margin_px,
        centred=not paper,
        head="retrieval" if paper else "mean",
    )
