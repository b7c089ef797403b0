"""Opening whole-slide images: one file a backend, one registry.

The order of the registry matters, and content decides, never the suffix:

1. OME-TIFF, by tifffile: OpenSlide opens such files, but sees one level of their SubIFD pyramids.
2. whatever OpenSlide recognises: it knows the vendors' formats, some of which (MRXS) look like a JPEG.
3. JPEG, PNG and JPEG 2000, by Pillow.
4. other TIFFs, such as untiled ones, by tifffile.

Of folders, one that is a zarr group is an OME-Zarr, one that holds DICOM files a DICOM slide, and one with
Visium's spot positions a Visium section. A measured section, a Visium folder or an .h5ad, opens its
full-resolution image where that lies with it, else the small picture that it holds.

The backends' libraries take a third of a second to load: they are loaded when a slide is opened, on the
thread that opens it.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level
from napari_mclstexp.core.slide.traits import Companion, Traits
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Companion", "Level", "Slide", "Traits", "open_slide"]

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Beginning of an address, also of one that was taken for a path, which leaves a single slash of two."""
HDF5 = b"\x89HDF\r\n\x1a\n"


def open_slide(path: str | Path, plane: int | None = None) -> Slide:
    """Open a whole-slide image lazily.

    Parameters
    ----------
    path : str or pathlib.Path
        A slide file, a folder of an OME-Zarr or a DICOM slide, or a measured section: a Visium folder, or
        an .h5ad that names its slide or holds a picture of it.
    plane : int, optional
        Which plane of a stack, from 0; see `Traits.planes`.

    Returns
    -------
    Slide
        Pixels are read when asked for.

    Raises
    ------
    SlideError
        There is no such file, or nothing here reads it.
    SectionError
        A measured section is damaged, or has no picture.
    """
    if ADDRESS.match(str(path)) or "://" in str(path):
        msg = "A slide is opened from a file on this computer, not from an address on the network."
        raise SlideError(msg)
    if "\0" in str(path):
        msg = f"{str(path)!r} is no path of a file. Choose the slide's file."
        raise SlideError(msg)
    path = Path(path)
    keep_private(path, "slide")
    try:
        if not path.exists():
            msg = f"There is no slide at {path}."
            raise SlideError(msg)
        if not (path.is_dir() or path.is_file()):
            msg = f"{path.name} is no file, but a device or a pipe. Choose the slide's file."
            raise SlideError(msg)
        slide = _open_folder(path, plane) if path.is_dir() else _open_file(path, plane)
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}."
        raise SlideError(msg) from error
    if plane is not None and not slide.traits.planes:
        slide.close()
        msg = f"{path.name} is a single image, no stack: there is no plane to choose."
        raise SlideError(msg)
    return slide


def _open_file(path: Path, plane: int | None) -> Slide:
    with path.open("rb") as file:
        is_hdf5 = file.read(len(HDF5)) == HDF5
    section = _sections().open_h5ad(path, partial(_open_image, plane=plane)) if is_hdf5 else None
    return section or _open_image(path, plane)


def _open_image(path: Path, plane: int | None) -> Slide:
    from napari_mclstexp.core.slide.openslide_backend import OpenSlideSlide
    from napari_mclstexp.core.slide.pillow_backend import PillowSlide
    from napari_mclstexp.core.slide.tiff_checks import check_tiff
    from napari_mclstexp.core.slide.tifffile_backend import TifffileSlide

    if path.stat().st_size == 0:
        msg = f"{path.name} is empty (0 bytes). Copy it again from its source."
        raise SlideError(msg)
    with path.open("rb") as file:
        head = file.read(16)
    if TifffileSlide.is_tiff(head):
        check_tiff(path)
    if TifffileSlide.claims(path, head):
        return TifffileSlide(path, plane)
    if OpenSlideSlide.claims(path, head):
        return OpenSlideSlide(path)
    if PillowSlide.claims(path, head):
        return PillowSlide(path)
    if TifffileSlide.is_tiff(head):
        return TifffileSlide(path, plane)
    msg = (
        f"{path.name} is not a slide that can be opened: its content is neither a format that OpenSlide "
        "knows, nor TIFF, OME-TIFF, JPEG, JPEG 2000 or PNG. Check that the copy is complete, or export the "
        "slide as a pyramidal TIFF or OME-TIFF."
    )
    raise SlideError(msg)


def _open_folder(path: Path, plane: int | None) -> Slide:
    from napari_mclstexp.core.slide.openslide_backend import OpenSlideSlide, dicom_series_uid, is_dicom
    from napari_mclstexp.core.slide.zarr_backend import OmeZarrSlide

    if OmeZarrSlide.claims(path, b""):
        return OmeZarrSlide(path, plane)
    slides: dict[bytes, Path] = {}
    for file in sorted(path.iterdir()):
        if file.is_file() and is_dicom(file) and OpenSlideSlide.claims(file, b""):
            slides.setdefault(dicom_series_uid(file), file)
    if len(slides) > 1:
        msg = f"{path.name} holds {len(slides)} DICOM slides. Choose a file of the one to open."
        raise SlideError(msg)
    if slides:
        return OpenSlideSlide(next(iter(slides.values())), folder=path)
    section = _sections().open_visium(path, partial(_open_image, plane=plane))
    if section is not None:
        return section
    msg = (
        f"{path.name} is a folder, and neither an OME-Zarr, a DICOM slide nor a Visium section. Choose the "
        "slide file itself."
    )
    raise SlideError(msg)


def _sections() -> ModuleType:
    """Opening of measured sections, loaded when one is met: its libraries take half a second."""
    from napari_mclstexp.core.slide import sections

    return sections
