"""How far to believe a gene and a spot, as the window says it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.core.held_out import HeldOut

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def evaluated(bundle: Path, tmp_path: Path) -> Path:
    """The model with the outcome of an evaluation: its first gene is predictable, its last is not."""
    loaded = load_bundle(bundle)
    pcc = np.linspace(0.6, -0.2, len(loaded.spec.genes), dtype=np.float32)
    held_out = HeldOut(
        pcc=pcc,
        low=pcc - np.float32(0.1),
        high=pcc + np.float32(0.1),
        width=np.ones(len(pcc), np.float32),
        similarity=np.linspace(0, 1, 101, dtype=np.float32),
        protocol="leave-section-out",
        same_patient=True,
        sections=3,
        patients=1,
        intervals="spatial blocks",
    )
    spec = replace(loaded.spec, evaluation=held_out.story())
    told = replace(loaded, spec=spec, beside=replace(loaded.beside, held_out=held_out))
    return save_bundle(told, tmp_path / "evaluated")


def test_the_badge_of_a_gene_that_was_evaluated(window: Window, slide: Path, evaluated: Path) -> None:
    genes = load_bundle(evaluated).spec.genes
    window.open(slide)
    window.set_bundle(evaluated)
    window.predict()
    badge = window.dock.gene_panel.badge
    window.pick_gene(genes[0])
    assert badge.isVisible()
    assert badge.text() == f"{genes[0]}: PCC 0.60 (0.50 to 0.70), same patient in training"
    window.shot("trust_1_predictable")
    window.pick_gene(genes[-1])
    assert badge.text().startswith(f"{genes[-1]}: Not predictable: PCC -0.20")
    window.shot("trust_2_not_predictable")


def test_a_model_that_was_not_evaluated_says_so(window: Window, slide: Path, bundle: Path) -> None:
    window.open(slide)
    assert not window.dock.gene_panel.badge.isVisible()
    window.set_bundle(bundle)
    result = window.predict()
    assert "Not evaluated" in window.dock.gene_panel.badge.text()
    assert result.unlike is not None


def test_tissue_unlike_the_reference_is_crossed_out_and_not_coloured(
    window: Window, slide: Path, bundle: Path, tmp_path: Path, make_slide: Callable[..., Path]
) -> None:
    picture = tifffile.imread(slide)
    strange = make_slide(tmp_path / "strange.tif", np.ascontiguousarray(picture[..., [1, 2, 0]]))  # greenish
    window.open(strange)
    window.set_bundle(bundle)
    result = window.predict()
    assert result.unlike.mean() > 0.5
    crosses = window.layer("Unlike the reference")
    assert len(crosses.data) == result.unlike.sum()
    coloured = window.layer("Predicted gene").features["expression"].to_numpy()
    assert np.isnan(coloured[result.unlike]).all()
    assert np.isfinite(coloured[~result.unlike]).all()
    assert "unlike the model's reference" in window.dock.gene_panel.note.text()
    assert "Grey crosses" in window.viewer.canvas.overlays.text.text
    window.shot("trust_3_unlike")
    window.open(slide)  # the crosses go with their slide
    assert not [layer for layer in window.viewer.layers if layer.name == "Unlike the reference"]
