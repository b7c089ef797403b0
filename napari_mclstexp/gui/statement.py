"""What the canvas says of what it shows: the gene, its unit, and that it is predicted, not measured."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from napari_mclstexp.core.maps import Blend
from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.core.unread import unread_in

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.session import Session

MEASURED_STATEMENT = "Measured. For research use only."
SWIPE_STATEMENT = "Left of the line: predicted from H&E. Right: measured.\nFor research use only."

SCALE_BAR_PX, LETTER_PX, LEAST_LETTERS = 190, 7.6, 24
"""Of the canvas: room for the scale bar beside the text, and a letter's width."""


class Statement:
    """Text in a corner of the canvas.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to say it.
    session : Session
        What is shown.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._said = ""
        viewer.canvas.events.size.connect(self._wrap)

    def disconnect(self) -> None:
        """Follow the size of the canvas no longer."""
        self._viewer.canvas.events.size.disconnect(self._wrap)

    def prepare(self) -> None:
        """Let napari make the text on the canvas, which takes it long, before there is anything to say."""
        overlay = self._viewer.canvas.overlays.text
        if not overlay.visible:
            overlay.text, overlay.visible = "", True

    def say(self, text: str, statement: str = STATEMENT) -> None:
        """Say a text, and what it is."""
        self._said = f"{text}\n{statement}"
        overlay = self._viewer.canvas.overlays.text
        for name, value in (("position", "bottom_left"), ("font_size", 9), ("visible", True)):
            if getattr(overlay, name) != value:
                setattr(overlay, name, value)
        self._wrap()

    def _wrap(self) -> None:
        """Break the lines where the scale bar would cover their end."""
        room = max(LEAST_LETTERS, int((self._viewer.canvas.size[1] - SCALE_BAR_PX) / LETTER_PX))
        text = "\n".join(line for said in self._said.split("\n") for line in textwrap.wrap(said, room))
        overlay = self._viewer.canvas.overlays.text
        if overlay.text != text:
            overlay.text = text

    def hide(self) -> None:
        """Say nothing."""
        self._viewer.canvas.overlays.text.visible = False

    def show(self) -> None:
        """Say what the colours are."""
        session = self._session
        result, measured, gene, source = session.result, session.measured, session.gene, session.source
        hidden = not session.view.heatmap
        if result is None and (measured is None or hidden):
            self.hide()
        elif hidden:
            self.say("Domains of predicted expression")
        elif source == "measured":
            unit = _short(measured.unit) if gene in measured.genes else "not among the genes of this section"
            self.say(f"{gene}, measured: {unit}", MEASURED_STATEMENT)
        elif source == "swipe":
            units = dict.fromkeys(map(_short, (result.provenance.normalisation, measured.unit)))
            self.say(f"{gene}, {' | '.join(units)}", SWIPE_STATEMENT)
        else:
            said = self._predicted()
            if result.unlike is not None and result.unlike.any():
                said += f"\nGrey crosses: {result.unlike.sum():,} spots unlike the reference"
            if unread := unread_in(result.provenance.slide_notes):
                said += f"\nThe slide is damaged: {unread}"
            self.say(said)

    def _predicted(self) -> str:
        shown = self._session.predicted_map
        if shown is None:
            return f"{self._session.gene}: not among the genes of this model"
        if isinstance(shown, Blend):
            return shown.name
        said = f"{shown.name}, {_short(shown.unit)}"
        below, above = shown.clipped
        if self._session.view.colour.by == "numbers" and (below or above):
            said += f"\nBeyond the scale: {below:,} spots below, {above:,} above"
        return said


def _short(unit: str) -> str:
    """Unit of expression in a few words: the canvas is narrow, and the dock has the whole."""
    return unit.partition(" of the spot")[0]
