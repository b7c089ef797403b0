"""Memory that does not suffice: fewer patches at once, to the same result; else an error with a remedy.

A hook of torch stands in for a device with little memory: the image encoder refuses larger batches.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from steps import finish
from torch.nn.modules.module import register_module_forward_pre_hook

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.model import ImageEncoder
from napari_mclstexp.core.pipeline import predict_and_label
from napari_mclstexp.core.room import is_out_of_memory
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_mclstexp.core.result import Result

OF_TORCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
OF_MPS = RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)")


@contextmanager
def room_for(patches: int, error: Exception) -> Iterator[list[int]]:
    """A device whose memory holds so many patches at once; gives the sizes of the batches that came."""
    came: list[int] = []

    def refuse(module: torch.nn.Module, given: tuple) -> None:
        if isinstance(module, ImageEncoder):
            came.append(len(given[0]))
            if came[-1] > patches:
                raise error

    hook = register_module_forward_pre_hook(refuse)
    try:
        yield came
    finally:
        hook.remove()


def predicted(slide_path: Path, bundle_path: Path, **options: object) -> tuple[list, Result]:
    with open_slide(slide_path) as slide:
        given = {"device": "cpu", "backend": "torch", "domains": 2} | options
        return finish(predict_and_label(slide, load_bundle(bundle_path), slide.scale, **given))


@pytest.mark.parametrize("error", [OF_TORCH, OF_MPS, MemoryError()], ids=["cuda", "mps", "cpu"])
def test_a_batch_that_does_not_fit_is_halved(slide_path: Path, bundle_path: Path, error: Exception) -> None:
    _, usual = predicted(slide_path, bundle_path, batch_size=16)
    with room_for(5, error) as came:
        steps, result = predicted(slide_path, bundle_path, batch_size=16)
    assert came[:3] == [16, 8, 4], "it goes on from the batch that failed"
    assert max(came[3:]) == 4, "what does not fit is not tried again"
    assert sum(size for size in came if size <= 5) == len(result.grid), "no spot is encoded twice"
    np.testing.assert_allclose(result.expression, usual.expression, rtol=1e-5, atol=1e-5)
    assert result.provenance.batch_size == 4
    assert usual.provenance.batch_size == 16
    assert {step.note for step in steps if step.stage == "Predicting"} == {
        "This computer has no room for 16 patches at once: 4 are taken."
    }


def test_not_even_one_patch_fits(slide_path: Path, bundle_path: Path) -> None:
    with room_for(0, OF_TORCH), pytest.raises(DeviceMemoryError, match="even at one patch at a time") as told:
        predicted(slide_path, bundle_path, batch_size=4)
    assert told.value.device == "cpu"
    assert told.value.__cause__ is OF_TORCH


def test_memory_exhausted_where_nothing_can_be_halved(
    slide_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("napari_mclstexp.core.patches.read_patch", read)
    with pytest.raises(DeviceMemoryError, match="memory of this computer is exhausted"):
        predicted(slide_path, bundle_path)


def test_the_command_names_the_option_that_helps(
    slide_path: Path, bundle_path: Path, tmp_path: Path, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU cannot be had here: the error is what the network's being moved to it raises."""
    monkeypatch.setattr(torch.nn.Module, "to", _full)
    told = run("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad")
    assert told.code == 2
    assert "The GPU ran out of memory. Close" in told.err
    assert told.err.strip().endswith("Add --device cpu to the command.")
    assert list(tmp_path.iterdir()) == []


def _full(*_: object, **__: object) -> None:
    raise OF_TORCH


def test_what_libraries_say_of_memory() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(10**14)
    assert is_out_of_memory(of_torch.value)
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    assert is_out_of_memory(
        state.RuntimeException("Failed to allocate memory for requested buffer of size 9")
    )
    assert not is_out_of_memory(state.RuntimeException("Non-zero status code"))
    assert not is_out_of_memory(ValueError("out of memory"))
