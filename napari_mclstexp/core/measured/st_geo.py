"""Sections of legacy Spatial Transcriptomics as GEO ships them, such as those of GSE144240 (cSCC).

The layout is that of the series' file names, as public code that reads them has it:
``GSM4284316_P2_ST_rep1_stdata.tsv.gz``, ``GSM4284316_spot_data-selection-P2_ST_rep1.tsv.gz`` and
``GSM4284316_P2_ST_rep1.jpg``. It was tested on made files of that layout only, not on the series itself. The
distance of spots is taken as 200 um, as of other arrays of this kind; it sets the scale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mclstexp.core.measured.st import join_st
from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.measured.spots import MeasuredSpots

PREFIX = r"(?:GSM\d+_)?"


@dataclass(frozen=True, slots=True)
class GeoFiles:
    """Files of one section.

    Attributes
    ----------
    counts : pathlib.Path
        Spots x genes.
    spots, slide : pathlib.Path or None
        Positions and the image; None where they are missing.
    """

    counts: Path
    spots: Path | None
    slide: Path | None


def geo_files(folder: Path, name: str) -> GeoFiles | None:
    """Files of the section `name` in a folder, or None where it has no counts there.

    A number of GEO before the name, and .gz behind it, may be there or not; of two, the unpacked is taken.
    """
    if not folder.is_dir():
        return None
    there = sorted((f for f in folder.iterdir() if f.is_file()), key=lambda f: (f.suffix == ".gz", f.name))

    def first(pattern: str) -> Path | None:
        return next((f for f in there if re.fullmatch(PREFIX + pattern, f.name)), None)

    counts = first(rf"{re.escape(name)}_stdata\.tsv(?:\.gz)?")
    if counts is None:
        return None
    spots = first(rf"spot_data-selection-{re.escape(name)}\.tsv(?:\.gz)?")
    return GeoFiles(counts, spots, first(rf"{re.escape(name)}\.(?:jpe?g|png|tiff?)"))


def read_st_geo(files: GeoFiles, name: str) -> MeasuredSpots:
    """Read counts and positions.

    Parameters
    ----------
    files : GeoFiles
        Of :func:`geo_files`.
    name : str
        Name of the section, such as ``P2_ST_rep1``; what stands before ``_ST`` names the patient.

    Returns
    -------
    MeasuredSpots
        Those that have both, in the order of the counts.

    Raises
    ------
    SectionError
        A part is missing or damaged.
    """
    if files.spots is None:
        msg = f"Section {name} is incomplete: spot_data-selection-{name}.tsv is missing beside its counts."
        raise SectionError(msg)
    return join_st(name, name.partition("_ST")[0], files.counts, files.spots)
