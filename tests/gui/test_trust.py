"""How far to believe a gene and a spot, as the window says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_mclstexp.core.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gui.conftest import Window


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
