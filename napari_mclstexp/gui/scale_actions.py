"""What the slide panel asks about the scale: as typed, claimed by the file, or taken from what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.grid import read_spots
from napari_mclstexp.core.scale import Scale, parse_mpp, scale_of_line, scale_of_spots
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.telling import tell, tell_in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_mclstexp.session import Session


class ScaleActions:
    """Turns intents about the scale into the session's state.

    Parameters
    ----------
    session : Session
        State of the window.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def set_mpp(self, text: str) -> None:
        """Take um per px as typed; the slide's own where nothing is typed."""
        slide = self._session.slide
        if slide is None:
            return
        try:
            scale: Scale | None = parse_mpp(text) if text.strip() else slide.scale
        except MclstexpError as error:
            tell(error)
            return
        known = slide.scale
        if (
            scale is not None
            and known is not None
            and (scale.mpp_x, scale.mpp_y) == (known.mpp_x, known.mpp_y)
        ):
            scale = known
        self._session.set_scale(scale)

    def take_claim(self, index: int) -> None:
        """Take one of the scales that the file claims."""
        slide = self._session.slide
        if slide is not None:
            told = slide.traits.scale.claims[index]
            self._take_scale(lambda: Scale(told.mpp_x, told.mpp_y, f"{told.source}, chosen by the user"))

    def take_measured_scale(self) -> None:
        """Take the scale that the measured section's spots tell."""
        measured = self._session.measured
        if measured is not None and measured.scale is not None:
            self._session.set_scale(measured.scale)

    def scale_by_line(self, ends_px: NDArray[np.float64] | None, length_um: float) -> None:
        """Take the scale from a drawn line (2, 2) of known length."""
        if ends_px is None:
            tell_in_words("There is no line yet. Drag one over the slide, along a distance that you know.")
            return
        self._take_scale(lambda: scale_of_line(ends_px, length_um))

    def scale_by_spots(self, path: Path, pitch_um: float) -> None:
        """Take the scale from spot positions of known pitch."""
        self._take_scale(lambda: scale_of_spots(read_spots(path)[1], pitch_um))

    def _take_scale(self, find: Callable[[], Scale]) -> None:
        try:
            scale = find()
        except MclstexpError as error:
            tell(error)
            return
        self._session.set_scale(scale)
