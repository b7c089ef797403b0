"""What the canvas says of what it shows: the gene, its unit, and that it is predicted, not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.maps import Blend
from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.session import Session

MEASURED_STATEMENT = "Measured. For research use only."
SWIPE_STATEMENT = "Left of the line: predicted from H&E. Right: measured.\nFor research use only."


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

    def say(self, text: str, statement: str = STATEMENT) -> None:
        """Say a text, and what it is."""
        overlay = self._viewer.canvas.overlays.text
        told = {
            "text": f"{text}\n{statement}",
            "position": "bottom_left",
            "font_size": 9,
            "visible": True,
        }
        for name, value in told.items():
            if getattr(overlay, name) != value:
                setattr(overlay, name, value)

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
