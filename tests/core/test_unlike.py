"""Tissue unlike the reference: measures made by hand, and real tissue blurred, restained or other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_mclstexp.core.appearance import APPEARANCE, COLOURS, STAINS, appearance
from napari_mclstexp.core.grid import make_grid
from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import find_tissue
from napari_mclstexp.core.unlike import Unlike, fit_unlike
from napari_mclstexp.errors import BundleError, SectionError

if TYPE_CHECKING:
    from pathlib import Path

ONE = np.full(400, "one")
TWO = np.where(np.arange(400) < 200, "one", "two")


def looks(count: int, seed: int = 0) -> np.ndarray:
    """Measures that hang together, as real ones do."""
    mix = np.random.default_rng(7).normal(size=(APPEARANCE, APPEARANCE))
    return np.random.default_rng(seed).normal(size=(count, APPEARANCE)) @ mix


def patches(count: int, side: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(count, side, side, 1)), (0, 1, 1, 0))
    tint = np.array([180, 110, 170]) + rng.normal(0, 6, (count, 1, 1, 3))
    return np.clip(tint + 120 * noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("section", [ONE, TWO])
def test_tissue_of_its_kind_is_known_and_either_part_tells_other_tissue(section: np.ndarray) -> None:
    detector = fit_unlike(looks(400), section)
    fresh = looks(2000, seed=1)
    assert 0.002 < detector.unlike(fresh).mean() < 0.06
    away = np.linalg.inv(detector.whitening)  # columns: steps of one limit along each independent measure
    for measure in (0, COLOURS - 1, COLOURS, APPEARANCE - 1):
        assert detector.distance(detector.centre[None] + 1.2 * away[:, measure])[0] == pytest.approx(1.2)
    assert detector.distance(looks(0)).shape == (0,)


def test_a_section_of_another_kind_does_not_set_the_limits() -> None:
    section = np.repeat(["one", "two", "three", "four"], 100)
    mixed = looks(400)
    mixed[300:] += 4 * mixed.std(axis=0)
    detector = fit_unlike(mixed, section)
    apart = fit_unlike(mixed[:300], section[:300])
    assert detector.unlike(mixed[:300]).mean() < 0.05
    assert apart.unlike(mixed[300:]).all()
    assert detector.unlike(looks(400, seed=2) - 12 * mixed[:300].std(axis=0)).all()


@pytest.mark.parametrize("count", [4, 9, 30])
@pytest.mark.parametrize("sections", [1, 2])
def test_few_small_patches_make_a_dull_detector_that_still_flags_glass(count: int, sections: int) -> None:
    known = appearance(patches(count, 32))
    detector = fit_unlike(known, np.array([f"s{i % sections}" for i in range(count)]))
    assert np.isfinite(detector.whitening).all()
    assert detector.unlike(known).mean() <= 0.1
    if count > 4:
        assert detector.unlike(appearance(np.full((1, 32, 32, 3), 244, np.uint8))).all()


def test_patches_that_are_all_the_same_know_themselves() -> None:
    same = np.repeat(appearance(patches(1, 32)), 12, axis=0)
    detector = fit_unlike(same, np.full(12, "one"))
    assert not detector.unlike(same).any()
    with pytest.raises(SectionError, match="3 patches do not tell"):
        fit_unlike(same[:3], np.full(3, "one"))


def test_it_comes_back_from_a_bundle_and_damage_is_refused() -> None:
    detector = fit_unlike(looks(400), TWO)
    stored = detector.tensors()
    again = Unlike.from_tensors(stored)
    np.testing.assert_array_equal(again.distance(looks(5, 3)), detector.distance(looks(5, 3)))
    with pytest.raises(BundleError, match="lacks its whitening"):
        Unlike.from_tensors({"centre": stored["centre"]})
    for name, damaged in (
        ("centre", stored["centre"][:-1]),
        ("whitening", stored["whitening"][:, :4]),
        ("whitening", stored["whitening"] * np.nan),
    ):
        with pytest.raises(BundleError, match="wrong shape, or numbers that are not finite"):
            Unlike.from_tensors({**stored, name: damaged})


# --- real sections -------------------------------------------------------------

FIELD = Field(112, 165.0)


@pytest.fixture(scope="module")
def breast(real: Path) -> tuple[np.ndarray, np.ndarray]:
    """Patches (N, 112, 112, 3) of three sections of one patient and one of another, and their sections."""
    from napari_mclstexp.training.data import load_training_data
    from napari_mclstexp.training.sections import read_section

    sections = [read_section(str(real / "her2st" / name)) for name in ("C2", "C3", "C4", "B4")]
    data = load_training_data(sections, tuple(sections[0].genes[:20]), FIELD, 200)
    return data.patches[:, 24:-24, 24:-24], data.section


@pytest.fixture(scope="module")
def skin(real: Path) -> np.ndarray:
    """Patches (N, 112, 112, 3) on the tissue of a slide of another organ."""
    with open_slide(real / "aperio-cmu" / "CMU-1-Small-Region.svs") as slide:
        grid = make_grid(find_tissue(slide, slide.scale), slide.scale, "square", 50.0)
        read = read_batches(slide, grid.centres_px, FIELD, slide.scale, 32)
        return np.concatenate([patches for _, patches in read])


def blurred(clear: np.ndarray, sigma_px: float) -> np.ndarray:
    return gaussian_filter(clear, (0, sigma_px, sigma_px, 0))


def restained(usual: np.ndarray, haematoxylin: float, eosin: float) -> np.ndarray:
    """With the optical density of two stains multiplied."""
    stains = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    density = -np.log(np.maximum(usual / 255, 1 / 255)) @ np.linalg.inv(stains)
    return np.rint(255 * np.exp(-(density * (haematoxylin, eosin, 1)) @ stains).clip(0, 1)).astype(np.uint8)


def coarser(fine: np.ndarray) -> np.ndarray:
    """To half as many pixels a side, so that no source is sharper than another."""
    return np.stack([np.asarray(Image.fromarray(p).resize((56, 56), Image.Resampling.LANCZOS)) for p in fine])


@pytest.mark.parametrize(
    ("fitted", "held", "blur", "stain", "flagged"),
    [
        ("C3 C4 B4", "C2", 0.99, 0.98, 0.03),
        ("C2 C4 B4", "C3", 0.98, 0.97, 0.03),
        ("B4", "C2 C3 C4", 0.97, 0.97, 0.10),
        ("C2 C3 C4", "B4", 0.92, 0.75, 0.35),  # one patient alone does not tell how stains differ
    ],
)
def test_real_patches_blurred_restained_or_of_another_organ_are_told(
    breast: tuple[np.ndarray, np.ndarray],
    skin: np.ndarray,
    fitted: str,
    held: str,
    blur: float,
    stain: float,
    flagged: float,
) -> None:
    from sklearn.metrics import roc_auc_score

    tissue, section = breast
    known, out = np.isin(section, fitted.split()), np.isin(section, held.split())
    detector = fit_unlike(appearance(tissue[known]), section[known])
    usual = detector.distance(appearance(tissue[out]))
    assert (usual > detector.limit).mean() <= flagged

    def area(others: np.ndarray, judge: Unlike = detector, against: np.ndarray = usual) -> float:
        away = judge.distance(appearance(others))
        truth = np.repeat([0, 1], [len(against), len(away)])
        return float(roc_auc_score(truth, np.concatenate((against, away))))

    assert area(blurred(tissue[out], 2)) >= blur
    assert area(restained(tissue[out], 1.4, 0.6)) >= stain
    assert area(skin) >= 0.99
    coarse = fit_unlike(appearance(coarser(tissue[known])), section[known])
    assert area(coarser(skin), coarse, coarse.distance(appearance(coarser(tissue[out])))) >= 0.97
