"""Backends of the image encoder: the same numbers, chosen by time, pinned and told."""

from __future__ import annotations

import importlib.util
import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from steps import finish

from napari_mclstexp.core import backends
from napari_mclstexp.core.backends import backend_names, fastest, image_backend
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.cache import cache_folder
from napari_mclstexp.core.encode import encode_patches
from napari_mclstexp.core.fitting_batch import Fitting
from napari_mclstexp.core.grid import make_grid
from napari_mclstexp.core.how import choose_how, default_batch_size
from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.patchwise import patch_by_patch
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.retrieval import match
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.errors import DeviceError
from napari_mclstexp.samples import demo_bundle_path, sample_slide_path

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
SCALE = Scale(0.5, 0.5, "test")
OTHERS = [name for name in backend_names(CPU) if name != "torch"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "cache"))


def sample(count: int) -> tuple[np.ndarray, object, np.ndarray]:
    """Patches of the sample slide, its model, and where they lie."""
    bundle = load_bundle(demo_bundle_path())
    field = Field(bundle.spec.patch_px, bundle.spec.field_um)
    with open_slide(sample_slide_path()) as slide:
        mask = TissueMask(np.ones((60, 80), dtype=bool), slide.height / 60, slide.width / 80)
        centres = make_grid(mask, SCALE, "square", 200.0).centres_px
        centres = centres[np.linspace(0, len(centres) - 1, count).astype(int)]
        patches = np.concatenate([part for _, part in read_batches(slide, centres, field, SCALE, 32)])
    return patches, bundle, centres


@pytest.mark.parametrize("name", OTHERS)
def test_a_backend_gives_the_embeddings_and_matches_of_the_plain_one(name: str) -> None:
    patches, bundle, _ = sample(200)
    network = bundle.network()
    plain = encode_patches(network, patches, CPU)
    found = encode_patches(network, patches, CPU, image_backend(name, network))
    np.testing.assert_allclose(found.embeddings, plain.embeddings, atol=1e-5)
    first, other = (match(one.embeddings, bundle.embeddings, 1).indices for one in (plain, found))
    assert (first == other).mean() >= 0.995


@pytest.mark.parametrize("mode", ["corrected", "paper"])
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("side", "margin"), [(64, 0), (97, 0), (128, 32)])
def test_backends_follow_the_mode_and_any_size(name: str, mode: str, side: int, margin: int) -> None:
    torch.manual_seed(3)
    network = MclSTExp(5, mode, margin_px=margin).eval()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.3, 2)
            torch.nn.init.uniform_(norm.weight, -1.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0, 0.3)
    pixels = torch.rand(3, 3, side, side)
    with torch.inference_mode():
        plain = network.image_encoder(pixels)
        found = image_backend(name, network)(pixels)
    np.testing.assert_allclose(found, plain, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.skipif("onnxruntime" not in OTHERS, reason="ONNX Runtime is not installed")
def test_parts_of_a_batch_give_what_the_batch_gives_and_leave_no_thread() -> None:
    before = set(threading.enumerate())
    network = load_bundle(demo_bundle_path()).network()
    encode = image_backend("onnxruntime", network)
    pixels = torch.rand(9, 3, 64, 64)
    whole = encode(pixels)
    np.testing.assert_array_equal(whole, torch.cat([encode(one[None]) for one in pixels]))
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("mclstexp")]


def test_the_network_goes_on_while_the_last_batch_is_worked_on() -> None:
    bundle, began = load_bundle(demo_bundle_path()), threading.Semaphore(0)
    network = bundle.network()

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        began.release()
        return network.image_encoder(pixels)

    with open_slide(sample_slide_path()) as slide:
        mask = TissueMask(np.ones((60, 80), dtype=bool), slide.height / 60, slide.width / 80)
        grid = make_grid(mask, SCALE, "square", 200.0).first(12)
        how, field = choose_how(bundle, None, None, 4, "cpu", "torch"), Field(64, bundle.spec.field_um)
        found = patch_by_patch(
            slide, grid, field, SCALE, network, encode, how, np.zeros(12, dtype=bool), Fitting(4)
        )
        rows, first = next(found)
        assert (rows, len(first)) == (slice(0, 4), 4)
        assert began.acquire(timeout=10), "the first"
        assert began.acquire(timeout=10), "the second, though nobody has asked for it yet"
        assert [rows for rows, _ in found] == [slice(4, 8), slice(8, 12)]


def test_a_batch_grows_with_the_processors() -> None:
    threads, sizes = torch.get_num_threads(), {}
    try:
        for count in (1, 2, 8, 64):
            torch.set_num_threads(count)
            sizes[count] = default_batch_size(224, CPU)
    finally:
        torch.set_num_threads(threads)
    assert sizes == {1: 8, 2: 8, 8: 32, 64: 64}


@pytest.mark.parametrize("name", ["half", "graphs"])
def test_half_precision_stays_near_the_plain_one(name: str) -> None:
    """Its home is a GPU; the CPU computes it, too, slowly, and records no graph."""
    patches, bundle, _ = sample(8)
    network = bundle.network()
    plain = encode_patches(network, patches, CPU)
    found = encode_patches(network, patches, CPU, image_backend(name, network))
    assert np.linalg.norm(found.embeddings - plain.embeddings, axis=1).max() < 1e-2
    assert name not in backend_names(CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU is here")
def test_a_recorded_pass_gives_what_the_pass_gives() -> None:
    """Batches of the recorded shape, other ones, and the outcome of a batch after the next has run."""
    _, bundle, _ = sample(1)
    network = bundle.network().to("cuda")
    plain, recorded = (image_backend(name, network) for name in ("half", "graphs"))
    batches = [torch.rand(n, 3, 64, 64, device="cuda") for n in (8, 8, 3, 8)]
    found = [recorded(batch) for batch in batches]
    for batch, features in zip(batches, found, strict=True):
        assert torch.allclose(features, plain(batch), atol=1e-2)


def test_the_fastest_is_timed_once_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_bundle(demo_bundle_path()).network()

    def choose(batch: int, total: int) -> tuple[int, str]:
        told, name = finish(fastest(network, CPU, 64, batch, total))
        return len(told), name

    assert choose(4, 100) == (0, "fused"), "a short prediction waits for no timing"
    monkeypatch.setattr(backends, "WORTH_PX", 1)
    timed, name = choose(4, 100)
    assert timed == 1
    assert name in backend_names(CPU)
    assert choose(4, 100) == (0, name)
    assert choose(2, 100)[0] == 1, "another size of batch can have another"
    for kept in cache_folder().glob("backend-*.json"):
        kept.write_text("{", encoding="utf-8")
    assert choose(4, 100)[0] == 1, "what is damaged is found again"


def test_one_that_gives_other_numbers_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_bundle(demo_bundle_path()).network()
    right = backends.image_backend
    monkeypatch.setattr(backends, "WORTH_PX", 1)
    monkeypatch.setattr(
        backends,
        "image_backend",
        lambda name, *given: right(name, *given) if name == "torch" else lambda x: torch.zeros(len(x), 1024),
    )
    assert finish(fastest(network, CPU, 64, 4, 100))[1] == "torch"


def test_a_pinned_backend_is_told(
    slide_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(bundle_path)
    with open_slide(slide_path) as slide:
        mask = TissueMask(np.ones((13, 15), dtype=bool), 100.0, 100.0)
        grid = make_grid(mask, SCALE, "square", 200.0)
        results = {}
        for name in (None, *backend_names(CPU)):
            steps = predict(slide, bundle, grid, SCALE, device="cpu", backend=name)
            results[name] = finish(steps)[1]
            told = results[name].provenance.backend
            assert told.startswith(name or "fused")
            assert torch.__version__.partition("+")[0] in told or name == "onnxruntime"
            np.testing.assert_allclose(results[name].expression, results[None].expression, atol=1e-4)
        with pytest.raises(DeviceError, match=r"no backend 'half' for the cpu device\. It has torch"):
            finish(predict(slide, bundle, grid, SCALE, device="cpu", backend="half"))
        found = importlib.util.find_spec
        lacking = lambda name: None if name == "onnxruntime" else found(name)  # noqa: E731
        monkeypatch.setattr(importlib.util, "find_spec", lacking)
        with pytest.raises(DeviceError, match=r"pip install 'napari-mclstexp\[all\]'"):
            finish(predict(slide, bundle, grid, SCALE, device="cpu", backend="onnxruntime"))
    assert json.dumps(results["torch"].provenance.as_json())
