"""Targets of every kind: read-only, locked, gone, links, the slide itself, names, rights, and two at once."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from results import laid
from visium_folder import write_visium

from napari_mclstexp.core.atomic import write_bytes, write_file, write_folder, write_text
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.figure import Scene, save_figure, whole
from napari_mclstexp.core.result import Domains
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import ExportError
from tests.writing.child import EVERY, Fault
from tests.writing.formats import NEW, OLD, left_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Outcome

    from napari_mclstexp.core.result import Result
    from tests.writing.child import Writers
    from tests.writing.held import Held

POSIX = pytest.mark.skipif(os.name == "nt", reason="rights and links are POSIX here")


@pytest.fixture(scope="module")
def result() -> Result:
    return laid("square")


@POSIX
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """Root may write everywhere: there it is tried as nobody."""
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "t.csv").write_bytes(b"old")
    folder.chmod(0o555)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from napari_mclstexp.core.atomic import write_file\n"
        "from napari_mclstexp.errors import ExportError\n"
        "if os.geteuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "os.chdir(sys.argv[1])\n"
        "try:\n"
        "    write_file(Path('t.csv'), lambda part: part.write_bytes(b'new'), overwrite=True)\n"
        "except ExportError as error:\n"
        "    print(error)\n"
    )
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(each.stat().st_mode | 0o055)
    ended = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=False
    )
    folder.chmod(0o755)
    if "PermissionError" in ended.stderr and "chdir" in ended.stderr:
        pytest.skip("nobody may not enter the folder of the tests")
    assert "t.csv was not written: Permission denied. What was there before is untouched." in ended.stdout
    assert [path.read_bytes() for path in folder.iterdir()] == [b"old"]


@pytest.mark.parametrize("error", [errno.EBUSY, errno.EROFS, errno.EPERM])
@pytest.mark.parametrize("name", ["h5ad", "bundle", "csv"])
def test_a_target_that_is_locked(
    tmp_path: Path, breaking: Writers, held: Held, name: str, error: int
) -> None:
    folder = tmp_path / "t"
    held.lay(name, folder)
    with breaking.ready(name, folder, NEW) as go:
        ending = go(fault=Fault("rename", 1, EVERY, error))
    assert ending.error == "ExportError"
    assert os.strerror(error) in ending.said
    assert held.state(name, folder) == OLD
    assert left_over(folder) == []


def test_a_folder_that_goes_while_it_is_written_to(tmp_path: Path) -> None:
    home = tmp_path / "drive"
    home.mkdir()

    def write(part: Path) -> None:
        part.write_bytes(b"half of it")
        shutil.rmtree(home)

    def fill(part: Path) -> None:
        (part / "a").write_bytes(b"half of it")
        shutil.rmtree(home)

    for attempt in (lambda: write_file(home / "t.csv", write), lambda: write_folder(home / "t.zarr", fill)):
        home.mkdir(exist_ok=True)
        with pytest.raises(ExportError, match="was not written: No such file"):
            attempt()
        assert not home.exists()


def test_a_file_for_a_folder_and_a_folder_for_a_file(tmp_path: Path, result: Result) -> None:
    (tmp_path / "t.zarr").write_bytes(b"old")
    (tmp_path / "t.csv").mkdir()
    for name, why in (("t.zarr", "is a file. Give the name of a folder"), ("t.csv", "is a folder. Give the")):
        with pytest.raises(ExportError, match=why):
            export_result(result, tmp_path / name, overwrite=True)
    assert (tmp_path / "t.zarr").read_bytes() == b"old"
    assert list((tmp_path / "t.csv").iterdir()) == []


@pytest.mark.parametrize("name", ["s.ome.tif", "s.png", "s.ome.zarr"])
def test_the_slide_itself_is_never_replaced(tmp_path: Path, result: Result, name: str) -> None:
    pixels = np.full((300, 400, 3), 230, np.uint8)
    slide = tmp_path / name
    if name.endswith("zarr"):
        from tests.reliability.goods import ome_zarr

        ome_zarr(slide, pixels)
    elif name.endswith("tif"):
        tifffile.imwrite(slide, pixels, ome=True, photometric="rgb", tile=(64, 64))
    else:
        from PIL import Image

        Image.fromarray(pixels).save(slide)
    with open_slide(slide) as opened:
        known = opened.fingerprint
    of_it = replace(result, provenance=replace(result.provenance, slide_fingerprint=known))
    (tmp_path / "other").mkdir()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ExportError, match="is the slide itself, which is never replaced"):
        export_result(of_it, slide, overwrite=True)
    if name.endswith("png"):
        with pytest.raises(ExportError, match="is the slide itself"):
            save_figure(of_it, Scene(whole(of_it), None, "filled", crosses=False), slide, overwrite=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_what_lies_in_an_open_visium_folder_is_never_replaced(tmp_path: Path, result: Result) -> None:
    """But an export of before, beside it in the folder, is."""
    picture = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    write_visium(tmp_path / "section", picture, np.ones((4, 4), np.int64))
    with open_slide(tmp_path / "section") as slide:
        opened = slide.opened
    spatial, parts = tmp_path / "section" / "spatial", ("tissue_hires_image.png", "tissue_positions.csv")
    before = {name: (spatial / name).read_bytes() for name in parts}
    refused = "is part of what is open, which is never replaced. Choose another name or folder."
    for name in parts:
        with pytest.raises(ExportError, match=f"{name} {refused}"):
            export_result(result, spatial / name, overwrite=True, opened=opened)
    scene = Scene(whole(result), None, "filled", crosses=False)
    with pytest.raises(ExportError, match=refused):
        save_figure(result, scene, spatial / parts[0], overwrite=True, opened=opened)
    assert {name: (spatial / name).read_bytes() for name in parts} == before
    for _ in range(2):
        export_result(result, tmp_path / "section" / "out.csv", overwrite=True, opened=opened)


def test_the_command_refuses_a_slide_as_its_target(
    tmp_path: Path, run: Callable[..., Outcome], section: Path, bundle_path: Path
) -> None:
    slide = shutil.copy(section, tmp_path / "s.h5ad")
    shutil.copy(section.with_suffix(".tif"), tmp_path / f"{section.stem}.tif")
    before = Path(slide).read_bytes()
    ended = run("predict", slide, "--bundle", bundle_path, "--out", slide, "--overwrite", "--device", "cpu")
    assert ended.code == 2
    assert "which is never replaced" in ended.err
    assert Path(slide).read_bytes() == before


@pytest.mark.parametrize("letter", ["n", "é", "🧬"])
def test_names_as_long_as_a_disk_takes(tmp_path: Path, letter: str) -> None:
    """255 bytes, which leave no room for a temporary name that is longer."""
    stem = letter * ((255 - len(".csv")) // len(letter.encode()))
    target = tmp_path / f"{stem}.csv"
    for content in (b"old", b"new"):
        write_bytes(target, content, overwrite=True)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == [content]
    write_folder(tmp_path / (stem + ".dir"), lambda part: (part / "a").write_bytes(b"x"))
    with pytest.raises(ExportError, match=r"was not written: File name too long"):
        write_bytes(tmp_path / f"{stem}{letter}.csv.longer", b"new")
    assert len(list(tmp_path.iterdir())) == 2


@POSIX
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_rights_are_those_of_the_old_file_or_of_the_umask(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        write_bytes(tmp_path / "new.csv", b"new")
        write_folder(tmp_path / "new.zarr", lambda part: (part / "a").write_bytes(b"x"))
        (tmp_path / "old.csv").write_bytes(b"old")
        (tmp_path / "old.csv").chmod(0o640)
        write_bytes(tmp_path / "old.csv", b"new", overwrite=True)
    finally:
        os.umask(old)
    rights = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert rights == {"new.csv": 0o666 & ~mask, "new.zarr": 0o777 & ~mask, "old.csv": 0o640}


@POSIX
def test_of_a_link_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    """Someone keeps exports on another drive, and a link to them here."""
    far = tmp_path / "far"
    (far / "t.zarr").mkdir(parents=True)
    (far / "t.csv").write_bytes(b"old")
    for name in ("t.csv", "t.zarr", "absent.csv"):
        (tmp_path / name).symlink_to(far / name)
    write_bytes(tmp_path / "t.csv", b"new", overwrite=True)
    write_bytes(tmp_path / "absent.csv", b"new", overwrite=True)
    write_folder(tmp_path / "t.zarr", lambda part: (part / "a").write_bytes(b"x"), overwrite=True)
    assert all((tmp_path / name).is_symlink() for name in ("t.csv", "t.zarr", "absent.csv"))
    assert (far / "t.csv").read_bytes() == (far / "absent.csv").read_bytes() == b"new"
    assert (far / "t.zarr" / "a").read_bytes() == b"x"
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "gone" / "t.csv")
    with pytest.raises(ExportError, match="No such file"):
        write_bytes(tmp_path / "nowhere.csv", b"new")


def test_what_was_made_meanwhile_is_not_replaced_unasked(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        part.write_bytes(b"mine")
        (tmp_path / "t.csv").write_bytes(b"theirs")

    with pytest.raises(ExportError, match="another program wrote it meanwhile"):
        write_file(tmp_path / "t.csv", write)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"theirs"]


WRITE = """
import sys
from pathlib import Path
from napari_mclstexp.core.atomic import write_bytes, write_folder
folder, who = Path(sys.argv[1]), sys.argv[2].encode()

def fill(part):
    for name in "abc":
        (part / name).write_bytes(who)

for _ in range(25):
    write_bytes(folder / "t.csv", who * 50_000, overwrite=True)
    write_folder(folder / "t.zarr", fill, overwrite=True)
"""


def test_of_several_exports_to_one_target_one_wins_whole(tmp_path: Path) -> None:
    """Four processes at once; a reader meanwhile never sees a mixture in the file."""
    processes = [subprocess.Popen([sys.executable, "-c", WRITE, tmp_path, who]) for who in "1234"]
    torn: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.001):
            if (tmp_path / "t.csv").exists():
                content = (tmp_path / "t.csv").read_bytes()
                torn.extend([len(content)] if len(content) != 50_000 or len(set(content)) != 1 else [])

    reader = threading.Thread(target=look)
    reader.start()
    codes = [process.wait(timeout=300) for process in processes]
    done.set()
    reader.join()
    assert codes == [0, 0, 0, 0]
    assert torn == []
    assert len({(tmp_path / "t.zarr" / name).read_bytes() for name in "abc"}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "t.zarr"}


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr", ".h5ad"])
def test_more_labels_than_sixteen_bits_hold(tmp_path: Path, result: Result, suffix: str) -> None:
    count, most = len(result.grid), 70_000
    labels = np.linspace(1, most, count).astype(np.int32)
    names = {int(label): f"domain {label}" for label in labels}
    domains = Domains(labels, names, dict.fromkeys(names, "#4477aa"))
    path = export_result(replace(result, domains=domains), tmp_path / f"t{suffix}")
    if suffix == ".h5ad":
        from napari_mclstexp.core.result_file import load_result

        read = load_result(path).domains
        assert read is not None
        assert [read.names[int(label)] for label in read.labels] == [f"domain {label}" for label in labels]
        return
    image = tifffile.imread(path) if suffix == ".ome.tif" else zarr.open_group(path)["labels/domains/0"][...]
    assert image.dtype == np.uint32
    assert set(np.unique(image)) == {0, *labels.tolist()}


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "t.txt", "größe\nµm 🧬\r\n")
    assert (tmp_path / "t.txt").read_bytes() == "größe\nµm 🧬\r\n".encode()
