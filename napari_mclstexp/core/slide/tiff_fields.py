"""What the fields of a TIFF tell: scale, extent, and the files that OME-XML refers to."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from napari_mclstexp.core.scale import ScaleClaim, claim_of, objective_claim, resolution_claim
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import tifffile

TO_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micrometer": 1.0, "nm": 1e-3, "nanometer": 1e-3}
TO_UM |= {"mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6}
PLAIN_NAME = frozenset('/\\:*?"<>|\0')
UM_PER_UNIT = {2: 25400.0, 3: 10000.0}


def runs_beyond(tiff: tifffile.TiffFile) -> bool:
    """Whether pages, their levels or the pixels of either lie beyond the end of the file."""
    size = tiff.filehandle.size
    pages = list(tiff.pages)
    if any(offset >= size for page in pages for offset in page.subifds or ()):
        return True
    if _next_page_offset(tiff, pages[-1]) >= size:
        return True
    pages += [sub for page in pages if page.subifds for sub in page.pages or ()]
    return any(_last_byte(page.dataoffsets, page.databytecounts) > size for page in pages)


def _last_byte(offsets: Sequence[int], counts: Sequence[int]) -> float:
    """Where the last of a page's tiles ends; a large slide has some 100,000 of them."""
    both = min(len(offsets), len(counts))
    ends = np.array(offsets[:both], dtype=np.float64) + np.array(counts[:both], dtype=np.float64)
    return float(ends.max(initial=0.0))


def _next_page_offset(tiff: tifffile.TiffFile, page: tifffile.TiffPage | tifffile.TiffFrame) -> int:
    """Where a page says that the next one lies; 0 after the last (TIFF 6.0 section 2, BigTIFF)."""
    layout = tiff.tiff
    tiff.filehandle.seek(page.offset)
    (count,) = struct.unpack(layout.tagnoformat, tiff.filehandle.read(layout.tagnosize))
    tiff.filehandle.seek(count * layout.tagsize, 1)
    (offset,) = struct.unpack(layout.offsetformat, tiff.filehandle.read(layout.offsetsize))
    return int(offset)


def resolution_tags(page: tifffile.TiffPage) -> ScaleClaim | None:
    """What XResolution, YResolution and ResolutionUnit claim, None for nothing."""
    unit = UM_PER_UNIT.get(int(page.tags.valueof("ResolutionUnit", default=2)))
    values = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
    if unit is None or not all(value and value[1] for value in values):
        return None
    x, y = (value[0] / value[1] for value in values)
    return resolution_claim((x, y), unit, "TIFF resolution tags")


def parse_ome(text: str) -> ElementTree.Element | None:
    """Root of OME-XML; None where it is none. Entities, which can explode, are no part of it."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None


def ome_claims(root: ElementTree.Element) -> list[ScaleClaim]:
    """What the first image's PhysicalSize and its objective claim."""
    claims = []
    pixels = next(iter(_elements(root, "Pixels")), None)
    if pixels is not None and (pixels.get("PhysicalSizeX") or pixels.get("PhysicalSizeY")):
        sizes: list[object] = []
        for axis in "XY":
            unit = TO_UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            told = claim_of(pixels.get(f"PhysicalSize{axis}"), 0, "")
            sizes.append(told.mpp_x * unit if unit else None)
        if pixels.get("PhysicalSizeXUnit") not in ("pixel", "reference frame"):  # these tell no size
            claims.append(claim_of(sizes[0], sizes[1], "OME PhysicalSizeX, PhysicalSizeY"))
    powers = [objective_claim(e.get("NominalMagnification")) for e in _elements(root, "Objective")]
    if len(powers) == 1 and powers[0] is not None:
        claims.append(powers[0])
    return claims


def ome_colours(root: ElementTree.Element) -> list[int | None]:
    """Colour of each channel of the first image as OME packs it (RGBA in 32 bits), None where absent."""
    pixels = next(iter(_elements(root, "Pixels")), None)
    if pixels is None:
        return []
    colours = []
    for channel in _elements(pixels, "Channel"):
        text = channel.get("Color")
        colours.append(int(text) & 0xFFFFFFFF if text and text.lstrip("-").isdigit() else None)
    return colours


def ome_planes(root: ElementTree.Element) -> int:
    """Most planes that an image of OME-XML claims to have; tifffile makes room for all of them."""
    most = 0
    for pixels in _elements(root, "Pixels"):
        sizes = [pixels.get(f"Size{axis}", "1") for axis in "CZT"]
        most = max(most, math.prod(int(s) if s.isascii() and s.isdigit() else 1 for s in sizes))
    return most


def ome_files(path: Path, root: ElementTree.Element) -> list[Path]:
    """Other files that hold planes of an OME-TIFF; all of them lie beside it.

    Raises
    ------
    SlideError
        One of them would lie elsewhere, or is missing.
    """
    own = root.get("UUID")
    named = {
        e.get("FileName")
        for e in _elements(root, "UUID")
        if e.get("FileName") and (e.text or "").strip() != own
    }
    others = []
    for name in sorted(n for n in named if n and n != path.name):
        if PLAIN_NAME & set(name) or name in (".", "..") or (path.parent / name).is_symlink():
            msg = (
                f"{path.name} refers to a file outside its folder, which is not opened for safety. Put all "
                "parts of the OME-TIFF into one folder, under the names that they were written with."
            )
            raise SlideError(msg)
        others.append(path.parent / name)
    missing = [other for other in others if not other.is_file()]
    if missing and (own is not None or len(named) > 1):
        msg = (
            f"{path.name} is one of {len(others) + 1} files of an image, and {len(missing)} of them are not "
            "beside it. Put all parts into one folder, under the names that they were written with."
        )
        raise SlideError(msg)
    return [] if missing else others  # a single file that was renamed still names itself, by its old name


def _elements(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """All of a name, in the namespace of `root`."""
    namespace, bracket, _ = root.tag.rpartition("}")
    return list(root.iter(f"{namespace}{bracket}{name}"))
