"""Opening whole-slide images: one file a backend, one registry.

The order of the registry matters, and content decides, never the suffix:

1. OME-TIFF, by tifffile: OpenSlide opens such files, but sees one level of their SubIFD pyramids.
2. whatever OpenSlide recognises: it knows the vendors' formats, some of which (MRXS) look like a JPEG.
3. JPEG and PNG, by Pillow.
4. other TIFFs, such as untiled ones, by tifffile.
"""

from __future__ import annotations

from pathlib import Path

from napari_mclstexp.core.slide.base import Level, Slide
from napari_mclstexp.core.slide.openslide_backend import OpenSlideSlide
from napari_mclstexp.core.slide.pillow_backend import PillowSlide
from napari_mclstexp.core.slide.tifffile_backend import TifffileSlide
from napari_mclstexp.errors import SlideError

__all__ = ["Level", "Slide", "open_slide"]

BACKENDS = (TifffileSlide, OpenSlideSlide, PillowSlide)


def open_slide(path: str | Path) -> Slide:
    """Open a whole-slide image lazily.

    Parameters
    ----------
    path : str or pathlib.Path
        A slide file.

    Returns
    -------
    Slide
        Pixels are read when asked for.

    Raises
    ------
    SlideError
        There is no such file, or nothing here reads it.
    """
    if "://" in str(path):
        msg = "A slide is opened from a file on this computer, not from an address on the network."
        raise SlideError(msg)
    path = Path(path)
    if not path.exists():
        msg = f"There is no slide at {path}."
        raise SlideError(msg)
    if path.is_dir():
        msg = f"{path.name} is a folder. Choose the slide file itself."
        raise SlideError(msg)
    try:
        if path.stat().st_size == 0:
            msg = f"{path.name} is empty (0 bytes). Copy it again from its source."
            raise SlideError(msg)
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}."
        raise SlideError(msg) from error
    for backend in BACKENDS:
        if backend.claims(path, head):
            return backend(path)
    if TifffileSlide.is_tiff(head):
        return TifffileSlide(path)
    msg = (
        f"{path.name} is not a slide that can be opened: its content is neither a format that OpenSlide "
        "knows, nor TIFF, OME-TIFF, JPEG or PNG. Check that the copy is complete, or export the slide as "
        "a pyramidal TIFF or OME-TIFF."
    )
    raise SlideError(msg)
