"""Training by several processes, as ``torchrun`` starts them: on the GPUs of a machine, or on its cores.

Each process takes its share of every batch. The embeddings are gathered, so that the contrast is over the
whole batch, and the gradients are averaged to the true gradient. Batch normalisation sees its own share
alone; the running statistics that are kept are those of the first process. Every process reads all sections
(and, to resume, the same checkpoints): they need one machine, or one file system.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from napari_mclstexp.core.device import choose_device
from napari_mclstexp.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ALONE", "Processes", "started"]

SET_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
FAILED = 2
"""Exit code of a process that ends for another's error."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together, seen from one of them.

    Attributes
    ----------
    rank, size : int
        Which this is, from 0, and of how many.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that tells, keeps checkpoints and writes the bundle."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` spots of a batch are this process's."""
        own = count // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def gather(self, own: Tensor) -> Tensor:
        """All processes' rows (B / size, D) as (B, D); gradients flow back to whose they are."""
        if self.size == 1:
            return own
        gathered: Tensor = _Gather.apply(own, self)
        return gathered

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a value over all processes, without a gradient."""
        value = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(value)
        return value / self.size

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make each gradient the mean of all processes' in one exchange.

        Each backpropagates the loss of the whole gathered batch, through its own share: a share's gradient
        comes back from `size` losses, so that the mean is the gradient of one loss over the whole batch.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def copy_first(self, *modules: nn.Module) -> None:
        """Give every process the parameters and buffers of the first."""
        if self.size > 1:
            for module in modules:
                for tensor in module.state_dict().values():
                    whole = tensor.contiguous()
                    dist.broadcast(whole, 0)
                    tensor.copy_(whole)

    def leave(self) -> None:
        """Part, once all are here: what the first has still to do, it does alone."""
        if self.size > 1 and dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()


ALONE = Processes()


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums the gradients of all processes, and hands each its own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        parts = [torch.empty_like(own) for _ in range(processes.size)]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[ctx.processes.share(len(gradient))], None


@contextmanager
def started(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone, where it did not.

    An error ends the process that it comes to first, to be told there; the others end in silence.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train: by NCCL on CUDA, a GPU a process, else by Gloo.

    Raises
    ------
    DeviceError
        There are fewer GPUs than processes, or the device is MPS.
    """
    if not all(os.environ.get(name) for name in SET_BY_TORCHRUN) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    store, rank, size = next(iter(rendezvous("env://")))
    try:
        _join(choose_device(device).type, store, rank, size)
        processes = Processes(rank, size)
        yield processes
        processes.leave()
    except (Exception, KeyboardInterrupt):
        if not _is_first(store):
            raise SystemExit(FAILED) from None
        raise


def _join(device: str, store: Any, rank: int, size: int) -> None:
    if device == "mps":
        msg = "Several processes cannot share an Apple GPU. Give --device cpu, or train without torchrun."
        raise DeviceError(msg)
    if device == "cuda":
        local, there = int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.device_count()
        if local >= there:
            msg = f"This machine has {there} GPU, one a process. Give torchrun --nproc-per-node {there}."
            raise DeviceError(msg)
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", store=store, rank=rank, world_size=size)


def _is_first(store: Any) -> bool:
    """Whether no other process has failed before."""
    try:
        return int(store.add("mclstexp-failed", 1)) == 1
    except RuntimeError:  # the store went with the process that failed first
        return False
