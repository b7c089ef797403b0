"""Layers lie where they belong, and whatever the user does to them, the next step works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtTest import QTest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def predicted(window: Window, slide: Path, bundle: Path) -> Window:
    window.open(slide)
    window.set_bundle(bundle)
    window.predict()
    return window


def _aligned(window: Window, mpp: tuple[float, float]) -> None:
    """Every layer lies in the same um; a spot's world coordinate is its px times mpp (y, x)."""
    result = window.dock.session.result
    for layer in window.viewer.layers:
        assert [str(u) for u in layer.units] == ["micrometer"] * 2
        assert tuple(layer.axis_labels) == ("y", "x")
    slide, heatmap = window.layer("H&E"), window.layer("Predicted gene")
    domains = window.layer("Domains")
    for i in (0, len(result.grid) // 2, -1):
        y, x = result.grid.centres_px[i]
        world = (y * mpp[0], x * mpp[1])
        np.testing.assert_allclose(heatmap.data_to_world(heatmap.data[i]), world)
        np.testing.assert_allclose(slide.data_to_world((y, x)), world)
        assert domains.get_value(world, world=True) == result.domains.labels[i]


def test_domains_layer(predicted: Window) -> None:
    result, layer = predicted.dock.session.result, predicted.layer("Domains")
    assert isinstance(layer.colormap, DirectLabelColormap)
    assert not layer.multiscale
    assert layer.editable
    assert max(layer.data.shape) < 16384
    assert set(np.unique(layer.data)) == {0, *result.domains.names}
    world = result.grid.centres_px * 0.5
    low, high = layer.extent.world
    half = np.array(result.grid.pitch_px) * 0.5 / 2
    assert (low <= world.min(axis=0) - half + 1).all()
    assert (high >= world.max(axis=0) + half - 1).all()
    _aligned(predicted, (0.5, 0.5))


def test_deleted_layers(predicted: Window) -> None:
    """Heatmap, domains and slide are deleted in the layer list; the next step works."""
    window, viewer = predicted, predicted.viewer
    viewer.layers.remove(window.layer("Predicted gene"))
    window.pick_gene("DCN")
    np.testing.assert_array_equal(
        window.layer("Predicted gene").features["expression"], window.dock.session.result.believable("DCN")
    )
    viewer.layers.remove(window.layer("Domains"))
    window.choose(window.dock.domain_panel.style_box, "Filled")
    window.click(window.dock.domain_panel.find)
    window.wait_idle()
    assert window.layer("Domains").contour == 0
    viewer.layers.remove(window.layer("H&E"))
    window.pick_gene("VIM")
    viewer.layers.clear()
    window.predict()
    assert window.layer("Predicted gene").name == "Predicted gene: VIM"
    assert window.layer("Domains")
    assert window.notes() == []


def test_renamed_and_foreign_layers(predicted: Window, other_slide: Path) -> None:
    """Renamed layers are still ours; a layer of the user's own survives a prediction and another slide."""
    for layer in predicted.viewer.layers:
        layer.name = f"mine {layer.name}"
    own = predicted.viewer.add_points([[100, 100]], name="my notes", units=("um", "um"))
    predicted.pick_gene("DCN")
    predicted.predict()
    assert len(predicted.viewer.layers) == 5
    assert predicted.notes() == []
    predicted.open(other_slide)
    assert own in predicted.viewer.layers
    assert {layer.name for layer in predicted.viewer.layers} == {"my notes", "H&E"}


def test_two_scales(window: Window, slide: Path, bundle: Path) -> None:
    window.open(slide)
    window.set_bundle(bundle)
    window.set_mpp("0.5,0.6")
    assert window.dock.slide_panel.mpp.text() == "0.5,0.6"
    assert "given by the user" in window.dock.slide_panel.source.text()
    result = window.predict()
    assert (result.provenance.mpp_x, result.provenance.mpp_y) == (0.5, 0.6)
    _aligned(window, (0.6, 0.5))
    window.shot("two_scales")


def test_scale_changed_after_a_prediction(predicted: Window) -> None:
    """Spots were laid for the old scale: the result goes, or is drawn where it belongs."""
    window = predicted
    window.set_mpp("0.6")
    window.settle()
    if window.dock.session.result is None:
        assert [layer.name for layer in window.filled()] == ["H&E"]
    else:
        _aligned(window, (0.6, 0.6))
    window.predict()
    _aligned(window, (0.6, 0.6))
    # Emptied, it is the file's own again.
    window.set_mpp("")
    assert window.dock.slide_panel.mpp.text() == "0.5"
    assert window.dock.slide_panel.source.text() == "from the file: TIFF resolution tags"


def test_view_controls(predicted: Window) -> None:
    """Opacity and visibility by the dock's own widgets; hidden domains come back."""
    window, panel = predicted, predicted.dock.gene_panel
    window.click(panel.opacity)
    assert panel.opacity.value() != 80
    assert window.layer("Predicted gene").opacity == pytest.approx(panel.opacity.value() / 100)
    window.choose(window.dock.domain_panel.style_box, "Hidden")
    assert not window.layer("Domains").visible
    window.pick_gene("DCN")
    assert not window.layer("Domains").visible
    window.choose(window.dock.domain_panel.style_box, "Outlines")
    assert window.layer("Domains").visible
    assert window.layer("Domains").contour > 0


def test_order_of_layers(predicted: Window) -> None:
    """Finding domains again does not lay them over the heatmap, nor does it change what is selected."""
    window, layers = predicted, predicted.viewer.layers
    order = [layer.name for layer in layers]
    assert [name.split(":")[0] for name in order] == [
        "H&E",
        "Domains",
        "Predicted gene",
        "Unlike the reference",
    ]
    layers.selection.active = window.layer("H&E")
    window.click(window.dock.domain_panel.find)
    window.wait_idle()
    assert [layer.name for layer in layers] == order
    assert layers.selection.active is window.layer("H&E")


def test_layers_of_a_prediction_are_made_ahead_and_unseen(window: Window, slide: Path, bundle: Path) -> None:
    """They are there when the pointer comes to the button; what is selected stays so, none is seen."""
    window.open(slide)
    window.set_bundle(bundle)
    window.set_mpp("0.5")
    shown = window.layer("H&E")
    window.viewer.layers.selection.active = shown
    QTest.mouseMove(window.predict_button)
    window.qtbot.waitUntil(lambda: len(window.viewer.layers) == 4, timeout=20_000)
    window.settle()
    assert [layer.name for layer in window.viewer.layers if layer.visible] == ["H&E"]
    assert window.viewer.layers.selection.active is shown
    assert not window.viewer.canvas.overlays.text.text
    made = list(window.viewer.layers)
    window.shot("layers_made_ahead")
    window.predict()
    assert list(window.viewer.layers) == made
    assert window.viewer.layers.selection.active is window.layer("Predicted gene")
    assert window.layer("Unlike the reference").name.endswith(": none")
    assert not window.layer("Unlike the reference").visible

    # Another slide, and the dock closed: they go where nothing was predicted.
    window.open(slide)
    window.qtbot.waitUntil(window.predict_button.isEnabled, timeout=30_000)
    QTest.mouseMove(window.canvas)
    window.settle()
    QTest.mouseMove(window.predict_button)
    window.qtbot.waitUntil(lambda: len(window.viewer.layers) == 4, timeout=20_000)
    window.dock.shut()
    assert [layer.name for layer in window.viewer.layers] == ["H&E"]


def test_number_of_domains_holds_for_the_next_prediction(predicted: Window) -> None:
    """The number that the dock shows is the number that a prediction finds."""
    window, spin = predicted, predicted.dock.domain_panel.count
    window.type(spin.lineEdit(), "3", enter=True)
    window.click(window.dock.domain_panel.find)
    window.wait_idle()
    assert window.dock.domain_panel.legend.topLevelItemCount() == 3
    window.predict()
    assert window.dock.domain_panel.legend.topLevelItemCount() == spin.value()
