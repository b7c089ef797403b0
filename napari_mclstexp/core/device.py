"""Choosing where the network runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from napari_mclstexp.errors import DeviceError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[DeviceName, ...] = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """Find the device to compute on.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        ``auto`` takes CUDA, else MPS, else the CPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    DeviceError
        The device is unknown, or not on this machine.
    """
    import torch  # takes seconds, which the window does not spend before it predicts

    if name not in DEVICES:
        msg = f"Unknown device {name!r}. Choose one of {', '.join(DEVICES)}."
        raise DeviceError(msg)
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, present in there.items() if present)
    if not there[name]:
        msg = f"This machine has no usable {name} device. Choose auto or cpu."
        raise DeviceError(msg)
    return torch.device(name)


def leave_a_core() -> None:
    """Have torch compute on all processors but one: the window that waits for it has that one."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
