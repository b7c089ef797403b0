"""Whose slide it is stands in no export, log or cache: canaries in every field that can name it."""

from __future__ import annotations

import gzip
import logging
import zipfile
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from napari_mclstexp.core.slide import open_slide

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome

CANARY = "ZQXCANARY"


def _svs(path: Path, picture: np.ndarray) -> None:
    about = (
        f"Aperio Image Library v11\n900x800 [0,0 900x800] (128x128) JPEG/RGB Q=70|AppMag = 20|MPP = 0.5"
        f"|User = {CANARY}|Barcode = {CANARY}|Filename = {CANARY}|Title = {CANARY}"
    )
    label = Image.new("RGB", (120, 90), (250, 30, 30))
    options = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, tile=(128, 128), description=about, **options)
        tiff.write(np.asarray(label), description=f"Aperio\nlabel 120x90 {CANARY}", subfiletype=1, **options)
        tiff.write(np.asarray(label), description=f"Aperio\nmacro 120x90 {CANARY}", subfiletype=9, **options)


def _ome(path: Path, picture: np.ndarray) -> None:
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"}
    about = {"axes": "YXS", "Name": CANARY, "Description": CANARY, **sizes}
    tifffile.imwrite(path, picture, ome=True, photometric="rgb", tile=(128, 128), metadata=about)


def _png(path: Path, picture: np.ndarray) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", CANARY)
    Image.fromarray(picture).save(path, pnginfo=text, dpi=(50_800, 50_800))


WRITERS = {"svs": _svs, "ome.tif": _ome, "png": _png}


def _everything(path: Path) -> bytes:
    """Bytes of a file, and of what is packed in it."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content += gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    if path.suffix == ".h5ad":
        parts: list[str] = []
        with h5py.File(path) as file:

            def collect(name: str, item: h5py.Dataset | h5py.Group) -> None:
                parts.extend((name, repr(dict(item.attrs))))
                if isinstance(item, h5py.Dataset) and item.dtype.kind == "O":
                    parts.append(repr(item[()]))

            file.visititems(collect)
        content += "".join(parts).encode() + repr(ad.read_h5ad(path).uns).encode()
    return content


@pytest.mark.parametrize("kind", WRITERS)
def test_no_trace_of_the_patient(
    tmp_path: Path,
    run: Callable[..., Outcome],
    picture: Callable[..., np.ndarray],
    bundle_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("napari_mclstexp.core.slide.pillow_backend.SMALL_PX", 1000)  # so that it is cached
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    slide = tmp_path / f"{CANARY}.{kind}"
    WRITERS[kind](slide, picture(5, 900, 800))
    assert CANARY.encode() in slide.read_bytes()
    with open_slide(slide) as opened:
        told = repr((opened.format, opened.traits, opened.scale, opened.notes, opened.fingerprint))
        assert opened.scale is not None
    assert CANARY not in told
    assert CANARY not in run("info", slide).out
    assert CANARY not in run("info", slide, "--json").out
    (tmp_path / "out").mkdir()
    words = ("--bundle", bundle_path, "--out", "out/r.h5ad", "--domains", 2, "--device", "cpu")
    ended = run("predict", slide, *words)
    assert ended.code == 0, ended.err
    for name in ("d.geojson", "s.csv", "g.png", "again.h5ad"):
        assert run("export", "out/r.h5ad", "--to", f"out/{name}").code == 0
    written = [p for folder in ("out", "cache") for p in (tmp_path / folder).rglob("*") if p.is_file()]
    assert len(written) >= 6
    for path in written:
        assert CANARY not in str(path.relative_to(tmp_path))
        assert CANARY.encode() not in _everything(path), f"{path.name} tells whose slide it is"
    assert CANARY not in caplog.text
    assert CANARY not in ended.out
