"""The loop of training: batches, loss, steps of the optimiser, and what is kept of them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mclstexp.core.model import IMAGE_FEATURES, MclSTExp, neighbourhoods
from napari_mclstexp.errors import ModelError, SectionError
from napari_mclstexp.training.augment import augment
from napari_mclstexp.training.options import TrainingOptions, TrainingProgress, patch_side
from napari_mclstexp.training.reference import training_values

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_mclstexp.training.checkpoint import Kept
    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.distributed import Processes

OTHER_SECTION = -1e4
"""Logit of a spot of another section: no negative, so that a section's stain or depth teaches nothing."""


class Loop:
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
        self.patch_px, self.device = patch_side(options), device
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
