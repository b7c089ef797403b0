"""The reduced picture of a measured section whose full-resolution image is not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.measured.visium import HD_BINS
from napari_mclstexp.core.scale import NO_SCALE, Scale, ScaleReading
from napari_mclstexp.core.slide.base import Slide
from napari_mclstexp.core.slide.levels import Level
from napari_mclstexp.core.slide.traits import Companion, Traits

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

WHY = (
    "This is the small picture of a measured section, too coarse for the model. To predict, open the "
    "full-resolution image, then add the measured section to it; or lay the image, and no second one of its "
    "size, into the Visium folder."
)


class OverviewSlide(Slide):
    """A reduced picture in memory, for looking at measured spots.

    Parameters
    ----------
    companion : Companion
        The spots; its path names the slide in the window.
    file : pathlib.Path
        The file that holds the picture.
    format : str
        ``"visium"`` or ``"h5ad"``.
    pixels : numpy.ndarray
        (h, w, 3) uint8 RGB.
    scale : Scale or None
        um per px of the picture.
    """

    def __init__(
        self, companion: Companion, file: Path, format: str, pixels: NDArray[np.uint8], scale: Scale | None
    ) -> None:
        self._pixels, self._file = pixels, file
        self.companion = companion
        reading = NO_SCALE if scale is None else ScaleReading(scale)
        height, width = pixels.shape[:2]
        traits = Traits(scale=reading, not_for_model=WHY)
        super().__init__(companion.path, format, [Level(width, height, 1.0)], traits)

    @classmethod
    def claims(cls, path: Path, head: bytes) -> bool:
        """Never: it stands in where a section's own image is not there."""
        return False

    @property
    def title(self) -> str:
        """Name of the folder or file; a name that Space Ranger gave, with the one above."""
        own = self.path.resolve()
        names = [part for part in own.parts[-3:] if part != HD_BINS]
        told = own.name == "outs" or own.parent.name == HD_BINS
        return "/".join(names[-2:]) if told else own.name

    @property
    def files(self) -> tuple[Path, ...]:
        """The file that holds the picture."""
        return (self._file,)

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        return self._pixels[y : y + height, x : x + width]

    def close(self) -> None:
        """Close the cache of prepared levels; the picture stays in memory."""
        self.close_prepared()
