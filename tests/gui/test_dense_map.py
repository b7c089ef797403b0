"""A dense map in the window: chosen from the list, its time told, drawn smoothly."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window

CHOICE = "Dense map: 32 µm or less"


@pytest.fixture
def wide_bundle(bundle: Path, tmp_path: Path) -> Path:
    """The model with a margin put in afterwards; how well it then predicts is not looked at here."""
    folder = shutil.copytree(bundle, tmp_path / "wide")
    told = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**told, "margin_px": 32}))
    return folder


def test_a_dense_map_is_predicted_and_drawn_smoothly(window: Window, slide: Path, wide_bundle: Path) -> None:
    window.open(slide)
    window.set_bundle(wide_bundle)
    panel, session = window.dock.predict_panel, window.dock.session
    window.set_grid(CHOICE)
    window.qtbot.waitUntil(lambda: "spots, about" in panel.estimate.text(), timeout=20_000)
    assert "margin" not in panel.estimate.text()
    told = int(panel.estimate.text().split(" spots")[0].replace(",", ""))
    result = window.predict()
    assert len(result.grid) == told
    assert result.grid.layout == "square"
    assert result.grid.pitch_um <= 32
    assert result.provenance.backend.startswith("dense")
    window.qtbot.waitUntil(lambda: isinstance(window.layer("Predicted gene"), Image), timeout=20_000)
    assert window.dock.gene_panel.colour.smooth.isChecked()
    names = [layer.name.split(":")[0] for layer in window.viewer.layers]
    assert names.index("Domains") == names.index("Predicted gene") + 1, "a picture would cover their outlines"
    picture = window.layer("Predicted gene").data
    assert np.isfinite(picture).sum() > len(result.grid)
    window.shot("dense_1_map")
    remembered = session.remembered.spots_a_second
    assert [key for key in remembered if key.endswith(" dense")], remembered


def test_without_a_margin_the_window_says_that_it_goes_patch_by_patch(
    window: Window, slide: Path, bundle: Path
) -> None:
    window.open(slide)
    window.set_bundle(bundle)
    panel = window.dock.predict_panel
    window.set_grid(CHOICE)
    window.qtbot.waitUntil(lambda: "trained without a margin" in panel.estimate.text(), timeout=20_000)
    window.shot("dense_2_no_margin")
