"""Open, predict, cancel, close, over and over in one window: does anything grow? ``make soak-cycles``.

    python -m tests.reliability.cycles COUNT [SECONDS]

Prints a line of JSON every tenth cycle, and at the end what has grown since the window was warm. It needs a
display; SECONDS bound it in time.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

WARM = 5
"""Cycles after which libraries have loaded what they load but once."""
PATIENCE_S = 180.0
MAX_GROWTH_MB = 50.0
MOST_OURS, MOST_THREADS = 60, 2
"""Objects of ours that may wait to be let go of after any cycle; threads by which Qt's pool varies."""


@dataclass(frozen=True)
class Held:
    """What the process holds after a cycle."""

    cycle: int
    memory_mb: float
    files: int
    threads: int
    ours: int
    tensors: int


def held(cycle: int) -> Held:
    """Count what is held, once what can go has gone: objects of ours, and tensors, too."""
    import psutil
    import torch

    gc.collect()
    with suppress(OSError, AttributeError):  # what is free goes back to the system: glibc alone does that
        ctypes.CDLL(None).malloc_trim(0)
    process, objects = psutil.Process(), gc.get_objects()
    return Held(
        cycle,
        round(process.memory_info().rss / 1e6, 1),
        process.num_fds(),
        threading.active_count(),
        sum(str(type(o).__module__).startswith("napari_mclstexp") for o in objects),
        sum(isinstance(o, torch.Tensor) for o in objects),
    )


def wait(until: Callable[[], bool], what: str) -> None:
    """Keep the window alive until something holds.

    Widgets that are to be deleted later go, too, as in a program whose event loop runs: by itself
    `processEvents` leaves them, and each layer's controls would stay.
    """
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    ends = time.monotonic() + PATIENCE_S
    while not until():
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        time.sleep(0.005)
        if time.monotonic() > ends:
            raise TimeoutError(f"never came: {what}")


def cycle(viewer: napari.Viewer, slide: Path, bundle: Path) -> None:
    """Open dock and slide, predict, cancel in mid-run, close both."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-mclstexp", "Spatial expression")
    viewer.open(slide, plugin="napari-mclstexp")
    panel, session = dock.predict_panel, dock.session
    panel.form.bundle.value, panel.form.grid.value, panel.form.pitch_um.value = bundle, "pitch", 5.0
    wait(lambda: panel.predict_button.isEnabled() and not session.job.running, "a slide to predict")
    panel.predict_button.click()
    wait(lambda: session.job.progress is not None and session.job.progress.rows is not None, "finished spots")
    panel.cancel_button.click()
    wait(lambda: not session.job.running, "the end of a cancelled run")
    assert session.result is None, "it was not cancelled in mid-run"
    viewer.window.remove_dock_widget(dock)
    viewer.layers.clear()
    with suppress(TimeoutError):
        settled = time.monotonic() + 0.1
        wait(lambda: time.monotonic() > settled, "")


def main(folder: Path, count: int, seconds: float) -> int:
    """Run cycles on a slide that is made here; 1 where something grows, memory by over 50 MB."""
    import napari
    from qtpy.QtCore import QThreadPool

    from .goods import Goods

    goods = Goods(folder / "good")
    slide, bundle = goods.slide("tiff"), goods.small_bundle
    viewer, began, seen = napari.Viewer(show=True), time.monotonic(), []
    viewer.window.resize(900, 700)
    for number in range(1, count + 1):
        cycle(viewer, slide, bundle)
        if number in (WARM, count) or number % 10 == 0:
            QThreadPool.globalInstance().waitForDone(5000)
            seen.append(held(number))
            print(json.dumps(asdict(seen[-1])), flush=True)
        if time.monotonic() - began > seconds:
            break
    warm, last = next(h for h in seen if h.cycle >= min(WARM, count)), held(number)
    grown = {
        "cycles": number,
        "seconds": round(time.monotonic() - began),
        "memory_mb": round(last.memory_mb - warm.memory_mb, 1),
        "files": last.files - warm.files,
        "threads": last.threads - warm.threads,
        "ours": last.ours,
        "tensors": last.tensors,
    }
    print(json.dumps({"grown": grown}), flush=True)
    viewer.close()
    flat = grown["files"] <= 0 and grown["threads"] <= MOST_THREADS
    let_go = last.ours <= MOST_OURS and not last.tensors
    return int(not (flat and let_go and grown["memory_mb"] < MAX_GROWTH_MB))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mclstexp-cycles-") as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        os.environ["MCLSTEXP_DATA"] = str(Path(folder) / "data")
        os.environ["MCLSTEXP_CACHE"] = str(Path(folder) / "cache")
        given = [float(word) for word in sys.argv[1:]]
        sys.exit(main(Path(folder), int(given[0]), given[1] if len(given) > 1 else float("inf")))
