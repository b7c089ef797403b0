"""Measured expression beside the predicted one: opened with the slide or added to it, compared by a swipe."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gui.conftest import Window

CANARY = "CANARY"
SWIPE = "Swipe: predicted | measured"


def _wait_measured(window: Window) -> None:
    window.qtbot.waitUntil(lambda: window.dock.session.measured is not None, timeout=30_000)
    window.wait_idle(30_000)


@pytest.fixture
def section(sections: list[Path]) -> Path:
    """A synthetic section whose files have a patient's name."""
    return sections[0]


@pytest.fixture
def compared(window: Window, section: Path, bundle: Path) -> Window:
    """Opened by its .h5ad and predicted at the measured spots."""
    window.open(section)
    _wait_measured(window)
    window.set_bundle(bundle)
    window.predict()
    return window


def _shown(window: Window, start: str) -> np.ndarray:
    """x of the spots of a map that are drawn, full-resolution px."""
    layer = window.layer(start)
    assert layer.visible
    return layer.data[layer.shown, 1]


def _truth(section: Path, gene: str) -> np.ndarray:
    data = ad.read_h5ad(section)
    counts = np.asarray(data.layers["counts"].todense())
    values = np.log1p(1e4 * counts[:, data.var_names.get_loc(gene)] / counts.sum(axis=1))
    return np.where(counts.sum(axis=1) >= 200, values, np.nan)


def test_an_h5ad_opens_its_slide_and_what_was_measured(window: Window, section: Path) -> None:
    window.open(section)
    _wait_measured(window)
    dock = window.dock
    assert dock.slide_panel.name.text() == section.with_suffix(".tif").name
    assert dock.slide_panel.measured.told.text() == f"{ad.read_h5ad(section).n_obs:,} spots"
    assert dock.predict_panel.form.grid.value == "measured"
    window.pick_gene("ERBB2")
    layer = window.layer("Measured gene")
    assert layer.name == "Measured gene: ERBB2"
    np.testing.assert_allclose(layer.features["expression"], _truth(section, "ERBB2"), rtol=1e-5)
    assert [str(u) for u in layer.units] == ["micrometer"] * 2
    text = window.viewer.canvas.overlays.text.text
    assert "ERBB2, measured" in text
    assert "Predicted" not in text
    assert "Measured:" in dock.gene_panel.note.text()
    assert not dock.gene_panel.source.isVisible()  # there is nothing to compare with yet
    window.shot("measured_only")
    assert window.notes() == []
    window.tick(dock.gene_panel.shown)  # nothing measured is shown, and nothing says that it is
    assert not layer.visible
    assert not window.viewer.canvas.overlays.text.visible


def test_swipe_between_predicted_and_measured(compared: Window, section: Path) -> None:
    window, panel = compared, compared.dock.gene_panel
    assert len(window.dock.session.result.grid) == ad.read_h5ad(section).n_obs
    window.pick_gene("ERBB2")
    assert not window.layer("Measured gene").visible
    truth = _truth(section, "ERBB2")
    rich = np.isfinite(truth)
    pcc = np.corrcoef(truth[rich], window.dock.session.result.gene_values("ERBB2")[rich])[0, 1]
    assert panel.agreement.isVisible()
    assert f"PCC {pcc:.2f} over {rich.sum():,} spots" in panel.agreement.text()

    window.choose(panel.source, "Measured")
    assert window.layer("Measured gene").visible
    assert not window.layer("Predicted gene").visible
    assert "ERBB2, measured" in window.viewer.canvas.overlays.text.text

    window.choose(panel.source, SWIPE)
    middle = ad.read_h5ad(section).obsm["spatial"][:, 0].mean()  # amid the spots
    assert _shown(window, "Predicted gene").max() < middle <= _shown(window, "Measured gene").min()
    text = window.viewer.canvas.overlays.text.text
    assert "Left of the line: predicted from H&E. Right: measured." in text
    window.shot("swipe")

    window.tick(panel.one_scale)
    limits = [window.layer(f"{s} gene").face_contrast_limits for s in ("Predicted", "Measured")]
    assert limits[0] == limits[1]
    window.shot("swipe_one_scale")
    window.tick(panel.one_scale)
    limits = [window.layer(f"{s} gene").face_contrast_limits for s in ("Predicted", "Measured")]
    assert limits[0] != limits[1]

    window.choose(panel.source, "Predicted")
    assert [layer.name for layer in window.viewer.layers if layer.name == "Predicted | measured"] == []
    assert window.layer("Predicted gene").shown.all()


def _colours(window: Window, name: str) -> np.ndarray:
    """(N, 3) of the screen, amid each predicted spot."""
    picture = window.shot(name)
    corner = window.canvas.mapToGlobal(QPoint(0, 0))
    places = [corner + window.screen_of(*centre) for centre in window.dock.session.result.grid.centres_px]
    return np.array([picture[place.y(), place.x()] for place in places])


def test_each_side_of_the_line_shows_its_own_spots(
    window: Window, section: Path, bundle: Path, tmp_path: Path, make_slide: Callable[..., Path]
) -> None:
    """On the screen, crosses of what is unlike the reference included."""
    picture = tifffile.imread(section.with_suffix(".tif"))
    picture[800:] = picture[800:, :, [1, 2, 0]]  # greenish: unlike the reference
    make_slide(tmp_path / section.with_suffix(".tif").name, picture)
    shutil.copy(section, tmp_path)
    window.open(tmp_path / section.name)
    _wait_measured(window)
    window.set_bundle(bundle)
    result = window.predict()
    window.pick_gene("ERBB2")
    window.tick(window.dock.domain_panel.on_picture)  # the legend would lie over spots
    source = window.dock.gene_panel.source
    predicted = _colours(window, "swipe_predicted")
    window.choose(source, "Measured")
    measured = _colours(window, "swipe_measured")
    window.choose(source, SWIPE)
    both = _colours(window, "swipe_unlike")

    line, x = window.dock.session.view.divider * window.dock.session.slide.width, result.grid.centres_px[:, 1]
    for side, own in ((x < line - 20, predicted), (x > line + 20, measured)):
        for spots in (side & result.unlike, side & ~result.unlike):
            differ = (predicted[spots] != measured[spots]).any(axis=1)
            assert differ.sum() >= 3
            np.testing.assert_array_equal(both[spots], own[spots])
    window.choose(source, "Predicted")
    np.testing.assert_array_equal(_colours(window, "swipe_back"), predicted)


def test_the_line_is_dragged_over_the_slide(compared: Window) -> None:
    """It follows the mouse, the picture stays; a drag elsewhere moves the picture, as ever."""
    window, panel = compared, compared.dock.gene_panel
    window.choose(panel.source, SWIPE)
    viewer, width = window.viewer, window.dock.session.slide.width
    camera = viewer.scene.camera
    canvas, zoom = window.canvas, viewer.scene.camera.zoom
    began = window.dock.session.view.divider * width
    line = canvas.width() / 2 + (began * 0.5 - camera.center[2]) * zoom
    centre = camera.center
    start = QPoint(round(line), canvas.height() // 2)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 6):
        QTest.mouseMove(canvas, start + QPoint(-20 * step, 0))
        window.settle(15)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(-100, 0))
    window.settle()
    assert camera.center == centre
    expected = began - 100 / zoom / 0.5
    assert window.dock.session.view.divider * width == pytest.approx(expected, abs=4 / zoom)
    assert panel.divider.value() == pytest.approx(1000 * expected / width, abs=5)
    at = window.dock.session.view.divider * width
    assert _shown(window, "Predicted gene").max() < at <= _shown(window, "Measured gene").min()

    away = start + QPoint(60, 0)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=away)
    for step in range(1, 6):
        QTest.mouseMove(canvas, away + QPoint(10 * step, 0))
        window.settle(15)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=away + QPoint(50, 0))
    window.settle()
    assert camera.center != centre
    assert window.dock.session.view.divider * width == pytest.approx(at)

    # By the slider, too, to its end: all of it is measured.
    panel.divider.setFocus()
    window.press(Qt.Key.Key_Home)
    assert window.dock.session.view.divider == 0
    assert len(_shown(window, "Measured gene")) == len(window.layer("Measured gene").data)
    assert len(_shown(window, "Predicted gene")) == 0


def test_a_prediction_elsewhere_is_compared_by_the_nearest_spot(compared: Window) -> None:
    window = compared
    window.set_grid("Visium: hexagonal, 100 µm")
    window.predict()
    assert "each with the nearest predicted one" in window.dock.gene_panel.agreement.text()


def test_another_slide_takes_what_was_measured_away(compared: Window, other_slide: Path) -> None:
    window = compared
    window.choose(window.dock.gene_panel.source, SWIPE)
    window.open(other_slide)
    assert window.dock.session.measured is None
    assert [layer.name for layer in window.filled()] == ["H&E"]
    assert window.dock.slide_panel.measured.told.text() == "none"
    assert window.dock.predict_panel.form.grid.value != "measured"
    assert not window.dock.gene_panel.source.isVisible()


def test_layers_that_were_deleted_come_back(compared: Window) -> None:
    window = compared
    window.choose(window.dock.gene_panel.source, SWIPE)
    for start in ("Measured gene", "Predicted | measured"):
        window.viewer.layers.remove(window.layer(start))
    window.pick_gene("COL1A1")
    assert window.layer("Measured gene").name == "Measured gene: COL1A1"
    window.layer("Predicted | measured")


def test_no_name_of_the_section_is_in_the_layers(compared: Window) -> None:
    compared.choose(compared.dock.gene_panel.source, SWIPE)
    for layer in compared.viewer.layers:
        assert CANARY not in repr((layer.name, layer.metadata, getattr(layer, "features", "")))
    assert CANARY in compared.dock.slide_panel.name.text()


def test_a_section_is_added_to_the_open_slide(
    window: Window, slide: Path, section: Path, tmp_path: Path
) -> None:
    """By the dock's button; and a file without a picture by opening it in napari. One of another slide is
    refused, and what is there stays.
    """
    data = ad.read_h5ad(section)
    del data.uns["mclstexp_section"]
    bare = tmp_path / "bare.h5ad"
    data.write_h5ad(bare)
    data.obsm["spatial"] = data.obsm["spatial"] + 10_000
    data.write_h5ad(tmp_path / "other.h5ad")

    window.open(slide)
    assert window.dock.session.measured is None
    window.choose_in_dialog(window.dock.slide_panel.measured.file_button, section)
    _wait_measured(window)
    first = window.dock.session.measured
    window.choose_in_dialog(window.dock.slide_panel.measured.file_button, tmp_path / "other.h5ad")
    window.wait_idle(30_000)
    assert "lie outside the slide" in window.take_one_error()
    assert window.dock.session.measured is first

    window.open(bare)
    window.qtbot.waitUntil(lambda: window.dock.session.measured is not first, timeout=30_000)
    window.wait_idle()
    assert [layer.name.split(":")[0] for layer in window.filled()] == ["H&E", "Measured gene"]
    assert window.notes() == []


@pytest.mark.parametrize("how", ["opened", "added"])
def test_what_is_open_is_never_replaced(
    window: Window, section: Path, bundle: Path, tmp_path: Path, how: str
) -> None:
    """By *Export* and by napari's own saving; a file of ours beside it is."""
    own = tmp_path / section.name
    shutil.copy(section, own)
    shutil.copy(section.with_suffix(".tif"), tmp_path)
    window.open(own if how == "opened" else own.with_suffix(".tif"))
    if how == "added":
        window.choose_in_dialog(window.dock.slide_panel.measured.file_button, own)
    _wait_measured(window)
    window.set_bundle(bundle)
    window.set_grid("Visium: hexagonal, 100 µm")
    window.predict()
    before, panel = own.read_bytes(), window.dock.export_panel
    window.tick(panel.overwrite)
    window.export(own)
    refused = f"{own.name} is the slide itself, which is never replaced. Choose another name."
    assert window.take_one_error() == refused
    window.viewer.layers.selection = {window.layer("Domains")}
    with pytest.raises(ExportError, match="which is never replaced"):
        window.viewer.layers.save(str(own), selected=True)
    assert own.read_bytes() == before

    for _ in range(2):
        window.export(tmp_path / "result.h5ad")
    assert ad.read_h5ad(tmp_path / "result.h5ad").n_obs == len(window.dock.session.result.grid)
    assert [note for note in window.notes() if str(note.severity) == "error"] == []


@pytest.mark.parametrize("name", ["scanpy/visium_data/1.0.0", "seurat/visium_hd"])
def test_a_real_visium_folder(window: Window, real: Path, name: str) -> None:
    window.open(real / name)
    _wait_measured(window)
    dock = window.dock
    assert dock.slide_panel.size.text().endswith("mm")
    assert not window.predict_button.isEnabled()
    assert "too coarse for the model" in dock.predict_panel.why.text()
    assert not dock.slide_panel.mpp.isEnabled()
    assert len(window.layer("Measured gene").data) == len(dock.session.measured.grid) >= 100
    window.shot(f"visium_{name.split('/')[0]}")


def test_a_real_section_of_breast(window: Window, her2st: Path, real_bundle: Path, tmp_path: Path) -> None:
    """C2 asks for its scale; its measured spots, 200 um apart, tell it. Predicted there, and compared."""
    dock = window.dock
    window.open(her2st / "C2.jpg")
    window.wait_idle(60_000)
    assert not window.predict_button.isEnabled()
    window.choose_in_dialog(dock.slide_panel.measured.file_button, her2st / "cnts" / "C2.tsv.gz")
    _wait_measured(window)
    assert dock.session.scale.mpp_x == pytest.approx(0.737, abs=0.001)
    assert "200-um spot pitch" in dock.slide_panel.source.text()
    window.set_bundle(real_bundle)
    window.predict()
    window.pick_gene("COL1A1")
    window.choose(dock.gene_panel.source, SWIPE)
    counts = pd.read_csv(her2st / "cnts" / "C2.tsv.gz", sep="\t", index_col=0)
    result = dock.session.result
    counts = counts.loc[result.grid.ids]
    rich = counts.sum(axis=1).to_numpy() >= 200
    truth = np.log1p(1e4 * counts["COL1A1"] / counts.sum(axis=1))[rich]
    pcc = np.corrcoef(truth, result.gene_values("COL1A1")[rich])[0, 1]
    told = f"PCC {pcc:.2f} over {rich.sum()} spots. {(~rich).sum()} with under"
    assert told in dock.gene_panel.agreement.text()
    window.shot("real_swipe")


def test_a_measured_scale_is_offered_beside_the_files(window: Window, section: Path, tmp_path: Path) -> None:
    """Where the slide tells its own scale, that stays; the spots' is among the ways to settle it."""
    data = ad.read_h5ad(section)
    data.uns["mclstexp_section"]["mpp"] = 0.55
    shutil.copy(section.with_suffix(".tif"), tmp_path)
    path = tmp_path / section.name
    data.write_h5ad(path)
    window.open(path)
    _wait_measured(window)
    assert window.dock.slide_panel.mpp.text() == "0.5"
    window.settle_scale("0.55 (uns mclstexp_section)")
    assert window.dock.slide_panel.mpp.text() == "0.55"
    np.testing.assert_allclose(window.layer("Measured gene").scale, [0.55, 0.55])


def test_the_slides_name_stays_in_sight(compared: Window, section: Path) -> None:
    """With the dock scrolled to its end, too."""
    compared.click(compared.dock.export_panel.path)
    name = compared.dock.slide_panel.name
    assert name.text() == section.with_suffix(".tif").name
    assert not name.visibleRegion().isEmpty()
    assert name.visibleRegion().boundingRect() == name.rect()
    compared.shot("name_in_sight")
