"""Training of a bundle from paired sections, as a generator of epochs."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mclstexp import __version__
from napari_mclstexp.core.bundle import Bundle
from napari_mclstexp.core.bundle_beside import Beside
from napari_mclstexp.core.bundle_spec import BundleSpec
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.measured.expression import NORMALISATION
from napari_mclstexp.core.model import IMAGE_FEATURES, MclSTExp, neighbourhoods
from napari_mclstexp.core.patches import Field
from napari_mclstexp.core.unlike import fit_unlike
from napari_mclstexp.errors import ModelError, SectionError
from napari_mclstexp.training.augment import augment
from napari_mclstexp.training.checkpoint import Kept, fingerprint
from napari_mclstexp.training.data import TrainingData, load_training_data
from napari_mclstexp.training.distributed import ALONE, Processes
from napari_mclstexp.training.options import (
    FIELD_UM,
    TrainingOptions,
    TrainingProgress,
    check_options,
    recipe_of,
)
from napari_mclstexp.training.preprocess import choose_genes
from napari_mclstexp.training.reference import (
    reference_of,
    spot_distance,
    thumbnails_of,
    training_values,
)
from napari_mclstexp.training.ridge import fit_head
from napari_mclstexp.training.weights import (
    describe_initial,
    load_initial,
    round_to_half,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_mclstexp.training.checkpoint import Checkpoints
    from napari_mclstexp.training.reference import Reference
    from napari_mclstexp.training.sections import Section

__all__ = [
    "Fitted",
    "TrainingOptions",
    "TrainingProgress",
    "check_options",
    "contrastive_loss",
    "fit_network",
    "patch_field",
    "position_rows",
    "recipe_of",
    "train",
    "train_along",
]

log = logging.getLogger(__name__)

PAPER_PATCH_PX = 224
FIELD_TO_PITCH = 1.2
"""Side of a patch's field over the distance between spots, where no field is given."""
OTHER_SECTION = -1e4
"""Logit of a spot of another section: no negative, so that a section's stain or depth teaches nothing."""


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
    half = round_to_half(model, data, patch.patch_px)
    reference = reference_of(model, data, options)
    spec = _specify(options, patch, data, reference, genes, fitted.history)
    weights = {key: value.detach().clone() for key, value in model.state_dict().items()}
    paper = options.mode == "paper"
    beside = Beside(
        ridge=None if paper else fit_head(reference.seen.described, reference.bank.values),
        unlike=fit_unlike(reference.alone.looks, data.section),
        thumbnails=thumbnails_of(data, options) if options.thumbnails else None,
    )
    return Bundle(
        spec,
        weights,
        data.expression,
        reference.bank.embeddings,
        data.section,
        data.patient,
        data.positions,
        beside=beside,
    ), half


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
    return genes, patch, load_training_data(sections, genes, patch, options.min_counts)


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network.

    Attributes
    ----------
    model : MclSTExp
        On the CPU, in evaluation state.
    history : list of dict
        Loss and accuracy of each epoch.
    """

    model: MclSTExp
    history: list[dict[str, float]]


def fit_network(
    data: TrainingData,
    options: TrainingOptions,
    device: torch.device,
    kept: Kept | None = None,
    processes: Processes = ALONE,
) -> Generator[TrainingProgress, None, Fitted]:
    """Train the network alone. Closing the generator cancels it.

    Parameters
    ----------
    data : TrainingData
        What to train on.
    options : TrainingOptions
        How.
    device : torch.device
        Where.
    kept : Kept, optional
        The checkpoints of this very training.
    processes : Processes
        Those that train together.

    Yields
    ------
    TrainingProgress
        After each step.

    Returns
    -------
    Fitted
        The network and how its training went.

    Raises
    ------
    ModelError
        The loss is not finite any more.
    BundleError
        The initial weights cannot be had.
    SectionError
        There are too few spots for so many processes.
    CheckpointError, ExportError
        A checkpoint cannot be read, or written.
    """
    torch.manual_seed(options.seed)
    rows = position_rows(data, options)
    model = MclSTExp(data.expression.shape[1], options.mode, rows)
    if processes.first:
        load_initial(model, options)
    history = yield from _Fit(model.to(device), data, options, device, processes).run(kept)
    return Fitted(model.cpu().eval(), history)


def position_rows(
    data: TrainingData, options: TrainingOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Array x and y that are in use, ascending: what mode ``paper`` has an embedding of."""
    if options.mode != "paper":
        return None
    x, y = (np.unique(np.rint(data.positions).astype(np.int64)[:, i]) for i in (0, 1))
    return x, y


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
        centred=not paper,
        head="retrieval" if paper else "mean",
    )


class _Fit:
    """One run of training: the network, its data and its optimiser."""

    def __init__(
        self,
        model: MclSTExp,
        data: TrainingData,
        options: TrainingOptions,
        device: torch.device,
        processes: Processes,
    ) -> None:
        if device.type != "mps":  # several times as fast on the CPU
            model = model.to(memory_format=torch.channels_last)
        self.model, self.data, self.options, self.processes = model, data, options, processes
        self.paper = options.mode == "paper"
        self.patch_px, self.device = PAPER_PATCH_PX if self.paper else options.patch_px, device
        self.generator = torch.Generator().manual_seed(options.seed)
        self.patches = torch.from_numpy(data.patches)
        self.expression = torch.from_numpy(training_values(data, options))
        self.section = torch.from_numpy(np.unique(data.section, return_inverse=True)[1])
        mean, std = self.expression.mean(0), self.expression.std(0).clamp(min=1e-3)
        self.standard = (self.expression - mean) / std
        self.near = [torch.from_numpy(a) for a in neighbourhoods(data.positions, data.section)]
        # An auxiliary regression from image features steadies the contrast on few spots; it is not
        # part of the bundle.
        self.regression = nn.Linear(IMAGE_FEATURES, self.expression.shape[1]).to(device)
        self.batch = self._batch()
        processes.copy_first(model, self.regression)
        self.steps = len(data.section) // self.batch
        self.optimiser, self.schedule = self._optimiser()

    def _batch(self) -> int:
        """Spots a step: as many for each process."""
        wanted = min(self.options.batch_size or (128 if self.paper else 64), len(self.data.section))
        own = wanted // self.processes.size
        if own < 2:
            msg = (
                f"A batch of {wanted} spots is too small for {self.processes.size} processes: each needs 2. "
                "Start fewer, or give a larger --batch-size."
            )
            raise SectionError(msg)
        return own * self.processes.size

    def _optimiser(self) -> tuple[torch.optim.Optimizer, Any]:
        if self.paper:
            adam = torch.optim.Adam(self.model.parameters(), lr=1e-4, weight_decay=1e-3)
            return adam, None
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            plain = parameter.ndim < 2 or name.startswith("position.")
            (free if plain else decayed).append(parameter)
        groups = [
            {"params": [*decayed, *self.regression.parameters()], "weight_decay": 1e-2},
            {"params": free, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=1e-3)
        total = max(2, self.steps * self.options.epochs)
        warm = max(1, total // 10)

        def rate(step: int) -> float:
            """Rises for a tenth of the steps, then falls to 0 along half a cosine."""
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm + 1)))

        return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate)

    def run(self, kept: Kept | None) -> Generator[TrainingProgress, None, list[dict[str, float]]]:
        """Train all epochs; returns loss and accuracy of each."""
        history: list[dict[str, float]] = []
        epochs, began = self.options.epochs, time.monotonic()
        if kept is not None and kept.checkpoints.resume:
            state, note = kept.load()
            if state is not None:
                history, began = state["history"], began - state["seconds"]
                self._restore(state)
            yield TrainingProgress(len(history), epochs, 0, self.steps, 0.0, 0.0, 0.0, note)
        elif kept is not None and self.processes.first:
            kept.checkpoints.remove()
        self.model.train()
        for epoch in range(len(history) + 1, epochs + 1):
            order = torch.randperm(len(self.patches), generator=self.generator)
            losses, hits = 0.0, 0.0
            for step in range(1, self.steps + 1):
                rows = order[(step - 1) * self.batch : step * self.batch]
                loss, accuracy = self._step(rows)
                losses, hits = losses + loss, hits + accuracy
                if step == self.steps:  # kept before it is told
                    history.append({"loss": losses / step, "accuracy": hits / step})
                    if kept is not None and self.processes.first:
                        kept.save(epoch, self._state(history, time.monotonic() - began))
                done = (epoch - 1) * self.steps + step
                left = (time.monotonic() - began) / done * (epochs * self.steps - done)
                yield TrainingProgress(epoch, epochs, step, self.steps, losses / step, hits / step, left)
        self.processes.copy_first(self.model)
        return history

    def _parts(self) -> dict[str, Any]:
        """All that changes in training, and can be stored."""
        parts = {
            "model": self.model,
            "regression": self.regression,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _state(self, history: list[dict[str, float]], seconds: float) -> dict[str, Any]:
        return {
            "history": history,
            "seconds": seconds,
            "order": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["order"])
        torch.set_rng_state(state["torch"])

    def _step(self, rows: Tensor) -> tuple[float, float]:
        self.optimiser.zero_grad(set_to_none=True)
        jitter, stain = (0.5, 0.0) if self.paper else (0.15, self.options.stain)
        wide, own = self.patches[rows], self.processes.share(len(rows))
        if self.device.type == "cuda":
            wide = wide.to(self.device)
        patches = augment(wide, self.patch_px, jitter, stain, self.generator, own).to(self.device)
        if self.device.type != "mps":
            patches = patches.contiguous(memory_format=torch.channels_last)
        mixed = self.device.type == "cuda"
        with torch.autocast(self.device.type, enabled=mixed, dtype=torch.bfloat16):
            loss, logits = self._paper_loss(patches, rows) if self.paper else self._loss(patches, rows)
        mean = self.processes.mean(loss)
        if not bool(torch.isfinite(mean)):
            msg = "The loss is not finite any more: training was stopped. Try another seed or more spots."
            raise ModelError(msg)
        loss.backward()
        self.processes.average_gradients([*self.model.parameters(), *self.regression.parameters()])
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        target = torch.arange(len(rows), device=logits.device)
        return float(mean), float((logits.argmax(1) == target).float().mean())

    def _loss(self, patches: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of the whole batch `rows` (B,) from this process's share of its patches."""
        own = rows[self.processes.share(len(rows))]
        features = self.model.image_encoder(patches)  # (B / size, 1024)
        images = F.normalize(self.model.image_projection(features).float(), dim=1)
        images = self.processes.gather(images)  # (B, 256)
        indices, offsets, present = (part[own] for part in self.near)
        spots = self.model.encode_neighbourhoods(
            self.expression[indices].to(self.device),
            offsets.to(self.device),
            present.to(self.device),
        )
        spots = self.processes.gather(spots.float())  # (B, 256)
        logits = images @ spots.T / self.model.log_temperature.exp().clamp(0.01, 1.0)  # (B, B)
        section = self.section[rows].to(self.device)
        logits = logits.masked_fill(section[:, None] != section, OTHER_SECTION)
        auxiliary = F.mse_loss(self.regression(features).float(), self.standard[own].to(self.device))
        return contrastive_loss(logits) + auxiliary, logits

    def _paper_loss(self, patches: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`_loss`; the spots attend to each other across the batch, so every process encodes all."""
        images = self.processes.gather(self.model.encode_images(patches))
        array_xy = torch.from_numpy(np.rint(self.data.positions[rows.numpy()]).astype(np.int64))
        spots = self.model.encode_sequence(self.expression[rows].to(self.device), array_xy.to(self.device))
        logits = images @ spots.T
        return contrastive_loss(logits), logits


def contrastive_loss(logits: Tensor) -> Tensor:
    """Symmetric cross-entropy of (B, B) image x spot logits with the diagonal as target."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
