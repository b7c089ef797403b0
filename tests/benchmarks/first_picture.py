"""Opens a slide in a shown napari window and prints, as JSON, how long the first picture took.

``python first_picture.py SLIDE PLUGIN [--pan]``: seconds from ``viewer.open`` to the first screenshot of the
canvas that is not of one colour; the growth in memory at that point, and the largest after panning all over.
Runs in a process of its own, so that one reader's memory is not another's.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import napari
import numpy as np
import psutil
from qtpy.QtWidgets import QApplication

LIMIT_S = 300.0


def _colours(viewer: napari.Viewer) -> float:
    QApplication.processEvents()
    return float(viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int).std())


def main(slide: str, plugin: str, pan: bool) -> None:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 950)
    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.02)
    process, peak, stop = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    layers = viewer.open(slide, plugin=plugin)
    while _colours(viewer) < 5 and time.perf_counter() - start < LIMIT_S:
        time.sleep(0.01)
    told = {"first_picture_s": time.perf_counter() - start, "first_memory_mb": peak[0] / 1e6}
    if pan:
        camera, extent = viewer.scene.camera, layers[0].extent.world
        camera.zoom = 1 / layers[0].scale[-1]
        frames = []
        for y in np.linspace(extent[0][-2], extent[1][-2], 14):
            for x in np.linspace(extent[0][-1], extent[1][-1], 14):
                began = time.perf_counter()
                camera.center = (0, y, x)
                QApplication.processEvents()
                frames.append(time.perf_counter() - began)
        told |= {"pan_memory_mb": peak[0] / 1e6, "pan_frame_ms": 1000 * float(np.median(frames))}
    stop.set()
    print(json.dumps(told), flush=True)
    viewer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "--pan" in sys.argv)
