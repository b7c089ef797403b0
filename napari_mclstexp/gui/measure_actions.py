"""Measuring domains and annotations: on a worker, anew when they change while it is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, QTimer

from napari_mclstexp.gui.telling import tell_in_words

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.measures import Measurements
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.gui.side import Side
    from napari_mclstexp.session import Session

PAUSE_MS = 300
"""After the last change: of a row of edits, the last is measured."""


class MeasureActions(QObject):
    """Turns intents about measuring into tables.

    Parameters
    ----------
    session : Session
        Whose domains.
    jobs : Jobs
        Work beside the job.
    side : Side
        Where they are shown.
    """

    def __init__(self, session: Session, jobs: Jobs, side: Side) -> None:
        super().__init__()
        self._session, self._jobs, self._side = session, jobs, side
        self._asked = 0
        self._found: tuple[Result, Measurements] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._measure)
        self._signals = (session.result_changed, session.domains_changed, session.gene_changed)
        for signal in self._signals:
            signal.connect(self._changed)

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._timer.stop()
        for signal in self._signals:
            signal.disconnect(self._changed)

    def open(self) -> None:
        """Show the measurements."""
        view, first = self._side.show_measures()
        if first:
            view.asked.connect(self._measure)
            view.save_requested.connect(self.save)
        self._measure()

    def _changed(self) -> None:
        if self._side.measures is not None and self._side.measures.isVisible():
            self._timer.start()

    def _measure(self) -> None:
        view, result, gene = self._side.measures, self._session.result, self._session.gene
        if view is None or result is None or result.domains is None:
            return
        if gene in result.genes:
            view.ask_for(gene)
        genes, part = view.wanted()
        if not genes:
            return
        self._asked += 1
        asked = self._asked

        def work() -> Measurements:
            from napari_mclstexp.core.measures import measure_all

            return measure_all(result, genes, part)

        def done(found: Measurements) -> None:
            if asked == self._asked:
                self._found = result, found
                view.show_measurements(found)

        self._jobs.aside(work, done)

    def save(self, path: Path) -> None:
        """Write the table, on a worker."""
        if self._found is None:
            tell_in_words("There is nothing measured yet. Wait a moment.")
            return
        result, table = self._found[0], self._found[1].table

        def work() -> Path:
            from napari_mclstexp.core.export.measures import write_measures

            return write_measures(result, table, path, overwrite=True)

        self._jobs.aside(work, lambda written: show_info(f"Wrote {written.name}."))
