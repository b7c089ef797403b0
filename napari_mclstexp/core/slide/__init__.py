"""Opening whole-slide images: one file a backend, one registry.

The order of the registry matters, and content decides, never the suffix:

1. OME-TIFF, by tifffile: OpenSlide opens such files, but sees one level of their SubIFD pyramids.
2. whatever OpenSlide recognises: it knows the vendors' formats, some of which (MRXS) look like a JPEG.
3. JPEG, PNG and JPEG 2000, by Pillow.
4. other TIFFs, such as untiled ones, by tifffile.

Of folders, one that is a zarr group is an OME-Zarr, one with Visium's spot positions a Visium section, and
one that holds DICOM files a DICOM slide. A measured section, a Visium folder or an .h5ad, opens its
full-resolution image where that lies with it, else the small picture that it holds.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_mclstexp.core.measured import h5ad, visium
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level
from napari_mclstexp.core.slide.openslide_backend import OpenSlideSlide, dicom_series_uid, is_dicom
from napari_mclstexp.core.slide.overview import OverviewSlide
from napari_mclstexp.core.slide.pillow_backend import PillowSlide
from napari_mclstexp.core.slide.tifffile_backend import TifffileSlide
from napari_mclstexp.core.slide.traits import Companion, Traits
from napari_mclstexp.core.slide.zarr_backend import OmeZarrSlide
from napari_mclstexp.errors import SectionError, SlideError

__all__ = ["Companion", "Level", "Slide", "Traits", "open_slide"]

SAME_SIZE_PX = 2.0
"""Pixels of Visium's small picture by which the size of its full-resolution image may be off."""


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
    if "://" in str(path):
        msg = "A slide is opened from a file on this computer, not from an address on the network."
        raise SlideError(msg)
    path = Path(path)
    try:
        if not path.exists():
            msg = f"There is no slide at {path}."
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
    if path.stat().st_size == 0:
        msg = f"{path.name} is empty (0 bytes). Copy it again from its source."
        raise SlideError(msg)
    with path.open("rb") as file:
        head = file.read(16)
    if TifffileSlide.claims(path, head):
        return TifffileSlide(path, plane)
    if OpenSlideSlide.claims(path, head):
        return OpenSlideSlide(path)
    if PillowSlide.claims(path, head):
        return PillowSlide(path)
    if TifffileSlide.is_tiff(head):
        return TifffileSlide(path, plane)
    if head.startswith(h5ad.MAGIC) and h5ad.is_h5ad(path):
        return _open_h5ad(path)
    msg = (
        f"{path.name} is not a slide that can be opened: its content is neither a format that OpenSlide "
        "knows, nor TIFF, OME-TIFF, JPEG, JPEG 2000 or PNG. Check that the copy is complete, or export the "
        "slide as a pyramidal TIFF or OME-TIFF."
    )
    raise SlideError(msg)


def _open_folder(path: Path, plane: int | None) -> Slide:
    if OmeZarrSlide.claims(path, b""):
        return OmeZarrSlide(path, plane)
    section = visium.visium_folder(path)
    if section is not None:
        return _open_visium(section)
    slides: dict[bytes, Path] = {}
    for file in sorted(path.iterdir()):
        if file.is_file() and is_dicom(file) and OpenSlideSlide.claims(file, b""):
            slides.setdefault(dicom_series_uid(file), file)
    if len(slides) > 1:
        msg = f"{path.name} holds {len(slides)} DICOM slides. Choose a file of the one to open."
        raise SlideError(msg)
    if slides:
        return OpenSlideSlide(next(iter(slides.values())), folder=path)
    msg = (
        f"{path.name} is a folder, and neither an OME-Zarr, a DICOM slide nor a Visium section. Choose the "
        "slide file itself."
    )
    raise SlideError(msg)


def _open_visium(folder: Path) -> Slide:
    pictures = []
    for file, factor in visium.small_pictures(folder):
        with PillowSlide(file) as small:
            pictures.append((file, factor, small.read(0, 0, small.width, small.height)))
    if not pictures:
        msg = (
            f"{folder.name} is a Visium folder without a picture: spatial/tissue_hires_image.png or its "
            "factor is missing. Open the slide, then add this folder to it as its measured section."
        )
        raise SectionError(msg)
    file, factor, pixels = next((p for p in pictures if p[2].min() < p[2].max()), pictures[0])  # none blank
    full = _full_resolution(folder, pixels.shape[1] / factor, pixels.shape[0] / factor, 1 / factor)
    if full is not None:
        full.companion = Companion(folder)
        return full
    return OverviewSlide(Companion(folder, factor), file, "visium", pixels, visium.visium_scale(folder))


def _full_resolution(folder: Path, width: float, height: float, tolerance: float) -> Slide | None:
    """The one image beside Visium's files that is of this size, give or take; None where it is not one."""
    fitting = []
    for image in sorted(f for f in folder.iterdir() if f.is_file()):
        with suppress(SlideError, SectionError):
            slide = _open_file(image, None)
            if max(abs(slide.width - width), abs(slide.height - height)) <= SAME_SIZE_PX * tolerance:
                fitting.append(slide)
            else:
                slide.close()
    if len(fitting) == 1:
        return fitting[0]
    for slide in fitting:
        slide.close()
    return None


def _open_h5ad(path: Path) -> Slide:
    section = h5ad.read_h5ad(path)
    if section.slide:
        slide = _open_file(h5ad.named_slide(path, section.slide), None)
        slide.companion = Companion(path)
        return slide
    if section.picture is None:
        msg = (
            f"{path.name} is a measured section that neither names its slide nor holds a picture of it. Open "
            "the slide, then add this file to it as its measured section."
        )
        raise SectionError(msg)
    scale = section.spots.scale or section.rough_scale
    return OverviewSlide(Companion(path, section.factor), path, "h5ad", section.picture, scale)
