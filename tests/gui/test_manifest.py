"""What napari sees of the plugin, and a real slide opened by it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import npe2
import numpy as np

from napari_mclstexp.samples import sample_slide_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window

NAME = "napari-mclstexp"


def test_manifest() -> None:
    manifest = npe2.PluginManifest.from_distribution(NAME)
    assert manifest.display_name == "mclSTExp"
    parts = manifest.contributions
    for command in parts.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))
    assert [w.display_name for w in parts.widgets] == ["Spatial expression"]
    assert "*.svs" in parts.readers[0].filename_patterns
    assert parts.readers[0].accepts_directories
    assert [s.key for s in parts.sample_data] == ["synthetic"]
    named = {c.id for c in parts.commands}
    first = (parts.readers, parts.writers, parts.widgets, parts.sample_data)
    assert {kind[0].command for kind in first} <= named


def test_dock_from_the_plugins_menu(window: Window) -> None:
    """Plugins > mclSTExp hides the dock and shows it again, with its state."""
    dock, entry = window.dock, window.menu_entry()
    entry.trigger()
    window.settle()
    assert not dock.isVisible()
    entry.trigger()
    window.settle()
    assert dock.isVisible()
    assert window.main.findChildren(type(dock)) == [dock]
    # A dock that was hidden and shown again still works.
    window.shot("empty_dock")
    assert not window.predict_button.isEnabled()
    assert "Waits for a slide" in dock.predict_panel.why.text()


def test_real_svs(window: Window, aperio: Path, tmp_path: Path) -> None:
    path = tmp_path / "CANARY_Jane_Doe_1961.svs"
    path.write_bytes(aperio.read_bytes())
    window.open(path)
    (layer,) = window.viewer.layers
    assert layer.name == "H&E"
    assert layer.rgb
    assert layer.multiscale
    assert layer.data[0].shape == (2967, 2220, 3)
    np.testing.assert_allclose(layer.scale, [0.499, 0.499])
    assert [str(u) for u in layer.units] == ["micrometer"] * 2
    assert tuple(layer.axis_labels) == ("y", "x")
    assert "CANARY" not in f"{layer.name} {layer.metadata}"
    assert window.viewer.canvas.overlays.scale_bar.visible
    picture = np.asarray(layer.data[0][1400:1500, 1000:1100])
    assert picture.dtype == np.uint8
    assert picture.std() > 10

    # The dock took it over.
    dock = window.dock
    assert dock.slide_panel.name.text() == path.name
    assert dock.slide_panel.mpp.text() == "0.499"
    assert "aperio.MPP" in dock.slide_panel.source.text()
    assert "2,220 × 2,967" in dock.slide_panel.size.text()
    assert window.predict_button.isEnabled()
    window.shot("svs_adopted")


def test_slide_before_the_dock(bare_window: Window, slide: Path) -> None:
    """The dock opens with the slide, takes it over, and is the one that the menu hides and shows."""
    bare_window.open(slide)
    dock = bare_window.find_dock()
    assert dock.slide_panel.name.text() == slide.name
    assert [layer.name for layer in bare_window.filled()] == ["H&E"]
    assert bare_window.predict_button.isEnabled()
    for shown in (False, True):
        bare_window.menu_entry().trigger()
        bare_window.settle()
        assert dock.isVisible() == shown
        assert bare_window.main.findChildren(type(dock)) == [dock]


def test_reader_offers_itself(slide: Path, aperio: Path) -> None:
    """napari finds our reader for a slide; a vendor's format is read by no other."""
    manager = npe2.PluginManager.instance()
    for path in (slide, aperio):
        found = {r.plugin_name for r in manager.iter_compatible_readers([str(path)])}
        assert NAME in found


def test_sample(window: Window) -> None:
    """File > Open Sample, and the same by the dock's button."""
    assert sample_slide_path().is_file()
    window.viewer.open_sample(NAME, "synthetic")
    window.qtbot.waitUntil(lambda: window.dock.session.measured is not None, timeout=30_000)
    window.wait_idle(30_000)
    assert [layer.name.split(":")[0] for layer in window.filled()] == ["H&E", "Measured gene"]
    layer = window.layer("H&E")
    assert max(layer.data[0].shape) > 8000
    assert window.dock.slide_panel.mpp.text() == "0.5"
    window.click(window.dock.slide_panel.sample_button)
    window.wait_idle(30_000)
    window.qtbot.waitUntil(lambda: window.dock.session.measured is not None, timeout=30_000)
    window.wait_idle(30_000)
    assert [layer.name.split(":")[0] for layer in window.filled()] == ["H&E", "Measured gene"]
    assert window.notes() == []
    window.shot("sample")


def test_open_dialog(window: Window, slide: Path) -> None:
    """The button's dialog: a path is typed into it, and Open clicked."""
    window.choose_in_dialog(window.dock.slide_panel.open_button, slide)
    window.wait_idle(30_000)
    assert window.dock.slide_panel.name.text() == slide.name
    assert len(window.filled()) == 1
    assert window.layer("H&E").multiscale
    assert window.predict_button.isEnabled()
