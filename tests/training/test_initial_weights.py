"""What training begins with: chance, ImageNet by download, or a file."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.core.torchvision_apart import densenet121
from napari_mclstexp.errors import BundleError
from napari_mclstexp.training.options import TrainingOptions, recipe_of
from napari_mclstexp.training.weights import check_initial, describe_initial, load_initial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPTIONS = TrainingOptions(device="cpu")


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As torchvision's own file names them, which counts no batches either."""
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))([12]\.)")
    return {pattern.sub(r"\1.\2", k): v for k, v in state.items() if not k.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def made() -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    return densenet121(weights=None).state_dict()


@pytest.fixture(scope="module")
def served(made: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file under its hash, as the server of torchvision's weights has it."""
    folder = tmp_path_factory.mktemp("served")
    torch.save(old_names(made), folder / "w.pth")
    digest = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()
    return (folder / "w.pth").rename(folder / f"densenet121-{digest[:8]}.pth")


@pytest.fixture
def url(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of the file on a server of this machine, taken for torchvision's; nothing is downloaded yet."""
    from torchvision.models import DenseNet121_Weights

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(served.parent))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/{served.name}"
    monkeypatch.setattr(DenseNet121_Weights.IMAGENET1K_V1.value, "url", address)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield address
    server.shutdown()
    server.server_close()


def begin(**options: object) -> dict[str, torch.Tensor]:
    """Image encoder that training begins with."""
    torch.manual_seed(0)
    model = MclSTExp(4)
    load_initial(model, replace(OPTIONS, **options))  # type: ignore[arg-type]
    return model.image_encoder.features.state_dict()


def holds(features: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(v, state[f"features.{k}"]) for k, v in features.items())


def test_imagenet_weights_are_downloaded_only_where_that_is_allowed(
    url: str, served: Path, made: dict, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"downloaded from http.*--allow-download.*--init a file") as error:
        check_initial(replace(OPTIONS, initial="imagenet"))
    assert url in str(error.value)
    assert not (tmp_path / "torch").exists()
    assert holds(begin(initial="imagenet", allow_download=True), made)
    kept = tmp_path / "torch" / "hub" / "checkpoints" / served.name
    assert kept.read_bytes() == served.read_bytes()
    assert holds(begin(initial="imagenet"), made)  # it is there now
    assert describe_initial("imagenet") == "imagenet (torchvision IMAGENET1K_V1)"
    assert recipe_of(replace(OPTIONS, initial="imagenet", allow_download=True))["initial"] == "imagenet"
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"hash does not fit its name\. Remove it"):
        begin(initial="imagenet")


def test_a_download_that_fails_or_was_changed_is_told_plainly(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import DenseNet121_Weights

    source = DenseNet121_Weights.IMAGENET1K_V1.value
    for wrong, why in (
        (re.sub(r":\d+/", ":9/", url), "refused"),  # nothing listens there
        (url.replace("densenet121-", "other-"), "File not found"),
    ):
        monkeypatch.setattr(source, "url", wrong)
        with pytest.raises(BundleError, match=rf"not downloaded from http.*{why}.*Try again") as error:
            begin(initial="imagenet", allow_download=True)
        assert wrong in str(error.value)
    assert not list((tmp_path / "torch").rglob("*.pth"))


def test_a_download_of_another_hash_is_not_kept(
    url: str, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import DenseNet121_Weights

    os.link(served, served.with_name("densenet121-00000000.pth"))
    changed = url.replace(served.name, "densenet121-00000000.pth")
    monkeypatch.setattr(DenseNet121_Weights.IMAGENET1K_V1.value, "url", changed)
    with pytest.raises(BundleError, match=r"not downloaded.*hash"):
        begin(initial="imagenet", allow_download=True)
    assert not list((tmp_path / "torch").rglob("*.pth"))


@pytest.mark.parametrize("kind", ["old.pth", "new.pth", "new.safetensors"])
def test_a_file_may_be_of_either_kind(made: dict, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind.endswith("safetensors"):
        safetensors.torch.save_file(made, path)
    else:
        torch.save(old_names(made) if kind.startswith("old") else made, path)
    assert holds(begin(initial=str(path)), made)
    said = describe_initial(str(path))
    assert said == f"file, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert recipe_of(replace(OPTIONS, initial=str(path)))["initial"] == said


def test_other_files_are_refused_by_what_is_wrong(made: dict, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    first = "features.conv0.weight"
    wrong = {
        "lacks conv0.weight": {k: v for k, v in made.items() if k != first},
        r"has the shape \(2,\), not \(64, 3, 7, 7\)": made | {first: torch.ones(2)},
        "is not finite": made | {first: made[first] * float("nan")},
        "not a state dict": [torch.ones(2)],
        "tensors alone": {"x": Trap()},
    }
    for why, content in wrong.items():
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(BundleError, match=why):
            begin(initial=str(tmp_path / "w.pth"))
    assert not (tmp_path / "sprung").exists()
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(BundleError, match="tensors alone, or is damaged"):
            begin(initial=str(tmp_path / name))
    with pytest.raises(BundleError, match=r"no initial weights at .*absent\.pth.*random, imagenet, or"):
        check_initial(replace(OPTIONS, initial=str(tmp_path / "absent.pth")))


def test_a_bundle_records_what_it_began_with_and_no_path(
    made: dict, tmp_path: Path, make_section: Callable[..., Path], run: Callable
) -> None:
    path = make_section(tmp_path / "s", "S", seed=1, spots=(3, 3))
    torch.save(made, tmp_path / "secret_name.pth")
    words = ["train", path, "--out", tmp_path / "b", "--epochs", 1, "--patch-px", 32, "--batch-size", 9]
    words += ["--device", "cpu", "--init", tmp_path / "secret_name.pth"]
    outcome = run(*words)
    assert outcome.code == 0, outcome.err
    told = load_bundle(tmp_path / "b").spec.training
    assert re.fullmatch("file, sha256 [0-9a-f]{64}", told["initial_weights"])
    assert told["recipe"]["initial"] == told["initial_weights"]
    assert b"secret_name" not in (tmp_path / "b" / "bundle.json").read_bytes()
