"""Training: repeatable, in both modes, and its bundle is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import torch
from steps import finish

from napari_mclstexp.core.appearance import STAINS
from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.core.encode import encode_spots
from napari_mclstexp.core.patches import Field
from napari_mclstexp.errors import MclstexpError, ModelError, SectionError
from napari_mclstexp.training.augment import augment, centre, restain
from napari_mclstexp.training.data import load_training_data
from napari_mclstexp.training.fit import train
from napari_mclstexp.training.loop import contrastive_loss
from napari_mclstexp.training.options import TrainingOptions
from napari_mclstexp.training.scores import pearson
from napari_mclstexp.training.section_score import score_section
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle

SMALL = {"epochs": 1, "patch_px": 32, "batch_size": 10, "top_k": 8, "device": "cpu"}


def fit(sections: list[Path], **options: object) -> tuple[list, tuple[Bundle, bool]]:
    read = [read_section(str(path)) for path in sections]
    return finish(train(read, TrainingOptions(**{**SMALL, **options})))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, make_section: Callable[..., Path]) -> list[Path]:
    """Sections of two patients, 9 spots each."""
    folder = tmp_path_factory.mktemp("two")
    return [make_section(folder, f"T{i}", seed=i, spots=(3, 3), patient=f"Patient {i}") for i in (1, 2)]


def test_the_same_seed_gives_the_same_weights(two: list[Path]) -> None:
    one, again, other = (fit(two[:1], batch_size=4, seed=s)[1][0] for s in (3, 3, 4))
    assert all(torch.equal(one.weights[k], again.weights[k]) for k in one.weights)
    np.testing.assert_array_equal(one.embeddings, again.embeddings)
    assert one.spec.training["history"] == again.spec.training["history"]
    assert not all(torch.equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_corrected_bundles_say_what_they_are(trained: tuple[Bundle, bool], section: Path) -> None:
    bundle, _ = trained
    spec, made = bundle.spec, read_section(str(section))
    assert (spec.mode, spec.patch_px, spec.field_um) == ("corrected", 32, 72.0)  # 1.2 x 120 px x 0.5 um
    assert spec.mpp == 72 / 32
    assert spec.context_um == pytest.approx(1.5 * 120 * 0.5)
    assert spec.head == "mean"
    assert set(spec.genes) == set(made.genes)
    assert spec.sections == ({"section": "SecretOne", "patient": "P1", "spots": 30},)
    np.testing.assert_allclose(bundle.positions, made.xy_px * 0.5)
    assert spec.training["seed"] == 0
    values = bundle.bank().values
    again = encode_spots(bundle.network(), values, bundle.positions, bundle.section)
    np.testing.assert_allclose(again, bundle.embeddings, atol=1e-5)


def test_patients_are_told_by_pseudonyms_alone(two: list[Path], tmp_path: Path) -> None:
    _, (bundle, half) = fit(two)
    assert [s["patient"] for s in bundle.spec.sections] == ["P1", "P2"]
    assert bundle.patient.tolist() == ["P1"] * 9 + ["P2"] * 9
    assert bundle.section.tolist() == ["T1"] * 9 + ["T2"] * 9
    save_bundle(bundle, tmp_path / "b", half=half)
    for part in (tmp_path / "b").iterdir():
        assert b"Patient" not in part.read_bytes()
    assert "Patient" not in str(ad.read_h5ad(tmp_path / "b" / "reference.h5ad").obs)


def test_paper_bundles_read_native_patches_and_array_places(
    tmp_path: Path, make_section: Callable[..., Path]
) -> None:
    path = make_section(tmp_path, "P", seed=4, spots=(3, 3))
    seen, (bundle, half) = fit([path], mode="paper", batch_size=9)
    assert np.isfinite(seen[-1].loss)
    spec = bundle.spec
    assert (spec.mode, spec.mpp, spec.field_um, spec.patch_px) == ("paper", None, None, 224)
    assert spec.top_k == 8
    np.testing.assert_array_equal(bundle.positions, read_section(str(path)).array_xy)
    assert bundle.weights["x_table.rows"].tolist() == [0, 1, 2]
    loaded = load_bundle(save_bundle(bundle, tmp_path / "b", half=half))
    assert loaded.spec == spec
    np.testing.assert_array_equal(loaded.embeddings, bundle.embeddings)


def test_half_weights_are_told_only_when_nothing_is_lost(trained: tuple[Bundle, bool]) -> None:
    bundle, half = trained
    lossless = all(torch.equal(v, v.half().float()) for v in bundle.weights.values() if v.is_floating_point())
    assert half == lossless


def test_training_learns_what_colour_tells(tmp_path: Path, make_section: Callable[..., Path]) -> None:
    path = make_section(tmp_path, "L", seed=6, spots=(6, 5))
    seen, _ = fit([path], epochs=4)
    ends = [p for p in seen if p.step == p.steps]
    assert [p.epoch for p in ends] == [1, 2, 3, 4]
    assert ends[-1].loss < ends[0].loss
    assert ends[-1].seconds_left == 0


def test_progress_counts_its_steps(two: list[Path]) -> None:
    seen, _ = fit(two, batch_size=5, epochs=2)
    assert [(p.epoch, p.step) for p in seen] == [(e, s) for e in (1, 2) for s in (1, 2, 3)]
    assert all(p.steps == 3 and p.epochs == 2 for p in seen)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": -2}, "epochs"),
        ({"batch_size": 0}, "batch"),
        ({"batch_size": -1}, "batch"),
        ({"batch_size": 1}, "batch"),  # a contrast needs two
        ({"top_k": 0}, "top-k|top_k"),
        ({"min_counts": 10**9}, "counts"),
        ({"genes": "0"}, "gene"),
        ({"device": "tpu"}, "device"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_before_the_work(two: list[Path], options: dict, why: str) -> None:
    steps = train([read_section(str(two[0]))], TrainingOptions(**{**SMALL, **options}))
    with pytest.raises(MclstexpError, match=why):
        next(steps)


def test_poor_spots_are_left_out_and_counted(tmp_path: Path, make_section: Callable[..., Path]) -> None:
    path = make_section(tmp_path, "P", seed=2, spots=(4, 4))
    data = ad.read_h5ad(path)
    counts = data.layers["counts"].toarray()
    counts[[1, 5, 7]] = 1
    data.layers["counts"] = counts
    data.write_h5ad(path)
    _, (bundle, _) = fit([path], batch_size=6)
    assert bundle.spec.training["spots_left_out"] == 3
    assert len(bundle.expression) == bundle.spec.sections[0]["spots"] == 13


def test_a_lower_bound_on_counts_reaches_the_choice_of_genes(
    tmp_path: Path, make_section: Callable[..., Path]
) -> None:
    path = make_section(tmp_path, "P", seed=2, spots=(3, 3))
    data = ad.read_h5ad(path)
    data.layers["counts"] = np.random.default_rng(0).poisson(3, data.shape).astype(float)
    data.write_h5ad(path)
    _, (bundle, _) = fit([path], batch_size=4, min_counts=5, genes=6)
    assert len(bundle.spec.genes) == 6


def test_too_few_spots_and_names_twice_are_refused(
    two: list[Path], tmp_path: Path, make_section: Callable
) -> None:
    with pytest.raises(SectionError, match="named T1"):
        fit([two[0], two[0]])
    with pytest.raises(SectionError, match="Only 4 spots"):
        fit([make_section(tmp_path, "F", seed=1, spots=(2, 2))])


def test_spots_outside_the_image_are_refused(tmp_path: Path, make_section: Callable[..., Path]) -> None:
    path = make_section(tmp_path, "O", seed=1, spots=(3, 3))
    data = ad.read_h5ad(path)
    data.obsm["spatial"][4, 0] = 1e6
    data.write_h5ad(path)
    with pytest.raises(SectionError, match="outside its image"):
        fit([path])


def test_training_patches_are_centred_and_wide_enough_to_turn(two: list[Path]) -> None:
    section = read_section(str(two[0]))
    data = load_training_data([section], section.genes, Field(32, 112.0), 200)
    assert data.patches.shape[1] >= 32 * np.sqrt(2)
    middle = centre(torch.from_numpy(data.patches), 32)
    from napari_mclstexp.core.patches import read_patch
    from napari_mclstexp.core.slide import open_slide

    with open_slide(section.slide) as slide:
        for i in (0, 4):
            direct = read_patch(slide, section.xy_px[i, ::-1], Field(32, 112.0), section.scale)
            difference = middle[i].permute(1, 2, 0).numpy() * 255 - direct
            assert np.abs(difference).mean() < 6


def test_augmentation_is_seeded_and_keeps_the_middle() -> None:
    y, x = np.mgrid[:46, :46]
    disc = np.hypot(y - 22.5, x - 22.5) < 10
    wide = torch.from_numpy(
        np.repeat((disc[..., None] * 200).astype(np.uint8), 3, axis=2)[None].repeat(20, 0)
    )

    def draw(seed: int) -> torch.Tensor:
        return augment(wide, 32, 0.15, 0.1, torch.Generator().manual_seed(seed))

    one = draw(0)
    assert one.shape == (20, 3, 32, 32)
    assert torch.equal(one, draw(0))
    assert not torch.equal(one, draw(1))
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1
    for patch in one[:, 0]:
        bright = np.argwhere((patch > 0.4).numpy())
        np.testing.assert_allclose(bright.mean(0), 15.5, atol=0.3)
        assert len(bright) == pytest.approx(np.pi * 100, rel=0.06)  # turned, not zoomed


def test_the_contrastive_loss_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    e = np.exp
    rows = -np.log([e(2) / (e(2) + 1), e(3) / (e(3) + e(1))]).mean()
    columns = -np.log([e(2) / (e(2) + e(1)), e(3) / (e(3) + 1)]).mean()
    assert float(contrastive_loss(logits)) == pytest.approx((rows + columns) / 2, rel=1e-5)


def test_pearson_by_numpy_and_zero_for_a_constant() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    a[:, 2] = 7
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] if i != 2 else 0 for i in range(4)]
    np.testing.assert_allclose(pearson(a, b), expected, atol=1e-9)


def test_scoring_takes_a_section_that_was_not_trained_on(
    trained: tuple[Bundle, bool], section: Path, two: list[Path]
) -> None:
    _, score = finish(score_section(read_section(str(two[0])), trained[0], device="cpu"))
    assert score.spots == 9
    assert score.genes == trained[0].spec.genes
    assert (np.abs(score.pcc) <= 1 + 1e-9).all()
    with pytest.raises(SectionError, match="trained on"):
        next(score_section(read_section(str(section)), trained[0]))


def test_a_loss_that_explodes_ends_the_training(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_mclstexp.training import loop as module

    monkeypatch.setattr(module, "contrastive_loss", lambda logits: logits.sum() * float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        fit(two[:1])


def test_a_real_section_trains(real: Path, tmp_path: Path) -> None:
    section = read_section(str(real / "her2st" / "B4"))
    import dataclasses

    keep = np.arange(0, len(section.ids), 12)
    few = dataclasses.replace(
        section,
        ids=section.ids[keep],
        xy_px=section.xy_px[keep],
        array_xy=section.array_xy[keep],
        values=section.counts[keep],
    )
    options = TrainingOptions(**{**SMALL, "genes": str(real / "her2st" / "panel.txt")})
    _, (bundle, half) = finish(train([few], options))
    loaded = load_bundle(save_bundle(bundle, tmp_path / "b", half=half))
    assert len(loaded.spec.genes) > 700
    assert loaded.spec.sections[0]["patient"] == "P1"


def test_stains_shift_by_hand() -> None:
    patches = torch.full((3, 3, 2, 2), 0.5)
    assert torch.allclose(restain(patches, torch.zeros(2, 3, 3, 1, 1)), patches, atol=1e-5)
    drawn = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 3, 3, 1, 1)).astype(np.float32)
    shifted = restain(patches, torch.from_numpy(drawn))
    for patch, scale, shift in zip(shifted.numpy(), drawn[0, ..., 0, 0], drawn[1, ..., 0, 0], strict=True):
        density = -np.log(np.full(3, 0.5)) @ np.linalg.inv(STAINS) * (1 + scale) + shift / 2
        expected = np.exp(-density @ STAINS).clip(0, 1)
        np.testing.assert_allclose(patch[:, 0, 0], expected, rtol=1e-4)


def test_a_share_of_the_patches_undergoes_what_it_does_among_them_all() -> None:
    wide = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 46, 46, 3), dtype=np.uint8))
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    whole = augment(wide, 32, 0.15, 0.1, draws[0])
    part = augment(wide, 32, 0.15, 0.1, draws[1], slice(2, 4))
    assert torch.equal(part, whole[2:4])
    assert torch.equal(draws[0].get_state(), draws[1].get_state())
