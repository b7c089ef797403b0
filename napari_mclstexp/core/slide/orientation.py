"""How an image lies: the eight orientations of TIFF 6.0 (tag 274) and EXIF.

An image of orientation ``o`` is shown right by exchanging its axes first, where ``o`` is 5 to 8, and
mirroring it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIRROR_Y = (3, 4, 7, 8)
_MIRROR_X = (2, 3, 6, 7)


def valid_orientation(value: object) -> int:
    """Orientation from a file's tag; 1 (as it lies) for what is none."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def exchanges_axes(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation >= 5


def stored_window(
    window: tuple[int, int, int, int], shown: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Where a window of the shown image lies in the stored one.

    Parameters
    ----------
    window : tuple of int
        x, y, width, height in the shown image.
    shown : tuple of int
        Width and height of the shown image.
    orientation : int
        1 to 8.

    Returns
    -------
    tuple of int
        x, y, width, height in the stored image.
    """
    x, y, width, height = window
    if orientation in _MIRROR_X:
        x = shown[0] - x - width
    if orientation in _MIRROR_Y:
        y = shown[1] - y - height
    return (y, x, height, width) if exchanges_axes(orientation) else (x, y, width, height)


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Stored pixels (h, w, 3) as they are shown."""
    if exchanges_axes(orientation):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in _MIRROR_Y:
        pixels = pixels[::-1]
    if orientation in _MIRROR_X:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
