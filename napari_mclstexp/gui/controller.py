"""A panel's intent -> pipeline on a worker -> session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_mclstexp.core.bundle_files import makes_dense_maps, reads_native_pixels
from napari_mclstexp.core.drawing import Watched, drawing_of
from napari_mclstexp.core.opening import preparing
from napari_mclstexp.core.progress import Progress
from napari_mclstexp.errors import MclstexpError, SlideError
from napari_mclstexp.gui.telling import tell_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.drawing import Drawing
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.measured.on_slide import Measured
    from napari_mclstexp.core.regions import Regions
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.slide import Companion, Slide
    from napari_mclstexp.core.tissue import TissueMask
    from napari_mclstexp.gui.domain_actions import DomainActions
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session

MEASURED = "measured"
"""Name of the grid that is the measured section's own."""
DENSE = "dense"
"""Name of the grid that is the model's dense map."""


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """What the predict panel asks for.

    Attributes
    ----------
    bundle : pathlib.Path
        Model bundle.
    grid : str
        ``visium``, ``st``, a pitch in um, ``dense`` for the model's dense map, or ``measured`` for the
        measured section's spots.
    spots : pathlib.Path or None
        CSV of spots instead of a grid.
    device : str
        Where the network runs.
    batch_size : int or None
        Patches a forward pass.
    """

    bundle: Path
    grid: str
    spots: Path | None
    device: str
    batch_size: int | None = None


def rate_key(request: PredictRequest) -> str:
    """By what the speed of a prediction is remembered: model and device, and whether it is a dense map."""
    return f"{request.bundle.name} {request.device}{' dense' if is_dense(request) else ''}"


def is_dense(request: PredictRequest) -> bool:
    """Whether a dense map is asked for, of a model that makes them."""
    return request.grid == DENSE and makes_dense_maps(request.bundle)


class Controller:
    """Turns what a person asks for into work, and its outcome into the session's state.

    Parameters
    ----------
    session : Session
        State of the window.
    jobs : Jobs
        Its background work.
    domains : DomainActions
        Knows the domains of slides before.
    """

    def __init__(self, session: Session, jobs: Jobs, domains: DomainActions) -> None:
        self._session, self._jobs, self._domains = session, jobs, domains
        self._prepared_for = 0
        self._read_for = 0
        session.slide_changed.connect(self._read_companion)
        session.job_changed.connect(self._read_companion)
        session.slide_changed.connect(self._prepare)
        session.job_changed.connect(self._prepare)

    def open_slide(self, path: Path, plane: int | None = None, companion: Companion | None = None) -> None:
        """Open a slide on a worker, with a measured section where it brings none itself."""

        def steps() -> Generator[Progress, None, Slide]:
            yield Progress("Opening the slide", 0, 0)
            from napari_mclstexp.core.slide import open_slide

            slide = open_slide(path, plane)
            slide.companion = slide.companion or companion
            _ = slide.fingerprint
            slide.glance(0, 0, 1, 1, len(slide.levels) - 1)  # what a preview costs is spent here
            return slide

        self._start(steps(), self._session.set_slide, "", "slide")

    def choose_plane(self, plane: int) -> None:
        """Open another plane of the stack that is open."""
        slide = self._session.slide
        if slide is not None and slide.traits.plane != plane:
            self.open_slide(slide.path, plane, slide.companion)

    def _prepare(self) -> None:
        """Make what the open slide lacks, once for each slide that was opened and when nothing else runs."""
        slide, generation = self._session.slide, self._session.generation
        if slide is None or slide.prepared or self._session.job.running or self._prepared_for == generation:
            return
        self._prepared_for = generation
        self._start(preparing(slide), lambda _: None, "", "slide")

    def _read_companion(self) -> None:
        """Read the measured section that was opened with the slide, once and when nothing else runs."""
        slide, generation = self._session.slide, self._session.generation
        if slide is None or slide.companion is None or self._session.job.running:
            return
        if self._read_for != generation:
            self._read_for = generation
            self.add_measured(slide.companion.path)

    def add_measured(self, path: Path) -> None:
        """Read a measured section of the open slide on a worker."""
        slide = self._session.slide
        if slide is None:
            tell_in_words("Open a slide first.")
            return
        factor = 1.0 if slide.companion is None else slide.companion.factor

        def steps() -> Generator[Progress, None, Measured]:
            yield Progress("Reading the measured section", 0, 0)
            from napari_mclstexp.core.measured.reading import read_measured

            return read_measured(path, slide, factor)

        self._start(steps(), self._session.set_measured, "", "slide")

    def needs_scale(self, bundle: Path) -> bool:
        """Whether a bundle reads fields in um; so it is taken of one that cannot be read."""
        return not reads_native_pixels(bundle)

    def predict(self, request: PredictRequest) -> None:
        """Predict the open slide on a worker."""
        session = self._session
        slide, scale, choice = session.slide, session.scale, session.domain_choice
        if slide is None:
            tell_in_words("Open a slide first.")
            return
        tissue, regions, notes = session.tissue, session.regions, session.annotations
        grid, known = self._grid(request), self._domains.known()

        def steps() -> Generator[Progress, None, tuple[Result, Drawing, float]]:
            yield Progress("Loading the bundle", 0, 0)
            from napari_mclstexp.core import pipeline  # the model's libraries take seconds to load
            from napari_mclstexp.core.device import leave_a_core
            from napari_mclstexp.core.domain_colours import coloured_like

            leave_a_core()
            bundle = self._bundle(request.bundle)
            predicting = pipeline.predict_and_label(
                slide,
                bundle,
                scale,
                grid=grid,
                spots=request.spots,
                device=request.device,
                batch_size=request.batch_size,
                domains=choice.count,
                domain_method=choice.method,
                tissue=tissue,
                regions=regions,
                resumable=True,
            )
            watched = Watched()
            result = yield from watched(predicting)
            yield Progress("Drawing", 0, 0)
            if known is not None:
                result = coloured_like(result, known)
            if notes and result.domains is not None:  # a person's own: they belong to the slide
                result = replace(result, domains=replace(result.domains, annotations=notes))
            if request.grid == DENSE:
                drawing = drawing_of(result.grid, smooth=True, tissue=result.tissue)
            else:
                drawing = watched.drawing(result.grid)
            return result, drawing, watched.spots_a_second

        def done(outcome: tuple[Result, Drawing, float]) -> None:
            result, drawing, rate = outcome
            session.bundle_path, session.spots_path = request.bundle, request.spots
            session.used_regions = regions
            if rate > 0:
                session.set_remembered(session.remembered.with_rate(rate_key(request), rate))
            if request.grid == DENSE:
                session.set_view(colour=replace(session.view.colour, smooth=True))
            session.set_result(result, drawing)

        self._start(steps(), done, "Done.", "predict")

    def _grid(self, request: PredictRequest) -> str | SpotGrid:
        measured = self._session.measured
        if measured is not None and request.grid == MEASURED:
            return measured.grid_at(self._session.scale)
        return request.grid

    def lay(self, request: PredictRequest, tissue: TissueMask | None, regions: Regions | None) -> SpotGrid:
        """Spots that a prediction would have.

        Raises
        ------
        MclstexpError
            There can be none.
        """
        from napari_mclstexp.core.laying import lay_spots

        if request.grid == DENSE:
            from napari_mclstexp.core.dense import dense_grid

            request = replace(request, grid=dense_grid(self._bundle(request.bundle).spec))
        slide, scale, grid = self._session.slide, self._session.scale, self._grid(request)
        if slide is None:
            raise SlideError("Open a slide first.")  # noqa: EM101
        return lay_spots(slide, scale, grid=grid, spots=request.spots, tissue=tissue, regions=regions)

    def export(self, path: Path, *, overwrite: bool) -> None:
        """Export the result on a worker."""
        result, gene, opened = self._session.result, self._session.gene, self._session.opened
        if result is None:
            tell_in_words("There is nothing to export yet: predict first.")
            return

        def steps() -> Generator[Progress, None, Path]:
            yield Progress("Exporting", 0, 0)
            from napari_mclstexp.core.export import export_result

            return export_result(result, path, overwrite=overwrite, gene=gene, opened=opened)

        self._start(
            steps(), lambda written: show_info(f"Wrote {written.name}."), f"Wrote {path.name}.", "export"
        )

    def cancel(self) -> None:
        """Stop what runs."""
        self._jobs.cancel()

    def stop_here(self) -> None:
        """End a prediction with the spots that are done."""
        self._jobs.stop_here()

    def bundle_of_result(self) -> Bundle | None:
        """The model that made the result shown; None where it cannot be read any more. Run on a worker."""
        path = self._session.bundle_path
        try:
            return None if path is None else self._bundle(path)
        except MclstexpError:
            return None

    def _bundle(self, path: Path) -> Bundle:
        """Bundle of a path, loaded anew only where the file has changed."""
        marker = path / "bundle.json" if path.is_dir() else path
        key = f"{path.resolve()} {marker.stat().st_mtime_ns if marker.is_file() else 0}"
        if key not in self._session.bundles:
            from napari_mclstexp.core.bundle import load_bundle

            self._session.bundles = {key: load_bundle(path)}
        return self._session.bundles[key]

    def _start(self, steps: Generator, done: Callable, message: str, asked_by: str) -> None:  # type: ignore[type-arg]
        if not self._jobs.start(steps, done, message, asked_by):
            show_info("Something is still running. Wait for it, or cancel it.")
