"""Training of a bundle from paired sections, as a generator of epochs."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mclstexp import __version__
from napari_mclstexp.core.bundle import Bundle
from napari_mclstexp.core.bundle_spec import BundleSpec
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.encode import encode_spots
from napari_mclstexp.core.measured.expression import NORMALISATION
from napari_mclstexp.core.model import IMAGE_FEATURES, MclSTExp, neighbourhoods
from napari_mclstexp.core.patches import Field
from napari_mclstexp.errors import ModelError, SectionError
from napari_mclstexp.training.augment import augment, centre
from napari_mclstexp.training.data import TrainingData, load_training_data
from napari_mclstexp.training.options import TrainingOptions, TrainingProgress
from napari_mclstexp.training.preprocess import choose_genes

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_mclstexp.training.sections import Section

__all__ = ["TrainingOptions", "TrainingProgress", "contrastive_loss", "train"]

log = logging.getLogger(__name__)

PAPER_PATCH_PX = 224
HALF_COSINE = 0.9999
"""Weights are stored as float16 where every patch embedding keeps at least this cosine."""


def train(
    sections: list[Section], options: TrainingOptions
) -> Generator[TrainingProgress, None, tuple[Bundle, bool]]:
    """Train on paired sections. Closing the generator cancels it.

    Parameters
    ----------
    sections : list of Section
        Training sections.
    options : TrainingOptions
        How.

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
    SectionError, GeneError, ScaleError, DeviceError, ModelError
        See each class.
    """
    _check(options)
    paper = options.mode == "paper"
    device = choose_device(options.device)
    torch.manual_seed(options.seed)
    genes = choose_genes(sections, options.genes, options.min_counts)
    patch = Field(PAPER_PATCH_PX, None) if paper else Field(options.patch_px, options.field_um)
    data = load_training_data(sections, genes, patch, options.min_counts)
    if data.poor:
        log.info("%d spots with fewer than %d counts left out", data.poor, options.min_counts)
    rows = (np.unique(np.rint(data.positions).astype(np.int64)[:, i]) for i in (0, 1))
    model = MclSTExp(len(genes), options.mode, (next(rows), next(rows)) if paper else None).to(device)
    history = yield from _Fit(model, data, options, patch.patch_px, device).run()
    model = model.cpu().eval()
    half = _round_to_half(model, data, patch.patch_px)
    spec = _specify(options, patch, data, model, genes, history)
    embeddings = encode_spots(model, data.expression, data.positions, data.section)
    weights = {key: value.detach().clone() for key, value in model.state_dict().items()}
    return Bundle(
        spec, weights, data.expression, embeddings, data.section, data.patient, data.positions
    ), half


def _check(options: TrainingOptions) -> None:
    """Refuse numbers that cannot be trained with."""
    if options.epochs < 1:
        msg = f"{options.epochs} epochs cannot be trained. Choose 1 or more."
        raise SectionError(msg)
    if options.batch_size is not None and options.batch_size < 2:
        msg = f"A batch of {options.batch_size} spots has nothing to contrast. Choose 2 or more."
        raise SectionError(msg)
    if options.top_k < 1:
        msg = f"top-k is {options.top_k}. Choose 1 or more."
        raise SectionError(msg)


def _specify(
    options: TrainingOptions,
    patch: Field,
    data: TrainingData,
    model: MclSTExp,
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
        top_k=max(1, min(options.top_k, len(data.section) if paper else len(data.section) // 3)),
        weighting=options.weighting,
        temperature=1.0 if paper else float(model.log_temperature.detach().exp()),
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
            "initial_weights": "random",
            "history": history,
            "version": __version__,
            "torch": torch.__version__,
        },
    )


class _Fit:
    """One run of training: the network, its data and its optimiser."""

    def __init__(
        self,
        model: MclSTExp,
        data: TrainingData,
        options: TrainingOptions,
        patch_px: int,
        device: torch.device,
    ) -> None:
        if device.type != "mps":  # several times as fast on the CPU
            model = model.to(memory_format=torch.channels_last)
        self.model, self.data, self.options = model, data, options
        self.patch_px, self.device = patch_px, device
        self.paper = options.mode == "paper"
        self.generator = torch.Generator().manual_seed(options.seed)
        self.patches = torch.from_numpy(data.patches)
        self.expression = torch.from_numpy(data.expression)
        mean, std = self.expression.mean(0), self.expression.std(0).clamp(min=1e-3)
        self.standard = (self.expression - mean) / std
        self.near = [torch.from_numpy(a) for a in neighbourhoods(data.positions, data.section)]
        # An auxiliary regression from image features steadies the contrast on few spots; it is not
        # part of the bundle.
        self.regression = nn.Linear(IMAGE_FEATURES, self.expression.shape[1]).to(device)
        self.batch = min(options.batch_size or (128 if self.paper else 64), len(data.section))
        self.steps = len(data.section) // self.batch
        self.optimiser, self.schedule = self._optimiser()

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
        return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=total + 1)

    def run(self) -> Generator[TrainingProgress, None, list[dict[str, float]]]:
        """Train all epochs; returns loss and accuracy of each."""
        began = time.monotonic()
        history = []
        self.model.train()
        for epoch in range(1, self.options.epochs + 1):
            order = torch.randperm(len(self.patches), generator=self.generator)
            losses, hits = 0.0, 0.0
            for step in range(1, self.steps + 1):
                rows = order[(step - 1) * self.batch : step * self.batch]
                loss, accuracy = self._step(rows)
                losses, hits = losses + loss, hits + accuracy
                done = (epoch - 1) * self.steps + step
                left = (time.monotonic() - began) / done * (self.options.epochs * self.steps - done)
                yield TrainingProgress(
                    epoch, self.options.epochs, step, self.steps, losses / step, hits / step, left
                )
            history.append({"loss": losses / self.steps, "accuracy": hits / self.steps})
        return history

    def _step(self, rows: Tensor) -> tuple[float, float]:
        self.optimiser.zero_grad(set_to_none=True)
        jitter = 0.5 if self.paper else 0.15
        patches = augment(self.patches[rows], self.patch_px, jitter, self.generator)
        patches = patches.to(self.device)
        if self.device.type != "mps":
            patches = patches.contiguous(memory_format=torch.channels_last)
        mixed = self.device.type == "cuda"
        with torch.autocast(self.device.type, enabled=mixed, dtype=torch.bfloat16):
            loss, logits = self._paper_loss(patches, rows) if self.paper else self._loss(patches, rows)
        if not bool(torch.isfinite(loss)):
            msg = "The loss is not finite any more: training was stopped. Try another seed or more spots."
            raise ModelError(msg)
        loss.backward()
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        target = torch.arange(len(rows), device=logits.device)
        return float(loss.detach()), float((logits.argmax(1) == target).float().mean())

    def _loss(self, patches: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.image_encoder(patches)  # (B, 1024)
        images = F.normalize(self.model.image_projection(features).float(), dim=1)  # (B, 256)
        indices, offsets, present = (part[rows] for part in self.near)
        spots = self.model.encode_neighbourhoods(
            self.expression[indices].to(self.device),
            offsets.to(self.device),
            present.to(self.device),
        ).float()
        logits = images @ spots.T / self.model.log_temperature.exp().clamp(0.01, 1.0)  # (B, B)
        auxiliary = F.mse_loss(self.regression(features).float(), self.standard[rows].to(self.device))
        return contrastive_loss(logits) + auxiliary, logits

    def _paper_loss(self, patches: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        images = self.model.encode_images(patches)
        array_xy = torch.from_numpy(np.rint(self.data.positions[rows.numpy()]).astype(np.int64))
        spots = self.model.encode_sequence(self.expression[rows].to(self.device), array_xy.to(self.device))
        logits = images @ spots.T
        return contrastive_loss(logits), logits


def contrastive_loss(logits: Tensor) -> Tensor:
    """Symmetric cross-entropy of (B, B) image x spot logits with the diagonal as target."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.inference_mode()
def _round_to_half(model: MclSTExp, data: TrainingData, patch_px: int) -> bool:
    """Round the weights to float16 where the patch embeddings stay the same in direction."""
    sample = np.linspace(0, len(data.patches) - 1, min(64, len(data.patches))).astype(int)
    patches = centre(torch.from_numpy(data.patches[sample]), patch_px)
    before = model.encode_images(patches)
    exact = {key: value.clone() for key, value in model.state_dict().items()}
    rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in exact.items()}
    if all(bool(torch.isfinite(v).all()) for v in rounded.values()):
        model.load_state_dict(rounded)
        worst = float(F.cosine_similarity(before, model.encode_images(patches)).min())
        if math.isfinite(worst) and worst >= HALF_COSINE:
            return True
        model.load_state_dict(exact)
    return False
