"""Good inputs from which bad ones are made: small files of every kind, made once a run, and the real ones."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image

from tests.core import vendor_files, vendor_tiff

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
MPP = (0.5, 0.5)
CANARY = "Anna Secret"
SPEC, WEIGHTS, REFERENCE, BESIDE = FILES = (
    "bundle.json", "weights.safetensors", "reference.h5ad", "beside.safetensors",
)  # fmt: skip


def stained(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Tissue-like colours with fine detail, on a white border."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 70, (height // 8 + 1, width // 8 + 1, 1))
    field = np.kron(small, np.ones((8, 8, 1)))[:height, :width]
    picture = np.array([190.0, 110, 160]) - field + rng.integers(-12, 13, (height, width, 1))
    picture[:40], picture[-40:], picture[:, :40], picture[:, -40:] = 245, 245, 245, 245
    return np.clip(picture, 0, 255).astype(np.uint8)


def ome(path: Path, picture: np.ndarray, levels: int = 2, **about: Any) -> Path:
    """OME-TIFF pyramid in SubIFDs."""
    about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5} | about
    about |= {f"PhysicalSize{a}Unit": "µm" for a in "XY" if f"PhysicalSize{a}" in about}
    options: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(picture, subifds=levels - 1, metadata=about, **options)
        for level in range(1, levels):
            tiff.write(picture[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path


def tiff(path: Path, picture: np.ndarray, **options: Any) -> Path:
    """Plain TIFF, tiled where nothing else is said."""
    given = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate", "metadata": None}
    given |= {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, picture, **(given | options))
    return path


def ome_zarr(path: Path, picture: np.ndarray, version: str = "0.4", **options: Any) -> Path:
    """OME-Zarr (y, x, c) of two levels."""
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    axes.append({"name": "c", "type": "channel"})
    datasets = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [s, s, 1]}]}
        for i, s in enumerate((0.5, 1.0))
    ]
    image = {"axes": axes, "datasets": datasets}
    older = version != "0.5"
    about = (
        {"multiscales": [image | {"version": version}]}
        if older
        else {"ome": {"version": version, "multiscales": [image]}}
    )
    group = zarr.create_group(path, zarr_format=2 if older else 3, attributes=about)
    for i in range(2):
        data = np.ascontiguousarray(picture[:: 2**i, :: 2**i])
        group.create_array(str(i), data=data, chunks=(64, 64, 3), **options)
    return path


class Goods:
    """Good inputs, each made when it is first asked for.

    Parameters
    ----------
    folder : pathlib.Path
        Where to make them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    picture = cached_property(lambda self: stained(512, 416))

    @property
    def real(self) -> Path:
        """Real slides and sections, beside the checkout."""
        return Path(os.environ.get("MCLSTEXP_REAL_DATA", ROOT.parent / "shared" / "real"))

    def _made(self, name: str, write: Callable[[Path], object]) -> Path:
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
        return path

    def slide(self, kind: str) -> Path:
        """Good slide of a kind."""
        picture, args = self.picture[:384, :512], (MPP, CANARY)
        writers: dict[str, tuple[str, Callable[[Path], object]]] = {
            "svs": ("a.svs", lambda p: vendor_tiff.write_svs(p, picture, *args)),
            "jp2k svs": ("b.svs", lambda p: vendor_tiff.write_svs(p, picture, *args, 33005)),
            "tiff": ("a.tif", lambda p: tiff(p, picture)),
            "jpeg tiff": ("b.tif", lambda p: vendor_tiff.write_generic(p, picture, *args)),
            "bigtiff": ("c.tif", lambda p: tiff(p, picture, bigtiff=True)),
            "strips": ("d.tif", lambda p: tiff(p, picture, tile=None, rowsperstrip=32)),
            "ome": ("a.ome.tif", lambda p: ome(p, picture)),
            "philips": ("e.tiff", lambda p: vendor_tiff.write_philips(p, picture, *args)),
            "scn": ("a.scn", lambda p: vendor_tiff.write_scn(p, picture, *args, (320, 160))),
            "ndpi": ("a.ndpi", lambda p: vendor_files.write_ndpi(p, picture, *args)),
            "jpeg": ("a.jpg", lambda p: Image.fromarray(picture).save(p, quality=95)),
            "png": ("a.png", lambda p: Image.fromarray(picture).save(p)),
            "jp2": ("a.jp2", lambda p: Image.fromarray(picture).save(p)),
            "zarr": ("a.ome.zarr", lambda p: ome_zarr(p, picture)),
            "zarr3": ("b.ome.zarr", lambda p: ome_zarr(p, picture, "0.5")),
        }
        name, write = writers[kind]
        return self._made(name, write)

    def copy(self, source: Path, folder: Path, name: str = "") -> Path:
        """Copy of a good input, a file or a folder, to be spoilt."""
        target = folder / (name or source.name)
        if source.is_dir():
            return Path(shutil.copytree(source, target))
        target.write_bytes(source.read_bytes())  # a file of the real ones may be read-only
        return target

    @cached_property
    def bundle(self) -> Path:
        """Bundle of the sample data."""
        return ROOT / "sample_data" / "demo_bundle"

    @cached_property
    def section(self) -> Path:
        """Small paired section."""
        conftest = _conftest()
        return conftest.write_section(self.folder / "section", "one", seed=1)

    @cached_property
    def small_bundle(self) -> Path:
        """Bundle of an untrained network and 30 reference spots: quick to change and to load."""
        from napari_mclstexp.core.bundle import save_bundle
        from napari_mclstexp.training.fit import train
        from napari_mclstexp.training.options import TrainingOptions
        from napari_mclstexp.training.sections import read_section

        options = TrainingOptions(epochs=1, patch_px=32, batch_size=10, top_k=8, device="cpu", name="tiny")
        steps = train([read_section(str(self.section))], options)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                bundle, half = stop.value
                break
        (self.folder / "bundle").mkdir()
        return save_bundle(bundle, self.folder / "bundle" / "tiny", half=half)

    @cached_property
    def result(self) -> Path:
        """RESULT.h5ad."""
        import sys

        sys.path.insert(0, str(ROOT / "tests" / "helpers"))
        from results import laid

        from napari_mclstexp.core.result_file import save_result

        return save_result(laid("hexagonal"), self.folder / "result.h5ad")

    @cached_property
    def visium(self) -> Path:
        """Visium folder with its full-resolution image."""
        import sys

        sys.path.insert(0, str(ROOT / "tests" / "helpers"))
        from visium_folder import write_visium

        write_visium(self.folder / "v", stained(1000, 900), np.random.default_rng(0).poisson(30, (25, 12)))
        return self.folder / "v"


def _conftest() -> Any:
    import sys

    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    sys.path.insert(0, str(ROOT / "tests"))
    import conftest

    return conftest


def rehash(folder: Path, **entries: Any) -> Path:
    """Change ``bundle.json``, with hashes that fit the files as they are: what an attacker would do."""
    spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    spec["sha256"] = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in FILES[1:]}
    spec.update(entries)
    for name in [key for key, value in spec.items() if value is ...]:
        del spec[name]
    (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")
    return folder


def packed(folder: Path, target: Path, names: dict[str, str] | None = None) -> Path:
    """Zip of a folder's files under other names."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry, name in (names or {n: n for n in FILES}).items():
            member = zipfile.ZipInfo()
            member.filename = entry.rstrip("*")  # as it stands: zipfile itself would tidy it
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, (folder / name).read_bytes())
    return target
