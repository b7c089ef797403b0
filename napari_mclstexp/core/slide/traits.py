"""What a file tells of its picture besides the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mclstexp.core.scale import NO_SCALE, ScaleReading

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Companion:
    """Measured expression that was opened together with a slide.

    Attributes
    ----------
    path : pathlib.Path
        A Visium folder, or an .h5ad; see :func:`.measured.reading.read_measured`.
    factor : float
        Pixels of the slide for each of the pixels in which the spots are given.
    """

    path: Path
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Traits:
    """What a file tells of its picture besides the pixels.

    Attributes
    ----------
    scale : ScaleReading
        um per px by the file's own fields.
    orientation : int
        How the stored image lies; see :mod:`.orientation`.
    icc_profile : bytes
        Colour profile to show it by, empty where it has none.
    planes : tuple of str
        Names of the planes of a stack, empty for a single image.
    plane : int or None
        The plane that was chosen; the first is shown until one is.
    not_for_model : str
        Why no prediction can be made from these pixels, empty where it can.
    notes : tuple of str
        What was done to the stored pixels on reading.
    random_access : bool
        Whether regions can be read without the whole.
    """

    scale: ScaleReading = NO_SCALE
    orientation: int = 1
    icc_profile: bytes = b""
    planes: tuple[str, ...] = ()
    plane: int | None = None
    not_for_model: str = ""
    notes: tuple[str, ...] = ()
    random_access: bool = True
