"""Every way to open a slide in napari, with every kind of slide; each shows its picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image, ImageGrab
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QDialogButtonBox, QRadioButton

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gui.conftest import Window

REAL = {
    "svs": "aperio-cmu/CMU-1-Small-Region.svs",
    "dicom": "openslide-python/boxes_dcm/boxes_0.dcm",
    "dicom folder": "azneca-napari-wsi/CMU-1-Small-Region-dicom",
    "jpeg": "st-utility-mob/MOB1.jpg",
    "jpeg 2000": "qupath/cells/cells-1.jp2",
    "strips": "histolab/kidney-48-5.tif",
    "ome-tiff": "qupath/cells/cells.ome.tif",
    "ome-zarr 0.4": "viv/ome-zarr/blobs_image_v04.ome.zarr",
    "ome-zarr 0.5": "viv/ome-zarr/blobs_image_v05.ome.zarr",
    "visium": "scanpy/visium_data/1.0.0",
    "h5ad": "squidpy/test_data.h5ad",
}
BRIGHT, SHARE = 150, 0.05
"""Pixels so bright are rare in napari's dark window and its dialogs, and not in any of these pictures."""
MADE = ("tiff pyramid", "ome-tiff pyramid", "ome-zarr rgb", "png")
KINDS = (*REAL, *MADE)


@pytest.fixture(scope="session")
def make(
    tmp_path_factory: pytest.TempPathFactory,
    make_slide: Callable[..., Path],
    picture: Callable[..., np.ndarray],
) -> Callable[[str], Path]:
    """Writer of one slide of a made kind."""
    pixels = picture(3, 900, 700)

    def write(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("made")
        if kind == "png":
            Image.fromarray(pixels).save(folder / "plain.png")
            return folder / "plain.png"
        if kind == "tiff pyramid":
            return make_slide(folder / "pyramid.tif", pixels)
        if kind == "ome-tiff pyramid":
            path = folder / "pyramid.ome.tif"
            with tifffile.TiffWriter(path, ome=True) as tiff:
                options = {"photometric": "rgb", "tile": (128, 128)}
                sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
                tiff.write(pixels, subifds=1, metadata={"axes": "YXS", **sizes}, **options)
                tiff.write(pixels[::2, ::2], subfiletype=1, **options)
            return path
        path = folder / "rgb.ome.zarr"
        scale = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
        axes = [{"name": "c", "type": "channel"}] + [
            {"name": n, "type": "space", "unit": "micrometer"} for n in "yx"
        ]
        image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
        group = zarr.create_group(path, attributes={"ome": {"version": "0.5", "multiscales": [image]}})
        group.create_array("0", data=np.moveaxis(pixels, -1, 0), chunks=(1, 256, 256))
        return path

    return write


@pytest.fixture
def slide_of(request: pytest.FixtureRequest, make: Callable[[str], Path]) -> Callable[[str], Path]:
    def find(kind: str) -> Path:
        return make(kind) if kind in MADE else request.getfixturevalue("real") / REAL[kind]

    return find


def _choose_our_reader() -> None:
    """Where napari asks which reader to take, click ours and OK."""

    def answer(left: int = 400) -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QDialog) or dialog.objectName() != "Choose reader":
            if left:
                QTimer.singleShot(50, lambda: answer(left - 1))
            return
        (ours,) = [b for b in dialog.findChildren(QRadioButton) if "mclSTExp" in b.text()]
        QTest.mouseClick(ours, Qt.MouseButton.LeftButton, pos=QPoint(8, ours.height() // 2))
        box = dialog.findChild(QDialogButtonBox)
        QTest.mouseClick(box.button(QDialogButtonBox.StandardButton.Ok), Qt.MouseButton.LeftButton)

    QTimer.singleShot(50, answer)


def _shows(window: Window, path: Path) -> None:
    """The slide is there, its dock names it, and its picture is not of one colour."""
    window.qtbot.waitUntil(lambda: len(window.viewer.layers) >= 1, timeout=20_000)
    window.find_dock()
    window.qtbot.waitUntil(lambda: window.dock.session.slide is not None)
    window.wait_idle(30_000)
    window.clear_notes()  # of an excerpt whose spots lie beyond its picture
    assert window.dock.slide_panel.name.text() == path.name
    window.shot(f"opened_{path.name}")
    layer = window.layer("H&E")
    assert layer.multiscale
    assert path.name not in repr(layer.metadata)


@pytest.mark.parametrize("kind", KINDS)
def test_drop(bare_window: Window, slide_of: Callable[[str], Path], kind: str) -> None:
    """A file or folder dropped onto the canvas."""
    path = slide_of(kind)
    window, target = bare_window, bare_window.main._qt_viewer
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    at = target.rect().center()
    args = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    _choose_our_reader()
    QApplication.sendEvent(target, QDragEnterEvent(at, *args))
    QApplication.sendEvent(target, QDropEvent(QPointF(at), *args))
    _shows(window, path)


@pytest.mark.parametrize("kind", KINDS)
def test_file_open(bare_window: Window, slide_of: Callable[[str], Path], kind: str) -> None:
    """File > Open File(s) or Open Folder, and the dialogs that follow."""
    path = slide_of(kind)
    entry = bare_window.file_entry("Open Folder..." if path.is_dir() else "Open File(s)...")
    _choose_our_reader()
    bare_window.choose_in_dialog(entry, path)
    _shows(bare_window, path)


@pytest.mark.skipif(not all(map(shutil.which, ("Xvfb", "xdotool"))), reason="needs Xvfb and xdotool")
@pytest.mark.parametrize("kind", KINDS)
def test_napari_file(slide_of: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    """``napari FILE`` in a process of its own, with settings as they come: napari asks which reader to take,
    ours is chosen already, and Enter takes it. Then the picture is on the screen.
    """
    display, server = _own_display()
    environment = {**os.environ, "DISPLAY": display, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    napari = None
    try:
        program = Path(sys.executable).with_name("napari")
        napari = subprocess.Popen([program, slide_of(kind)], env=environment, cwd=tmp_path)
        end = time.monotonic() + 120
        bright = 0.0
        while time.monotonic() < end and bright < SHARE and napari.poll() is None:
            time.sleep(1)
            subprocess.run(["xdotool", "key", "Return"], env=environment, check=False)
            screen = np.asarray(ImageGrab.grab(xdisplay=display))
            bright = float((screen[200:600, 300:900].max(axis=2) >= BRIGHT).mean())
        folder = os.environ.get("MCLSTEXP_SCREENSHOTS")
        if folder:
            Image.fromarray(screen).save(Path(folder) / f"napari_file_{kind}.png")
        assert napari.poll() is None, "napari ended by itself"
        assert bright >= SHARE, "no picture on the screen"
    finally:
        for process in (napari, server):
            if process is not None:
                process.terminate()
                process.wait(20)


def _own_display() -> tuple[str, subprocess.Popen[bytes]]:
    """A display that answers, and its server; the server itself finds a number that is free."""
    ours, theirs = os.pipe()
    words = ["Xvfb", "-displayfd", str(theirs), "-screen", "0", "1400x900x24", "-noreset"]
    server = subprocess.Popen(words, pass_fds=[theirs])
    os.close(theirs)
    with os.fdopen(ours) as told:  # it tells the number once it listens
        return f":{told.readline().strip()}", server
