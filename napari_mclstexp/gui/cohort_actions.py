"""Paging through a cohort: its slides are opened on a worker with what was predicted on them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_mclstexp.core.bundle_files import digest_of
from napari_mclstexp.errors import GeneError, MclstexpError
from napari_mclstexp.gui.telling import tell
from napari_mclstexp.gui.zoom import Zoom
from napari_mclstexp.session.paging import Paging

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import napari

    from napari_mclstexp.cohort.folder import Cohort, Record
    from napari_mclstexp.cohort.paging import Page
    from napari_mclstexp.core.domain_history import History
    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.core.signatures import GeneSet
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.gui.autosave import Autosave
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session

CANCELLING = "Cancelling"
ANEW = "Opened anew: the cohort's prediction of it is not shown."
BUSY = "Something is still running. Wait for it, or cancel it."


@dataclass(frozen=True, slots=True)
class _Seen:
    """What of a slide's view goes on to the next one."""

    gene: str | None
    signature: GeneSet | None
    blend: tuple[str, ...]
    hidden: frozenset[str]


class CohortActions:
    """Turns intents about a cohort into the session's state.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose view is kept.
    session : Session
        State of the window.
    jobs : Jobs
        Its background work.
    autosave : Autosave
        Told of what was read from the cohort.
    model, take_model : callable
        Path of the model that is chosen in the window; choose another. Spots are explained by the one that
        made the cohort, if it is either chosen or still where it was.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        jobs: Jobs,
        autosave: Autosave,
        model: Callable[[], Path],
        take_model: Callable[[Path], None],
    ) -> None:
        self._session, self._jobs, self._autosave = session, jobs, autosave
        self._model, self._take_model = model, take_model
        self._zoom = Zoom(viewer, session)
        self._loading: int | None = None
        self._given_up = False
        self._slide: Slide | None = None
        self._asked: int | None = None
        self._mark = ""
        self._edited: dict[str, History] = {}
        self._seen = _Seen(None, None, (), frozenset())
        session.job_changed.connect(self._go_on)
        session.slide_changed.connect(self._other_slide)

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.job_changed.disconnect(self._go_on)
        self._session.slide_changed.disconnect(self._other_slide)

    def open(self, path: Path) -> None:
        """Read a cohort on a worker, and go to its first slide."""
        from napari_mclstexp.cohort.paging import read_cohort

        if self._session.job.busy:
            show_info(BUSY)
            return
        self._jobs.aside(lambda: read_cohort(path), self._opened)

    def _opened(self, read: tuple[Cohort, tuple[Record | None, ...]]) -> None:
        session = self._session
        self._remember_edits()
        before = session.view.colour if session.paging is None else session.paging.before
        paging = Paging.of(*read, before)
        self._asked, self._loading = 0, None
        self._seen = _Seen(paging.first_gene, None, (), frozenset())  # but what is shown now, stays
        session.set_paging(paging)
        self._go_on()

    def leave(self) -> None:
        """Leave the cohort; its slide stays open, with its result."""
        session, paging = self._session, self._session.paging
        if paging is None:
            return
        self._remember_edits()
        if self._loading is not None and session.job.running:
            self._jobs.cancel()
        session.set_paging(None)
        before = paging.before
        if paging.same_colours:
            session.set_view(colour=replace(session.view.colour, by=before.by, numbers=before.numbers))

    def step(self, by: int) -> None:
        """Go so many slides on from the one that was asked for last."""
        paging = self._session.paging
        if paging is None:
            return
        last = len(paging.cohort.entries) - 1
        start = paging.wanted if paging.wanted is not None else self._asked
        at = by + (-1 if start is None else start)
        if at == paging.at and paging.wanted is None:  # one between could not be opened
            at += by
        if 0 <= at <= last:
            self.go(at)

    def go(self, at: int) -> None:
        """Go to a slide; of several that are asked for in haste, to the last."""
        paging = self._session.paging
        if paging is None or at == paging.wanted or (at == paging.at and paging.wanted is None):
            return
        if self._session.job.busy:
            show_info(BUSY)
            return
        self._asked = at
        self._session.set_paging(replace(paging, wanted=None if at == paging.at else at))
        self._go_on()

    def _go_on(self) -> None:
        """Open the slide that is wanted, as soon as nothing else runs."""
        paging, job = self._session.paging, self._session.job
        wanted = None if paging is None else paging.wanted
        if job.running:
            other = self._loading is None and wanted is not None
            stale = self._loading is not None and wanted != self._loading
            if (other or stale) and job.asked_by == "slide" and job.message != CANCELLING:
                self._given_up = True
                self._jobs.cancel()
            return
        ended, given_up = self._loading, self._given_up
        self._loading, self._given_up = None, False
        if paging is None or wanted is None:
            return
        if ended == wanted and not given_up:  # it was cancelled, or has failed, and that was told
            self._session.set_paging(replace(paging, wanted=None))
            return
        self._loading = wanted
        self._jobs.start(self._steps(paging, wanted), self._arrived, "", "slide")

    def _steps(self, paging: Paging, at: int) -> Generator[Progress, None, object]:
        """Steps of opening a slide; an error that a person can mend is their outcome, to be told in time."""
        cohort, entry = paging.cohort, paging.cohort.entries[at]
        models = self._model(), cohort.bundle
        smooth, edited = self._session.view.colour.smooth, dict(self._edited)

        def steps() -> Generator[Progress, None, object]:
            from napari_mclstexp.cohort.paging import open_page

            try:
                page = yield from open_page(cohort, entry, smooth=smooth, edited=edited)
            except MclstexpError as error:
                return error
            made_by = "" if page.result is None else page.result.provenance.bundle_hash
            return page, next((path for path in models if made_by and digest_of(path) == made_by), None)

        return steps()

    def _arrived(self, outcome: MclstexpError | tuple[Page, Path | None]) -> None:
        paging, at = self._session.paging, self._loading
        if paging is None or at is None or at != paging.wanted:
            return
        if isinstance(outcome, MclstexpError):
            self._session.set_paging(replace(paging, wanted=None))
            tell(outcome)
            return
        self._show(at, *outcome)

    def _show(self, at: int, page: Page, model: Path | None) -> None:
        """Show a slide with its result, as the one before was seen."""
        session = self._session
        self._remember_edits()
        self._remember_view()
        self._zoom.note()
        self._mark = page.mark
        paging = session.paging
        if paging is not None:  # told at once: this slide is of the cohort
            session.set_paging(paging.arrived(at, page.record, page.note))
        self._slide = page.slide
        session.set_slide(page.slide, page.scale)
        result, seen = page.result, self._seen
        if result is not None:
            self._autosave.paged(page.history)
            about = result.provenance
            session.bundle_path = model
            if model is not None and model != self._model():
                self._take_model(model)
            if about.domain_count:
                session.set_domain_choice(count=about.domain_count, method=about.domain_method)
            session.set_result(result, page.drawing, page.history, gene=seen.gene, page=True)
            with suppress(GeneError):  # of another model's genes
                if seen.blend:
                    session.set_blend(seen.blend)
                elif seen.signature is not None:
                    session.set_signature(seen.signature)
            names = {} if result.domains is None else result.domains.names
            session.set_view(hidden=frozenset(i for i, name in names.items() if name in seen.hidden))
        self._zoom.restore()

    def _remember_view(self) -> None:
        """What is seen now, for the next slide; a slide without a result does not change it."""
        session, result = self._session, self._session.result
        if result is not None:
            names = {} if result.domains is None else result.domains.names
            self._seen = _Seen(
                session.gene,
                None if session.signature is None else session.signature[0],
                session.view.blend,
                frozenset(names[i] for i in session.view.hidden if i in names),
            )

    def _remember_edits(self) -> None:
        """Edits of the domains shown, should the slide be gone to again before they are written."""
        history = self._session.history
        if self._session.shows_page and history is not None and self._mark:
            self._edited[self._mark] = history

    def _other_slide(self) -> None:
        """Leave the cohort where a slide was opened that is none of it."""
        paging, slide = self._session.paging, self._session.slide
        if paging is None or slide is None or slide is self._slide:
            return
        if paging.entry is not None and slide.fingerprint == paging.entry.fingerprint:
            self._session.set_paging(replace(paging, wanted=None, note=ANEW))
        else:
            self.leave()
