"""``mclstexp demo``: the synthetic sample in the real window, from slide to exports."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from napari_mclstexp.core import pipeline
from napari_mclstexp.core.atomic import write_text
from napari_mclstexp.errors import ExportError, MclstexpError
from napari_mclstexp.samples import demo_bundle_path, sample_measured_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.gui.dock import MclstexpDock

PICTURES = ("slide.png", "heatmap.png", "measured.png", "domains.png")
EXPORTS = ("result.h5ad", "domains.geojson", "spots.csv")
MADE = (*PICTURES, *EXPORTS, "spots.provenance.json")
RECORD = ".mclstexp-demo.json"
GENE = "ERBB2"
SIZE = (1500, 950)
TIMEOUT_S = 600


def run_demo(out: Path, *, keep_open: bool, overwrite: bool, say: Callable[[str], object]) -> int:
    """Open the sample, predict, show a gene and the domains; write pictures and exports.

    Parameters
    ----------
    out : pathlib.Path
        Folder for what is written; made where it is missing.
    keep_open : bool
        Leave the window open, where there is a display.
    overwrite : bool
        Replace files in `out` that an earlier demo did not make.
    say : callable
        Takes each line of what there is to tell.

    Returns
    -------
    int
        Exit code: that of the process that drew, where Linux has no display and a virtual one was made.

    Raises
    ------
    ExportError
        A file stands in the way.
    MclstexpError
        There is no display and none can be made, or the prediction failed.
    """
    if sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        return _run_on_virtual_screen(out, overwrite=overwrite)
    out.mkdir(parents=True, exist_ok=True)
    _refuse_foreign(out, overwrite=overwrite)
    import napari

    from napari_mclstexp.gui.dock import MclstexpDock
    from napari_mclstexp.gui.readers import TITLE

    viewer = napari.Viewer(title="napari-mclstexp demo (synthetic sample)", show=True)
    viewer.window.resize(*SIZE)
    dock = MclstexpDock(viewer)
    viewer.window.add_dock_widget(dock, name=TITLE, area="right")
    _walk(viewer, dock, out, say)
    if keep_open:
        say("The window stays open; close it to end.")
        napari.run()
    else:
        viewer.close()
    return 0


def _walk(viewer: object, dock: MclstexpDock, out: Path, say: Callable[[str], object]) -> None:
    session = dock.session
    say("Opening the synthetic sample slide.")
    dock.slide_panel.sample_button.click()
    _wait(lambda: session.measured is not None and not session.job.running)
    dock.gene_panel.shown.setChecked(False)
    _picture(viewer, out / "slide.png")

    dock.gene_panel.shown.setChecked(True)
    began = time.monotonic()
    dock.predict_panel.predict_button.click()
    _wait(lambda: session.result is not None or not session.job.running)
    result = session.result
    if result is None:
        msg = f"The demo's prediction did not end well: {session.job.message}"
        raise MclstexpError(msg)
    say(
        f"Predicted {len(result.genes)} genes at {len(result.grid):,} spots in "
        f"{time.monotonic() - began:.0f} s on {result.provenance.device}."
    )
    dock.genes.show(GENE)
    _picture(viewer, out / "heatmap.png")
    session.set_view(source="swipe")
    _picture(viewer, out / "measured.png")
    session.set_view(source="predicted")
    dock.gene_panel.shown.setChecked(False)
    dock.domain_panel.style_box.setCurrentText("Filled")
    _picture(viewer, out / "domains.png")
    dock.gene_panel.shown.setChecked(True)
    dock.domain_panel.style_box.setCurrentText("Outlines")

    for name in EXPORTS:
        pipeline.export_result(result, out / name, overwrite=True)
    _write_record(out)
    say(_accuracy())
    say(f"Wrote {', '.join((*PICTURES, *EXPORTS))} to {out}. All of it is synthetic.")


def _accuracy() -> str:
    from napari_mclstexp.training.section_score import score_section
    from napari_mclstexp.training.sections import read_section

    steps = score_section(read_section(str(sample_measured_path())), pipeline.load_bundle(demo_bundle_path()))
    while True:
        try:
            next(steps)
            _process_events()
        except StopIteration as stop:
            score = stop.value
            break
    order = score.pcc.argsort()[::-1]
    best = ", ".join(f"{score.genes[i]} {score.pcc[i]:.2f}" for i in order[:3])
    worst = ", ".join(f"{score.genes[i]} {score.pcc[i]:.2f}" for i in order[-2:])
    top = score.mean_measured.argsort()[::-1][:20]
    return (
        f"Held-out accuracy on the sample's measured (synthetic) expression, {score.spots} spots: "
        f"mean PCC {score.pcc.mean():.3f} over {len(score.genes)} genes, {score.pcc[top].mean():.3f} over "
        f"the 20 most expressed. Best {best}; worst {worst}."
    )


def _wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not ready():
        if time.monotonic() > end:
            msg = f"The demo did not get on within {TIMEOUT_S} s. Run it again on a less busy machine."
            raise MclstexpError(msg)
        _process_events()
        time.sleep(0.01)


def _process_events() -> None:
    from qtpy.QtWidgets import QApplication

    QApplication.processEvents()


def _picture(viewer: object, path: Path) -> None:
    for _ in range(20):
        _process_events()
        time.sleep(0.02)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)  # type: ignore[attr-defined]


def _refuse_foreign(out: Path, *, overwrite: bool) -> None:
    if overwrite:
        return
    record = out / RECORD
    try:
        made = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    except ValueError:
        made = {}
    for name in MADE:
        path = out / name
        if path.exists() and made.get(name) != _hash(path):
            msg = (
                f"{path} exists and was not made by an earlier demo. Choose another folder with --out, "
                "or pass --overwrite."
            )
            raise ExportError(msg)


def _write_record(out: Path) -> None:
    text = json.dumps({name: _hash(out / name) for name in MADE}, indent=1)
    write_text(out / RECORD, text, overwrite=True)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run_on_virtual_screen(out: Path, *, overwrite: bool) -> int:
    """Run the demo in a process of its own, so that its Qt is gone before the screen goes."""
    program = shutil.which("Xvfb")
    if program is None:
        msg = (
            "There is no display, and no Xvfb to make a virtual one. Install it (on Debian: apt install "
            "xvfb), or run the demo on a desktop."
        )
        raise MclstexpError(msg)
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as file:
            number = file.readline().strip()
        if not number:
            msg = "Xvfb did not start. Try: xvfb-run -a mclstexp demo"
            raise MclstexpError(msg)
        command = [sys.executable, "-m", "napari_mclstexp.cli", "demo", "--out", str(out), "--no-window"]
        environment = {**os.environ, "DISPLAY": f":{number}"}
        return subprocess.run(
            [*command, *(["--overwrite"] if overwrite else [])], env=environment, check=False
        ).returncode
    finally:
        server.terminate()
        server.wait(timeout=10)
