"""OME-Zarr 0.1 to 0.5 (OME-NGFF): a folder with a multiscale image, through zarr.

Specification: https://ngff.openmicroscopy.org/0.5/ and its predecessors.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
import zarr.errors

from napari_mclstexp.core.scale import ScaleClaim, claim_of, weigh_scale
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level, fitting_levels
from napari_mclstexp.core.slide.pixels import Pixels, display_limits
from napari_mclstexp.core.slide.tiff_fields import TO_UM
from napari_mclstexp.core.slide.traits import Traits
from napari_mclstexp.core.slide.zarr_chunks import Chunks
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FAULTS = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, ArithmeticError,
    MemoryError, zarr.errors.BaseZarrError,
)  # fmt: skip
CODECS = frozenset(
    [
        "blosc",
        "zstd",
        "gzip",
        "zlib",
        "lz4",
        "bz2",
        "lzma",
        "bytes",
        "transpose",
        "crc32c",
        "sharding_indexed",
        "delta",
        "shuffle",
        "fixedscaleoffset",
    ]
)
"""Codecs that decode numbers and nothing else; pickles, above all, are not among them."""

KNOWN = re.compile(r"0\.[1-5]($|[^0-9])")
"""Versions; some writers append a suffix of their own, such as ``0.4-dev``."""
RGB_COLOURS = ["FF0000", "00FF00", "0000FF"]
AXIS_NAMES = {"z": "Z", "t": "time", "c": "channel"}
MAX_META_BYTES = 2**24
MAX_PLANES = 100_000
SAMPLE_PX = 2048
WHITE = 255


class OmeZarrSlide(Slide):
    """The first multiscale image of an OME-Zarr folder.

    Parameters
    ----------
    path : pathlib.Path
        The folder; of a bioformats2raw one, its first image is taken.
    plane : int, optional
        Which plane of a stack.
    """

    def __init__(self, path: Path, plane: int | None = None) -> None:
        self.path = path
        try:
            super().__init__(path, "ome-zarr", *self._read_fields(plane))
        except SlideError:
            raise
        except FAULTS as error:
            why = str(error).rstrip(".").replace(f"{path}/", "")
            msg = f"{path.name} is a damaged or incomplete OME-Zarr: {why}. Copy the whole folder again."
            raise SlideError(msg) from error

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether the folder is a zarr group."""
        return path.is_dir() and any((path / n).is_file() for n in (".zgroup", ".zattrs", "zarr.json"))

    def _read_fields(self, plane: int | None) -> tuple[list[Level], Traits]:
        folder = self._image_folder()
        about = _attributes(folder)
        image = about["multiscales"][0]
        version = str(about.get("version") or image.get("version") or "0.4")
        if not KNOWN.match(version):
            msg = (
                f"{self.path.name} is of OME-Zarr version {version}; known are 0.1 to 0.5. Update "
                "napari-mclstexp, or write the image in one of these."
            )
            raise SlideError(msg)
        self._chunks: list[Chunks] = []
        arrays = [self._array(folder, data["path"]) for data in image["datasets"]]
        axes = _axes(image.get("axes"), arrays[0].ndim)
        self._arrays, self._axes = arrays, axes
        absent = sum(chunks.absent for chunks in self._chunks)
        expected = sum(chunks.expected for chunks in self._chunks)
        if absent == expected:
            msg = (
                f"{self.path.name} holds no pixels: all of its {expected:,} chunks are absent. Copy it again."
            )
            raise SlideError(msg)
        colours = [str(c.get("color", "")).upper() for c in about.get("omero", {}).get("channels", [])]
        channels = arrays[0].shape[axes.index("c")] if "c" in axes else 1
        rgb = channels == 3 and arrays[0].dtype == np.uint8 and colours in ([], RGB_COLOURS)
        self._picture = "yxc" if rgb else "yx"
        stack = [(a, n) for a, n in zip(axes, arrays[0].shape, strict=True) if a not in self._picture]
        shape = [n for _, n in stack]
        count = math.prod(shape)
        if count > MAX_PLANES:
            msg = f"{self.path.name} claims {count:,} planes, more than any stack has. Copy it again."
            raise SlideError(msg)
        if plane is not None and not 0 <= plane < count:
            msg = f"{self.path.name} has {count} planes; number {plane + 1} is none of them."
            raise SlideError(msg)
        self._index = np.unravel_index(plane or 0, shape) if shape else ()
        names = tuple(
            " ".join(f"{AXIS_NAMES.get(a, a)} {i + 1}" for (a, n), i in zip(stack, at, strict=True) if n > 1)
            for at in np.ndindex(*shape)
        )
        sizes = [(a.shape[axes.index("x")], a.shape[axes.index("y")]) for a in arrays]
        kept = fitting_levels(sizes)
        misfits, sizes = len(sizes) - kept, sizes[:kept]
        levels = [Level(w, h, sizes[0][0] / w) for w, h in sizes]
        plain = arrays[0].dtype == np.uint8
        limits = None if plain else display_limits(self._sample(kept - 1, *sizes[-1]))
        self._pixels = Pixels(3 if rgb else 1, arrays[0].dtype, limits)
        told = _claim(image, axes)
        return levels, Traits(
            scale=weigh_scale([told] if told else []),
            planes=names if count > 1 else (),
            plane=plane,
            not_for_model=self._pixels.not_for_model,
            notes=(
                *self._pixels.notes,
                *([f"{absent:,} of {expected:,} chunks are absent"] if absent else []),
                *([f"{misfits} levels that do not fit are left out"] if misfits else []),
            ),
        )

    def _image_folder(self) -> Path:
        """Folder with the multiscales: the one opened, or the first image of a bioformats2raw layout."""
        if "multiscales" in _attributes(self.path):
            return self.path
        first = self.path / "0"
        if first.is_dir() and not first.is_symlink() and "multiscales" in _attributes(first):
            return first
        msg = (
            f"{self.path.name} is a zarr folder, but no OME-Zarr image: it has no multiscales. Choose the "
            "folder of the image itself."
        )
        raise SlideError(msg)

    def _array(self, folder: Path, name: object) -> Any:
        parts = str(name).split("/")
        where = folder.joinpath(*parts)
        windows = PureWindowsPath(str(name))
        leaves = ".." in (*parts, *windows.parts) or windows.drive or windows.root
        if leaves or any(folder.joinpath(*parts[: i + 1]).is_symlink() for i in range(len(parts))):
            msg = f"{self.path.name} refers to pixels outside its folder, which are not opened for safety."
            raise SlideError(msg)
        unknown = _codecs(where) - CODECS
        if unknown:
            msg = (
                f"{self.path.name} has pixels coded by {', '.join(sorted(unknown))}, which is not opened: "
                "only codecs of plain numbers are. Write the image with blosc, zstd or gzip."
            )
            raise SlideError(msg)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # of harmless slips in old metadata
            array = zarr.open_array(where, mode="r")
        if array.dtype.kind not in "buif" or not array.size:
            msg = f"{self.path.name} holds no picture (shape {array.shape}, {array.dtype})."
            raise SlideError(msg)
        self._chunks.append(Chunks(where, array))
        return array

    def _raw(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.generic]:
        array, chunks = self._arrays[level], self._chunks[level]
        at = iter(self._index)
        windows: dict[str, Any] = {"y": slice(y, y + height), "x": slice(x, x + width), "c": slice(None)}
        key = tuple(windows[a] if a in self._picture else int(next(at)) for a in self._axes)
        if chunks.absent and array.fill_value != WHITE and chunks.lacks(key):  # white is bare glass
            msg = "chunks are absent"
            raise ValueError(msg)
        order = [a for a in self._axes if a in self._picture]
        return np.asarray(array[key]).transpose([order.index(a) for a in self._picture])

    def _sample(self, level: int, width: int, height: int) -> NDArray[np.generic]:
        """Some pixels of a level: the whole of it, or its middle."""
        w, h = min(width, SAMPLE_PX), min(height, SAMPLE_PX)
        return self._raw(level, (width - w) // 2, (height - h) // 2, w, h)

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        try:
            return self._pixels.shown(self._raw(level, x, y, width, height))
        except FAULTS as error:
            msg = f"{self.path.name} is damaged: the region at {x}, {y} of level {level} cannot be read."
            raise SlideError(msg) from error

    def close(self) -> None:
        """Close the cache's file; the folder's files are open only while they are read."""
        self.close_prepared()


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > MAX_META_BYTES:
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _attributes(folder: Path) -> dict[str, Any]:
    """OME metadata of a group, from zarr 3's ``attributes/ome`` or zarr 2's ``.zattrs``."""
    newer = _json(folder / "zarr.json").get("attributes", {})
    ome = newer.get("ome", newer)
    return ome if ome else _json(folder / ".zattrs")


def _codecs(folder: Path) -> set[str]:
    """Names of the codecs of an array, without loading any."""
    older = _json(folder / ".zarray")
    found = [older.get("compressor"), *(older.get("filters") or [])]
    names = {str(codec.get("id")) for codec in found if codec}
    queue = list(_json(folder / "zarr.json").get("codecs", []))
    while queue:
        codec = queue.pop()
        names.add(str(codec.get("name")))
        inner = codec.get("configuration", {})
        queue += [*inner.get("codecs", []), *inner.get("index_codecs", [])]
    return names


def _axes(told: Any, ndim: int) -> list[str]:
    """Names of the axes; before 0.3 there were always five, and 0.3 named them by letters alone."""
    if not told:
        return list("tczyx"[-ndim:])
    axes = [str(a["name"] if isinstance(a, dict) else a).lower() for a in told]
    if len(axes) != ndim or not {"y", "x"} <= set(axes):
        msg = f"axes {axes} do not fit an array of {ndim} dimensions"
        raise ValueError(msg)
    return axes


def _claim(image: dict[str, Any], axes: list[str]) -> ScaleClaim | None:
    """Micrometres a pixel of the finest level; None where the axes have no unit of length."""
    told = image.get("axes") or []
    units = [str(a.get("unit", "")) if isinstance(a, dict) else "" for a in told]
    steps = np.ones(len(axes))
    parts = [*image["datasets"][0].get("coordinateTransformations", [])]
    told_any = False
    for part in [*parts, *image.get("coordinateTransformations", [])]:
        if part.get("type") == "scale":
            steps, told_any = steps * np.asarray(part["scale"], dtype=float), True
    if not told_any:
        return None
    values = []
    for name in "xy":
        at = axes.index(name)
        unit = TO_UM.get(units[at]) if at < len(units) else None
        if unit is None:
            return None
        values.append(steps[at] * unit)
    return claim_of(values[0], values[1], "OME-Zarr coordinateTransformations")
