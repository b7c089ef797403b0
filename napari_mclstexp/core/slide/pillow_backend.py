"""Plain JPEG and PNG images through Pillow.

They have no random access: each level is decoded once, when first needed. A JPEG's coarser levels are
decoded at reduced scale directly (``draft``), which is fast: the overview does not wait for the whole.
"""

from __future__ import annotations

import math
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from napari_mclstexp.core.slide.base import Level, Slide
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png"}
JPEG_SCALES = (1, 2, 4, 8)


class PillowSlide(Slide):
    """A JPEG or PNG; decoded levels stay in memory until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decoded: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()
        with self._open() as image:
            kind = str(image.format).lower()
            width, height = image.size
            if image.mode not in ("RGB", "RGBA", "P"):
                msg = (
                    f"{path.name} is not a colour image (mode {image.mode}). An H&E slide in RGB is needed: "
                    "export it as RGB."
                )
                raise SlideError(msg)
        scales = JPEG_SCALES if kind == "jpeg" else (1,)
        levels = [Level(math.ceil(width / s), math.ceil(height / s), float(s)) for s in scales]
        super().__init__(path, kind, levels, None)
        self._level(len(levels) - 1)  # a file that is cut off is refused now, not in mid-prediction

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Whether the file begins as a JPEG or PNG does."""
        return any(head.startswith(magic) for magic in MAGIC)

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
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            msg = f"{self.path.name} is damaged or no image. Copy it again from its source."
            raise SlideError(msg) from error

    def _level(self, level: int) -> NDArray[np.uint8]:
        with self._lock:
            if level not in self._decoded:
                self._decoded[level] = self._decode(level)
            return self._decoded[level]

    def _decode(self, level: int) -> NDArray[np.uint8]:
        size = self.levels[level]
        with self._open() as image:
            if level:  # Pillow takes the largest reduction that still covers what is asked for
                scale = JPEG_SCALES[level]
                image.draft("RGB", (max(1, image.width // scale), max(1, image.height // scale)))
            try:
                image.load()
            except (OSError, ValueError, SyntaxError) as error:
                msg = f"{self.path.name} is cut off or damaged ({error}). Copy it again from its source."
                raise SlideError(msg) from error
            if image.mode != "RGB":
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
            if image.size != (size.width, size.height):
                image = image.resize((size.width, size.height), Image.Resampling.BOX)
            return np.asarray(image)

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        return self._level(level)[y : y + height, x : x + width]

    def close(self) -> None:
        """Forget the decoded levels."""
        with self._lock:
            self._decoded.clear()
