"""Keeps the work on the open slide while it is done, a moment after each change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_mclstexp.gui.slides import spatial

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.core.domain_history import History
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.saved import State
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session

PAUSE_MS = 1500
"""After the last change: a slider that is dragged is not written step by step."""


class Autosave(QObject):
    """Writes prediction, edits, gene and view to the user's folder; of what a cohort keeps, edits alone.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose view.
    session : Session
        Whose work.
    jobs : Jobs
        Writes beside the job.
    """

    def __init__(self, viewer: napari.Viewer, session: Session, jobs: Jobs) -> None:
        super().__init__()
        self._viewer, self._session, self._jobs = viewer, session, jobs
        self._kept: Result | None = None
        self._waiting: tuple[str, Result, History | None, State] | None = None
        self._paged: History | None = None
        self._edited: tuple[Result, History] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self.keep)
        self._signals = (
            session.result_changed,
            session.domains_changed,
            session.gene_changed,
            session.view_changed,
        )
        for signal in self._signals:
            signal.connect(self._changed)
        session.slide_changed.connect(self.keep)
        viewer.scene.camera.events.center.connect(self._changed)

    def disconnect(self) -> None:
        """Keep what waits, and follow no longer."""
        for signal in self._signals:
            signal.disconnect(self._changed)
        self._session.slide_changed.disconnect(self.keep)
        self._viewer.scene.camera.events.center.disconnect(self._changed)
        self.keep()

    def taken_up(self, result: Result) -> None:
        """A prediction was read from what is kept: it need not be written again."""
        self._kept = result

    def paged(self, history: History | None) -> None:
        """A prediction of a cohort is to be shown, with these edits: they need not be written again."""
        self._paged = history

    def _changed(self) -> None:
        slide, result, history = self._session.slide, self._session.result, self._session.history
        if self._session.shows_page:
            if result is not None and history is not None and history is not self._paged:
                self._paged, self._edited = history, (result, history)
                self._timer.start()
        elif slide is not None and result is not None:
            self._waiting = slide.fingerprint, result, history, self._state()
            self._timer.start()

    def keep(self) -> None:
        """Write what has changed, on a worker."""
        self._timer.stop()
        edited, self._edited = self._edited, None
        if edited is not None:
            result, history = edited
            from napari_mclstexp.core.kept_edits import keep_edits

            self._jobs.aside(lambda: keep_edits(result.with_domains(history.start), history), lambda _: None)
        if self._waiting is None:
            return
        fingerprint, result, history, state = self._waiting
        self._waiting = None
        made = result if history is None else result.with_domains(history.start)
        same = self._kept is not None and self._kept.expression is made.expression
        same = same and self._kept.domains is made.domains
        self._kept = made

        def work() -> None:
            from napari_mclstexp.core.saved import keep_work

            keep_work(fingerprint, result, state, history, anew=not same)

        self._jobs.aside(work, lambda _: None)

    def _state(self) -> State:
        from napari_mclstexp.core.saved import State

        session, camera = self._session, self._viewer.scene.camera
        per_px = spatial(session.scale)["scale"]
        y, x = camera.center[-2:]
        view = session.view
        return State(
            gene=session.gene,
            colour=view.colour,
            opacity=view.opacity,
            domains=view.domains,
            bundle=str(session.bundle_path or ""),
            centre=(float(y / per_px[0]), float(x / per_px[1])),
            zoom=float(camera.zoom * per_px[0]),
            regions=None if session.used_regions is None else session.used_regions.as_geojson(),
            spots=str(session.spots_path or ""),
        )
