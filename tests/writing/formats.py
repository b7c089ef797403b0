"""All that is written, each as a small case: an older and a newer one, and how they are read."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
import zipfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.unfinished import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.result import Result

    Write = Callable[[Path, int], object]
    Read = Callable[[Path], object]

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

OLD, NEW = 0, 1
WHEN = re.compile(rb'"when": "[^"]*"')
"""The one thing that differs from write to write of the same."""
KEY = "f" * 64


@dataclass(frozen=True, slots=True)
class Format:
    """One thing that is written.

    Attributes
    ----------
    write : callable
        Writes into a folder the older (0) or the newer (1), over what is there.
    read : callable
        Loads what a folder holds, by the reader of its format; raises where it is not whole.
    where : str
        Folder within that one in which its files lie.
    """

    write: Write
    read: Read
    where: str = ""


def _export(suffix: str, read: Read) -> Format:
    def write(folder: Path, which: int) -> object:
        from napari_mclstexp.core.export import export_result

        return export_result(results()[which], folder / f"t{suffix}", overwrite=True)

    return Format(write, lambda folder: read(folder / f"t{suffix}"))


@cache
def results() -> tuple[Result, Result]:
    """Two results of other spots, values and domains."""
    from results import laid

    older, newer = laid("hexagonal"), laid("square")
    return older, replace(newer, expression=newer.expression + 1)


@cache
def bundles() -> tuple[Bundle, Bundle]:
    """Two bundles: that of the sample data, and the same by another name."""
    from napari_mclstexp.core.bundle import load_bundle

    older = load_bundle(ROOT / "sample_data" / "demo_bundle")
    return older, replace(older, spec=replace(older.spec, name="newer"))


def _bundle(folder: Path, which: int) -> object:
    from napari_mclstexp.core.bundle import save_bundle

    return save_bundle(bundles()[which], folder / "bundle", half=True, overwrite=True)


def _read_bundle(folder: Path) -> object:
    from napari_mclstexp.core.bundle import load_bundle

    return load_bundle(folder / "bundle")


def _checkpoint(folder: Path, which: int) -> object:
    import torch

    from napari_mclstexp.training.checkpoint import Checkpoints

    state = {"weights": torch.full((50_000,), float(which)), "epoch": 1}
    return Checkpoints(folder / "bundle").save(1, state, {"whose": "these"})


def _read_checkpoint(folder: Path) -> object:
    from napari_mclstexp.training.checkpoint import Checkpoints

    state, _ = Checkpoints(folder / "bundle").load({"whose": "these"})
    assert state is not None
    return state


def _kept_result(folder: Path, which: int) -> object:
    from napari_mclstexp.core.saved import keep_result

    os.environ["MCLSTEXP_DATA"] = str(folder)
    return keep_result(KEY, results()[which])


def _kept_state(folder: Path, which: int) -> object:
    from napari_mclstexp.core.domain_history import History
    from napari_mclstexp.core.saved import State, keep_state

    os.environ["MCLSTEXP_DATA"] = str(folder)
    domains = results()[OLD].domains
    assert domains is not None
    return keep_state(KEY, State(gene=f"gene {which}"), History(domains), results()[OLD])


def _kept_edits(folder: Path, which: int) -> object:
    from napari_mclstexp.core.domain_edits import Rename
    from napari_mclstexp.core.domain_history import History
    from napari_mclstexp.core.kept_edits import keep_edits

    os.environ["MCLSTEXP_DATA"] = str(folder)
    made = results()[OLD]
    assert made.domains is not None
    return keep_edits(made, History(made.domains).do(Rename(1, f"Domain {'AB'[which]}")))


def _read_edits(folder: Path) -> object:
    (file,) = (folder / "edits").glob("*.json")
    return json.loads(file.read_text())


def _remembered(folder: Path, which: int) -> object:
    from napari_mclstexp.core.remembered import Remembered, remember

    os.environ["MCLSTEXP_DATA"] = str(folder)
    return remember(Remembered(favourites=(f"GENE{which}",) * 200))


def _cached(folder: Path, which: int) -> object:
    from napari_mclstexp.core.backends import _remember

    os.environ["MCLSTEXP_CACHE"] = str(folder)
    return _remember("backend-1.json", ("torch", "fused")[which])


def _levels(folder: Path, which: int) -> object:
    """Levels of a slide; where there are some they are taken as they are, so that the older are none."""
    from contextlib import nullcontext

    import numpy as np

    from napari_mclstexp.core.slide.levels import Level
    from napari_mclstexp.core.slide.prepared import PreparedLevels

    os.environ["MCLSTEXP_CACHE"] = str(folder)
    if which == OLD:
        return None
    pixels = np.random.default_rng(0).integers(0, 255, (1300, 1500, 3), dtype=np.uint8)
    levels = [Level(1500, 1300, 1.0), Level(750, 650, 2.0)]

    def read(x: int, y: int, width: int, height: int) -> Any:
        return pixels[y : y + height, x : x + width]

    prepared = PreparedLevels(levels, 1, lambda: nullcontext(read), lambda: "levels")
    for _ in prepared.make():
        pass
    prepared.close()
    return None


def _script(suffix: str) -> Format:
    def write(folder: Path, which: int) -> object:
        from napari_mclstexp.core.replay import Recipe, save_script

        recipe = Recipe(Path("s.svs"), Path("b"), results()[which].provenance, gene=f"GENE{which}")
        return save_script(recipe, folder / f"t{suffix}", overwrite=True)

    def read(folder: Path) -> object:
        text = (folder / f"t{suffix}").read_text(encoding="utf-8")
        return json.loads(text) if suffix == ".ipynb" else compile(text, "t.py", "exec")

    return Format(write, read)


def _read_result(path: Path) -> object:
    from napari_mclstexp.core.result_file import load_result

    return load_result(path)


def _read_geojson(path: Path) -> object:
    import shapely

    document = json.loads(path.read_text(encoding="utf-8"))
    return [shapely.from_geojson(json.dumps(f["geometry"])) for f in document["features"]]


def _read_table(path: Path) -> object:
    import pandas as pd

    json.loads(path.with_suffix(".provenance.json").read_text(encoding="utf-8"))
    return pd.read_csv(path)


def _read_anndata_zarr(path: Path) -> object:
    import anndata as ad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own formats
        return ad.read_zarr(path)


def _read_spatialdata(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own parts and formats
        import spatialdata

        return spatialdata.read_zarr(path)


def _read_ome_zarr(path: Path) -> object:
    import zarr

    root = zarr.open_group(path, mode="r")
    return root["0"][...], root["labels/domains/0"][...]


def _read_ome_tiff(path: Path) -> object:
    import tifffile

    return tifffile.imread(path)


def _read_png(path: Path) -> object:
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()
    return picture


def _read_xml(path: Path) -> object:
    from xml.etree import ElementTree as ET

    return ET.parse(path)


def _read_pdf(path: Path) -> object:
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    at = int(content.rpartition(b"startxref")[2].split()[0])
    assert content[at : at + 4] == b"xref"
    return content


def _read_html(path: Path) -> object:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>")
    return text


def _read_levels(folder: Path) -> object:
    import zarr
    from zarr.storage import ZipStore

    if not (folder / "levels").exists():
        return None
    store = ZipStore(folder / "levels", mode="r")
    try:
        group = zarr.open_group(store, mode="r")
        return [group[name][...] for name in ("0", "1")]
    finally:
        store.close()


SLIDES = f"slides/{KEY}"
FORMATS = {
    "geojson": _export(".geojson", _read_geojson),
    "h5ad": _export(".h5ad", _read_result),
    "csv": _export(".csv", _read_table),
    "loupe": _export(".loupe.csv", _read_table),
    "zarr": _export(".zarr", _read_anndata_zarr),
    "spatialdata": _export(".spatialdata.zarr", _read_spatialdata),
    "ome-zarr": _export(".ome.zarr", _read_ome_zarr),
    "ome-tiff": _export(".ome.tif", _read_ome_tiff),
    "png": _export(".png", _read_png),
    "svg": _export(".svg", _read_xml),
    "figure-pdf": _export(".figure.pdf", _read_pdf),
    "report-html": _export(".html", _read_html),
    "report-pdf": _export(".pdf", _read_pdf),
    "bundle": Format(_bundle, _read_bundle),
    "checkpoint": Format(_checkpoint, _read_checkpoint, "bundle.training"),
    "autosave-result": Format(_kept_result, lambda f: _read_result(f / SLIDES / "result.h5ad"), SLIDES),
    "autosave-state": Format(
        _kept_state, lambda f: json.loads((f / SLIDES / "state.json").read_text()), SLIDES
    ),
    "autosave-edits": Format(_kept_edits, _read_edits, "edits"),
    "remembered": Format(_remembered, lambda f: json.loads((f / "remembered.json").read_text())),
    "cache-choice": Format(_cached, lambda f: json.loads((f / "backend-1.json").read_text())),
    "cache-levels": Format(_levels, _read_levels),
    "script": _script(".py"),
    "notebook": _script(".ipynb"),
}


def content_of(folder: Path) -> dict[str, bytes]:
    """Files of a folder by their paths, without what is being written, and without times.

    Of a ZIP its members, checked: they have times, and come in the order in which threads end.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if not path.is_file() or any(map(NAME.fullmatch, inner.parts)):
            continue
        try:
            with zipfile.ZipFile(path) as whole:
                found |= {f"{inner.as_posix()}/{name}": whole.read(name) for name in whole.namelist()}
        except zipfile.BadZipFile:  # another file, or a torn one
            found[inner.as_posix()] = WHEN.sub(b"", path.read_bytes())
    return found


def left_over(folder: Path) -> list[str]:
    """What is half written, or was."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if NAME.fullmatch(p.name)]
