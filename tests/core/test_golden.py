"""Parity with the reference implementation's arrays, by import, library and command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from napari_mclstexp import cli
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.patches import Field, read_patch
from napari_mclstexp.core.retrieval import gather, match
from napari_mclstexp.core.slide import open_slide

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mclstexp.core.bundle import Bundle

TOLERANCE = 1e-4
TIE = 1e-6


@dataclass(frozen=True)
class Golden:
    """The arrays, and what this package makes of their inputs."""

    folder: Path
    arrays: dict[str, np.ndarray]
    top_k: int
    reference: Path
    bundle_path: Path
    bundle: Bundle


def write_reference(
    path: Path, expression: np.ndarray, xy: np.ndarray, genes: np.ndarray, section: list[str] | None = None
) -> Path:
    obs = pd.DataFrame({"array_x": xy[:, 0], "array_y": xy[:, 1]}, index=[f"s{i}" for i in range(len(xy))])
    if section is not None:
        obs["section"] = section
    ad.AnnData(X=expression, obs=obs, var=pd.DataFrame(index=list(map(str, genes)))).write_h5ad(path)
    return path


def import_upstream(checkpoint: Path, reference: Path, out: Path) -> Bundle:
    words = ["bundle", "import-upstream", checkpoint, "--reference", reference, "--out", out]
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert end.value.code in (0, None)
    return load_bundle(out)


@pytest.fixture(scope="module")
def made(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    folder = tmp_path_factory.mktemp("golden")
    with np.load(golden / "golden.npz") as file:
        arrays = {name: file[name] for name in file}
    reference = write_reference(
        folder / "reference.h5ad",
        arrays["reference_expression"],
        arrays["reference_array_xy"],
        arrays["genes"],
    )
    bundle = import_upstream(golden / "upstream_checkpoint.pt", reference, folder / "bundle")
    top_k = json.loads((golden / "golden.json").read_text(encoding="utf-8"))["top_k"]
    return Golden(golden, arrays, top_k, reference, folder / "bundle", bundle)


def test_the_imported_bundle_is_of_the_paper(made: Golden) -> None:
    spec = made.bundle.spec
    assert (spec.mode, spec.mpp, spec.field_um, spec.patch_px) == ("paper", None, None, 224)
    assert spec.top_k == min(200, len(made.arrays["reference_expression"]))
    assert spec.weighting == "inverse-square"
    assert list(spec.genes) == made.arrays["genes"].tolist()
    np.testing.assert_array_equal(made.bundle.expression, made.arrays["reference_expression"])
    state = torch.load(made.folder / "upstream_checkpoint.pt", weights_only=True)
    used = np.unique(made.arrays["reference_array_xy"][:, 0])
    table = made.bundle.weights["x_table.weight"]
    assert table.dtype == torch.float32
    assert torch.equal(table, state["x_embed.weight"][used])  # only the rows in use, to the last bit
    assert (made.bundle_path / "weights.safetensors").stat().st_size < 40 * 2**20


def test_spot_embeddings(made: Golden) -> None:
    np.testing.assert_allclose(made.bundle.embeddings, made.arrays["spot_embeddings"], atol=TOLERANCE)


def test_image_features_and_embeddings(made: Golden) -> None:
    network = made.bundle.network()
    patches = torch.from_numpy(made.arrays["query_patches"][:8]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        features = network.image_encoder(patches).numpy()
        embeddings = network.encode_images(patches).numpy()
    np.testing.assert_allclose(features, made.arrays["image_features"][:8], atol=TOLERANCE)
    np.testing.assert_allclose(embeddings, made.arrays["image_embeddings"][:8], atol=TOLERANCE)


def test_retrieval(made: Golden) -> None:
    arrays = made.arrays
    found = match(arrays["image_embeddings"], arrays["spot_embeddings"], made.top_k)
    np.testing.assert_allclose(found.cosine, arrays["cosine"], atol=1e-5)
    same = found.indices == arrays["indices"]
    cosine = arrays["cosine"]
    gap = np.minimum(
        np.abs(np.diff(cosine, axis=1, prepend=np.inf)), np.abs(np.diff(cosine, axis=1, append=-np.inf))
    )
    assert (same | (gap < TIE)).all()
    np.testing.assert_allclose(found.weights[same], arrays["weights"][same], atol=1e-5)
    np.testing.assert_allclose(
        gather(found, arrays["reference_expression"])[0], arrays["predicted"], atol=TOLERANCE
    )


def test_patches_are_the_reference_crops(made: Golden, real: Path) -> None:
    with open_slide(real / "her2st" / "C2.jpg") as slide:
        for (x, y), patch in zip(
            made.arrays["query_centre_xy_px"], made.arrays["query_patches"], strict=True
        ):
            got = read_patch(slide, np.array([y, x], dtype=float), Field(224, None), None)
            np.testing.assert_array_equal(got, patch)


def test_the_whole_way_on_the_real_slide(made: Golden, real: Path, tmp_path: Path, run: Callable) -> None:
    centres = made.arrays["query_centre_xy_px"]
    spots = tmp_path / "spots.csv"
    pd.DataFrame(
        {"spot_id": [f"{i:03d}" for i in range(len(centres))], "x_px": centres[:, 0], "y_px": centres[:, 1]}
    ).to_csv(spots, index=False)
    ended = run(
        "predict", real / "her2st" / "C2.jpg", "--bundle", made.bundle_path, "--out", tmp_path / "r.h5ad",
        "--spots", spots, "--top-k", made.top_k, "--device", "cpu", "--domains", 3,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "native pixels" in ended.out
    result = ad.read_h5ad(tmp_path / "r.h5ad")
    assert result.obs_names.tolist() == [f"{i:03d}" for i in range(len(centres))]
    np.testing.assert_array_equal(result.obsm["spatial"], centres)
    np.testing.assert_allclose(result.X, made.arrays["predicted"], atol=TOLERANCE)
    about = result.uns["mclstexp"]
    assert np.isnan(about["mpp_x"])
    assert (about["mode"], about["top_k"]) == ("paper", made.top_k)
    weights = made.arrays["weights"].astype(float)
    np.testing.assert_allclose(result.obs["effective_k"], 1 / (weights**2).sum(1), rtol=1e-3)
    np.testing.assert_allclose(result.obs["similarity"], (weights * made.arrays["cosine"]).sum(1), atol=1e-4)


@pytest.mark.parametrize("rename", [("module.", False), ("", True), ("module.", True)])
def test_other_names_of_the_same_tensors(made: Golden, tmp_path: Path, rename: tuple[str, bool]) -> None:
    prefix, well = rename
    state = torch.load(made.folder / "upstream_checkpoint.pt", weights_only=True)
    renamed = {
        prefix + (key.replace("spot_", "well_", 1) if well and key.startswith("spot_") else key): value
        for key, value in state.items()
    }
    assert renamed.keys() != state.keys()
    torch.save(renamed, tmp_path / "other.pt")
    bundle = import_upstream(tmp_path / "other.pt", made.reference, tmp_path / "bundle")
    assert bundle.weights.keys() == made.bundle.weights.keys()
    assert all(torch.equal(value, made.bundle.weights[key]) for key, value in bundle.weights.items())
    np.testing.assert_array_equal(bundle.embeddings, made.bundle.embeddings)


def test_spots_are_one_sequence_a_section_and_never_chunks(made: Golden, tmp_path: Path) -> None:
    checkpoint = made.folder / "upstream_checkpoint.pt"
    genes = made.arrays["genes"]
    rng = np.random.default_rng(0)
    places = rng.permutation(64 * 64)[:700]
    xy = np.column_stack(np.divmod(places, 64)).astype(float)
    expression = rng.gamma(1.0, size=(700, len(genes))).astype(np.float32)
    section = np.where(np.arange(700) % 3 == 0, "b", "a")  # members lie apart in the file

    def embeddings(name: str, rows: np.ndarray, names: np.ndarray | None) -> np.ndarray:
        reference = write_reference(
            tmp_path / f"{name}.h5ad",
            expression[rows],
            xy[rows],
            genes,
            None if names is None else names[rows].tolist(),
        )
        return import_upstream(checkpoint, reference, tmp_path / name).embeddings

    every = np.arange(700)
    by_section = embeddings("sections", every, section)
    for name in "ab":
        rows = np.flatnonzero(section == name)
        np.testing.assert_allclose(by_section[rows], embeddings(f"only-{name}", rows, None), atol=1e-5)
    whole = embeddings("whole", every, None)
    np.testing.assert_allclose(whole, embeddings("named", every, np.full(700, "x")), atol=1e-6)
    assert np.abs(whole - by_section).max() > 1e-4
    network = load_bundle(tmp_path / "whole").network()
    with torch.inference_mode():
        sequence = network.encode_sequence(
            torch.from_numpy(expression), torch.from_numpy(xy.astype(np.int64))
        ).numpy()
    np.testing.assert_allclose(whole, sequence, atol=1e-5)


def test_array_positions_are_rounded(made: Golden, tmp_path: Path) -> None:
    xy = made.arrays["reference_array_xy"] + np.random.default_rng(0).uniform(-0.4, 0.4, (60, 2))
    reference = write_reference(
        tmp_path / "r.h5ad", made.arrays["reference_expression"], xy, made.arrays["genes"]
    )
    bundle = import_upstream(made.folder / "upstream_checkpoint.pt", reference, tmp_path / "bundle")
    np.testing.assert_allclose(bundle.embeddings, made.arrays["spot_embeddings"], atol=TOLERANCE)


def test_reference_sections_and_patients_are_told_by_pseudonym(made: Golden, tmp_path: Path) -> None:
    data = ad.read_h5ad(made.reference)
    data.obs["section"] = ["C3"] * 30 + ["C4"] * 30
    data.obs["patient"] = ["Jane Roe"] * 30 + ["John Doe"] * 30
    data.write_h5ad(tmp_path / "r.h5ad")
    bundle = import_upstream(made.folder / "upstream_checkpoint.pt", tmp_path / "r.h5ad", tmp_path / "bundle")
    assert set(bundle.patient) == {"P1", "P2"}
    assert [s["patient"] for s in bundle.spec.sections] == ["P1", "P2"]
    assert "Jane" not in (tmp_path / "bundle" / "bundle.json").read_text(encoding="utf-8")
    assert b"Jane" not in (tmp_path / "bundle" / "reference.h5ad").read_bytes()


class Evil:
    """Pickles as a call."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("evil", "unpickled"),
        ("zero", "unpickled|checkpoint"),
        ("noise", "unpickled|checkpoint"),
        ("list", "state dict"),
        ("nested", "state dict"),
        ("numbered", "state dict|not one of mclSTExp|positional tables"),
        ("other model", "positional tables"),
        ("one missing", "lacks 1"),
        ("one more", "1 unknown"),
        ("wrong shape", "do not fit"),
        ("nan", "not finite"),
    ],
)
def test_other_checkpoints_are_refused(
    made: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable, content: str, why: str
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pt"
    state = torch.load(made.folder / "upstream_checkpoint.pt", weights_only=True)
    for axis in "xy":
        state[f"{axis}_embed.weight"] = state[f"{axis}_embed.weight"][:64].clone()
    if content == "evil":
        torch.save({"a": Evil()}, path)
    elif content == "zero":
        path.touch()
    elif content == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(1000))
    else:
        if content == "one missing":
            del state["image_projection.fc.bias"]
        elif content == "one more":
            state["another.weight"] = torch.zeros(3)
        elif content == "wrong shape":
            state["image_projection.fc.bias"] = torch.zeros(3)
        elif content == "nan":
            state["image_projection.fc.bias"][0] = float("nan")
        others = {
            "list": [torch.zeros(2)],
            "nested": {"model": state},
            "numbered": {0: torch.zeros(2)},
            "other model": {"w": torch.zeros(2)},
        }
        torch.save(others.get(content, state), path)
    ended = run("bundle", "import-upstream", path, "--reference", made.reference, "--out", tmp_path / "b")
    assert ended.code == 2, ended.err
    assert re.search(why, ended.err), ended.err
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("no array_x", "array_x"),
        ("genes", "23"),
        ("negative", "outside"),
        ("nan", "finite"),
        ("absent", "cannot be read"),
    ],
)
def test_other_references_are_refused(
    made: Golden, tmp_path: Path, run: Callable, change: str, why: str
) -> None:
    data = ad.read_h5ad(made.reference)
    if change == "no array_x":
        del data.obs["array_x"]
    elif change == "genes":
        data = data[:, :23].copy()
    elif change == "negative":
        data.obs["array_y"] = data.obs["array_y"] - 1000
    elif change == "nan":
        data.X[0, 0] = np.nan
    if change != "absent":
        data.write_h5ad(tmp_path / "r.h5ad")
    checkpoint = made.folder / "upstream_checkpoint.pt"
    ended = run(
        "bundle", "import-upstream", checkpoint, "--reference", tmp_path / "r.h5ad", "--out", tmp_path / "b"
    )
    assert ended.code == 2
    assert why in ended.err
    assert not (tmp_path / "b").exists()
