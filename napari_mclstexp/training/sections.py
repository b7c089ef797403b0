"""Paired sections: an H&E slide with spots whose expression was counted.

Three forms are read: ``DIR/NAME`` in the layout of her2st, or in that in which GEO ships legacy Spatial
Transcriptomics (GSE144240, cSCC; tested on made files only); ``FOLDER=IMAGE`` for a 10x Visium folder and its
full-resolution image; and an ``.h5ad`` that names its slide.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.measured.h5ad import named_slide, read_h5ad, read_labels, read_slide_of
from napari_mclstexp.core.measured.spots import MeasuredSpots
from napari_mclstexp.core.measured.st import COUNTS, COUNTS_SUFFIX, read_st
from napari_mclstexp.core.measured.st_geo import GeoFiles, geo_files, read_st_geo
from napari_mclstexp.core.measured.visium import read_visium, visium_folder
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy import sparse


@dataclass(frozen=True, slots=True, eq=False)
class Section(MeasuredSpots):
    """Measured spots whose values are counts, paired with their slide.

    Attributes
    ----------
    slide : pathlib.Path
        The H&E image; where `scale` is None, its own scale counts.
    labels : numpy.ndarray or None
        (N,) str a pathologist's region of each spot, empty where it has none; None where nobody named any.
    """

    slide: Path
    labels: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        MeasuredSpots.__post_init__(self)  # super() does not find its way in a class with slots
        if len(self.ids) < 2:
            msg = f"Section {self.name} has {len(self.ids)} spots with counts and positions; 2 are needed."
            raise SectionError(msg)
        if len(set(self.genes)) != len(self.genes):
            twice = pd.Series(self.genes)[pd.Series(self.genes).duplicated()].iloc[0]
            msg = f"Section {self.name} names the gene {twice} twice. Make the gene symbols unique."
            raise SectionError(msg)
        if not self.are_counts:
            msg = (
                f"Section {self.name} holds values that are no counts (whole numbers from 0). Raw counts are "
                'needed, in layers["counts"] or X.'
            )
            raise SectionError(msg)

    @property
    def counts(self) -> sparse.csr_matrix:
        """(N, G) raw counts: the values."""
        return self.values


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
    keep_private(path, "section")
    if image:
        keep_private(image, "slide")
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
    geo = geo_files(path.parent, path.name)
    return _read_geo(geo, path.name) if geo else _read_her2st(path.parent, path.name)


def name_patients(sections: list[Section], told: list[str]) -> list[Section]:
    """Sections with the patients that are told as ``SECTION=NAME``.

    Raises
    ------
    SectionError
        There is no such section.
    """
    names = dict(text.partition("=")[::2] for text in told)
    unknown = set(names).difference(s.name for s in sections)
    if unknown or not all(names.values()):
        given = ", ".join(s.name for s in sections)
        msg = f"--patient takes SECTION=NAME of a section that is given; these are {given}."
        raise SectionError(msg)
    return [replace(s, patient=names.get(s.name, s.patient)) for s in sections]


def tell_patients(sections: list[Section]) -> str:
    """One line on which sections count as one patient's."""
    groups: dict[str, list[str]] = {}
    for section in sections:
        groups.setdefault(section.patient, []).append(section.name)
    several = "; ".join(" + ".join(names) for names in groups.values())
    count = f"{len(groups)} patient{'s' * (len(groups) > 1)}"
    return f"Taken as {count}: {several}. --patient SECTION=NAME tells otherwise."


def _read_her2st(folder: Path, name: str) -> Section:
    slide = folder / f"{name}.jpg"
    if not slide.is_file() or not (folder / COUNTS / f"{name}{COUNTS_SUFFIX}").is_file():
        missing = slide if not slide.is_file() else folder / COUNTS / f"{name}{COUNTS_SUFFIX}"
        msg = (
            f"No section at {folder / name}: {missing} is missing. A section is DIR/NAME (with NAME.jpg, "
            "cnts/NAME.tsv.gz, spots/NAME_selection.tsv, or as GEO ships GSE144240), a Visium FOLDER=IMAGE, "
            "or an .h5ad."
        )
        raise SectionError(msg)
    return _paired(read_st(folder, name), slide)


def _read_geo(files: GeoFiles, name: str) -> Section:
    if files.slide is None:
        msg = f"Section {name} is incomplete: {name}.jpg is missing. Unpack the .jpg.gz of GEO."
        raise SectionError(msg)
    return _paired(read_st_geo(files, name), files.slide)


def _read_visium(path: Path, image: Path) -> Section:
    if not image.is_file():
        msg = f"There is no image at {image}."
        raise SectionError(msg)
    return _paired(read_visium(visium_folder(path) or path), image)


def _read_h5ad(path: Path, image: Path | None) -> Section:
    if image is not None and not image.is_file():
        msg = f"There is no image at {image}."
        raise SectionError(msg)
    spots = read_h5ad(path)
    if image is None:
        named = read_slide_of(path).name
        if not named:
            msg = (
                f'{path.name} does not name its slide: uns["mclstexp_section"]["slide"] is missing. Add it, '
                f"or give {path}=IMAGE."
            )
            raise SectionError(msg)
        image = named_slide(path, named)
    return replace(_paired(spots, image), labels=read_labels(path))


def _paired(spots: MeasuredSpots, slide: Path) -> Section:
    return Section(**{f.name: getattr(spots, f.name) for f in fields(spots)}, slide=slide)
