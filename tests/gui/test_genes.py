"""Finding a gene, listing genes, and drawing one or more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.genes import morans_i

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def predicted(window: Window, slide: Path, evaluated: Path) -> Window:
    """A window with a prediction of a model that was evaluated."""
    window.open(slide)
    window.set_bundle(evaluated)
    window.predict()
    return window


def entries(window: Window) -> list[str]:
    box = window.dock.gene_panel.gene
    return [box.itemText(i) for i in range(box.count()) if box.itemText(i)]


def search(window: Window, text: str) -> list[str]:
    """Type into the line and return what is offered."""
    window.type(window.dock.gene_panel.gene.lineEdit(), text)
    window.qtbot.waitUntil(lambda: QApplication.activePopupWidget() is not None)
    popup = QApplication.activePopupWidget()
    return [popup.model().index(i, 0).data() for i in range(popup.model().rowCount())]


def test_search_by_alias_order_favourites_and_keys(predicted: Window, evaluated: Path) -> None:
    window, panel = predicted, predicted.dock.gene_panel
    session, spec = window.dock.session, load_bundle(evaluated).spec
    # By an alias, clicked.
    assert search(window, "her2")[0] == "ERBB2   (HER2)"
    window.shot("genes_1_alias")
    popup = QApplication.activePopupWidget()
    at = popup.visualRect(popup.model().index(0, 0)).center()
    QTest.mouseClick(popup.viewport(), Qt.MouseButton.LeftButton, pos=at)
    window.settle()
    assert session.gene == "ERBB2"
    assert panel.gene.currentText() == "ERBB2"
    # By an alias, typed out.
    window.pick_gene("CD20")
    assert session.gene == "MS4A1"

    # Listed by what the evaluation found: its fixture gives the first gene the best figure.
    window.click(panel.gene, QPoint(panel.gene.width() - 8, panel.gene.height() // 2))
    window.press(Qt.Key.Key_Escape)
    by_name = entries(window)
    assert by_name[:2] == ["MS4A1", "ERBB2"], "the genes shown last come first"
    recent = set(session.remembered.recent) & set(by_name[:3])
    window.choose(panel.order, "By held-out PCC")
    window.qtbot.waitUntil(lambda: session.listed_by[0] == "pcc")
    assert [g for g in entries(window) if g not in recent] == [g for g in spec.genes if g not in recent]
    window.choose(panel.order, "By spatial variability")
    window.qtbot.waitUntil(lambda: session.listed_by[0] == "spatial")
    result = session.result
    variability = dict(zip(result.genes, morans_i(result.grid, result.expression), strict=True))
    assert variability[session.genes[0]] > variability[session.genes[-1]]
    name = result.domains.names[1]
    window.choose(panel.order, f"By markers of {name}")
    window.qtbot.waitUntil(lambda: session.listed_by == ("markers", 1))
    inside = result.domains.labels == 1
    first = result.gene_values(session.genes[0])
    assert first[inside].mean() > first[~inside].mean()
    window.shot("genes_2_markers")

    # Those not predictable are grey and say why.
    box = panel.gene
    grey = {box.itemText(i) for i in range(box.count()) if box.itemData(i, Qt.ItemDataRole.ForegroundRole)}
    sure = result.held_out.predictable()
    unpredictable = {g for g, known in zip(result.genes, sure, strict=True) if not known}
    assert grey == unpredictable != set()

    # A favourite comes first, and stays one in the next window.
    window.pick_gene("CD3D")
    window.click(panel.favourite)
    assert panel.favourite.text() == "★"
    assert entries(window)[0] == "CD3D"
    window.qtbot.waitUntil(lambda: session.remembered.favourites == ("CD3D",))

    # Keys, while the picture has the keyboard.
    window.choose(panel.order, "By name")
    window.qtbot.waitUntil(lambda: session.listed_by[0] == "name")
    window.click_canvas(QPoint(5, 5))
    genes = session.genes
    window.canvas.setFocus()
    QTest.keyClick(window.canvas, ".")
    assert session.gene == genes[(genes.index("CD3D") + 1) % len(genes)]
    QTest.keyClick(window.canvas, ",")
    assert session.gene == "CD3D"
    before = session.view.opacity
    QTest.keyClick(window.canvas, "o")
    assert session.view.opacity == pytest.approx(before - 0.1)
    assert panel.opacity.value() == round(100 * session.view.opacity)
    QTest.keyPress(window.canvas, "h")
    assert not window.layer("Predicted gene").visible
    assert not window.layer("Domains").visible
    QTest.keyRelease(window.canvas, "h")
    window.qtbot.waitUntil(lambda: window.layer("Predicted gene").visible)
    assert window.layer("Domains").visible
    centre = tuple(window.viewer.scene.camera.center)
    QTest.keyClick(window.canvas, "d")
    assert tuple(window.viewer.scene.camera.center) != centre
    QTest.keyClick(window.canvas, Qt.Key.Key_F1)
    sheet = window.dock.shortcuts._sheet
    window.qtbot.waitUntil(sheet.isVisible)
    window.shot("genes_3_help")
    sheet.close()


def test_colours_and_limits(predicted: Window) -> None:
    window, panel = predicted, predicted.dock.gene_panel
    session, colour = window.dock.session, panel.colour
    window.pick_gene("ERBB2")
    layer = window.layer("Predicted gene")
    assert isinstance(layer, Points)
    assert layer.face_colorbar.visible
    window.click(panel.colours.button)
    window.qtbot.waitUntil(colour.smooth.isVisible)
    window.settle(400)
    window.choose(colour.colormap, "Cividis")
    assert layer.face_colormap.name == "cividis"
    assert window.layer("Predicted gene") is layer, "recolouring builds no new layer"

    # By percentile, as typed.
    values = session.result.believable("ERBB2")
    spin = colour.low
    window.click(spin.lineEdit())
    window.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    window.keys("20")
    window.press(Qt.Key.Key_Tab)
    window.qtbot.waitUntil(lambda: session.view.colour.percentiles[0] == 20)
    assert layer.face_contrast_limits[0] == pytest.approx(np.nanpercentile(values, 20), rel=1e-4)

    # By number: they begin as they are seen, and stay with the next gene.
    seen = tuple(layer.face_contrast_limits)
    window.choose(colour.limits, "By number, locked")
    assert tuple(layer.face_contrast_limits) == pytest.approx(seen, abs=1e-3)
    locked = tuple(layer.face_contrast_limits)
    window.pick_gene("COL1A1")
    assert tuple(window.layer("Predicted gene").face_contrast_limits) == locked
    assert "Beyond the scale" in window.viewer.canvas.overlays.text.text
    window.shot("colours_1_locked")

    # One scale for all genes.
    window.choose(colour.limits, "One scale for all genes")
    shared = tuple(window.layer("Predicted gene").face_contrast_limits)
    window.pick_gene("CD3D")
    assert tuple(window.layer("Predicted gene").face_contrast_limits) == pytest.approx(shared)

    # Above and below the reference mean.
    window.choose(colour.limits, "By percentile")
    window.tick(colour.centred)
    low, high = window.layer("Predicted gene").face_contrast_limits
    assert low == pytest.approx(-high)
    assert "difference from the reference mean" in window.viewer.canvas.overlays.text.text
    window.shot("colours_2_centred")
    window.tick(colour.centred)

    # A smooth map, clipped to the tissue.
    window.tick(colour.smooth)
    window.qtbot.waitUntil(lambda: isinstance(window.layer("Predicted gene"), Image))
    picture = window.layer("Predicted gene")
    assert picture.colorbar.visible
    assert np.isnan(picture.data).any()
    known = picture.data[np.isfinite(picture.data)]
    assert len(np.unique(known)) > len(session.result.grid), "it runs from spot to spot"
    window.pick_gene("ERBB2")
    assert window.layer("Predicted gene") is picture
    window.shot("colours_3_smooth")
    window.tick(colour.smooth)
    window.qtbot.waitUntil(lambda: isinstance(window.layer("Predicted gene"), Points))


def test_a_blend_and_signatures(predicted: Window, tmp_path: Path) -> None:
    window, panel = predicted, predicted.dock.gene_panel
    session = window.dock.session
    window.pick_gene("ERBB2")
    window.choose(panel.shows, "Three genes")
    assert len(session.view.blend) == 2
    for box, gene in zip(panel.blend.boxes, ("ERBB2", "COL1A1", "CD3D"), strict=True):
        window.type(box.lineEdit(), gene, enter=True)
    assert session.view.blend == ("ERBB2", "COL1A1", "CD3D")
    assert "ERBB2 red, COL1A1 green, CD3D blue" in window.viewer.canvas.overlays.text.text
    colours = window.layer("Predicted gene").face_color
    believed = np.isfinite(session.result.believable("ERBB2"))
    assert len(np.unique(colours[believed].round(3), axis=0)) > 10
    window.shot("blend_1")

    window.choose(panel.shows, "Signature")
    window.click(panel.signature.text)
    window.keys("CD3D, PTPRC, NOSUCH1")
    window.click(panel.signature.show_button)
    used = session.signature[1].used
    assert "NOSUCH1" in session.signature[1].absent
    assert "Absent: NOSUCH1" in panel.signature.note.text()
    z = [session.result.gene_values(g) for g in used]
    believed = np.isfinite(session.signature[1].values)
    expected = np.mean([(v[believed] - v[believed].mean()) / v[believed].std() for v in z], axis=0)
    shown = window.layer("Predicted gene").features["expression"].to_numpy()
    np.testing.assert_allclose(shown[believed], expected, atol=1e-4)
    assert "mean z-score" in window.viewer.canvas.overlays.text.text
    window.shot("signature_1_pasted")

    sets = tmp_path / "sets.gmt"
    sets.write_text("STROMA\tx\tCOL1A1\tCOL1A2\nT_CELLS\tx\tCD3D\tCD3E\n", encoding="utf-8")
    window.choose_in_dialog(panel.signature.file_button, sets)
    window.qtbot.waitUntil(lambda: session.signature[0].name == "STROMA")
    window.choose(panel.signature.sets, "T_CELLS (2 genes)")
    assert session.signature[0].name == "T_CELLS"
    window.shot("signature_2_file")
    window.choose(panel.shows, "One gene")
    assert session.signature is None
    assert window.layer("Predicted gene").name.endswith(session.gene)

    # A file that is none.
    sets.write_text("no tabs here\n", encoding="utf-8")
    window.choose(panel.shows, "Signature")
    window.clear_notes()
    window.choose_in_dialog(panel.signature.file_button, sets)
    window.qtbot.waitUntil(lambda: bool(window.notes()))
    assert "Line 1" in window.take_one_error()
