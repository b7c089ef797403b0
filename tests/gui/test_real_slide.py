"""The main job on a real section, as a pathologist does it: open, scale, predict, gene, domains, export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import pytest
import shapely
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mclstexp.core.limits import colour_limits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Heartbeat, Window

MPP = 0.737
START_S, ANSWER_S = 1.5, 0.5
"""How long the window may not answer, but for the machine's stalls: as napari makes the layer that fills in
and its shaders (a second of work, without a GPU), and from then on."""


def _heatmap_shows(window: Window, gene: str) -> None:
    """The heatmap holds the result's values of a gene, at its spots, in the colours of the colour bar."""
    result = window.dock.session.result
    layer = window.layer("Predicted gene")
    values = result.believable(gene)
    assert layer.name == f"Predicted gene: {gene}"
    assert window.dock.gene_panel.gene.currentText() == gene
    np.testing.assert_array_equal(layer.features["expression"], values)
    np.testing.assert_allclose(layer.data, result.grid.centres_px)
    np.testing.assert_allclose(layer.scale, [MPP, MPP])
    low, high = layer.face_contrast_limits
    assert (low, high) == pytest.approx(colour_limits(values))
    shade = np.clip((values - low) / (high - low), 0, 1)
    np.testing.assert_allclose(layer.face_color, ensure_colormap("viridis").map(shade), atol=0.02)
    assert layer.face_colorbar.visible
    assert layer.visible
    text = window.viewer.canvas.overlays.text
    assert text.visible
    assert gene in text.text
    assert "not measured" in text.text


def _legend_fits(window: Window, count: int) -> None:
    """The legend, the layer's colours and names, and the label at each spot are those of the result."""
    result = window.dock.session.result
    tree, layer = window.dock.domain_panel.legend, window.layer("Domains")
    assert tree.isVisible()
    assert tree.topLevelItemCount() == count == len(result.domains.names)
    named = dict(zip(layer.features["index"], layer.features["domain"], strict=True))
    assert sum(int(tree.topLevelItem(i).text(1)) for i in range(count)) == len(result.grid)
    for i in range(count):
        item, label = tree.topLevelItem(i), i + 1
        assert item.text(0) == named[label] == result.domains.names[label]
        assert item.text(1) == str((result.domains.labels == label).sum())
        assert item.text(2).endswith("mm²")
        swatch = item.icon(0).pixmap(14, 14).toImage().pixelColor(7, 7)
        assert swatch.name() == result.domains.colours[label]
        drawn = np.round(np.asarray(layer.colormap.map(label)) * 255).astype(int)
        assert tuple(drawn[:3]) == swatch.getRgb()[:3]
    for (y, x), label in zip(result.grid.centres_px, result.domains.labels, strict=True):
        assert layer.get_value((y * MPP, x * MPP), world=True) == label
    assert max(layer.data.shape) < 16384
    assert not layer.multiscale


def test_from_slide_to_exports(
    window: Window, her2st: Path, real_bundle: Path, own_spots: Path, heartbeat: Heartbeat, tmp_path: Path
) -> None:
    dock, viewer = window.dock, window.viewer
    window.open(her2st / "C2.jpg")

    # The file does not tell its scale: the window asks, and does not go on without.
    assert dock.slide_panel.name.text() == "C2.jpg"
    assert dock.session.scale is None
    assert "does not tell its scale" in dock.slide_panel.source.text()
    assert not window.predict_button.isEnabled()
    assert dock.predict_panel.why.isVisible()
    assert "µm per pixel" in dock.predict_panel.why.text()
    window.shot("real_1_asks_for_scale")
    window.set_mpp(str(MPP))
    window.wait_idle()  # the slide is decoded
    assert window.predict_button.isEnabled()
    assert not dock.predict_panel.why.isVisible()
    np.testing.assert_allclose(window.layer("H&E").scale, [MPP, MPP])
    assert [str(u) for u in window.layer("H&E").units] == ["micrometer"] * 2

    # Its own spots, from a file.
    window.set_bundle(real_bundle)
    window.set_grid("Spots from a CSV file")
    window.type(dock.predict_panel.form.spots.line_edit.native, str(own_spots))
    result = window.predict()
    table = pd.read_csv(own_spots, dtype={"spot_id": str})
    assert result.grid.ids.tolist() == table["spot_id"].tolist()
    np.testing.assert_allclose(result.grid.centres_px, table[["y_px", "x_px"]])
    assert result.grid.pitch_um == pytest.approx(200, rel=0.02)
    assert len(result.genes) == 60
    _heatmap_shows(window, dock.session.gene)
    _legend_fits(window, 7)
    window.shot("real_2_own_spots")

    # A grid of many spots: the window lives while it runs.
    window.set_pitch(40)
    bar, stage = dock.predict_panel.bar, dock.predict_panel.stage
    seen, left = [], []
    camera = viewer.scene.camera.center
    with heartbeat:
        window.press_predict()
        assert not window.predict_button.isEnabled()
        window.wait_spots()
        start, early = heartbeat.lap(), heartbeat.ticks
        assert bar.isVisible()
        assert dock.predict_panel.cancel_button.isVisible()
        window.drag_canvas(80, 40)

        def ended() -> bool:
            if dock.session.job.running:
                seen.append(bar.value())
                left.append("left" in stage.text() and "of" in stage.text())
            return not dock.session.job.running

        def seen_enough() -> bool:
            return len(set(seen)) > 4 and heartbeat.ticks - early > 20

        window.qtbot.waitUntil(lambda: ended() or seen_enough(), timeout=120_000)
        run, ticks = heartbeat.lap(), heartbeat.ticks - early
        window.shot("real_3_running")
    assert not np.allclose(viewer.scene.camera.center, camera), "the picture could not be moved"
    assert seen == sorted(seen)
    assert len(set(seen)) > 4, "the progress bar did not rise"
    assert bar.maximum() > 500
    assert any(left), "no time left was shown"
    assert ticks > 20, "the window did not answer while the model ran"
    for gaps, limit in ((start, START_S), (run, ANSWER_S)):
        worst = max(gaps, key=lambda gap: gap.unexplained)
        assert worst.unexplained < limit, f"the window did not answer: {worst}"
    if dock.session.job.running:
        window.click(dock.predict_panel.cancel_button)
        window.wait_idle(15_000)
    assert dock.session.result is result

    # The grid of the experiment.
    window.set_grid("ST: square, 200 µm")
    result = window.predict()
    assert result.grid.layout == "square"
    assert 100 < len(result.grid) < 400
    assert (result.provenance.mpp_x, result.provenance.mpp_source) == (MPP, "given by the user")

    window.pick_gene("ERBB2")
    _heatmap_shows(window, "ERBB2")
    window.shot("real_4_erbb2")

    # Another gene by a part of its name, in small letters, and a click on what is found.
    line = dock.gene_panel.gene.lineEdit()
    window.type(line, "col1")
    window.qtbot.waitUntil(lambda: QApplication.activePopupWidget() is not None)
    popup = QApplication.activePopupWidget()
    found = [popup.model().index(i, 0) for i in range(popup.model().rowCount())]
    assert {i.data() for i in found} == {"COL1A1", "COL1A2"}
    window.shot("real_5_searching")
    wanted = next(i for i in found if i.data() == "COL1A1")
    QTest.mouseClick(
        popup.viewport(), Qt.MouseButton.LeftButton, pos=popup.visualRect(wanted).center() + QPoint(1, 1)
    )
    window.settle()
    _heatmap_shows(window, "COL1A1")
    window.shot("real_6_col1a1")

    # Domains: filled, then four of them.
    _legend_fits(window, 7)
    outlined = window.layer("Domains")
    assert outlined.contour > 0
    window.choose(dock.domain_panel.style_box, "Filled")
    assert window.layer("Domains").contour == 0
    window.tick(dock.gene_panel.shown)
    assert not window.layer("Predicted gene").visible
    window.shot("real_7_domains_filled")
    spin = dock.domain_panel.count
    window.click(spin.lineEdit())
    window.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    window.keys("4")
    window.click(dock.domain_panel.find)
    window.wait_idle()
    _legend_fits(window, 4)
    assert window.layer("Domains").contour == 0
    assert not window.layer("Predicted gene").visible
    assert dock.session.gene == "COL1A1"
    window.shot("real_8_four_domains")
    result = dock.session.result

    # All layers lie in one world.
    assert {layer.name.split(":")[0] for layer in viewer.layers} == {
        "H&E",
        "Domains",
        "Predicted gene",
        "Unlike the reference",
    }
    for layer in viewer.layers:
        assert [str(u) for u in layer.units] == ["micrometer"] * 2
        assert tuple(layer.axis_labels) == ("y", "x")

    # Exports, read back.
    for name in ("domains.geojson", "result.h5ad", "spots.csv"):
        window.export(tmp_path / name)
        assert (tmp_path / name).is_file(), window.said()
    collection = json.loads((tmp_path / "domains.geojson").read_text(encoding="utf-8"))
    kinds = [f["properties"]["objectType"] for f in collection["features"]]
    assert kinds.count("annotation") == 4
    assert kinds.count("detection") == len(result.grid)
    for feature in collection["features"][:4]:
        assert shapely.from_geojson(json.dumps(feature["geometry"])).is_valid
        name, colour = (feature["properties"]["classification"][k] for k in ("name", "color"))
        label = next(i for i, n in result.domains.names.items() if n == name)
        assert "#{:02x}{:02x}{:02x}".format(*colour) == result.domains.colours[label]
    data = anndata.read_h5ad(tmp_path / "result.h5ad")
    assert data.var_names.tolist() == list(result.genes)
    np.testing.assert_allclose(np.asarray(data.X), result.expression, rtol=1e-6)
    np.testing.assert_allclose(data.obsm["spatial"], result.grid.centres_px[:, ::-1])
    assert data.obs["domain"].nunique() == 4
    spots = pd.read_csv(tmp_path / "spots.csv")
    np.testing.assert_allclose(spots["ERBB2"], result.gene_values("ERBB2"), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(spots["x_um"], result.grid.centres_px[:, 1] * MPP, rtol=1e-5)
    for path in tmp_path.iterdir():
        assert b"C2.jpg" not in path.read_bytes(), f"{path.name} tells the slide's name"

    # A file that is there stays as it is, and one notification says why.
    window.settle()
    window.clear_notes()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    window.click(dock.export_panel.export_button)
    window.wait_idle()
    assert "exists" in window.take_one_error()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    window.shot("real_9_refused_export")
    window.tick(dock.export_panel.overwrite)
    window.click(dock.export_panel.export_button)
    window.wait_idle()
    assert "Wrote spots.csv" in window.said()[-1]
