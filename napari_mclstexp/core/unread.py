"""Spots at which the slide cannot be decoded: they are left out of a prediction, counted and told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNREAD = "left out, the slide cannot be decoded there"
ENOUGH = 64
"""So many spots, and none of them read: it is not worth while to try the others."""


def check_some_read(unread: NDArray[np.bool_], tried: int, total: int) -> None:
    """Refuse a slide of which nothing can be read.

    Parameters
    ----------
    unread : numpy.ndarray
        (N,) bool, which spots could not be read.
    tried : int
        How many spots have been read so far.
    total : int
        How many there are to read.

    Raises
    ------
    SlideError
        Not one of enough spots.
    """
    if tried >= min(ENOUGH, total) and unread[:tried].all():
        msg = (
            f"The slide is damaged: its pixels cannot be decoded at any of {tried:,} spots. Copy it again "
            "from its source."
        )
        raise SlideError(msg)


def unread_note(unread: NDArray[np.bool_]) -> str:
    """What a result tells of spots that were left out, ``3 of 96 spots ...``; empty where none was."""
    count = int(unread.sum())
    return f"{count:,} of {len(unread):,} spots {UNREAD}" if count else ""


def unread_in(slide_notes: str) -> str:
    """That note among a result's notes on its slide; empty where all spots were read."""
    return next((note for note in slide_notes.split("; ") if note.endswith(UNREAD)), "")
