"""Step 4: domains made one's own, with the mouse on the shown picture."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def found(window: Window, slide: Path, bundle: Path) -> Window:
    """A window with a prediction and its domains, the map hidden."""
    window.open(slide)
    window.set_bundle(bundle)
    window.predict()
    window.tick(window.dock.gene_panel.shown)
    return window


def labels(window: Window) -> np.ndarray:
    return window.dock.session.result.domains.labels


def drag(window: Window, places: list[tuple[float, float]]) -> np.ndarray:
    """Drag from place to place, y, x in full-resolution px; what is shown before its end."""
    at = [window.screen_of(*place) for place in places]
    QTest.mouseMove(window.canvas, at[0])
    window.settle(40)
    QTest.mousePress(window.canvas, Qt.MouseButton.LeftButton, pos=at[0])
    for a, b in itertools.pairwise(at):
        for i in range(1, 6):
            QTest.mouseMove(window.canvas, a + (b - a) * i / 5)
            window.settle(15)
    shown = window.layer("Domains").data.copy()
    QTest.mouseRelease(window.canvas, Qt.MouseButton.LeftButton, pos=at[-1])
    window.settle(60)
    return shown


def neighbours(window: Window) -> tuple[int, int, int]:
    """Two spots side by side of different domains, and one further on of the second."""
    domains, centres = labels(window), window.dock.session.result.grid.centres_px
    pitch = window.dock.session.result.grid.pitch_px[1]
    for row in range(len(centres)):
        beside = [np.abs(centres - centres[row] - (0, k * pitch)).sum(axis=1).argmin() for k in (1, 2)]
        near = np.abs(centres[beside] - centres[row])[:, 1]
        if np.allclose(near, (pitch, 2 * pitch), atol=pitch / 4):
            a, b, c = domains[row], *domains[beside]
            if a != b and b == c:
                return row, *beside
    pytest.fail("no such spots")


def test_brush_erase_fill_lasso_undo_lock(found: Window) -> None:
    panel, session, tools = found.dock.domain_panel, found.dock.session, found.dock.domain_panel.tools
    centres = session.result.grid.centres_px
    before = labels(found).copy()
    first, second, third = neighbours(found)
    own, other = before[first], before[second]

    # The brush gives spots of the domain that it begins on, and spares the neighbours.
    found.choose(tools.target, session.result.domains.names[own])
    found.click(tools.buttons["brush"])
    camera = tuple(found.viewer.scene.camera.center)
    untouched = found.layer("Domains").data.copy()
    shown = drag(found, [tuple(centres[second]), tuple(centres[third])])
    assert (shown != untouched).any(), "a stroke is not seen before its end"
    assert (shown == found.layer("Domains").data).all()
    assert labels(found)[[second, third]].tolist() == [own, own]
    assert (np.flatnonzero(labels(found) != before) == sorted((second, third))).all()
    assert tuple(found.viewer.scene.camera.center) == camera, "the picture moved under the brush"
    raster = found.layer("Domains").data
    assert (raster == own).any()
    found.shot("paint_1_brush")

    # Undo and redo by the panel's buttons; the picture follows.
    painted = labels(found).copy()
    shown = found.layer("Domains").data.copy()
    found.click(panel.undo)
    assert (labels(found) == before).all()
    assert (found.layer("Domains").data != shown).any()
    found.click(panel.redo)
    assert (labels(found) == painted).all()
    assert (found.layer("Domains").data == shown).all()
    found.click(panel.undo)

    # A locked domain stays, and says so where it was asked for.
    item = next(
        panel.legend.topLevelItem(i)
        for i in range(panel.legend.topLevelItemCount())
        if panel.legend.topLevelItem(i).data(0, Qt.ItemDataRole.UserRole) == other
    )
    at = panel.legend.visualItemRect(item)
    lock = QPoint(panel.legend.columnViewportPosition(3) + 4, at.center().y())
    found.click(panel.legend.viewport(), lock)
    assert session.result.domains.locked == {other}
    drag(found, [tuple(centres[second]), tuple(centres[third])])
    assert (labels(found) == before).all()
    found.click(panel.undo)
    assert session.result.domains.locked == frozenset()

    # Erase.
    found.click(tools.buttons["erase"])
    drag(found, [tuple(centres[second]), tuple(centres[third])])
    assert labels(found)[[second, third]].tolist() == [0, 0]
    found.click(panel.undo)

    # Fill: the whole patch that is clicked.
    found.click(tools.buttons["fill"])
    found.click_canvas(found.screen_of(*centres[second]))
    changed = np.flatnonzero(labels(found) != before)
    assert {second, third} <= set(changed.tolist())
    assert (before[changed] == other).all()
    assert (labels(found)[changed] == own).all()
    found.click(panel.undo)

    # Lasso, into a domain of its own.
    found.choose(tools.target, "A new domain")
    found.click(tools.buttons["lasso"])
    middle, far = centres.mean(axis=0), np.array(session.result.grid.pitch_px) * 2.2
    corners = [tuple(middle + far * sign) for sign in ((-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1))]
    drag(found, corners)
    inside = (np.abs(centres - middle) < far * 0.9).all(axis=1)
    made = max(session.result.domains.names)
    assert made not in before
    assert inside.any()
    assert (labels(found)[inside] == made).all()
    assert tools.target.currentText() == session.result.domains.names[made]
    found.shot("paint_2_lasso")

    # Escape gives the tool up; the picture can be moved again, and a spot be explained.
    found.canvas.setFocus()
    QTest.keyClick(found.canvas, Qt.Key.Key_Escape)
    found.settle()
    assert session.tool.kind == ""
    assert not any(button.isChecked() for button in tools.buttons.values())
    found.drag_canvas(40, 0)
    assert tuple(found.viewer.scene.camera.center) != camera
    assert found.notes() == []


def test_legend_on_the_picture_hides_and_goes(found: Window) -> None:
    session, legend = found.dock.session, found.dock.legend
    assert legend.isVisible()
    assert found.dock.domain_panel.on_picture.isChecked()
    assert sorted(legend.rows) == sorted(session.result.domains.names)
    label = sorted(legend.rows)[-1]
    square, name = legend.rows[label]
    assert name.text() == session.result.domains.names[label]
    found.click(square)
    assert session.view.hidden == {label}
    colours = found.layer("Domains").colormap.color_dict
    assert colours.get(label, (0, 0, 0, 0))[3] == 0
    found.shot("paint_3_legend")
    found.click(legend.rows[label][0])
    assert session.view.hidden == frozenset()
    zoom = found.viewer.scene.camera.zoom
    found.click(legend.rows[label][1])
    assert found.viewer.scene.camera.zoom != zoom
    found.tick(found.dock.domain_panel.on_picture)
    assert not legend.isVisible()


def test_annotations_drawn_imported_said_and_exported(found: Window, tmp_path: Path) -> None:
    session, panel = found.dock.session, found.dock.domain_panel
    form = panel.annotations
    found.click(panel.noted.button)
    found.type(form.fields["of_class"], "Tumour")
    found.type(form.fields["author"], "AB")
    grid = session.result.grid
    middle, far = grid.centres_px.mean(axis=0), np.array(grid.pitch_px) * 2
    corners = [tuple(middle + far * sign) for sign in ((-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1))]
    found.click(form.buttons["freehand"])
    drag(found, corners)
    (note,) = session.result.domains.annotations
    assert (note.of_class, note.author) == ("Tumour", "AB")
    assert note.area.area == pytest.approx(16 * far.prod() / 4, rel=0.1)
    found.type(form.fields["note"], "looks invasive", enter=True)
    assert session.result.domains.annotations[0].note == "looks invasive"
    found.shot("annotate_1_freehand")

    # A polygon by its corners, ended with Enter.
    found.click(form.buttons["polygon"])
    for corner in corners[:3]:
        found.click_canvas(found.screen_of(*(np.array(corner) + far * 1.5)))
    found.canvas.setFocus()
    QTest.keyClick(found.canvas, Qt.Key.Key_Return)
    found.settle()
    assert len(session.result.domains.annotations) == 2
    assert form.list.topLevelItemCount() == 2
    found.click(panel.undo)
    assert len(session.result.domains.annotations) == 1

    # Those of QuPath come beside.
    theirs = tmp_path / "qupath.geojson"
    square = [[200, 200], [700, 200], [700, 600], [200, 600], [200, 200]]
    hole = [[300, 300], [400, 300], [400, 400], [300, 400], [300, 300]]
    theirs.write_text(
        json.dumps(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [square, hole]},
                "properties": {
                    "objectType": "annotation",
                    "name": "their area",
                    "classification": {"name": "Necrosis", "color": [200, 0, 0]},
                },
            }
        )
    )
    found.choose_in_dialog(form.bring, theirs)
    found.qtbot.waitUntil(lambda: len(session.result.domains.annotations) == 2)
    found.settle()
    assert len(found.layer("Annotations").data) == 3, "an outline, and one with its hole"
    found.shot("annotate_2_imported")

    out = tmp_path / "out.geojson"
    found.export(out)
    table = geopandas.read_file(out)
    kinds = [
        json.loads(c)["name"] if isinstance(c, str) else (c or {}).get("name")
        for c in table["classification"]
    ]
    assert kinds.count("Tumour") == 1
    assert kinds.count("Necrosis") == 1
    (necrosis,) = (g for g, kind in zip(table.geometry, kinds, strict=True) if kind == "Necrosis")
    assert necrosis.area == pytest.approx(500 * 400 - 100 * 100)


def test_measures_table_plots_and_csv(found: Window, tmp_path: Path) -> None:
    session, panel = found.dock.session, found.dock.domain_panel
    found.click(panel.measure)
    view = found.dock.side.measures
    found.qtbot.waitUntil(lambda: view.table.rowCount() > 0, timeout=30_000)
    found.settle()
    domains = session.result.domains
    assert view.table.rowCount() == len(domains.names)
    heads = [view.table.horizontalHeaderItem(i).text() for i in range(view.table.columnCount())]
    assert f"{session.gene} mean" in heads
    assert view.neighbours.axes
    assert view.border.axes[0].lines
    found.shot("measure_1")
    # An edit is measured anew.
    spots = heads.index("spots")
    before = [view.table.item(i, spots).text() for i in range(view.table.rowCount())]
    both = sorted(domains.names)[:2]
    for i in range(panel.legend.topLevelItemCount()):
        item = panel.legend.topLevelItem(i)
        if item.data(0, Qt.ItemDataRole.UserRole) in both:
            at = panel.legend.visualItemRect(item).center()
            modifier = Qt.KeyboardModifier.ControlModifier
            QTest.mouseClick(panel.legend.viewport(), Qt.MouseButton.LeftButton, modifier, at)
    found.settle()
    found.click(panel.merge)
    found.qtbot.waitUntil(lambda: view.table.rowCount() == len(before) - 1, timeout=30_000)
    out = tmp_path / "measures.csv"
    found.choose_in_dialog(view.save, out)
    found.qtbot.waitUntil(out.is_file)
    table = pd.read_csv(out)
    assert table["spots"].sum() == (labels(found) > 0).sum()
    assert QApplication.activeModalWidget() is None


def test_annotations_stay_when_domains_are_found_and_predicted_again(found: Window, tmp_path: Path) -> None:
    session, panel = found.dock.session, found.dock.domain_panel
    theirs = tmp_path / "theirs.geojson"
    ring = [[200, 200], [700, 200], [700, 600], [200, 600], [200, 200]]
    theirs.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    found.click(panel.noted.button)
    found.choose_in_dialog(panel.annotations.bring, theirs)
    found.qtbot.waitUntil(lambda: len(session.annotations) == 1)
    kept = session.annotations
    found.click(panel.find)
    found.wait_idle()
    assert session.annotations == kept
    found.predict()
    assert session.annotations == kept
    assert found.layer("Annotations").visible

    # And the script repeats them.
    script = tmp_path / "work.py"
    found.choose_in_dialog(found.dock.export_panel.script_button, script)
    found.qtbot.waitUntil(script.is_file)
    assert kept[0].identity in script.read_text()


def test_on_a_real_slide(window: Window, aperio: Path, real_bundle: Path, tmp_path: Path) -> None:
    """Found in another way, painted, annotated, taken back, exported and read by another library."""
    window.open(aperio)
    window.set_bundle(real_bundle)
    panel, session = window.dock.domain_panel, window.dock.session
    window.choose(panel.method, "Expression, image, space")
    window.predict()
    window.tick(window.dock.gene_panel.shown)
    centres, pitch = session.result.grid.centres_px, np.array(session.result.grid.pitch_px)
    before = labels(window).copy()
    names = session.result.domains.names
    row = int(np.abs(centres - centres.mean(axis=0)).sum(axis=1).argmin())
    other = next(label for label in sorted(names) if label != before[row])
    window.choose(panel.tools.target, names[other])
    window.click(panel.tools.buttons["brush"])
    drag(window, [tuple(centres[row]), tuple(centres[row] + (0, pitch[1] * 0.3))])
    assert labels(window)[row] == other
    assert set(np.flatnonzero(labels(window) != before)) <= set(
        np.flatnonzero((np.abs(centres - centres[row]) < pitch * 1.2).all(axis=1))
    )
    window.click(panel.noted.button)
    form = panel.annotations
    window.type(form.fields["of_class"], "Epidermis")
    window.click(form.buttons["freehand"])
    far = pitch * 1.5
    drag(window, [tuple(centres[row] + far * s) for s in ((-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1))])
    assert [note.of_class for note in session.annotations] == ["Epidermis"]
    window.shot("paint_4_real")
    out = tmp_path / "real.geojson"
    window.export(out)
    table = geopandas.read_file(out)
    kinds = table["objectType"].value_counts()
    there = len(np.unique(labels(window)[labels(window) > 0]))
    assert kinds["annotation"] == there + 1
    assert kinds["detection"] == len(centres)
    painted = table[(table["objectType"] == "annotation") & (table["name"] == names[other])].geometry.iloc[0]
    assert painted.buffer(0.1).covers(shapely.Point(*centres[row][::-1]))
    assert window.notes() == [] or all("Wrote" in said for said in window.said())
