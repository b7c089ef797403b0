"""The log and the report for support: what happened is in them, and nobody's name."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import tifffile

from napari_mclstexp.core.discreet import discreet, keep_private
from napari_mclstexp.core.log import BYTES, log_file, start_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUNS = """
import sys
from pathlib import Path
from napari_mclstexp import cli
from napari_mclstexp.core import pipeline

def run(*words):
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        return end.code or 0

folder, bundle = Path(sys.argv[1]), Path(sys.argv[2])
slide = folder / "CanaryStem Jane_CanaryDoe.tif"
out = folder / "CanaryOut" / "r.h5ad"
words = ("predict", slide, "--bundle", bundle, "--out")
assert run("info", slide) == 0
assert run("info", folder / "CanaryAbsent one.svs") == 2
assert run("info", folder / "CanaryText.svs") == 2
assert run(*words, out) == 2  # its folder is not there
assert run(*words, folder / "r.h5ad", "--region", folder / "CanaryRegion.geojson") == 2
assert run(*words, folder / "r.h5ad", "--spots", folder / "CanarySpots.csv") == 2
assert run("predict", slide, "--bundle", folder / "CanaryBundle", "--out", folder / "r.h5ad") == 2
assert run("export", folder / "CanaryResult.h5ad", "--to", folder / "a.png") == 2

def broken(*_):
    import json
    json.loads(f"[{slide}")

def defect(*_):
    try:
        broken()
    except ValueError as error:
        raise RuntimeError(
            f"no room for {slide} on CanaryShare: \\\\\\\\CanaryServer\\\\x\\\\y.tif, "
            f"nor C:\\\\Users\\\\CanaryWindows\\\\z.tif nor https://CanaryUrl.org/a"
        ) from error

pipeline.load_bundle = defect
keep = Path("CanaryShare")
from napari_mclstexp.core.discreet import keep_private
keep_private(keep)
assert run(*words, folder / "r.h5ad") == 1
assert run("report") == 0
"""
CANARIES = (
    "CanaryStem", "CanaryDoe", "CanaryFolder", "CanaryAbsent", "CanaryText", "CanaryOut", "CanaryRegion",
    "CanarySpots", "CanaryBundle", "CanaryResult", "CanaryShare", "CanaryServer", "CanaryWindows",
    "CanaryUrl", "CanaryUser", "CanaryHome", "CanaryDescription", "CanaryArtist",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(
    bundle_path: Path, picture: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    """The log and the report after runs of the command that go wrong on a slide full of names."""
    home = tmp_path_factory.mktemp("CanaryHome")
    folder = home / "CanaryFolder of a clinic"
    folder.mkdir()
    tifffile.imwrite(
        folder / "CanaryStem Jane_CanaryDoe.tif",
        picture(1, 1000, 900),
        description="CanaryDescription born 1961",
        extratags=[(315, "s", 0, "CanaryArtist", True)],
        tile=(128, 128),
        resolution=(2e4, 2e4),
        resolutionunit="CENTIMETER",
    )
    (folder / "CanaryText.svs").write_text("no slide of CanaryDescription", encoding="utf-8")
    (folder / "CanaryRegion.geojson").write_text("{", encoding="utf-8")
    (folder / "CanarySpots.csv").write_text("CanaryDescription,b\n1,2\n", encoding="utf-8")
    shutil.copytree(bundle_path, folder / "CanaryBundle")
    (folder / "CanaryBundle" / "weights.safetensors").write_bytes(b"none")
    data = home / "data"
    environment = {**os.environ, "MCLSTEXP_DATA": str(data), "HOME": str(home), "LOGNAME": "CanaryUser"}
    done = subprocess.run(
        [sys.executable, "-c", RUNS, str(folder), str(bundle_path)],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"From {data / 'log.txt'}" in done.stderr
    assert "A defect of mclstexp" in done.stderr
    return (data / "log.txt").read_text(encoding="utf-8"), done.stdout[
        done.stdout.index("napari-mclstexp ") :
    ]


def test_log_tells_what_happened(written: tuple[str, str]) -> None:
    log, report = written
    assert "There is no slide at <path>" in log
    assert log.count("Traceback") >= 9, "each error's traceback is logged"
    for text in (log, report):
        for word in ("JSONDecodeError", "A defect", "RuntimeError: no room for <path>"):
            assert word in text, word
        assert 'File "napari_mclstexp/cli.py", line ' in text
        assert 'File "json/decoder.py", line ' in text
    for word in ("torch ", "openslide-bin ", "Python ", "processors ", "GPU ", "cache: "):
        assert f"\n{word}" in report, word


def test_nobody_is_named(written: tuple[str, str]) -> None:
    log, report = written
    for canary in (*CANARIES, platform.node()):
        assert canary.lower() not in log.lower(), canary
        assert canary.lower() not in report.lower(), canary


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/data/Jane Doe/a b.svs is damaged: see its end", "<path> is damaged: see its end"),
        (r"C:\Users\Jane Doe\x.tif is gone", "<path> is gone"),
        (r"\\ward7\scans\a b\c.ndpi, not read", "<path>, not read"),
        ("[Errno 2] No such file: '/x y/z'", "[Errno 2] No such file: '<path>'"),
        ("Doe_1961.mrxs is empty", "<file> is empty"),
        ("ssh://jane@ward7/x failed", "<address> failed"),
        ("Jane_Doe/slide and ../ward7 are", "<path> and <path> are"),
        ('  File "/home/jane/run.py", line 3, in f', '  File "<path>", line 3, in f'),
        ("weights.safetensors of 12/24 spots at 0.5 um", "weights.safetensors of 12/24 spots at 0.5 um"),
        ("napari_mclstexp.core.export.csv: 3 s", "napari_mclstexp.core.export.csv: 3 s"),
    ],
)
def test_what_looks_like_a_name_is_replaced(text: str, wanted: str) -> None:
    assert discreet(text) == wanted


def test_what_a_person_opened_is_replaced_wherever_it_stands(tmp_path: Path) -> None:
    keep_private(tmp_path / "Ward-7" / "Jane Doe 1961.svs", "slide")
    assert discreet("Jane Doe 1961.svs, JANE DOE 1961: of Ward-7") == "<slide>, <slide>: of <path>"
    keep_private(tmp_path / "slide.tif", "slide")
    assert discreet("a slide of the reference") == "a slide of the reference"


def test_log_is_bounded_and_never_in_the_way(own_data: Path) -> None:
    log = logging.getLogger("napari_mclstexp.test")
    start_log()
    start_log()
    assert not log_file().exists(), "nothing was told yet"
    log.info("once")
    assert log_file().read_text(encoding="utf-8").count("once") == 1
    for _ in range(40):
        log.info("x" * (BYTES // 10))
    files = sorted(own_data.iterdir())
    assert [file.name for file in files] == ["log.txt", "log.txt.1", "log.txt.2"]
    assert sum(file.stat().st_size for file in files) <= 3.4 * BYTES
    shutil.rmtree(own_data)
    own_data.write_text("a file where the folder was", encoding="utf-8")
    for _ in range(15):
        log.info("x" * (BYTES // 10))  # cannot be written, and nobody is troubled
