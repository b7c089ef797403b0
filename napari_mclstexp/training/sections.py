"""Paired sections: an H&E slide with spots whose expression was counted.

Three forms are read: ``DIR/NAME`` in her2st layout, ``FOLDER=IMAGE`` for a 10x Visium folder and its
full-resolution image, and an ``.h5ad`` that names its slide.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_mclstexp.core.grid import ST_PITCH_UM
from napari_mclstexp.core.h5 import read_anndata
from napari_mclstexp.core.scale import Scale, median_spacing
from napari_mclstexp.errors import MclstexpError, SectionError
from napari_mclstexp.training.visium import read_visium

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One paired section.

    Attributes
    ----------
    name, patient : str
        Section and patient, as the source names them.
    slide : pathlib.Path
        The H&E image.
    scale : Scale or None
        um per px; None takes the slide's own.
    ids : numpy.ndarray
        (N,) str spot ids.
    xy_px : numpy.ndarray
        (N, 2) float64 x, y of spot centres in full-resolution px.
    array_xy : numpy.ndarray
        (N, 2) float64 array x, y.
    genes : tuple of str
        All G gene symbols counted.
    counts : scipy.sparse.csr_matrix
        (N, G) raw counts.
    """

    name: str
    patient: str
    slide: Path
    scale: Scale | None
    ids: NDArray[np.str_]
    xy_px: NDArray[np.float64]
    array_xy: NDArray[np.float64]
    genes: tuple[str, ...]
    counts: sparse.csr_matrix

    def __post_init__(self) -> None:
        if len(self.ids) < 2:
            msg = f"Section {self.name} has {len(self.ids)} spots with counts and positions; 2 are needed."
            raise SectionError(msg)
        if len(set(self.genes)) != len(self.genes):
            twice = pd.Series(self.genes)[pd.Series(self.genes).duplicated()].iloc[0]
            msg = f"Section {self.name} names the gene {twice} twice. Make the gene symbols unique."
            raise SectionError(msg)
        values = self.counts.data
        if not np.isfinite(values).all() or (values < 0).any() or (values != np.rint(values)).any():
            msg = (
                f"Section {self.name} holds values that are no counts (whole numbers from 0). Raw counts are "
                'needed, in layers["counts"] or X.'
            )
            raise SectionError(msg)
        if not np.isfinite(self.xy_px).all():
            msg = f"Section {self.name} has spot positions that are no numbers."
            raise SectionError(msg)


def read_section(text: str) -> Section:
    """Read a paired section as the command line names it.

    Parameters
    ----------
    text : str
        ``DIR/NAME``, ``FOLDER=IMAGE``, ``FILE.h5ad`` or ``FILE.h5ad=IMAGE``.

    Returns
    -------
    Section
        Spots that have both counts and a position.

    Raises
    ------
    SectionError
        A part is missing, unsafe, or does not fit.
    """
    source, _, image = text.partition("=")
    path = Path(source)
    if source.lower().endswith(".h5ad"):
        return _read_h5ad(path, Path(image) if image else None)
    if image:
        return _read_visium(path, Path(image))
    if path.is_dir() and (path / "spatial").is_dir():
        msg = (
            f"{path} is a Visium folder; its full-resolution image is needed too: give {path}=IMAGE. The "
            "pictures inside the folder are too coarse to train on."
        )
        raise SectionError(msg)
    return _read_her2st(path.parent, path.name)


def _read_her2st(folder: Path, name: str) -> Section:
    counts_path = folder / "cnts" / f"{name}.tsv.gz"
    spots_path = folder / "spots" / f"{name}_selection.tsv"
    slide = folder / f"{name}.jpg"
    for part in (slide, counts_path, spots_path):
        if not part.is_file():
            msg = (
                f"No section at {folder / name}: {part} is missing. A section is DIR/NAME (with NAME.jpg, "
                "cnts/NAME.tsv.gz, spots/NAME_selection.tsv), a Visium FOLDER=IMAGE, or an .h5ad."
            )
            raise SectionError(msg)
    try:
        counts = pd.read_csv(counts_path, sep="\t", index_col=0)
        spots = pd.read_csv(spots_path, sep="\t")
        spots.index = pd.Index([f"{x}x{y}" for x, y in zip(spots["x"], spots["y"], strict=True)])
        xy = spots[["pixel_x", "pixel_y"]].astype(np.float64)
        array = spots[["x", "y"]].astype(np.float64)
        values = counts.to_numpy(dtype=np.float64)
    except (OSError, EOFError, zlib.error, KeyError, ValueError, pd.errors.ParserError) as error:
        msg = f"Section {name}: the counts or spots table is damaged ({error})."
        raise SectionError(msg) from error
    both = [i for i in counts.index if i in xy.index]
    if not both or not spots.index.is_unique or not counts.index.is_unique:
        msg = f"Section {name}: counts and spots do not match, or name a spot twice."
        raise SectionError(msg)
    rows = counts.index.get_indexer(both)
    positions = xy.loc[both].to_numpy()
    mpp = ST_PITCH_UM / median_spacing(xy.to_numpy())
    return Section(
        name=name,
        patient=re.sub(r"[^A-Za-z]", "", name) or name,
        slide=slide,
        scale=Scale(mpp, mpp, "200-um spot pitch"),
        ids=np.array(both, dtype=str),
        xy_px=positions,
        array_xy=array.loc[both].to_numpy(),
        genes=tuple(map(str, counts.columns)),
        counts=sparse.csr_matrix(values[rows]),
    )


def _read_visium(folder: Path, image: Path) -> Section:
    if not image.is_file():
        msg = f"There is no image at {image}."
        raise SectionError(msg)
    data = read_visium(folder)
    mpp = data.pitch_um / data.pitch_px
    return Section(
        name=folder.name,
        patient=folder.name,
        slide=image,
        scale=Scale(mpp, mpp, f"{data.pitch_um:g}-um spot pitch"),
        ids=data.ids,
        xy_px=data.xy_px,
        array_xy=data.array_xy,
        genes=data.genes,
        counts=data.counts,
    )


def _read_h5ad(path: Path, image: Path | None) -> Section:
    if not path.is_file():
        msg = f"There is no section at {path}."
        raise SectionError(msg)
    data = read_anndata(path, SectionError, path.name)
    about: Any = data.uns.get("mclstexp_section", {})
    if not isinstance(about, dict):
        about = {}
    if image is None:
        if "slide" not in about:
            msg = (
                f'{path.name} does not name its slide: uns["mclstexp_section"]["slide"] is missing. Add it, '
                f"or give {path}=IMAGE."
            )
            raise SectionError(msg)
        image = _inside(path, str(about["slide"]))
    elif not image.is_file():
        msg = f"There is no image at {image}."
        raise SectionError(msg)
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
        scale = None
        if about.get("mpp") is not None:
            mpp = float(about["mpp"])
            scale = Scale(mpp, mpp, "uns mclstexp_section")
        counts = sparse.csr_matrix(matrix).astype(np.float64)
    except MclstexpError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        msg = f"{path.name} holds positions, counts or a scale of the wrong kind: {error}."
        raise SectionError(msg) from error
    return Section(
        name=str(about.get("section", path.stem)),
        patient=str(about.get("patient", path.stem)),
        slide=image,
        scale=scale,
        ids=data.obs_names.to_numpy(dtype=str),
        xy_px=xy,
        array_xy=array,
        genes=tuple(map(str, data.var_names)),
        counts=counts,
    )


def _inside(h5ad: Path, named: str) -> Path:
    """Path of a slide that an .h5ad names, provided that it stays in the file's folder."""
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
            f"by a relative path and no link. Give {h5ad.name}=IMAGE instead."
        )
        raise SectionError(msg)
    if not candidate.is_file():
        msg = f"{h5ad.name} names the slide {named!r}, which is not beside it. Give {h5ad.name}=IMAGE."
        raise SectionError(msg)
    return candidate
