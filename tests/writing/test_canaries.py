"""Whose slide it is stands in nothing that is written: canaries in every field, searched for in all bytes.

What is packed is unpacked first; and canaries that are planted in each kind of container are found.
"""

from __future__ import annotations

import base64
import gzip
import io
import logging
import zipfile
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin
from steps import finish

from napari_mclstexp.core import pipeline
from napari_mclstexp.core.annotations import annotation
from napari_mclstexp.core.domain_history import History
from napari_mclstexp.core.export import FORMATS, PICTURES, REPORTS
from napari_mclstexp.core.saved import State, keep_result, keep_state
from napari_mclstexp.core.scale import Scale
from tests.writing.unpacked import found_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle

WHERE = (
    "file name", "folder name", "description", "user", "barcode", "title", "label", "macro", "artist", "host",
    "date", "document", "copyright", "software", "xmp", "profile", "patient id", "login", "home",
)  # fmt: skip
CANARIES = {where: f"Zq{i:02}Canary{where.title().replace(' ', '')}" for i, where in enumerate(WHERE)}
ASCII = {"document": 269, "date": 306, "artist": 315, "host": 316, "copyright": 33432}


def write_svs(path: Path, picture: np.ndarray) -> None:
    """A slide like a scanner's, with a canary in every field."""
    told = CANARIES
    about = (
        "Aperio Image Library v11\n900x800 [0,0 900x800] (128x128) JPEG/RGB Q=70|AppMag = 20|MPP = 0.5"
        f"|User = {told['user']}|Barcode = {told['barcode']}|Title = {told['title']}"
        f"|Filename = {told['file name']}|Patient = {told['patient id']}|Note = {told['description']}"
    )
    tags = [(code, "s", 0, told[name], True) for name, code in ASCII.items()]
    tags.append((700, "B", len(told["xmp"]), told["xmp"].encode(), True))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + told["profile"].encode()
    tags.append((34675, "B", len(profile), profile, True))
    label = Image.new("RGB", (320, 90), (250, 250, 250))
    ImageDraw.Draw(label).text((5, 40), told["label"], fill=(0, 0, 0))
    options = {"photometric": "rgb", "metadata": None, "software": told["software"]}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, tile=(128, 128), description=about, extratags=tags, **options)
        for kind, subfile in (("label", 1), ("macro", 9)):
            text = f"Aperio\n{kind} 320x90 {told[kind]}"
            tiff.write(np.asarray(label), description=text, subfiletype=subfile, **options)


def write_ome(path: Path, picture: np.ndarray) -> None:
    """An OME-TIFF, with canaries in its XML and tags."""
    about = {
        "axes": "YXS", "Name": CANARIES["title"], "Description": CANARIES["description"],
        "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "AcquisitionDate": CANARIES["date"],
    }  # fmt: skip
    tags = [(code, "s", 0, CANARIES[name], True) for name, code in ASCII.items()]
    tifffile.imwrite(
        path, picture, ome=True, photometric="rgb", tile=(128, 128), metadata=about, extratags=tags,
        software=CANARIES["software"],
    )  # fmt: skip


SLIDES = {"svs": write_svs, "ome.tif": write_ome}


@pytest.mark.parametrize("kind", SLIDES)
def test_whose_slide_it_is_stands_in_nothing_that_is_written(
    tmp_path: Path,
    own_data: Path,
    trained: tuple[Bundle, bool],
    picture: Callable[..., np.ndarray],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    caplog.set_level(logging.DEBUG, logger="napari_mclstexp")
    for variable, where in (("USER", "login"), ("LOGNAME", "login"), ("USERNAME", "login"), ("HOME", "home")):
        monkeypatch.setenv(variable, f"/{CANARIES[where]}" if variable == "HOME" else CANARIES[where])
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("napari_mclstexp.core.slide.levels.MIN_PX", 64, raising=False)
    folder = tmp_path / CANARIES["folder name"]
    folder.mkdir()
    slide = folder / f"{CANARIES['file name']}.{kind}"
    SLIDES[kind](slide, picture(5, 900, 800))
    planted = found_in(folder, CANARIES)
    assert len(planted) >= 10, "the canaries are not in the slide"
    with pipeline.open_slide(slide) as opened:
        for _ in opened.prepare():
            pass
        run = pipeline.predict_and_label(
            opened,
            trained[0],
            opened.scale or Scale(0.5, 0.5, "test"),
            grid="visium",
            domains=2,
            device="cpu",
        )
        result = finish(run)[1]
        fingerprint = opened.fingerprint
    assert result.domains is not None
    import shapely

    note = annotation(shapely.box(100, 100, 400, 300), name="Tumour", note="mine", author="me")
    result = result.with_domains(
        type(result.domains)(
            result.domains.labels, result.domains.names, result.domains.colours, annotations=(note,)
        )
    )
    out = tmp_path / "out"
    out.mkdir()
    for suffix in (*FORMATS, *PICTURES, *REPORTS):
        gene = result.genes[0] if suffix in (".svg", ".pdf") else None
        pipeline.export_result(result, out / f"t{suffix}", gene=gene)
    keep_result(fingerprint, result)
    keep_state(fingerprint, State(gene=result.genes[0]), History(result.domains), result)
    written = [*out.iterdir(), *own_data.iterdir(), *(tmp_path / "cache").glob("*")]
    assert len(written) >= len(FORMATS) + len(PICTURES) + len(REPORTS) + 1
    for path in written:
        assert found_in(path, CANARIES) == [], f"{path.name} tells whose slide it is"
    assert [where for where, canary in CANARIES.items() if canary.lower() in caplog.text.lower()] == []


CANARY = "Zq99CanaryPlanted"


def _png_text(path: Path) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", CANARY, zip=True)
    Image.new("RGB", (9, 9)).save(path, pnginfo=about)


def _png_itxt(path: Path) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Comment", CANARY, zip=True)
    Image.new("RGB", (9, 9)).save(path, pnginfo=about)


def _pixels() -> np.ndarray:
    told = np.frombuffer(CANARY.encode().ljust(60, b"."), np.uint8)
    return np.repeat(told.reshape(1, 20, 3), 20, axis=0).copy()


def _png_in_html(path: Path) -> None:
    content = io.BytesIO()
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", CANARY, zip=True)
    Image.new("RGB", (9, 9)).save(content, "png", pnginfo=about)
    text = base64.b64encode(content.getvalue()).decode()
    path.write_text(f"<img src='data:image/png;base64,{text}'>", encoding="utf-8")


def _pdf(path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.text(0.1, 0.5, CANARY)
    import matplotlib as mpl

    with mpl.rc_context({"pdf.use14corefonts": True}):
        figure.savefig(path, format="pdf")


def _zip_of_gzip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.gz", gzip.compress(CANARY.encode()))


def _hdf5_values(path: Path) -> None:
    with h5py.File(path, "w") as file:
        told = np.frombuffer((CANARY * 40).encode(), np.uint8)
        file.create_dataset("a", data=told, compression="gzip", shuffle=True)


def _hdf5_text(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.array([CANARY], dtype=object), chunks=(1,), compression="gzip")


def _hdf5_attribute(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("a").attrs["b"] = CANARY


def _zarr_values(path: Path) -> None:
    told = np.frombuffer((CANARY * 40).encode(), np.uint8)
    zarr.open_group(path, mode="w").create_array("a", data=told)


def _zarr_zip(path: Path) -> None:
    from zarr.storage import ZipStore

    store = ZipStore(path, mode="w")
    told = np.frombuffer((CANARY * 40).encode(), np.uint8)
    zarr.create_group(store).create_array("a", data=told)
    store.close()


def _parquet(path: Path) -> None:
    path.mkdir()
    pq.write_table(pa.table({"a": [CANARY] * 30}), path / "a.parquet", compression="zstd")


def _tiff_page(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.zeros((64, 64, 3), np.uint8), photometric="rgb", subifds=1)
        tiff.write(_pixels(), photometric="rgb", compression="deflate", subfiletype=1)


def _tiff_tag(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((9, 9), np.uint8), extratags=[(315, "s", 0, CANARY, True)])


CONTAINERS = {
    "t.txt": lambda p: p.write_text(CANARY.upper(), encoding="utf-8"),
    "utf16.txt": lambda p: p.write_text(CANARY, encoding="utf-16"),
    f"{CANARY}.txt": lambda p: p.write_text("x", encoding="utf-8"),
    "t.gz": lambda p: p.write_bytes(gzip.compress(CANARY.encode())),
    "t.zip": _zip_of_gzip,
    "text.png": _png_text,
    "international.png": _png_itxt,
    "pixels.png": lambda p: Image.fromarray(_pixels()).save(p),
    "t.html": _png_in_html,
    "t.pdf": _pdf,
    "values.h5ad": _hdf5_values,
    "text.h5ad": _hdf5_text,
    "attribute.h5ad": _hdf5_attribute,
    "t.zarr": _zarr_values,
    "levels": _zarr_zip,
    "table": _parquet,
    "page.tif": _tiff_page,
    "tag.tif": _tiff_tag,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_search_finds_what_is_planted(tmp_path: Path, name: str) -> None:
    CONTAINERS[name](tmp_path / name)
    assert found_in(tmp_path / name, {"it": CANARY}) == ["it"]
    assert found_in(tmp_path / name, {"it": "Zq98CanaryAbsent"}) == []
