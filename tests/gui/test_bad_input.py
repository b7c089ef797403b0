"""What a user gets wrong is told once, in plain words, and nothing is left stuck."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt

from napari_mclstexp.plugin import get_reader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


@pytest.fixture
def ready(window: Window, slide: Path, bundle: Path) -> Window:
    window.open(slide)
    window.set_bundle(bundle)
    return window


def _back_to_normal(window: Window) -> None:
    dock = window.dock
    assert not dock.session.job.running
    assert window.predict_button.isEnabled()
    assert dock.slide_panel.open_button.isEnabled()
    assert dock.slide_panel.mpp.isEnabled()
    assert not dock.predict_panel.bar.isVisible()
    assert not dock.predict_panel.cancel_button.isVisible()


def test_scale(ready: Window) -> None:
    for typed, told in (
        ("352", "not plausible"),
        ("half", "is no scale"),
        ("nan", "not plausible"),
        ("1,2,3", "no scale"),
    ):
        ready.set_mpp(typed)
        assert told in ready.take_one_error()
        assert ready.dock.slide_panel.mpp.text() == "0.5", "the scale in force is not shown again"
        assert ready.dock.session.scale == ready.dock.session.slide.scale
        if typed == "352":
            ready.shot("bad_scale")
        ready.press(Qt.Key.Key_Tab)  # leaving the field does not tell it again
        ready.settle(100)
        assert ready.notes() == []
        _back_to_normal(ready)


def test_bundles(ready: Window, bundle: Path, tmp_path: Path) -> None:
    """No bundle, a folder that is none, a changed one: each is refused, then a good one works."""
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    weights = bytearray((changed / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (changed / "weights.safetensors").write_bytes(weights)
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, told in (
        (tmp_path / "absent", "no model bundle at"),
        (empty, "is no model bundle"),
        (changed, "SHA-256"),
    ):
        ready.set_bundle(path)
        ready.press_predict()
        ready.wait_idle(30_000)
        assert told in ready.take_one_error()
        _back_to_normal(ready)
        assert ready.dock.session.result is None
        assert [layer.name for layer in ready.filled()] == ["H&E"]
    ready.shot("bad_bundle")
    ready.set_bundle(bundle)
    ready.predict()


def test_no_tissue(window: Window, bundle: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((3000, 4200, 3), 255, np.uint8)).save(tmp_path / "white.png")
    window.open(tmp_path / "white.png")
    window.set_mpp("0.5")
    window.set_bundle(bundle)
    window.press_predict()
    window.wait_idle()
    assert "No tissue" in window.take_one_error()
    _back_to_normal(window)
    window.press_predict()  # a second try tells it again
    window.wait_idle()
    assert "No tissue" in window.take_one_error()


def test_spots(ready: Window, tmp_path: Path) -> None:
    """A spot file that is missing, no table, or of another slide."""
    (tmp_path / "text.csv").write_text("not,a\ntable,at all\n", encoding="utf-8")
    (tmp_path / "outside.csv").write_text("spot_id,x_px,y_px\na,10,10\nb,99999,10\n", encoding="utf-8")
    ready.set_grid("Spots from a CSV file")
    for name, told in (
        ("none.csv", "no spot file"),
        ("text.csv", "no spot table"),
        ("outside.csv", "outside"),
    ):
        ready.type(ready.dock.predict_panel.form.spots.line_edit.native, str(tmp_path / name))
        ready.press_predict()
        ready.wait_idle(30_000)
        assert told in ready.take_one_error()
        _back_to_normal(ready)


def test_scale_missing_for_given_spots(window: Window, bundle: Path, tmp_path: Path) -> None:
    """The window tells where to type the scale; it does not speak of options of the command line."""
    Image.new("RGB", (4200, 1000), (200, 120, 170)).save(tmp_path / "no_scale.png")
    (tmp_path / "spots.csv").write_text("spot_id,x_px,y_px\na,200,200\nb,400,200\n", encoding="utf-8")
    window.open(tmp_path / "no_scale.png")
    window.set_bundle(bundle)
    window.set_grid("Spots from a CSV file")
    window.type(window.dock.predict_panel.form.spots.line_edit.native, str(tmp_path / "spots.csv"))
    assert not window.predict_button.isEnabled()
    told = window.dock.predict_panel.why.text()
    assert window.dock.predict_panel.why.isVisible()
    assert "scale" in told
    assert "--" not in told
    window.set_mpp("0.5")
    assert window.predict_button.isEnabled()


def test_gene_and_exports(ready: Window, tmp_path: Path) -> None:
    """A gene that is not predicted; a target without a known ending, in a missing folder, or a folder."""
    ready.predict()
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    for path in (tmp_path / "spots.docx", tmp_path / "missing" / "spots.csv", folder):
        ready.clear_notes()
        ready.export(path)
        ready.take_one_error()
        _back_to_normal(ready)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder.csv"]

    ready.pick_gene("COL1A1")
    ready.clear_notes()
    ready.pick_gene("NOTAGENE")
    assert "does not predict the gene 'NOTAGENE'" in ready.take_one_error()
    assert ready.dock.gene_panel.gene.currentText() == "COL1A1", "the gene shown is not named again"
    assert ready.layer("Predicted gene").name == "Predicted gene: COL1A1"
    ready.shot("bad_gene")
    ready.press(Qt.Key.Key_Tab)
    ready.settle(100)
    assert ready.notes() == []
    # Emptied, then left: the shown gene is named again, and nothing is told.
    ready.type(ready.dock.gene_panel.gene.lineEdit(), "")
    ready.press(Qt.Key.Key_Tab)
    assert ready.dock.gene_panel.gene.currentText() == "COL1A1"
    assert ready.notes() == []
    ready.pick_gene("krt19")
    assert ready.layer("Predicted gene").name == "Predicted gene: KRT19"


def test_slide_with_unreadable_tiles(window: Window, aperio: Path) -> None:
    """A slide that opens but whose pixels cannot be read shows as blank, told in plain words, once."""
    path = aperio.parents[1] / "openslide-python" / "unreadable.svs"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    window.open(path)
    window.settle(300)
    assert "damaged" in window.take_one_error()
    window.drag_canvas(30, 20)
    assert window.notes() == []


def test_reader_declines_what_is_no_slide(slide: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.svs").write_bytes(b"")
    (tmp_path / "noise.tif").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    (tmp_path / "cut.tif").write_bytes(slide.read_bytes()[:20_000])
    noise = np.random.default_rng(0).integers(0, 255, (50, 4200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    assert callable(get_reader(str(tmp_path / "whole.jpg")))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:90_000])
    for name in ("empty.svs", "noise.tif", "text.jpg", "cut.jpg", "cut.tif", "absent.svs"):
        assert get_reader(str(tmp_path / name)) is None, name
    assert get_reader([str(slide), str(slide)]) is None
    assert get_reader(str(tmp_path)) is None
    assert callable(get_reader(str(slide)))
    assert callable(get_reader([str(slide)]))
