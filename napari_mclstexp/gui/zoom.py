"""One magnification from slide to slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.session import Session

ROUNDING = 1.01


class Zoom:
    """Carries a view's magnification over to the next slide.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose view.
    session : Session
        Its slide.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer, self._session = viewer, session
        self._per_um: float | None = None
        self._whole = True

    def note(self) -> None:
        """Note it before the next slide comes: screen px a um, and whether the whole slide was seen."""
        zoom, fit = float(self._viewer.scene.camera.zoom), self._fit()
        self._per_um = None if fit is None else zoom
        self._whole = fit is None or zoom <= fit * ROUNDING

    def restore(self) -> None:
        """Take it for the slide shown, on its tissue; a whole one stays whole."""
        fit = self._fit()
        if fit is None or self._per_um is None or (self._whole and self._per_um > fit):
            return  # as napari shows what is new: all of it
        camera = self._viewer.scene.camera
        camera.zoom = self._per_um
        result = self._session.result
        if self._per_um > fit and result is not None:
            places = result.grid.centres_px
            middle = places[np.abs(places - places.mean(axis=0)).sum(axis=1).argmin()]
            per_px = spatial(self._session.scale)["scale"]
            camera.center = (middle[0] * per_px[0], middle[1] * per_px[1])

    def _fit(self) -> float | None:
        """Screen px a um at which the whole slide just fits; None where its scale is not known."""
        slide, scale = self._session.slide, self._session.scale
        if slide is None or scale is None:
            return None
        height, width = self._viewer.canvas.size
        return float(min(height / (slide.height * scale.mpp_y), width / (slide.width * scale.mpp_x)))
