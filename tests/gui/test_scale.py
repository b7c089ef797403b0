"""What a file leaves open, settled in the window: its scale by three ways, its plane, its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from profiles import swapped_profile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gui.conftest import Window

APERIO = "Aperio Image Library v11\n400x300 [0,0 400x300] (128x128) JPEG/RGB Q=70|AppMag = {}|MPP = {}"


@pytest.fixture
def plain(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Path:
    """A JPEG without a scale."""
    Image.fromarray(picture(2, 1200, 900)).save(tmp_path / "plain.jpg", quality=90)
    return tmp_path / "plain.jpg"


def _type_um(window: Window, um: float) -> None:
    box = window.dock.slide_panel.settling.um
    window.click(box.lineEdit())
    window.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    window.keys(f"{um:g}")
    window.press(Qt.Key.Key_Tab)


def test_a_line_of_known_length(window: Window, plain: Path) -> None:
    window.open(plain)
    assert not window.predict_button.isEnabled()
    assert "scale" in window.dock.predict_panel.why.text()
    window.settle_scale("a line")
    assert window.layer("Known length").mode == "add_line"
    canvas = window.canvas
    a, b = canvas.rect().center() - QPoint(150, 40), canvas.rect().center() + QPoint(150, 40)
    QTest.mouseMove(canvas, a)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=a)
    for step in range(1, 11):
        QTest.mouseMove(canvas, a + (b - a) * step / 10)
        window.settle(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=b)
    window.settle()
    window.shot("scale_line")
    drawn = np.linalg.norm(np.diff(window.layer("Known length").data[-1][:2], axis=0))
    on_screen = np.hypot(300, 80) / window.viewer.scene.camera.zoom
    assert drawn == pytest.approx(on_screen, rel=0.05)
    _type_um(window, 300)
    window.click(window.dock.slide_panel.settling.use)
    scale = window.dock.session.scale
    assert scale.mpp_x == scale.mpp_y == pytest.approx(300 / drawn)
    assert "line" in window.dock.slide_panel.source.text()
    assert window.predict_button.isEnabled()
    assert [layer.name for layer in window.filled()] == ["H&E"]
    np.testing.assert_allclose(window.layer("H&E").scale, scale.mpp_x)


def test_no_line_yet(window: Window, plain: Path) -> None:
    window.open(plain)
    window.settle_scale("a line")
    window.clear_notes()
    window.click(window.dock.slide_panel.settling.use)
    assert "no line yet" in window.take_one_error()
    assert window.dock.session.scale is None


def test_spots_of_known_pitch(window: Window, plain: Path, tmp_path: Path) -> None:
    rows = [f"{i}x{j},{100 + 250 * i},{100 + 250 * j}" for i in range(4) for j in range(3)]
    (tmp_path / "spots.csv").write_text("spot_id,x_px,y_px\n" + "\n".join(rows), encoding="utf-8")
    window.open(plain)
    window.settle_scale("spots")
    settling = window.dock.slide_panel.settling
    window.type(settling.file.line_edit.native, str(tmp_path / "spots.csv"))
    assert settling.um.value() == 200
    window.click(settling.use)
    assert window.dock.session.scale.mpp_x == pytest.approx(200 / 250)
    assert "spots 200 um apart" in window.dock.slide_panel.source.text()


def test_a_contradiction_is_put_to_the_user(
    window: Window, tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    """An Aperio slide whose objective says 40x and whose MPP 0.5: neither is taken until one is chosen."""
    tifffile.imwrite(
        tmp_path / "both.svs",
        picture(4, 700, 500),
        photometric="rgb",
        tile=(128, 128),
        compression="jpeg",
        description=APERIO.format(40, 0.5),
        metadata=None,
    )
    window.open(tmp_path / "both.svs")
    assert window.dock.session.scale is None
    told = window.dock.slide_panel.source.text()
    assert "contradicts itself" in told
    assert "0.5" in told
    assert "0.25" in told
    assert not window.predict_button.isEnabled()
    window.shot("scale_contradiction")
    window.settle_scale("0.5")
    assert window.dock.session.scale.mpp_x == 0.5
    assert "aperio.MPP, chosen" in window.dock.slide_panel.source.text()
    assert window.predict_button.isEnabled()


def test_a_plane_is_chosen(
    window: Window, bundle: Path, tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    planes = np.stack([picture(5, 1300, 1100), picture(6, 1300, 1100)])
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"}
    tifffile.imwrite(
        tmp_path / "stack.ome.tif", planes, ome=True, photometric="rgb", metadata={"axes": "ZYXS", **sizes}
    )
    window.open(tmp_path / "stack.ome.tif")
    panel = window.dock.slide_panel
    assert panel.plane.isVisible()
    assert "stack of 2 planes" in window.dock.predict_panel.why.text()
    assert not window.predict_button.isEnabled()
    window.walk(panel.plane, panel.plane.findText("Z 2"))
    window.wait_idle()
    shown = np.asarray(window.layer("H&E").data[0][100:140, 50:90])
    np.testing.assert_array_equal(shown, planes[1, 100:140, 50:90])
    assert window.predict_button.isEnabled()
    window.shot("plane")
    window.set_bundle(bundle)
    result = window.predict()
    assert "plane Z 2" in result.provenance.slide_notes


def test_what_the_model_cannot_be_given_is_shown_and_refused(window: Window, tmp_path: Path) -> None:
    ramp = np.linspace(1000, 3000, 600 * 500).reshape(500, 600).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", ramp, metadata=None)
    window.open(tmp_path / "deep.tif")
    window.set_mpp("0.5")
    assert "grey" in window.dock.predict_panel.why.text()
    assert not window.predict_button.isEnabled()
    shown = np.asarray(window.layer("H&E").data[0][:, :])
    assert shown[0].max() < 10
    assert shown[-1].min() > 245
    window.shot("grey16")


@pytest.mark.parametrize("zoom", [0.5, 2.0])
def test_colours_by_the_icc_profile(
    window: Window, tmp_path: Path, picture: Callable[..., np.ndarray], zoom: float
) -> None:
    """The toggle changes the screen, by the profile, and no pixel that the model is given.

    From afar the coarsest level is seen, which napari keeps in memory; close by, the finest.
    """
    pixels = picture(4, 3000, 2600)
    Image.fromarray(pixels).save(tmp_path / "p.png", icc_profile=swapped_profile())
    window.open(tmp_path / "p.png")
    window.viewer.scene.camera.zoom = zoom
    box, slide = window.dock.slide_panel.icc, window.dock.session.slide
    assert len(slide.levels) == 2
    assert box.isVisible()
    assert not box.isChecked()

    def redder() -> float:
        """How much redder than green the middle of the canvas is."""
        shot = window.shot(f"icc_{zoom:g}_{box.isChecked()}").astype(int)
        at = window.canvas.mapToGlobal(window.canvas.rect().center())
        middle = shot[at.y() - 100 : at.y() + 100, at.x() - 100 : at.x() + 100]
        return float((middle[..., 0] - middle[..., 1]).mean())

    stored = redder()
    assert stored > 20
    for _ in range(2):
        window.tick(box)
        assert box.isChecked()
        assert redder() < -20, "the profile is not seen"
        np.testing.assert_array_equal(slide.read(1400, 1200, 50, 40), pixels[1200:1240, 1400:1450])
        window.tick(box)
        assert redder() == pytest.approx(stored, abs=2)


def test_a_large_jpeg_shows_a_preview_first(window: Window, her2st: Path) -> None:
    """A real 9,300 x 9,900 JPEG: its picture is there before it is decoded, and sharp afterwards."""
    window.open(her2st / "C2.jpg")
    slide, panel = window.dock.session.slide, window.dock.slide_panel
    before = window.shot("jpeg_preview")
    if not slide.prepared:
        assert panel.state.isVisible()
        assert "preview" in panel.state.text()
    window.wait_idle(60_000)
    assert slide.prepared
    assert not panel.state.isVisible()
    whole = imagecodecs.jpeg8_decode((her2st / "C2.jpg").read_bytes())
    np.testing.assert_array_equal(
        np.asarray(window.layer("H&E").data[0][4000:4100, 5000:5100]), whole[4000:4100, 5000:5100]
    )
    after = window.shot("jpeg_sharp")
    middle = (slice(300, 700), slice(500, 900))
    assert np.abs(before[middle].astype(int) - after[middle]).mean() < 12, "the preview is of another picture"


def test_a_large_png_is_seen_in_colour_once_it_is_decoded(
    window: Window, tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    """Its preview is grey; that of the whole slide does not stay so."""
    pixels = np.tile(picture(8, 1100, 1000), (4, 4, 1))
    Image.fromarray(pixels).save(tmp_path / "large.png", compress_level=1)

    def colour(name: str) -> float:
        """How colourful the middle of the canvas is."""
        shot = window.shot(name).astype(int)
        at = window.canvas.mapToGlobal(window.canvas.rect().center())
        middle = shot[at.y() - 100 : at.y() + 100, at.x() - 100 : at.x() + 100]
        return float(np.ptp(middle, axis=2).mean())

    window.open(tmp_path / "large.png")
    window.wait_idle(60_000)
    assert window.dock.session.slide.prepared
    assert colour("png_sharp") > 20
