"""The demo as a stranger runs it: a process of its own, without a display."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

from napari_mclstexp.core.domains import find_domains
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.samples import sample_measured_path

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("Xvfb") is None,
    reason="the demo makes its own screen on Linux with Xvfb only",
)


def demo(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    hidden = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "napari_mclstexp.cli", "demo", "--out", str(out), *more]
    return subprocess.run(command, env=hidden, capture_output=True, text=True, timeout=600)


def agreement(result: Path, count: int) -> float:
    """Adjusted Rand index of the fused method's domains with the regions that the sample was drawn by."""
    found = load_result(result)
    measured = ad.read_h5ad(sample_measured_path())
    _, nearest = cKDTree(measured.obsm["spatial"]).query(found.grid.centres_px[:, ::-1])
    labels = find_domains(found, count, 0, "fused").domains.labels
    return float(adjusted_rand_score(measured.obs["region"].to_numpy()[nearest], labels))


def test_demo_without_a_display(tmp_path: Path) -> None:
    out = tmp_path / "demo_output"
    run = demo(out)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    scored = re.search(r"mean PCC ([\d.]+) over 60 genes", run.stdout)
    assert scored, run.stdout
    assert float(scored[1]) > 0.4
    assert "synthetic" in run.stdout
    for name in ("slide.png", "heatmap.png", "domains.png"):
        picture = np.asarray(Image.open(out / name).convert("RGB"))
        assert picture.shape[0] >= 900
        assert picture.std() > 20
    result = ad.read_h5ad(out / "result.h5ad")
    assert result.n_obs > 800
    assert result.obs["domain"].nunique() == 7
    assert (out / "domains.geojson").stat().st_size > 10_000
    assert np.mean([agreement(out / "result.h5ad", count) for count in (4, 5, 6, 7)]) >= 0.8

    # What the demo did not make, it does not replace.
    (out / "spots.csv").write_text("mine", encoding="utf-8")
    refused = demo(out)
    assert refused.returncode == 2
    assert "not made by an earlier demo" in refused.stderr
    assert (out / "spots.csv").read_text(encoding="utf-8") == "mine"
