"""Measured sections as slides: the full-resolution image that belongs to them, or their small picture."""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_mclstexp.core.measured import h5ad, visium
from napari_mclstexp.core.scale import plausible_scale
from napari_mclstexp.core.slide.overview import OverviewSlide
from napari_mclstexp.core.slide.pillow_backend import FAULTS
from napari_mclstexp.core.slide.pixels import on_white
from napari_mclstexp.core.slide.traits import Companion
from napari_mclstexp.errors import MclstexpError, SectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.base import Slide

    Opener = Callable[[Path], Slide]
    """Opens an image file."""

SAME_SIZE_PX = 2.0
"""Pixels of Visium's small picture by which the size of its full-resolution image may be off."""
MAX_PICTURE_PX = 2**26
"""Visium HD's small picture has 6,000 x 6,000 px."""


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
    with _as_section():
        pictures = _small_pictures(folder)
        not_blank = (p for p in pictures if p[2].min() < p[2].max())
        file, factor, pixels = next(not_blank, pictures[0])
        size = (pixels.shape[1] / factor, pixels.shape[0] / factor)
        around = {path: None, folder: None, _top(folder): None}
        full = _full_resolution(list(around), open_image, size, SAME_SIZE_PX / factor)
        if full is not None:
            full.companion = Companion(folder)
            return full
        mpp, source = visium.visium_mpp(folder)
        scale = plausible_scale(mpp / factor, source, overview=True)
        return OverviewSlide(Companion(folder, factor), file, "visium", pixels, scale)


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
    with _as_section():
        told = h5ad.read_slide_of(path)
        if told.name:
            slide = open_image(h5ad.named_slide(path, told.name))
            slide.companion = Companion(path)
            return slide
        if told.picture is None:
            msg = (
                f"{path.name} is a measured section that neither names its slide nor holds a picture of it. "
                "Open the slide, then add this file to it as its measured section."
            )
            raise SectionError(msg)
        scale = plausible_scale(told.mpp / told.factor, told.mpp_source, overview=True)
        return OverviewSlide(Companion(path, told.factor), path, "h5ad", told.picture, scale)


@contextmanager
def _as_section() -> Iterator[None]:
    """What goes wrong with a part of a measured section is told as an error of the section."""
    try:
        yield
    except SectionError:
        raise
    except MclstexpError as error:
        raise SectionError(str(error)) from error


def _small_pictures(folder: Path) -> list[tuple[Path, float, NDArray[np.uint8]]]:
    """Pictures in ``spatial/`` that can be read, the finest first, with their factors."""
    named = visium.small_pictures(folder)
    pictures = []
    for file, factor in named:
        with suppress(*FAULTS), warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if image.width * image.height <= MAX_PICTURE_PX:
                    pictures.append((file, factor, on_white(np.asarray(image.convert("RGBA")))))
    if not pictures:
        why = "is cut off or damaged" if named else "or its factor is missing"
        msg = (
            f"{folder.name} is a Visium folder without a picture: spatial/tissue_hires_image.png {why}. Open "
            "the slide, then add this folder to it as its measured section."
        )
        raise SectionError(msg)
    return pictures


def _top(folder: Path) -> Path:
    """Folder that holds all bins of Visium HD; of others, the folder itself."""
    return folder.parents[1] if folder.parent.name == visium.HD_BINS else folder


def _full_resolution(
    folders: list[Path], open_image: Opener, size: tuple[float, float], off: float
) -> Slide | None:
    """The one image beside Visium's files that is of this size, give or take; None where it is not one."""
    fitting = []
    for image in sorted({f for folder in folders for f in folder.iterdir() if f.is_file()}):
        with suppress(MclstexpError, OSError):
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
