"""Runs one generator at a time on a worker thread; results and errors arrive on the main thread."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QThreadPool
from superqt.utils import create_worker as create_light_worker

from napari_mclstexp.core.progress import Enough
from napari_mclstexp.errors import DeviceMemoryError
from napari_mclstexp.gui.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_mclstexp.session import Session

log = logging.getLogger(__name__)

JOIN_SECONDS = 30.0
TELLING_MS = 2000
"""How long closing waits, once the work has ended, until its thread has told of it."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    error: Exception | None = None
    cancelled: bool = False


class Jobs:
    """The background work of one window.

    Parameters
    ----------
    session : Session
        Its job state is kept up to date, and its generation tells whether an outcome still counts.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cancel, self._enough = threading.Event(), threading.Event()
        self._asides: dict[threading.Event, Callable[[Any], None]] = {}
        self._finished = threading.Event()
        self._finished.set()
        self._closed = False
        session.slide_changed.connect(self.cancel)

    @property
    def running(self) -> bool:
        """Whether a job runs."""
        return self._session.job.running

    def start(
        self, steps: Generator[Any, None, Any], done: Callable[[Any], None], message: str, asked_by: str
    ) -> bool:
        """Run a generator of Progress on a worker.

        Parameters
        ----------
        steps : generator
            Yields Progress; its return value goes to `done`.
        done : callable
            Called on the main thread, unless the slide has changed meanwhile.
        message : str
            Shown when it is done.
        asked_by : str
            Step that asks; told of how it ends.

        Returns
        -------
        bool
            False where another job runs; then nothing is started.
        """
        if self.running or self._closed:
            return False
        generation = self._session.generation
        cancel, enough, finished = threading.Event(), threading.Event(), threading.Event()
        self._cancel, self._enough, self._finished = cancel, enough, finished

        def run() -> Generator[Any, None, _Outcome]:
            try:
                while True:
                    if enough.is_set():
                        enough.clear()
                        step = steps.throw(Enough())
                    else:
                        step = next(steps)
                    if cancel.is_set():
                        steps.close()
                        return _Outcome(cancelled=True)
                    yield step
            except StopIteration as stop:
                return _Outcome(value=stop.value)
            except Enough:
                return _Outcome(cancelled=True)
            except Exception as error:  # noqa: BLE001 - handed to the main thread, which tells of it
                return _Outcome(error=error)
            finally:
                finished.set()

        def progressed(step: Any) -> None:
            if not cancel.is_set() and not self._closed:
                self._session.set_job(running=True, progress=step, asked_by=asked_by)

        def returned(outcome: _Outcome) -> None:
            # napari keeps every worker, for its list of tasks; and what a worker calls would stay with it.
            worker.yielded.disconnect(progressed)
            worker.returned.disconnect(returned)
            if self._closed:
                return
            current = generation == self._session.generation
            log.info("The job of step %s has ended", asked_by)
            if outcome.error is not None and current:
                no_room = isinstance(outcome.error, DeviceMemoryError) and outcome.error.device != "cpu"
                self._session.set_job(message=tell(outcome.error), asked_by=asked_by, no_room=no_room)
            elif outcome.cancelled or cancel.is_set() or not current:
                self._session.set_job(message="Cancelled.", asked_by=asked_by)
            else:
                done(outcome.value)  # before the end is told: what shows the work goes over to its outcome
                self._session.set_job(message=message, asked_by=asked_by)

        log.info("The job of step %s begins", asked_by)
        self._session.set_job(running=True, asked_by=asked_by)
        worker = create_worker(run, _connect={"yielded": progressed, "returned": returned})
        return True

    def aside(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run something short beside the job, without progress.

        Parameters
        ----------
        work : callable
            Run on a worker.
        done : callable
            Given on the main thread what `work` returned, unless the slide has changed meanwhile.
        """
        if self._closed:
            return
        generation, finished, tasks = self._session.generation, threading.Event(), [work]
        self._asides[finished] = (
            done  # not in what the worker holds: Qt lets go of that late, and of a viewer
        )

        def run() -> _Outcome:
            try:
                return _Outcome(value=tasks.pop()())
            except Exception as error:  # noqa: BLE001 - handed to the main thread, which tells of it
                return _Outcome(error=error)
            finally:
                finished.set()

        def returned(outcome: _Outcome) -> None:
            worker.returned.disconnect(returned)  # a worker can stay with Python's warnings for good
            take = self._asides.pop(finished, None)
            if self._closed or generation != self._session.generation or take is None:
                return
            if outcome.error is not None:
                tell(outcome.error)
            else:
                take(outcome.value)

        worker = create_light_worker(run, _connect={"returned": returned})

    def stop_here(self) -> None:
        """Ask a running prediction to end with what it has done."""
        if self.running:
            self._enough.set()
            self._session.set_job(running=True, message="Stopping", asked_by=self._session.job.asked_by)

    def cancel(self) -> None:
        """Ask the running job to stop; it does at its next step."""
        if self.running:
            self._cancel.set()
            self._session.set_job(running=True, message="Cancelling", asked_by=self._session.job.asked_by)

    def close(self) -> None:
        """Stop for good and wait for the worker to end."""
        self._closed = True
        self._cancel.set()
        ended = [event.wait(JOIN_SECONDS) for event in (self._finished, *self._asides)]
        self._asides.clear()
        if not all(ended):
            log.warning("A job did not stop within %g s", JOIN_SECONDS)
        # A thread that tells of its end while the program goes would abort it.
        QThreadPool.globalInstance().waitForDone(TELLING_MS)
