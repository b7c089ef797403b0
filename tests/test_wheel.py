"""The built wheel holds all that an installed plugin needs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CHECK = """
from npe2 import PluginManifest
from napari_mclstexp import samples
manifest = PluginManifest.from_distribution("napari-mclstexp")
contributions = manifest.contributions
assert contributions.readers and contributions.sample_data and contributions.widgets
for path in (samples.sample_slide_path(), samples.sample_measured_path(), samples.demo_bundle_path()):
    assert path.exists(), path
print(samples.sample_folder())
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_manifest_and_sample_data_are_found_in_the_wheel(unpacked: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    run = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=unpacked, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip()) == unpacked / "napari_mclstexp" / "sample_data"


def test_wheel_manifest_is_the_one_at_the_top(unpacked: Path) -> None:
    packed = (unpacked / "napari_mclstexp" / "napari.yaml").read_bytes()
    assert packed == (ROOT / "napari.yaml").read_bytes()
    assert (unpacked / "napari_mclstexp" / "py.typed").exists()


def test_wheel_ships_the_command(unpacked: Path) -> None:
    (entry,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "mclstexp = napari_mclstexp.cli:main" in entry.read_text(encoding="utf-8")
