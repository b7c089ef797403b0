"""Measured sections as .h5ad files, with the slide that they name or the picture that they hold.

Only the parts that are needed are read: of a file that is opened for its slide, no expression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
from scipy import sparse

from napari_mclstexp.core.h5 import open_h5
from napari_mclstexp.core.measured.spots import MeasuredSpots
from napari_mclstexp.core.scale import Scale, median_spacing, plausible_scale
from napari_mclstexp.errors import MclstexpError, SectionError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SPOT_DIAMETER_UM = 65.0
"""What 10x's ``spot_diameter_fullres`` stands for; the spots themselves are 55 um wide."""
LABELS = "region"
"""Column of ``obs`` with a pathologist's regions, where the file names no other."""
MAX_PICTURE_BYTES = 2**30
FRACTIONS_TO = 16.0
"""A picture of floats up to this goes from 0 to 1, as Matplotlib reads them; of larger ones, to 255."""
FAULTS = (
    KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, MemoryError, OSError,
    RuntimeError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SlideInH5ad:
    """What an .h5ad tells of its slide.

    Attributes
    ----------
    name : str
        Path of the slide, relative to the file; empty where it names none.
    picture : numpy.ndarray or None
        (h, w, 3) uint8 RGB of the slide, reduced, where the file holds one.
    factor : float
        Pixels of the picture a full-resolution pixel.
    mpp : float
        um per full-resolution px, good enough to look at the picture; NaN where it is not told.
    mpp_source : str
        Where that comes from.
    """

    name: str
    picture: NDArray[np.uint8] | None
    factor: float
    mpp: float
    mpp_source: str


def is_h5ad(path: Path) -> bool:
    """Whether a file is HDF5 and holds AnnData.

    Raises
    ------
    SectionError
        It is HDF5, and cannot be read.
    """
    if not h5py.is_hdf5(path):
        return False
    with open_h5(path, SectionError, path.name) as file:
        return file.attrs.get("encoding-type") == "anndata" or {"obs", "var"} <= set(file)


def read_slide_of(path: Path) -> SlideInH5ad:
    """Read what a measured section tells of its slide.

    Parameters
    ----------
    path : pathlib.Path
        An .h5ad file.

    Returns
    -------
    SlideInH5ad
        No pixels of the slide are read.

    Raises
    ------
    SectionError
        It is damaged, was predicted, or holds several sections.
    """
    with open_h5(path, SectionError, path.name) as file:
        _refuse_prediction(file, path)
        try:
            about = _about(file)
            library = _library(file, path)
            picture, factor = _picture(library)
            mpp, source = _mpp(about, library)
        except MclstexpError:
            raise
        except FAULTS as error:
            msg = f"{path.name} holds a picture or a scale of the wrong kind: {error}."
            raise SectionError(msg) from error
    return SlideInH5ad(str(about.get("slide", "")), picture, factor, mpp, source)


def read_h5ad(path: Path) -> MeasuredSpots:
    """Read the spots of a section.

    Parameters
    ----------
    path : pathlib.Path
        Has ``obsm["spatial"]`` and values in ``layers["counts"]`` or ``X``.

    Returns
    -------
    MeasuredSpots
        In the order of the file.

    Raises
    ------
    SectionError
        A part is missing, damaged or of the wrong kind, or what it holds was predicted.
    """
    if not path.is_file():
        msg = f"There is no section at {path}."
        raise SectionError(msg)
    with open_h5(path, SectionError, path.name) as file:
        if not {"obs", "var"} <= set(file):
            msg = f"{path.name} is an HDF5 file, but holds no AnnData."
            raise SectionError(msg)
        _refuse_prediction(file, path)
        if "obsm" not in file or "spatial" not in file["obsm"]:
            msg = f'{path.name} lacks obsm["spatial"]: x, y of the spots in full-resolution pixels.'
            raise SectionError(msg)
        where = "layers/counts" if "layers" in file and "counts" in file["layers"] else "X"
        if where not in file:
            msg = f'{path.name} holds no counts, neither in layers["counts"] nor in X.'
            raise SectionError(msg)
        try:
            return _spots(file, path, where)
        except MclstexpError:
            raise
        except FAULTS as error:
            msg = f"{path.name} holds positions, counts or a scale of the wrong kind: {error}."
            raise SectionError(msg) from error


def read_labels(path: Path) -> NDArray[np.str_] | None:
    """Read the regions that a pathologist named.

    Parameters
    ----------
    path : pathlib.Path
        An .h5ad file that :func:`read_h5ad` reads.

    Returns
    -------
    numpy.ndarray or None
        (N,) str of ``obs["region"]``, or of the column that ``uns["mclstexp_section"]["labels"]`` names;
        None where there is no such column. A spot without a region has an empty text.

    Raises
    ------
    SectionError
        The column is of the wrong kind.
    """
    with open_h5(path, SectionError, path.name) as file:
        try:
            column = str(_about(file).get("labels", LABELS))
            obs = ad.io.read_elem(file["obs"])
            if column not in obs:
                return None
            return np.array(["" if v != v else str(v) for v in obs[column].tolist()], dtype=np.str_)
        except FAULTS as error:
            msg = f"{path.name} holds regions of the wrong kind: {error}."
            raise SectionError(msg) from error


def named_slide(h5ad: Path, named: str) -> Path:
    """Path of a slide that an .h5ad names, provided that it stays in the file's folder.

    Raises
    ------
    SectionError
        It is not there, or leads out of the folder.
    """
    posix, windows = PurePosixPath(named), PureWindowsPath(named)
    unsafe = (
        "://" in named
        or posix.is_absolute()
        or windows.is_absolute()
        or bool(windows.drive or windows.root)
        or ".." in posix.parts
        or ".." in windows.parts
    )
    candidate = h5ad.parent / named
    linked = candidate.is_symlink() or any(
        p.is_symlink() for p in list(candidate.parents)[: len(posix.parts) - 1]
    )
    if unsafe or linked:
        msg = (
            f"{h5ad.name} names its slide as {named!r}. For safety only a file in its own folder is opened, "
            f"by a relative path and no link. Put the slide beside it, or give {h5ad.name}=IMAGE."
        )
        raise SectionError(msg)
    if not candidate.is_file():
        msg = f"{h5ad.name} names the slide {named!r}, which is not beside it. Give {h5ad.name}=IMAGE."
        raise SectionError(msg)
    return candidate


def _spots(file: h5py.File, path: Path, where: str) -> MeasuredSpots:
    about = _about(file)
    obs, var = (ad.io.read_elem(file[name]) for name in ("obs", "var"))
    if "library_id" in obs and obs["library_id"].nunique() > 1:
        raise SectionError(_several(path))
    values = ad.io.read_elem(file[where])
    if sparse.issparse(values):
        values.check_format(full_check=True)  # SciPy takes indices on trust
    xy = np.asarray(ad.io.read_elem(file["obsm/spatial"]), dtype=np.float64)[:, :2]
    array = (
        obs[["array_col", "array_row"]].to_numpy(dtype=np.float64)
        if {"array_col", "array_row"} <= set(obs)
        else np.rint(xy / (median_spacing(xy) or 1.0))
    )
    scale = None
    if about.get("mpp") is not None:
        scale = Scale(float(about["mpp"]), float(about["mpp"]), "uns mclstexp_section")
    elif _library(file, path).get("scalefactors", {}).get("microns_per_pixel") is not None:
        scale = plausible_scale(*_mpp(about, _library(file, path)))
    return MeasuredSpots(
        name=str(about.get("section", path.stem)),
        patient=str(about.get("patient", path.stem)),
        scale=scale,
        ids=obs.index.to_numpy(dtype=str),
        xy_px=xy,
        array_xy=array,
        genes=tuple(map(str, var.index)),
        values=sparse.csr_matrix(values).astype(np.float64),
    )


def _about(file: h5py.File) -> dict[str, Any]:
    about = ad.io.read_elem(file["uns/mclstexp_section"]) if "uns/mclstexp_section" in file else {}
    return about if isinstance(about, dict) else {}


def _refuse_prediction(file: h5py.File, path: Path) -> None:
    if "uns" in file and "mclstexp" in file["uns"]:
        msg = f"{path.name} holds a prediction, no measurement. Choose the file of the experiment."
        raise SectionError(msg)


def _several(path: Path) -> str:
    return f"{path.name} holds several sections. Save each in a file of its own, and open that."


def _library(file: h5py.File, path: Path) -> dict[str, Any]:
    """Pictures and scale factors of the one library in ``uns["spatial"]``; empty where there is none."""
    libraries = file.get("uns/spatial")
    if not isinstance(libraries, h5py.Group) or not len(libraries):
        return {}
    if len(libraries) > 1:
        raise SectionError(_several(path))
    (group,) = libraries.values()
    if not isinstance(group, h5py.Group):
        return {}
    sizes: list[int] = []
    group.visititems(lambda _, item: sizes.append(item.nbytes if isinstance(item, h5py.Dataset) else 0))
    if sum(sizes) > MAX_PICTURE_BYTES:
        msg = f"{path.name} holds a picture of {sum(sizes) >> 20} MiB, more than a small one of a slide."
        raise SectionError(msg)
    library = ad.io.read_elem(group)
    parts = {k: library.get(k) for k in ("images", "scalefactors")} if isinstance(library, dict) else {}
    return {k: v for k, v in parts.items() if isinstance(v, dict)}


def _mpp(about: dict[str, Any], library: dict[str, Any]) -> tuple[float, str]:
    """Um per full-resolution px by what the file tells, the most exact first; NaN where nothing does."""
    factors = library.get("scalefactors", {})
    if about.get("mpp") is not None:
        return float(about["mpp"]), "uns mclstexp_section"
    if factors.get("microns_per_pixel") is not None:  # Visium HD
        return float(factors["microns_per_pixel"]), "microns_per_pixel of Space Ranger"
    diameter = float(factors.get("spot_diameter_fullres", 0.0))
    if diameter > 0 and "bin_size_um" not in factors:
        return SPOT_DIAMETER_UM / diameter, f"spot_diameter_fullres, {SPOT_DIAMETER_UM:g} um"
    return math.nan, "unknown"


def _picture(library: dict[str, Any]) -> tuple[NDArray[np.uint8] | None, float]:
    images, factors = library.get("images", {}), library.get("scalefactors", {})
    for kind in ("hires", "lowres"):
        factor = float(factors.get(f"tissue_{kind}_scalef", 0.0))
        pixels = _bytes(np.asarray(images.get(kind, [])))
        if pixels is not None and factor > 0:
            return pixels, factor
    return None, 1.0


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Picture (h, w, 3 or 4) of any number type as (h, w, 3) uint8; None for what is no such picture."""
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.size == 0:
        return None
    pixels = pixels[..., :3]
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels)
        top = 1.0 if pixels.max() <= FRACTIONS_TO else 255.0
        pixels = np.rint(np.clip(pixels, 0, top) * (255 / top))
    elif pixels.dtype == np.uint16:
        pixels = pixels // 257
    elif pixels.dtype != np.uint8:
        return None
    return np.ascontiguousarray(pixels, dtype=np.uint8)
