"""Reading around what cannot be decoded: the rest of a picture is of use, and what is lost is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.slide.prepared import Reader

WHITE = 255
SMALLEST_PX = 128
"""Pieces of this size or less are not split further: a tile has about twice that."""
MOST_FAILURES = 500
"""Of a region that fails in more pieces nothing is kept."""

Window: TypeAlias = tuple[int, int, int, int]
"""x, y, width, height."""


def read_around(read: Reader, window: Window) -> tuple[NDArray[np.uint8], list[Window]]:
    """Read a region; pieces of it that cannot be read are white.

    Parameters
    ----------
    read : callable
        Reads (height, width, 3) at x, y, width, height, and raises SlideError where it cannot.
    window : tuple of int
        x, y, width, height.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8.
    list of tuple of int
        Windows of the pieces that are white because they cannot be read; none of a sound region.

    Raises
    ------
    SlideError
        Nothing of it can be read, or it fails in too many places.
    """
    try:
        return read(*window), []
    except SlideError as error:
        first = error
    x, y, width, height = window
    region = np.full((height, width, 3), WHITE, dtype=np.uint8)
    pending, holes, failures = _quarters(window), [], 1
    if not pending:
        raise first
    while pending:
        piece = pending.pop()
        try:
            pixels = read(*piece)
        except SlideError:
            failures += 1
            if failures > MOST_FAILURES:
                raise first from None
            quarters = _quarters(piece)
            if quarters:
                pending += quarters
            else:
                holes.append(piece)
        else:
            left, top = piece[0] - x, piece[1] - y
            region[top : top + piece[3], left : left + piece[2]] = pixels
    if sum(w * h for _, _, w, h in holes) == width * height:
        raise first
    return region, holes


def _quarters(window: Window) -> list[Window]:
    """Halves along each side that is long enough; none of a small window."""
    x, y, width, height = window
    if max(width, height) <= SMALLEST_PX:
        return []
    xs = [(x, width // 2), (x + width // 2, width - width // 2)] if width > SMALLEST_PX else [(x, width)]
    ys = (
        [(y, height // 2), (y + height // 2, height - height // 2)] if height > SMALLEST_PX else [(y, height)]
    )
    return [(left, top, w, h) for top, h in ys for left, w in xs]
