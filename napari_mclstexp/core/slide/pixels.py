"""Stored pixels of any kind as 8-bit RGB to look at, and what may be predicted from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (0.1, 99.9)
"""Limits of grey and of deep pixels on the screen."""

NEEDED = "The model needs H&E in colour, 8 bits a channel"


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """How stored samples become RGB.

    Attributes
    ----------
    samples : int
        Samples a pixel: 1 for grey, 3 for RGB, 4 with transparency, other numbers for other colour spaces.
    dtype : numpy.dtype
        Of a sample.
    limits : tuple of float or None
        Values shown black and white; None shows 8 bits as they are.
    inverted : bool
        Whether the lowest value is white.
    palette : numpy.ndarray or None
        (n, 3) uint8 colours that samples point to.
    """

    samples: int
    dtype: np.dtype[np.generic]
    limits: tuple[float, float] | None = None
    inverted: bool = False
    palette: NDArray[np.uint8] | None = None

    @property
    def not_for_model(self) -> str:
        """Why no prediction can be made from such pixels, empty where it can."""
        if self.samples == 1 and self.palette is None:
            return f"This image is grey (one channel). {NEEDED}: open the slide's RGB image."
        if self.dtype != np.uint8 and self.palette is None:
            bits = self.dtype.itemsize * 8
            kind = f"{bits}-bit floating point" if self.dtype.kind == "f" else f"{bits} bits a channel"
            return f"This image has {kind}, shown with adapted contrast. {NEEDED}: export it as 8-bit RGB."
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is done to the stored pixels."""
        if self.palette is not None:
            return ("palette resolved",)
        return ("transparency laid on white",) if self.samples == 4 else ()

    def shown(self, raw: NDArray[np.generic]) -> NDArray[np.uint8]:
        """RGB (h, w, 3) of stored samples (h, w) or (h, w, samples)."""
        if self.palette is not None:
            return self.palette[np.minimum(raw, len(self.palette) - 1)]
        values = raw if raw.ndim == 3 else raw[..., None]
        if self.limits is not None:
            low, high = self.limits
            scaled = (np.nan_to_num(values.astype(np.float32), nan=low) - low) * (255 / (high - low))
            values = np.clip(scaled, 0, 255).astype(np.uint8)
        elif values.dtype == np.bool_:
            values = values.astype(np.uint8) * 255
        if self.inverted:
            values = 255 - values
        if values.shape[-1] in (1, 2):
            values = np.repeat(values[..., :1], 3, axis=-1)
        elif values.shape[-1] == 4:
            values = on_white(values)
        return np.ascontiguousarray(values[..., :3], dtype=np.uint8)


def on_white(rgba: NDArray[np.generic]) -> NDArray[np.uint8]:
    """RGBA (h, w, 4) uint8 on white, (h, w, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = rgba[..., :3].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def display_limits(sample: NDArray[np.generic]) -> tuple[float, float]:
    """Values to show black and white, from some of the image's."""
    values = sample[np.isfinite(sample)].astype(np.float64)
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)
