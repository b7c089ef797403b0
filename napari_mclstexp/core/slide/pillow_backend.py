"""Plain JPEG, PNG and JPEG 2000 images through Pillow.

They have no random access. A small one is decoded into memory; a large one shows a reduced picture, which
JPEG and JPEG 2000 decode fast, until its pixels are prepared.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from napari_mclstexp.core.scale import resolution_claim, weigh_scale
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level
from napari_mclstexp.core.slide.orientation import turned, valid_orientation
from napari_mclstexp.core.slide.pixels import Pixels, display_limits, on_white
from napari_mclstexp.core.slide.traits import Traits
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.prepared import Reader

MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",  # its bare codestream
)
PNG_END = b"IEND\xaeB`\x82"
PNG_END_WITHIN = 2**16
"""Some writers append a little to a PNG; one whose end lies not even here is cut off."""

MAX_JPEG_PX_A_BYTE = 342
"""Blocks of 16 x 16 px take six Huffman codes of one bit at least, and libjpeg fills up what is missing."""

SMALL_PX = 2**24
PREVIEW_PX = 1024
FAULTS = (OSError, ValueError, SyntaxError, EOFError, MemoryError)
INCH_UM = 25400.0
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
APPROXIMATE = (
    "This image has its colours as CMYK, for printing; on the screen they are approximate. The model needs "
    "those of the scan: export the slide as RGB."
)


class PillowSlide(Slide):
    """A JPEG, PNG or JPEG 2000 image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._small: Image.Image | None = None
        with self._open() as image:
            kind, size = str(image.format).lower(), image.size
            self._plain_jpeg = kind == "jpeg" and image.mode == "RGB"
            small = size[0] * size[1] <= SMALL_PX
            if kind == "jpeg" and size[0] * size[1] > MAX_JPEG_PX_A_BYTE * path.stat().st_size:
                msg = (
                    f"{path.name} is cut off or damaged: its {path.stat().st_size:,} bytes cannot hold the "
                    f"{size[0]:,} x {size[1]:,} px that it claims. Copy it again from its source."
                )
                raise SlideError(msg)
            traits = self._traits(image, random_access=small)
            if kind == "png" and not small:
                self._check_end()
        if small:
            self._small = self._decode()
            if self._small.mode in DEEP:
                self._pixels = Pixels(1, np.dtype(np.uint16), display_limits(np.asarray(self._small)))
        super().__init__(path, kind, [Level(*size, 1.0)], traits)
        if not small and kind != "png":
            _ = self._preview_shown  # a file that is cut off is refused now, not in mid-prediction

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether the file begins as a JPEG, PNG or JPEG 2000 does."""
        return head.startswith(MAGIC)

    def _traits(self, image: Image.Image, *, random_access: bool) -> Traits:
        dpi = image.info.get("dpi")
        told = resolution_claim((float(dpi[0]), float(dpi[1])), INCH_UM, "the image's dpi") if dpi else None
        why = ""
        notes: tuple[str, ...] = ()
        self._pixels = Pixels(3, np.dtype(np.uint8))
        if image.mode == "CMYK":
            why, notes = APPROXIMATE, ("converted from CMYK",)
        elif image.mode in ("1", "L", "LA"):
            why = Pixels(1, np.dtype(np.uint8)).not_for_model
        elif image.mode in DEEP:
            self._pixels = Pixels(1, np.dtype(np.uint16), (0.0, 65535.0))
            why = self._pixels.not_for_model
        elif image.mode != "RGB":
            notes = ("transparency laid on white",) if image.mode == "RGBA" else (f"{image.mode} to RGB",)
        return Traits(
            scale=weigh_scale([told] if told and told.plausible else []),
            orientation=_orientation(image),
            icc_profile=bytes(image.info.get("icc_profile") or b""),
            not_for_model=why,
            notes=notes,
            random_access=random_access,
        )

    def _open(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                # A whole section has more pixels than Pillow expects of a photograph.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                return Image.open(self.path)
        except Image.DecompressionBombError as error:
            msg = (
                f"{self.path.name} is too large for a plain image. Convert it to a pyramidal TIFF or "
                "OME-TIFF."
            )
            raise SlideError(msg) from error
        except (UnidentifiedImageError, *FAULTS) as error:
            msg = f"{self.path.name} is damaged or no image. Copy it again from its source."
            raise SlideError(msg) from error

    def _check_end(self) -> None:
        with self.path.open("rb") as file:
            file.seek(-min(self.path.stat().st_size, PNG_END_WITHIN), 2)
            if PNG_END not in file.read():
                msg = f"{self.path.name} is cut off or damaged. Copy it again from its source."
                raise SlideError(msg)

    def _decode(self, reduction: int = 1) -> Image.Image:
        """Decode the image, a JPEG or JPEG 2000 at 1/`reduction` of its size."""
        image = self._open()
        try:
            if reduction > 1 and image.format == "JPEG":
                image.draft(None, (max(1, image.width // reduction), max(1, image.height // reduction)))
            elif reduction > 1 and image.format == "JPEG2000":
                image.reduce = reduction.bit_length() - 1  # type: ignore[method-assign,assignment]
            image.load()
        except FAULTS as error:
            image.close()
            msg = f"{self.path.name} is cut off or damaged ({error}). Copy it again from its source."
            raise SlideError(msg) from error
        return image

    def _rgb(self, image: Image.Image) -> NDArray[np.uint8]:
        if image.mode in DEEP:
            return self._pixels.shown(np.asarray(image))
        if image.mode == "RGB":
            return np.asarray(image)
        if image.mode in ("CMYK", "YCbCr", "LAB"):
            return np.asarray(image.convert("RGB"))
        return on_white(np.asarray(image.convert("RGBA")))

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        if self._small is None:
            msg = f"{self.path.name} was closed."
            raise SlideError(msg)
        return self._rgb(self._small.crop((x, y, x + width, y + height)))

    @contextmanager
    def _whole(self) -> Iterator[Reader]:
        if self._plain_jpeg:  # the same pixels as Pillow's, which spends four bytes on each
            pixels = imagecodecs.jpeg8_decode(self.path.read_bytes())
            yield lambda x, y, width, height: pixels[y : y + height, x : x + width]
            return
        with self._decode() as image:
            full_w, full_h = image.size

            def read(x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
                return self._rgb(image.crop((x, y, min(x + width, full_w), min(y + height, full_h))))

            yield read

    def _preview(self) -> NDArray[np.uint8]:
        """JPEG and JPEG 2000 at reduced scale; a PNG has none, and is grey until it is prepared."""
        if self.format == "png":
            return np.full((1, 1, 3), 200, dtype=np.uint8)
        reduction = 1
        while reduction < 8 and max(self.width, self.height) // (2 * reduction) >= PREVIEW_PX:
            reduction *= 2
        with self._decode(reduction) as image:
            return turned(self._rgb(image), self.traits.orientation)

    def close(self) -> None:
        """Forget the decoded pixels."""
        self.close_prepared()
        self._small = None


def _orientation(image: Image.Image) -> int:
    """EXIF orientation; Pillow would decode a PNG without EXIF to look for it behind the pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return valid_orientation(image.getexif().get(ExifTags.Base.Orientation))
    except FAULTS:
        return 1  # a damaged EXIF block does not make the picture unreadable
