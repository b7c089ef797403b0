"""Taking work up where it was left, and giving it out as a figure or as code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_info

from napari_mclstexp.core.drawing import drawing_of
from napari_mclstexp.core.maps import Blend
from napari_mclstexp.core.regions import regions_of
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.gui.slides import spatial
from napari_mclstexp.gui.telling import tell_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_mclstexp.core.figure import Scene
    from napari_mclstexp.core.saved import Kept, State, Work
    from napari_mclstexp.gui.autosave import Autosave
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session


class WorkActions:
    """Turns intents about the whole work into files, and back.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose view is seen.
    session : Session
        State of the window.
    jobs : Jobs
        Its background work.
    autosave : Autosave
        Told of what was taken up.
    """

    def __init__(self, viewer: napari.Viewer, session: Session, jobs: Jobs, autosave: Autosave) -> None:
        self._viewer, self._session, self._jobs, self._autosave = viewer, session, jobs, autosave
        session.slide_changed.connect(self._look)

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.slide_changed.disconnect(self._look)

    def _look(self) -> None:
        """See whether work on the slide was kept."""
        slide = self._session.slide
        if slide is None:
            return

        def work() -> Kept | None:
            from napari_mclstexp.core.saved import kept_work

            return kept_work(slide.fingerprint)

        self._jobs.aside(work, self._session.set_kept)

    def resume(self, done: Callable[[State], None]) -> None:
        """Take up what was kept of the open slide; `done` is given its gene and view."""
        slide, session = self._session.slide, self._session
        shown = session.result  # that of a cohort may be
        if slide is None:
            return

        def work() -> tuple[Work, object]:
            from napari_mclstexp.core.saved import load_work

            found = load_work(slide.fingerprint)
            smooth = found.state.colour.smooth
            return found, drawing_of(found.result.grid, smooth=smooth, tissue=found.result.tissue)

        def take(read: tuple[Work, object]) -> None:
            found, drawing = read
            state, about = found.state, found.result.provenance
            if session.result is not shown or session.slide is not slide:
                return
            if np.isfinite(about.mpp_x):
                session.set_scale(Scale(about.mpp_x, about.mpp_y, about.mpp_source))
            if session.paging is None:  # else its slides keep their colours in common
                session.set_view(colour=state.colour, opacity=state.opacity, domains=state.domains)
            self._autosave.taken_up(
                found.result if found.history is None else found.result.with_domains(found.history.start)
            )
            if about.domain_count:
                session.set_domain_choice(count=about.domain_count, method=about.domain_method)
            session.bundle_path = Path(state.bundle) if state.bundle else None
            session.spots_path = Path(state.spots) if state.spots else None
            session.used_regions = None if state.regions is None else regions_of(state.regions)
            session.set_result(found.result, drawing, found.history)  # type: ignore[arg-type]
            if state.gene in found.result.genes:
                session.set_gene(state.gene)
            self._look_at(state)
            done(state)

        self._jobs.aside(work, take)

    def forget(self) -> None:
        """Delete what was kept of the open slide."""
        slide = self._session.slide
        if slide is None:
            return

        def work() -> None:
            from napari_mclstexp.core.saved import forget

            forget(slide.fingerprint)

        self._session.set_kept(None)
        self._jobs.aside(work, lambda _: None)

    def save_figure(self, path: Path, dpi: int) -> None:
        """Draw what is seen to a file, on a worker."""
        session = self._session
        result, slide, opened = session.result, session.slide, session.opened
        if result is None:
            tell_in_words("There is nothing to draw yet: predict first.")
            return
        scene = self._scene()

        def work() -> Path:
            from napari_mclstexp.core.figure import save_figure

            return save_figure(result, scene, path, slide=slide, dpi=dpi, overwrite=True, opened=opened)

        self._jobs.aside(work, lambda written: show_info(f"Wrote {written.name}."))

    def save_script(self, path: Path) -> None:
        """Write the session as a script or a notebook, on a worker."""
        session = self._session
        result, slide, bundle = session.result, session.slide, session.bundle_path
        if session.shows_page:
            tell_in_words(
                "The domains shown were found over all slides of the cohort: a script for this slide alone "
                "cannot repeat them. Run the cohort again by mclstexp cohort run."
            )
            return
        if result is None or slide is None or bundle is None:
            tell_in_words("There is nothing to write as code yet: predict first.")
            return
        history = session.history
        edits = () if history is None else history.done
        kept = () if history is None else history.start.annotations
        colours = {} if history is None else dict(history.start.colours)
        spots, regions, plane = session.spots_path, session.used_regions, slide.traits.plane
        count = result.provenance.domain_count

        def work() -> Path:
            from napari_mclstexp.core.replay import recipe_of, save_script

            recipe = recipe_of(
                result,
                slide.path,
                bundle,
                domains=count,
                plane=plane,
                spots=spots,
                regions=None if regions is None else regions.as_geojson(),
                edits=edits,
                annotations=kept,
                colours=colours,
                gene=session.gene if session.gene in result.genes else None,
            )
            return save_script(recipe, path, overwrite=True)

        self._jobs.aside(work, lambda written: show_info(f"Wrote {written.name}."))

    def _box_px(self) -> tuple[float, float, float, float]:
        """y0, x0, y1, x1 of what is seen, full-resolution px."""
        camera, size = self._viewer.scene.camera, self._viewer.canvas.size
        per_px = np.array(spatial(self._session.scale)["scale"])
        centre = np.array(camera.center[-2:])
        half = np.array(size) / camera.zoom / 2
        (y0, x0), (y1, x1) = (centre - half) / per_px, (centre + half) / per_px
        return float(y0), float(x0), float(y1), float(x1)

    def _scene(self) -> Scene:
        from napari_mclstexp.core import figure

        session, view = self._session, self._session.view
        shown = session.predicted_map if view.heatmap else None
        heatmap: figure.Heatmap | figure.Blend | None = None
        if isinstance(shown, Blend):
            heatmap = figure.Blend(shown.genes, shown.rgb, view.opacity)
        elif shown is not None:
            heatmap = figure.Heatmap(
                shown.name,
                shown.values,
                shown.limits,
                shown.colormap,
                shown.unit,
                view.opacity,
                view.colour.smooth,
            )
        return figure.Scene(self._box_px(), heatmap, view.domains, view.heatmap, view.hidden)

    def _look_at(self, state: State) -> None:
        if state.zoom > 0:
            per_px = spatial(self._session.scale)["scale"]
            camera = self._viewer.scene.camera
            camera.zoom = state.zoom / per_px[0]
            camera.center = (state.centre[0] * per_px[0], state.centre[1] * per_px[1])
