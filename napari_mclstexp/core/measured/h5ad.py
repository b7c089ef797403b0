"""Measured sections as .h5ad files, with the slide that they name or the picture that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy import sparse

from napari_mclstexp.core.h5 import read_anndata
from napari_mclstexp.core.measured.spots import MeasuredSpots
from napari_mclstexp.core.scale import Scale, median_spacing
from napari_mclstexp.errors import MclstexpError, SectionError

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray

SPOT_DIAMETER_UM = 65.0
"""What 10x's ``spot_diameter_fullres`` stands for; the spots themselves are 55 um wide."""


@dataclass(frozen=True, slots=True, eq=False)
class H5adSection:
    """A measured section and what its file tells of its slide.

    Attributes
    ----------
    spots : MeasuredSpots
        What was measured.
    slide : str
        Path of the slide, relative to the file; empty where it names none.
    picture : numpy.ndarray or None
        (h, w, 3) uint8 RGB of the slide, reduced, where the file holds one.
    factor : float
        Pixels of the picture a full-resolution pixel.
    rough_scale : Scale or None
        um per full-resolution px by the width of the spots: good enough to look at the picture.
    """

    spots: MeasuredSpots
    slide: str
    picture: NDArray[np.uint8] | None
    factor: float
    rough_scale: Scale | None


def is_h5ad(path: Path) -> bool:
    """Whether a file is HDF5 and says that it holds AnnData."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("encoding-type") == "anndata")
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


def read_h5ad(path: Path) -> H5adSection:
    """Read a section.

    Parameters
    ----------
    path : pathlib.Path
        Has ``obsm["spatial"]`` and values in ``layers["counts"]`` or ``X``.

    Returns
    -------
    H5adSection
        Its spots, in the order of the file.

    Raises
    ------
    SectionError
        A part is missing, damaged or of the wrong kind, or what it holds was predicted.
    """
    if not path.is_file():
        msg = f"There is no section at {path}."
        raise SectionError(msg)
    data = read_anndata(path, SectionError, path.name)
    if "mclstexp" in data.uns:
        msg = f"{path.name} holds a prediction, no measurement. Choose the file of the experiment."
        raise SectionError(msg)
    about: Any = data.uns.get("mclstexp_section", {})
    if not isinstance(about, dict):
        about = {}
    if "spatial" not in data.obsm:
        msg = f'{path.name} lacks obsm["spatial"]: x, y of the spots in full-resolution pixels.'
        raise SectionError(msg)
    matrix = data.layers.get("counts", data.X)
    if matrix is None:
        msg = f'{path.name} holds no counts, neither in layers["counts"] nor in X.'
        raise SectionError(msg)
    try:
        xy = np.asarray(data.obsm["spatial"], dtype=np.float64)[:, :2]
        array = (
            data.obs[["array_col", "array_row"]].to_numpy(dtype=np.float64)
            if {"array_col", "array_row"} <= set(data.obs)
            else np.rint(xy / (median_spacing(xy) or 1.0))
        )
        library = _library(data)
        spots = MeasuredSpots(
            name=str(about.get("section", path.stem)),
            patient=str(about.get("patient", path.stem)),
            scale=_told_scale(about),
            ids=data.obs_names.to_numpy(dtype=str),
            xy_px=xy,
            array_xy=array,
            genes=tuple(map(str, data.var_names)),
            values=sparse.csr_matrix(matrix).astype(np.float64),
        )
        picture, factor = _picture(library)
        rough = _rough_scale(library)
    except MclstexpError:
        raise
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        msg = f"{path.name} holds positions, counts or a scale of the wrong kind: {error}."
        raise SectionError(msg) from error
    return H5adSection(spots, str(about.get("slide", "")), picture, factor, rough)


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


def _library(data: ad.AnnData) -> dict[str, Any]:
    """Pictures and scale factors of the first library in ``uns["spatial"]``; empty where there is none."""
    libraries = data.uns.get("spatial")
    first = next(iter(libraries.values()), None) if isinstance(libraries, dict) else None
    return first if isinstance(first, dict) else {}


def _told_scale(about: dict[str, Any]) -> Scale | None:
    if about.get("mpp") is None:
        return None
    mpp = float(about["mpp"])
    return Scale(mpp, mpp, "uns mclstexp_section")


def _rough_scale(library: dict[str, Any]) -> Scale | None:
    diameter = float(library.get("scalefactors", {}).get("spot_diameter_fullres", 0.0))
    if not diameter > 0:
        return None
    mpp = SPOT_DIAMETER_UM / diameter
    return Scale(mpp, mpp, f"spot_diameter_fullres, {SPOT_DIAMETER_UM:g} um")


def _picture(library: dict[str, Any]) -> tuple[NDArray[np.uint8] | None, float]:
    images, factors = library.get("images", {}), library.get("scalefactors", {})
    for kind in ("hires", "lowres"):
        image, factor = images.get(kind), float(factors.get(f"tissue_{kind}_scalef", 0.0))
        if image is None or not factor > 0:
            continue
        pixels = np.asarray(image)
        if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
            continue
        if pixels.dtype.kind == "f":  # 0 to 1, as Matplotlib reads pictures
            pixels = np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * 255)
        return np.ascontiguousarray(pixels[..., :3], dtype=np.uint8), factor
    return None, 1.0
