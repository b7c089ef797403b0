"""Measured sections as slides: the full-resolution image that belongs to them, or their small picture."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari_mclstexp.core.measured import h5ad, visium
from napari_mclstexp.core.slide.overview import OverviewSlide
from napari_mclstexp.core.slide.pillow_backend import PillowSlide
from napari_mclstexp.core.slide.traits import Companion
from napari_mclstexp.errors import SectionError, SlideError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.slide.base import Slide

    Opener = Callable[[Path], Slide]
    """Opens an image file."""

SAME_SIZE_PX = 2.0
"""Pixels of Visium's small picture by which the size of its full-resolution image may be off."""


def open_visium(path: Path, open_image: Opener) -> Slide | None:
    """Open a Visium folder.

    Parameters
    ----------
    path : pathlib.Path
        The folder; see :func:`.visium.visium_folder`.
    open_image : callable
        Opens an image file.

    Returns
    -------
    Slide or None
        With its companion; None where it is no Visium folder.

    Raises
    ------
    SectionError
        It is damaged, or holds no picture.
    """
    folder = visium.visium_folder(path)
    if folder is None:
        return None
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
    size = (pixels.shape[1] / factor, pixels.shape[0] / factor)
    full = _full_resolution(folder, open_image, size, SAME_SIZE_PX / factor)
    if full is not None:
        full.companion = Companion(folder)
        return full
    return OverviewSlide(Companion(folder, factor), file, "visium", pixels, visium.visium_scale(folder))


def open_h5ad(path: Path, open_image: Opener) -> Slide | None:
    """Open an .h5ad that names its slide or holds a picture of it.

    Parameters
    ----------
    path : pathlib.Path
        An HDF5 file.
    open_image : callable
        Opens an image file.

    Returns
    -------
    Slide or None
        With its companion; None where the file holds no AnnData.

    Raises
    ------
    SectionError
        It is damaged, a prediction, or has no picture.
    """
    if not h5ad.is_h5ad(path):
        return None
    section = h5ad.read_h5ad(path)
    if section.slide:
        slide = open_image(h5ad.named_slide(path, section.slide))
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


def _full_resolution(
    folder: Path, open_image: Opener, size: tuple[float, float], off: float
) -> Slide | None:
    """The one image beside Visium's files that is of this size, give or take; None where it is not one."""
    fitting = []
    for image in sorted(f for f in folder.iterdir() if f.is_file()):
        with suppress(SlideError, SectionError):
            slide = open_image(image)
            if max(abs(slide.width - size[0]), abs(slide.height - size[1])) <= off:
                fitting.append(slide)
            else:
                slide.close()
    if len(fitting) == 1:
        return fitting[0]
    for slide in fitting:
        slide.close()
    return None
