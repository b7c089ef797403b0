"""Heads, context and levels against sums done by hand; what stands beside the network in a bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy

from napari_mclstexp.core import trust
from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.core.bundle_beside import Beside
from napari_mclstexp.core.context import DESCRIBED, Disc, Neighbours, Queries, centred
from napari_mclstexp.core.heads import HEADS, Bank, Ridge, check_head, predict_by
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.core.retrieval import match
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle

GENES = 12


def queries(count: int, seed: int = 0) -> Queries:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, 256)).astype(np.float32)
    return Queries(
        rng.random((count, 1024)).astype(np.float32),
        z / np.linalg.norm(z, axis=1, keepdims=True),
        rng.random((count, APPEARANCE)).astype(np.float32),
    )


def held_out(genes: int = GENES, **changes: object) -> HeldOut:
    ramp = np.linspace(-0.2, 0.6, genes, dtype=np.float32)
    told = HeldOut(
        pcc=ramp,
        low=ramp - np.float32(0.1),
        high=ramp + np.float32(0.1),
        width=np.ones(genes, np.float32),
        similarity=np.linspace(0.2, 0.8, 101, dtype=np.float32),
        protocol="leave-section-out",
        same_patient=True,
        sections=3,
        patients=1,
        intervals="spatial blocks",
    )
    return replace(told, **changes)  # type: ignore[arg-type]


def test_four_heads_by_hand() -> None:
    asked, known = queries(5), queries(9, 1)
    values = np.random.default_rng(2).normal(1, 1, (9, GENES)).astype(np.float32)
    weight = np.random.default_rng(3).normal(0, 0.01, (GENES, DESCRIBED)).astype(np.float32)
    ridge = Ridge(weight, np.full(GENES, 0.5, np.float32))
    bank = Bank(known.embeddings, values, 4, "inverse-square", 0.2)
    seen = asked.seen_among(None)
    found = {head: predict_by(head, seen, bank, ridge)[0] for head in HEADS}

    cosine = asked.embeddings.astype(float) @ known.embeddings.astype(float).T
    rows = np.argsort(-cosine, axis=1)[:, :4]
    near = np.take_along_axis(cosine, rows, 1)
    inverse, soft = 1 / (2 - 2 * near), np.exp(near / 0.2)
    retrieved, softened = (
        np.stack([(w[i] / w[i].sum()) @ values[rows[i]] for i in range(5)]) for w in (inverse, soft)
    )
    described = np.hstack([asked.features, asked.features, asked.looks, asked.looks])
    linear = described @ weight.T + 0.5
    np.testing.assert_allclose(found["retrieval"], np.maximum(retrieved, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["retrieval-softmax"], np.maximum(softened, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["ridge"], np.maximum(linear, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["mean"], np.maximum((retrieved + linear) / 2, 0), rtol=1e-4, atol=1e-5)


def test_a_spot_is_seen_with_those_within_the_radius() -> None:
    xy = np.array([[0.0, 0.0], [100.0, 0.0], [250.0, 0.0], [1000.0, 0.0]])
    around = Neighbours(xy, 160)
    near = around.weights()
    expected = [[1 / 2, 1 / 2, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0], [0, 1 / 2, 1 / 2, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(near.toarray(), expected, rtol=1e-6)
    alone = queries(4)
    seen = alone.seen_among(around)
    part = alone.seen_among(around, slice(1, 3))
    np.testing.assert_allclose(part.described, seen.described[1:3], rtol=1e-6)
    joined = alone.embeddings[0] + (alone.embeddings[0] + alone.embeddings[1]) / 2
    np.testing.assert_allclose(seen.embeddings[0], joined / np.linalg.norm(joined), rtol=1e-5)
    np.testing.assert_allclose(seen.embeddings[3], alone.embeddings[3], rtol=1e-5)
    np.testing.assert_allclose(
        seen.described[2, 1024:2048], (alone.features[1] + alone.features[2]) / 2, rtol=1e-5
    )
    np.testing.assert_array_equal(seen.described[:, 2048 : 2048 + APPEARANCE], alone.looks)


def test_a_lattice_has_the_neighbours_of_any_spots() -> None:
    rng = np.random.default_rng(5)
    at = np.argwhere(rng.random((23, 31)) < 0.8) + 4
    rng.shuffle(at)
    alone, pitch = queries(len(at)), 17.0
    for radius in (10.0, 40.0, 101.0):
        usual = alone.seen_among(Neighbours(at * pitch, radius), slice(30, 400))
        found = alone.seen_among(Disc(at, radius / pitch), slice(30, 400))
        np.testing.assert_allclose(found.embeddings, usual.embeddings, atol=1e-5)
        np.testing.assert_allclose(found.described, usual.described, atol=1e-4)


def test_levels_of_sections_are_taken_off_the_bank() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0], [10.0, 0.0], [14.0, 2.0]], dtype=np.float32)
    section = np.array(["a", "a", "b", "b"])
    moved = centred(values, section)
    np.testing.assert_allclose(moved, [[6, 3], [8, 3], [5, 2], [9, 4]])
    np.testing.assert_allclose(moved.mean(axis=0), values.mean(axis=0))


def test_a_head_that_is_none_or_lacks_its_regression_is_refused_with_the_choice() -> None:
    with pytest.raises(BundleError, match=r"no ridge regression for head 'mean'\. Choose retrieval or retr"):
        check_head("mean", None)
    ridge = Ridge(np.zeros((1, DESCRIBED), np.float32), np.zeros(1, np.float32))
    with pytest.raises(BundleError, match=r"no head 'oracle'\. Choose retrieval, retrieval-softmax, ri"):
        check_head("oracle", ridge)
    assert [check_head(head, ridge) for head in HEADS] == list(HEADS)


def test_patients_among_the_matches_and_the_heaviest_of_them() -> None:
    bank = np.array([[1.0, 0], [0.9, 0.1], [0.8, 0.2], [0, 1.0]])
    found = match(np.array([[1.0, 0.0], [0.0, 1.0]]), bank, 2)
    patient = np.array(["P1", "P1", "P2", "P2"])
    assert trust.patients_among(found, patient).tolist() == [1, 1]
    assert trust.patients_among(match(np.array([[1.0, 0.0]]), bank, 3), patient).tolist() == [2]
    rows, weights = trust.heaviest(found, 1)
    assert rows.tolist() == [[0], [3]]
    np.testing.assert_allclose(weights[:, 0], found.weights.max(axis=1), rtol=1e-6)


def test_what_is_said_of_a_gene_goes_by_its_interval() -> None:
    pcc, low = (np.array(a, np.float32) for a in ([0.4, 0.4, 0.05], [0.2, -0.1, 0.01]))
    told = held_out(3, pcc=pcc, low=low)
    assert told.predictable().tolist() == [True, False, False]
    assert told.about(0).startswith("PCC 0.40 (0.20 to ")
    assert "same patient in training" in told.about(0)
    assert told.about(1).startswith("Not predictable: PCC 0.40")
    assert "patients held out" in replace(told, same_patient=False).about(0)
    np.testing.assert_allclose(told.percentile(np.array([0.1, 0.5, 0.9])), [0, 50, 100], atol=0.01)


@pytest.fixture
def told(trained: tuple[Bundle, bool], tmp_path: Path) -> Path:
    """A bundle that tells all it can."""
    bundle = trained[0]
    pictures = np.random.default_rng(0).integers(0, 255, (len(bundle.expression), 64, 64, 3), dtype=np.uint8)
    beside = replace(bundle.beside, held_out=held_out(len(bundle.spec.genes)), thumbnails=pictures)
    spec = replace(bundle.spec, head="ridge", head_reason="it won", evaluation=held_out().story())
    return save_bundle(replace(bundle, spec=spec, beside=beside), tmp_path / "told")


def test_what_stands_beside_the_network_comes_back(trained: tuple[Bundle, bool], told: Path) -> None:
    loaded = load_bundle(told)
    assert (loaded.spec.head, loaded.spec.head_reason) == ("ridge", "it won")
    made = trained[0].beside
    np.testing.assert_array_equal(loaded.beside.ridge.weight, made.ridge.weight)
    np.testing.assert_array_equal(loaded.beside.ridge.bias, made.ridge.bias)
    assert loaded.beside.held_out.story() == held_out().story()
    np.testing.assert_array_equal(loaded.beside.held_out.pcc, held_out().pcc)
    assert loaded.beside.thumbnails.shape == (30, 64, 64, 3)
    assert set(json.loads((told / "bundle.json").read_text())["sha256"]) == {
        "weights.safetensors", "reference.h5ad", "beside.safetensors",
    }  # fmt: skip


def test_no_pictures_are_kept_unless_asked_for(trained: tuple[Bundle, bool]) -> None:
    assert trained[0].beside.thumbnails is None


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda t: t.update({"ridge.weight": t["ridge.weight"][:, :-1]}), "ridge head has the wrong shape"),
        (lambda t: t.update({"ridge.bias": t["ridge.bias"] * np.nan}), "ridge head .* that are not finite"),
        (lambda t: t.pop("ridge.bias"), "ridge head lacks its bias"),
        (lambda t: [t.pop(k) for k in list(t) if k.startswith("ridge")], "lacks the ridge regression"),
        (lambda t: t.update({"held_out.pcc": t["held_out.pcc"][:-1]}), "evaluation has the wrong shape"),
        (lambda t: t.update({"held_out.similarity": t["held_out.similarity"][::-1].copy()}), "do not ascend"),
        (lambda t: t.pop("held_out.low"), "evaluation lacks a part"),
        (lambda t: t.update({"thumbnails": t["thumbnails"][:, :32]}), "thumbnails of the wrong shape"),
        (lambda t: t.update({"thumbnails": t["thumbnails"].astype(np.float32)}), "thumbnails of the wrong"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_spoilt_parts_are_refused_by_name(told: Path, spoil: Callable[[dict], object], why: str) -> None:
    stored = safetensors.numpy.load((told / "beside.safetensors").read_bytes())
    spoil(stored)
    (told / "beside.safetensors").write_bytes(safetensors.numpy.save(stored))
    spec = json.loads((told / "bundle.json").read_text())
    content = (told / "beside.safetensors").read_bytes()
    spec["sha256"]["beside.safetensors"] = hashlib.sha256(content).hexdigest()
    (told / "bundle.json").write_text(json.dumps(spec))
    with pytest.raises(BundleError, match=why):
        load_bundle(told)


def test_a_changed_or_missing_part_is_told_by_its_hash(told: Path, tmp_path: Path) -> None:
    lacking = shutil.copytree(told, tmp_path / "lacking")
    (lacking / "beside.safetensors").unlink()
    with pytest.raises(BundleError, match=r"lacks beside\.safetensors"):
        load_bundle(lacking)
    (told / "beside.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BundleError, match="SHA-256 differs"):
        load_bundle(told)


def test_a_bundle_of_an_earlier_version_has_nothing_beside_it() -> None:
    assert Beside().as_bytes() == b""
    from napari_mclstexp.samples import demo_bundle_path

    loaded = load_bundle(demo_bundle_path())
    assert loaded.spec.head == "retrieval" or loaded.beside.ridge is not None
