"""How the window answers while it predicts, beside itself idle: ``python running.py SLIDE BUNDLE [UM]``.

Prints, as JSON, the longest that one of our own callbacks held the main thread, and the 99th percentile of
the time between ticks of the event loop, idle and running, ms.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mclstexp.gui.controller import PredictRequest
from napari_mclstexp.gui.dock import MclstexpDock
from napari_mclstexp.gui.filling import Filling
from napari_mclstexp.gui.layers import Layers

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_MS = 10
IDLE_S = 8.0


def in_a_turn_of_its_own(act: Callable[..., None], held: list[tuple[float, str]]) -> Callable[..., None]:
    """An act that notes how long it took."""

    def timed(owner: object, *given: object) -> None:
        began = time.perf_counter()
        act(owner, *given)
        held.append(((time.perf_counter() - began) * 1e3, f"{act.__name__} {given}"[:60]))

    return timed


def main() -> None:
    slide, bundle = Path(sys.argv[1]), Path(sys.argv[2])
    pitch = sys.argv[3] if len(sys.argv) > 3 else "visium"
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 950)
    dock = MclstexpDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    held: list[tuple[float, str]] = []
    session, tell = dock.session, dock.session.set_job

    def timed(**changes: object) -> None:
        """All that our callbacks do for a step of a job happens in here."""
        began = time.perf_counter()
        tell(**changes)
        step = changes.get("progress")
        held.append(((time.perf_counter() - began) * 1e3, getattr(step, "stage", "")))

    session.set_job = timed
    take = session.set_result

    def taken(*given: object) -> None:
        began = time.perf_counter()
        take(*given)
        held.append(((time.perf_counter() - began) * 1e3, "the result"))

    session.set_result = taken
    for owner, name in ((Filling, "_make"), (Layers, "_settle_domains"), (Layers, "_settle")):
        setattr(owner, name, in_a_turn_of_its_own(getattr(owner, name), held))
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(TICK_MS)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))

    def wait(until: object) -> list[float]:
        ticks.clear()
        timer.start()
        while not until():
            QApplication.processEvents()
            time.sleep(0.001)
        timer.stop()
        return (np.diff(ticks) * 1e3).tolist()

    dock.controller.open_slide(slide)
    wait(lambda: session.slide is not None and session.slide.prepared and not session.job.running)
    end = time.monotonic() + IDLE_S
    idle = wait(lambda: time.monotonic() > end)
    QTest.mouseMove(dock.predict_panel.predict_button)  # as a person comes to press it
    end = time.monotonic() + 1.0
    wait(lambda: time.monotonic() > end)
    before = sorted(held, reverse=True)[:3]
    held.clear()
    dock.controller.predict(PredictRequest(bundle=bundle, grid=pitch, spots=None, device="cpu"))
    running = wait(lambda: not session.job.running)
    end = time.monotonic() + 0.5  # what is drawn in turns after it
    wait(lambda: time.monotonic() > end)
    spots = 0 if session.result is None else len(session.result.grid)
    worst = sorted(held, reverse=True)[:8]
    print(
        json.dumps(
            {
                "spots": spots,
                "callbacks": len(held),
                "longest when the pointer came to the button, ms": [
                    [round(ms, 1), what] for ms, what in before
                ],
                "longest callbacks, ms": [[round(ms, 1), stage] for ms, stage in worst],
                "p99 of callbacks, ms": round(float(np.percentile([ms for ms, _ in held], 99)), 1),
                "p99 between ticks, idle, ms": round(float(np.percentile(idle, 99)), 1),
                "p99 between ticks, running, ms": round(float(np.percentile(running, 99)), 1),
            },
            indent=1,
        )
    )
    viewer.close()


main()
