"""What the predict panel asks about the place: regions, the tissue's mask, and how long it would take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_mclstexp.core.regions import Regions, read_regions
from napari_mclstexp.core.tissue import edited, tissue_of
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.controller import DENSE, is_dense, rate_key
from napari_mclstexp.gui.telling import tell, tell_in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.tissue import TissueMask
    from napari_mclstexp.gui.controller import Controller, PredictRequest
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.gui.places import Places
    from napari_mclstexp.session import Session

SPOTS_A_SECOND = 4.0
"""A core's share before anything was measured: patches of 224 px through DenseNet-121."""
DENSE_SPOTS_A_SECOND = 100.0
"""The same for a dense map."""
NO_MARGIN = " This model was trained without a margin, so each spot goes by a patch of its own."


class PlaceActions:
    """Turns intents about the place into the session's state.

    Parameters
    ----------
    session : Session
        State of the window.
    jobs : Jobs
        Its background work.
    places : Places
        Layers that are drawn and painted in.
    controller : Controller
        Lays spots.
    """

    def __init__(self, session: Session, jobs: Jobs, places: Places, controller: Controller) -> None:
        self._session, self._jobs, self._places = session, jobs, places
        self._controller = controller
        self._found: TissueMask | None = None
        self._asked = 0

    def whole(self) -> None:
        """Predict the whole tissue."""
        self._session.set_place(regions=None)

    def draw(self, wanted: bool) -> None:
        """Let regions be drawn."""
        self._places.draw_regions(wanted)

    def take_drawn(self) -> None:
        """Predict inside what was drawn."""
        outlines = self._places.drawn_regions()
        if not outlines:
            tell_in_words("No region is drawn yet. Click along its border, and double-click to close it.")
            return
        self._try(lambda: self._session.set_place(regions=Regions.from_outlines(outlines)))

    def read(self, path: Path) -> None:
        """Predict inside the regions of a file."""
        self._jobs.aside(lambda: read_regions(path), lambda found: self._session.set_place(regions=found))

    def paint(self, wanted: bool) -> None:
        """Let the mask of the tissue be painted; it is found first where it is not there yet."""
        if not wanted:
            self._places.paint_tissue(None)
            return
        slide, scale = self._session.slide, self._session.scale
        if slide is None or scale is None:
            return
        self._jobs.aside(lambda: tissue_of(slide, scale), self._paint_over)

    def _paint_over(self, found: TissueMask) -> None:
        self._found = found
        self._places.paint_tissue(self._session.tissue or found)

    def take_painted(self) -> None:
        """Take the mask as it is painted."""
        painted, found = self._places.painted_tissue(), self._found
        if painted is None or found is None:
            show_info("The tissue is still being found.")
            return
        if not painted.any():
            tell_in_words("Nothing is left of the tissue. Paint some, or undo all.")
            return
        mask = edited(found, painted)
        self._session.set_place(tissue=mask if mask.edited_px else None)

    def drop_painted(self) -> None:
        """Go back to the mask that the program found."""
        self._places.paint_tissue(None)
        self._session.set_place(tissue=None)

    def estimate(self, request: PredictRequest) -> None:
        """Count spots and tell how long they would take, on a worker."""
        session = self._session
        if session.slide is None:
            return
        self._asked += 1
        asked, place = self._asked, (session.tissue, session.regions)
        known = session.remembered.spots_a_second

        def told(count: int) -> str:
            dense = is_dense(request)
            alone = request.grid == DENSE and not dense
            return _told(count, known.get(rate_key(request)), dense) + (NO_MARGIN if alone else "")

        def work() -> str:
            if asked != self._asked:  # as while a path is typed: the newest alone is shown
                return ""
            try:
                count = len(self._controller.lay(request, *place))
            except MclstexpError as error:
                return str(error)
            return told(count)

        def done(text: str) -> None:
            if asked == self._asked:
                session.set_estimate(text)

        self._jobs.aside(work, done)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except MclstexpError as error:
            tell(error)


def _told(spots: int, rate: float | None, dense: bool) -> str:
    usual = (DENSE_SPOTS_A_SECOND if dense else SPOTS_A_SECOND) * max(1, (os.cpu_count() or 2) - 1)
    seconds = spots / (rate or usual)
    if seconds < 90:
        long = f"{max(1, round(seconds))} s"
    elif seconds < 5400:
        long = f"{round(seconds / 60)} min"
    else:
        long = f"{seconds / 3600:.1f} h"
    guess = "" if rate else ", a guess until this model has run here once"
    return f"{spots:,} spots, about {long}{guess}."
