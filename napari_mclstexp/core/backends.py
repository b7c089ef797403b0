"""Ways to run the image encoder: the same features, at different speeds."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp.core.cache import cached, forget, making
from napari_mclstexp.core.fused import FusedEncoder, by_shift
from napari_mclstexp.core.progress import Progress
from napari_mclstexp.core.recorded import Recorded
from napari_mclstexp.errors import DeviceError, ExportError

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_mclstexp.core.model import MclSTExp

log = logging.getLogger(__name__)

Encode = Callable[["Tensor"], "Tensor"]
"""Patches (B, 3, H, W) float32 RGB in [0, 1] -> features (B, 1024), on the network's device."""

DENSE = "dense"
Maps = Callable[["Tensor", int], "Tensor"]
"""Picture (1, 3, H, W) and steps in a stride -> maps; see :meth:`.fused.FusedEncoder.maps`."""

BACKENDS = ("torch", "fused", "onnxruntime", "half", "graphs", DENSE)
"""``torch``: as the network is written; ``fused``: rearranged for a CPU, see :mod:`.fused`; ``onnxruntime``:
its graph, see :mod:`.onnx_graph`, on a CPU; ``half``: half precision on a GPU; ``graphs``: that as one CUDA
graph, see :mod:`.recorded`; ``dense``: regions instead of patches, see :mod:`.dense`."""

TORCH = "torch"

WORTH_PX = 1000 * 224 * 224
"""Pixels of patches, most of a minute on two cores, from which on timing backends is worth some seconds."""
ROUNDS = 3
TOLERANCE = 1e-3
"""By how much an embedding, of unit length, may differ from that of ``torch``."""
ONNX = "onnxruntime"
PARTS_A_THREAD = 2
"""Of a batch: the last ones fill up what the others leave."""


def backend_names(device: torch.device) -> tuple[str, ...]:
    """Backends of a device that are there, the plain one first."""
    if device.type == "cuda":
        return "torch", "half", "graphs"
    if device.type == "cpu":
        return ("torch", "fused", *((ONNX,) if all(map(importlib.util.find_spec, (ONNX, "onnx"))) else ()))
    return ("torch",)


def check_backend(name: str, device: torch.device) -> str:
    """The backend, where the device has it.

    Raises
    ------
    DeviceError
        It is none, or not there, with what can be done.
    """
    if name == DENSE or name in backend_names(device):
        return name
    if name == ONNX and device.type == "cpu":
        msg = "ONNX Runtime is not installed: pip install 'napari-mclstexp[all]', or take another backend."
    else:
        names = ", ".join(backend_names(device))
        msg = f"There is no backend {name!r} for the {device.type} device. It has {names}."
    raise DeviceError(msg)


def told_as(name: str, device: str = "cpu") -> str:
    """A backend with its version, as a result's provenance names it."""
    onnx = name == ONNX or (name == DENSE and device == "cpu" and ONNX in backend_names(torch.device("cpu")))
    module = ONNX if onnx else TORCH
    version = importlib.metadata.version(module)
    return f"{name} {version}" if name == module else f"{name} {module} {version}"


def image_backend(name: str, network: MclSTExp) -> Encode:
    """Make the image encoder of a network run by a backend.

    Parameters
    ----------
    name : str
        One of :func:`backend_names` for the network's device.
    network : MclSTExp
        In evaluation state, on its device.

    Returns
    -------
    callable
        See `Encode`.
    """
    if name == "fused":
        return FusedEncoder(network.image_encoder)
    if name in ("half", "graphs"):
        return _Half(network) if name == "half" else Recorded(_Half(network))
    return _OnnxEncoder(network) if name == ONNX else network.image_encoder


def maps_backend(network: MclSTExp) -> Maps:
    """What makes the feature maps of a dense map: ONNX Runtime on a CPU that has it, else :mod:`.fused`.

    Parameters
    ----------
    network : MclSTExp
        In evaluation state, on its device.

    Returns
    -------
    callable
        See :meth:`.fused.FusedEncoder.maps`.
    """
    if ONNX in backend_names(next(network.parameters()).device):
        return _OnnxMaps(network)
    return FusedEncoder(network.image_encoder).maps


def fastest(
    network: MclSTExp, device: torch.device, patch_px: int, batch: int, total: int
) -> Generator[Progress, None, str]:
    """Find the fastest backend by timing each, once for each computer, device and size of patch.

    Where a prediction is short, nothing is timed: what is known is taken, else what needs no preparation.

    Parameters
    ----------
    network : MclSTExp
        In evaluation state, on `device`.
    device : torch.device
        Where it runs.
    patch_px, batch : int
        Pixels a side of a patch, and patches a forward pass.
    total : int
        Spots that are to be predicted.

    Yields
    ------
    Progress
        Before it takes some seconds.

    Returns
    -------
    str
        One of :func:`backend_names`.
    """
    names = backend_names(device)
    if len(names) == 1:
        return names[0]
    key = _key(names, device, patch_px, batch)
    known = _remembered(key)
    if known in names:
        return known
    if total * patch_px**2 < WORTH_PX:
        return "fused" if "fused" in names else names[0]
    yield Progress("Finding the fastest way to compute, once on this computer", 0, total)
    patches = torch.rand(batch, 3, patch_px, patch_px, device=device)
    try:
        with torch.inference_mode():
            plain = network.embed_features(network.image_encoder(patches))
    except torch.OutOfMemoryError:  # smaller batches will be taken: see fitting_batch
        return names[0]
    took: dict[str, float] = {}
    for name in names:
        try:
            encode = image_backend(name, network)
            took[name] = _time(encode, patches, network, plain)
        except (RuntimeError, ImportError, OSError, ValueError) as error:
            log.warning("backend %s cannot be used: %s", name, type(error).__name__)
    best = min(took, key=lambda name: took[name])
    log.info("seconds a batch of %d patches: %s", batch, took)
    _remember(key, best)
    return best


@torch.inference_mode()
def _time(encode: Encode, patches: Tensor, network: MclSTExp, plain: Tensor) -> float:
    """Seconds a batch, the least of some; infinite for a backend whose embeddings differ."""
    found = network.embed_features(encode(patches).float())
    if (found - plain).norm(dim=1).max() > TOLERANCE * plain.norm(dim=1).max():
        return float("inf")
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        encode(patches).float().sum().item()  # waits for what a GPU does
        least = min(least, time.perf_counter() - began)
    return least


def _key(names: tuple[str, ...], device: torch.device, patch_px: int, batch: int) -> str:
    """Name of the file that keeps what was found: another computer or version is asked anew."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    about = [platform.node(), chip, device.type, patch_px, batch, torch.get_num_threads(), PARTS_A_THREAD]
    told = json.dumps([*about, *(told_as(name) for name in names)])
    return f"backend-{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"


def _remembered(key: str) -> str:
    path = cached(key)
    try:
        return "" if path is None else str(json.loads(path.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        forget(key)
        return ""


def _remember(key: str, name: str) -> None:
    with contextlib.suppress(OSError, ExportError), making(key) as path:  # it is found again next time
        path.write_text(json.dumps({"backend": name}), encoding="utf-8")


class _Half:
    """The network in half precision on a GPU, the sums of its end in single precision."""

    def __init__(self, network: MclSTExp) -> None:
        self._encoder = network.image_encoder
        self._type = next(network.parameters()).device.type

    @torch.inference_mode()
    def __call__(self, patches: Tensor) -> Tensor:
        patches = patches.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._type, dtype=torch.float16):
            return self._encoder(patches).float()


class _OnnxEncoder:
    """The graph in ONNX Runtime: parts of a batch beside each other, each computed by one thread.

    As many go at once as torch has threads. None waits for another within a layer, so that what else
    computes, such as reading, costs its own time and not that of all.
    """

    def __init__(self, network: MclSTExp) -> None:
        self._threads = torch.get_num_threads()
        self._run = _onnx_session(network, 1)

    def __call__(self, patches: Tensor) -> Tensor:
        parts = np.array_split(patches.numpy(), min(len(patches), PARTS_A_THREAD * self._threads))
        with ThreadPoolExecutor(self._threads, thread_name_prefix="mclstexp-encode") as pool:
            return torch.from_numpy(np.concatenate(list(pool.map(self._run, parts))))


class _OnnxMaps:
    """The graph that ends with maps, for each number of steps in a stride."""

    def __init__(self, network: MclSTExp) -> None:
        self._network = network
        self._graphs: dict[int, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {}

    def __call__(self, picture: Tensor, share: int) -> Tensor:
        if share not in self._graphs:
            self._graphs[share] = _onnx_session(self._network, torch.get_num_threads(), share)
        return by_shift(torch.from_numpy(self._graphs[share](picture.numpy())), share)


def _onnx_session(
    network: MclSTExp, threads: int, share: int | None = None
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What runs the graph of :func:`.onnx_graph.image_encoder_graph` by so many threads a run."""
    import onnxruntime

    from napari_mclstexp.core.onnx_graph import image_encoder_graph

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the window has a core
    session = onnxruntime.InferenceSession(
        image_encoder_graph(network.image_encoder, share), options, providers=["CPUExecutionProvider"]
    )

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, {"patches": np.ascontiguousarray(pixels)})[0]
        return found

    return run
