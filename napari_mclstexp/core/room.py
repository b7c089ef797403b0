"""What it looks like when memory is exhausted, and what is said of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from napari_mclstexp.errors import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNS = ("out of memory", "can't allocate memory", "failed to allocate memory", "bad_alloc", "bad allocation")
"""Of a CPU that torch runs on, of MPS, and of ONNX Runtime: none of them has a class for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library failed because there was no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    foreign = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return foreign and any(sign in text for sign in SIGNS)


def spoken(device: str) -> str:
    """What a device is called in messages."""
    return "This computer" if device == "cpu" else "The GPU"


def no_room(device: str, patches: int = 0) -> DeviceMemoryError:
    """Error of a device whose memory does not hold a number of patches at once; 0 for the model itself."""
    at = f" at {patches} patches at a time" if patches else ""
    at = " even at one patch at a time" if patches == 1 else at
    if device == "cpu":
        return exhausted(at)
    msg = (
        f"{spoken(device)} ran out of memory{at}. Close other programs that compute on it, or predict "
        "on the CPU, which takes longer."
    )
    return DeviceMemoryError(msg, device)


def exhausted(at: str = "") -> DeviceMemoryError:
    """Error of a computer whose memory is exhausted."""
    msg = (
        f"The memory of this computer is exhausted{at}. Close other programs, or predict fewer spots at "
        "once: wider apart, or in a region."
    )
    return DeviceMemoryError(msg)


@contextmanager
def memory_told() -> Iterator[None]:
    """Turn what says from anywhere inside that memory is exhausted into an error that a user can act on."""
    try:
        yield
    except DeviceMemoryError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        device = "cuda" if isinstance(error, torch.OutOfMemoryError) else "cpu"
        device = "mps" if str(error).startswith("MPS") else device
        raise no_room(device) from error
