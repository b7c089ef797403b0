"""Slides on their way through the workers: laid, encoded tile by tile, finished."""

from __future__ import annotations

import logging
import queue
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_mclstexp.cohort import work
from napari_mclstexp.cohort.folder import Record
from napari_mclstexp.cohort.job import Job, Laid
from napari_mclstexp.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distributed import Client, Future

log = logging.getLogger(__name__)

AHEAD = 2
"""Slides begun for each worker: so none waits for the next, and the scheduler holds few."""
WAIT_S = 0.2


@dataclass(slots=True, eq=False)
class Going:
    """A slide that workers are busy with, and what they have of it."""

    job: Job
    laid: Future[Any] | None = None
    tiles: dict[int, Future[Any]] = field(default_factory=dict)
    seconds: float = 0.0
    left: int = 0

    def futures(self) -> list[Future[Any]]:
        """Tasks that were asked for."""
        return [f for f in (self.laid, *self.tiles.values()) if f is not None]


class Dispatch:
    """Gives workers tasks, of a bounded number of slides at a time, and hears of their ends.

    Parameters
    ----------
    client : distributed.Client
        By which they get work.
    jobs : sequence of Job
        The slides, each key once.
    """

    def __init__(self, client: Client, jobs: Sequence[Job]) -> None:
        self._client, self._waiting = client, list(jobs)[::-1]
        self._going: dict[str, Going] = {}
        self._heard: queue.SimpleQueue[tuple[str, str, Any]] = queue.SimpleQueue()
        self._spots = 0
        client.subscribe_topic(work.TOPIC, self._hear)

    def run(self) -> Iterator[tuple[Job | None, Record | None, int]]:
        """Slides as they end, with how; between them nothing, with the spots done so far."""
        while self._waiting or self._going:
            while self._waiting and len(self._going) < self._room():
                self._begin(self._waiting.pop())
            try:
                what, key, found = self._heard.get(timeout=WAIT_S)
            except queue.Empty:
                self._check()
                yield None, None, self._spots
                continue
            going = self._going.get(key)
            if going is None:
                continue
            if what == "spots":
                self._spots += found
                continue
            record = self._next(going, what, found)
            if record is not None:
                self._drop(going)
                yield going.job, record, self._spots

    def close(self) -> None:
        """Take back what is not done."""
        self._client.unsubscribe_topic(work.TOPIC)
        for going in list(self._going.values()):
            self._drop(going)

    def _room(self) -> int:
        workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return AHEAD * max(1, workers)

    def _check(self) -> None:
        if self._client.status not in ("running", "connecting"):
            msg = "Dask's scheduler is gone. What is done is kept: run the cohort again."
            raise CohortError(msg)

    def _begin(self, job: Job) -> None:
        going = self._going[job.key] = Going(job)
        going.laid = self._submit(going, "laid", work.begin)

    def _next(self, going: Going, what: str, found: Any) -> Record | None:
        """Go on after a task; a Record where the slide has ended."""
        if isinstance(found, Record):
            return found
        if what == "laid" and isinstance(found, Laid):
            starts = range(0, len(found.grid), going.job.tile)
            going.left = len(starts)
            for start in starts:
                going.tiles[start] = self._submit(going, "tile", work.encode_tile, going.laid, start)
            return None
        going.seconds += found
        going.left -= 1
        if going.left == 0:
            going.tiles[-1] = self._submit(going, "end", work.finish, going.laid, going.seconds, priority=10)
        return None

    def _submit(self, going: Going, what: str, task: Any, *rest: Any, priority: int = 0) -> Future[Any]:
        job = going.job
        part = "" if what != "tile" else f"-{rest[-1]}"
        future = self._client.submit(
            task,
            job,
            *rest,
            key=f"mclstexp-{what}-{job.fingerprint[:16]}-{job.key[:8]}{part}",
            priority=priority + (5 if what == "tile" else 0),
            pure=False,
        )
        future.add_done_callback(lambda done: self._heard.put((what, job.key, given_back(done, job))))
        return future

    def _drop(self, going: Going) -> None:
        self._going.pop(going.job.key, None)
        self._client.cancel([f for f in going.futures() if not f.done()])
        going.tiles.clear()
        going.laid = None

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        self._heard.put(("spots", event[1]["key"], event[1]["spots"]))


def given_back(future: Future[Any], job: Job) -> Any:
    """What a task gave that has ended, or a Record of how it could not."""
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    log.warning("A task ended as %s (%s)", future.status, type(error).__name__)
    if type(error).__name__ == "KilledWorker":
        text = "Each worker that had this slide died, which is mostly for want of memory. Take fewer workers."
    else:
        text = f"Its worker gave nothing back ({type(error).__name__ if error else future.status})."
    return Record(job.key, "failed: worker", text)
