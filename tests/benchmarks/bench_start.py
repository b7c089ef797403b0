"""Start-up: importing the package, and the dock on top of napari; each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from .ratios import ratio

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 3

IMPORT = """
import json, sys, time
began = time.perf_counter()
import napari_mclstexp
print(json.dumps({"ms": (time.perf_counter() - began) * 1e3, "torch": "torch" in sys.modules}))
"""

DOCK = """
import json, sys, time
import napari
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
for _ in range(50):
    QApplication.processEvents()
began = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-mclstexp")
made = time.perf_counter()
QApplication.processEvents()
print(json.dumps({"ms": (made - began) * 1e3, "drawn": (time.perf_counter() - began) * 1e3,
                  "torch": "torch" in sys.modules}))
viewer.close()
"""


def told(program: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_start(benchmark: BenchmarkFixture) -> None:
    """Goals: 50 ms to import the package, 300 ms for the dock, neither with torch."""
    found: dict[str, list[dict[str, float]]] = {"import": [], "dock": []}

    def rounds() -> None:
        for _ in range(ROUNDS):
            found["import"].append(told(IMPORT))
            found["dock"].append(told(DOCK))

    benchmark.pedantic(rounds, rounds=1)
    median = {name: float(np.median([one["ms"] for one in every])) for name, every in found.items()}
    benchmark.extra_info["ms"] = {name: round(ms, 1) for name, ms in median.items()}
    benchmark.extra_info["drawn, ms"] = float(np.median([one["drawn"] for one in found["dock"]]))
    assert not any(one["torch"] for every in found.values() for one in every), "torch waits"
    benchmark.extra_info["ratios"] = {
        "import napari_mclstexp / 50 ms": ratio(median["import"] / 50, "at most 1"),
        "the dock on top of napari / 300 ms": ratio(median["dock"] / 300, "at most 1"),
    }
