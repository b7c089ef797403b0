"""A run of a cohort from its slides to its page."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_mclstexp.cohort import joint, work
from napari_mclstexp.cohort.combined import write_combined
from napari_mclstexp.cohort.dispatch import WAIT_S, Dispatch, given_back
from napari_mclstexp.cohort.job import Job
from napari_mclstexp.cohort.page import write_page
from napari_mclstexp.cohort.plan import CohortProgress, planned
from napari_mclstexp.cohort.table import write_table
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.errors import CohortError, ExportError, MclstexpError, ResultError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_mclstexp.cohort.engine import Engine
    from napari_mclstexp.cohort.folder import Cohort, Entry, Record
    from napari_mclstexp.cohort.request import Asked, Settings
    from napari_mclstexp.core.result import Result

TILE = 2048
"""Spots that a worker encodes at a time: what is lost where it dies."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How a cohort ended.

    Attributes
    ----------
    cohort : Cohort
        Its slides.
    records : mapping of str to Record
        By their names, how each ended.
    """

    cohort: Cohort
    records: Mapping[str, Record]

    @property
    def all_done(self) -> bool:
        """Whether there is a result of every slide."""
        return all(record.done for record in self.records.values())


def run_cohort(
    folder: Path,
    asked: Sequence[Asked],
    bundle: Path,
    settings: Settings,
    engine: AbstractContextManager[Engine],
    *,
    overwrite: bool = False,
    tile: int = TILE,
) -> Generator[CohortProgress, None, Outcome]:
    """Predict slides, find their domains together, and write table, AnnData and page.

    What is done already is not done again. Closing the generator stops it; what is done is kept.

    Parameters
    ----------
    folder : pathlib.Path
        Of the cohort, within :func:`.plan.cohort_folder`.
    asked : sequence of Asked
        The slides.
    bundle : pathlib.Path
        The model.
    settings : Settings
        How they are predicted.
    engine : context manager of Engine
        The workers; it is entered when there is something to do for them.
    overwrite : bool
        Whether a cohort by another model or other settings may be replaced.
    tile : int
        Spots a task at most.

    Yields
    ------
    CohortProgress
        Several times a second, and where a slide ends that was not done.

    Returns
    -------
    Outcome
        How each slide ended.

    Raises
    ------
    CohortError, BundleError, DeviceError
        What is asked for cannot be; or the workers are gone.
    ExportError
        Table, AnnData or page cannot be written.
    """
    settings.check()
    cohort, refused = yield from planned(folder, asked, bundle, settings, overwrite=overwrite)
    jobs = {entry: _job(cohort, entry, bundle, settings, tile) for entry in cohort.entries}
    records = _known(cohort, jobs, refused)
    for name, record in refused.items():
        yield CohortProgress("Reading the slides", len(jobs), len(records), note=_note(name, record))
    if len(records) < len(jobs) or not _has_joint(jobs, records):
        yield CohortProgress("Starting", len(jobs), len(records))
        with engine as workers:
            if workers.dashboard:
                yield CohortProgress("Starting", len(jobs), len(records), note=f"Dask: {workers.dashboard}")
            yield from _predict(cohort, jobs, records, workers)
            if not _has_joint(jobs, records):
                cohort = yield from _join(cohort, jobs, records, workers)
    done = [(entry, records[entry.name]) for entry in cohort.entries if records[entry.name].done]
    total = len(cohort.entries)
    if done:
        yield CohortProgress("Joining the slides", total, total)
        write_combined(cohort, done)
    write_table(cohort, records)
    write_page(cohort, records)
    return Outcome(cohort, records)


def _job(cohort: Cohort, entry: Entry, bundle: Path, settings: Settings, tile: int) -> Job:
    return Job(
        key=settings.key(entry.fingerprint or str(entry.path), cohort.bundle_hash, entry.mpp),
        fingerprint=entry.fingerprint,
        slide=str(entry.path),
        bundle=str(bundle.resolve()),
        folder=str(cohort.folder.resolve()),
        name=entry.name,
        mpp=entry.mpp,
        bundle_hash=cohort.bundle_hash,
        settings=settings,
        backend="",
        tile=tile,
    )


def _known(cohort: Cohort, jobs: Mapping[Entry, Job], refused: Mapping[str, Record]) -> dict[str, Record]:
    """Slides of which there is nothing to do: refused, or done before."""
    records = {}
    for entry, job in jobs.items():
        record = cohort.record(entry)
        if entry.name in refused:
            records[entry.name] = _kept(cohort, entry, refused[entry.name])
        elif record is not None and record.done and record.key == job.key and job.result.exists():
            records[entry.name] = record
    return records


def _joint_key(jobs: Mapping[Entry, Job], records: Mapping[str, Record]) -> str:
    settings = next(iter(jobs.values())).settings
    done = [record for record in records.values() if record.done]
    return joint.joint_key(done, settings.domains, settings.seed, settings.genes)


def _has_joint(jobs: Mapping[Entry, Job], records: Mapping[str, Record]) -> bool:
    """Whether all slides that are done have the domains that they have in common."""
    key = _joint_key(jobs, records)
    return all(record.joint == key for record in records.values() if record.done)


def _predict(
    cohort: Cohort, jobs: Mapping[Entry, Job], records: dict[str, Record], workers: Engine
) -> Generator[CohortProgress, None, None]:
    """Predict the slides that are in no record yet; then they are."""
    waiting = {job.key: entry for entry, job in jobs.items() if entry.name not in records}
    if not waiting:
        return
    given = [replace(jobs[entry], threads=workers.threads) for entry in waiting.values()]
    backend = yield from _backend(given[0], workers, CohortProgress("Starting", len(jobs), len(records)))
    dispatch = Dispatch(workers.client, [replace(job, backend=backend) for job in given])
    try:
        for ended, record, spots in dispatch.run():
            note = ""
            if ended is not None and record is not None:
                record = records[ended.name] = _kept(cohort, waiting[ended.key], record)
                note = "" if record.done else _note(ended.name, record)
            yield CohortProgress("Predicting", len(jobs), len(records), spots, note)
    finally:
        dispatch.close()


def _backend(first: Job, workers: Engine, step: CohortProgress) -> Generator[CohortProgress, None, str]:
    """How the network runs on the workers, as one of them finds out."""
    found = workers.client.submit(
        work.choose_backend, first, key=f"mclstexp-model-{first.bundle_hash[:16]}", pure=False
    )
    while found.status == "pending":
        yield step
        time.sleep(WAIT_S)
    try:
        return found.result()
    except MclstexpError:
        raise
    except Exception as error:
        msg = (
            f"No worker can load the model ({type(error).__name__}: {error}). Each needs this version of "
            "napari-mclstexp, and must see the model under the same path."
        )
        raise CohortError(msg) from error


def _join(
    cohort: Cohort, jobs: Mapping[Entry, Job], records: dict[str, Record], workers: Engine
) -> Generator[CohortProgress, None, Cohort]:
    """Give all slides that are done the same domains, and draw them; the cohort with these."""
    done = [(entry, records[entry.name]) for entry in jobs if records[entry.name].done]
    if not done:
        return cohort
    settings, step = jobs[done[0][0]].settings, CohortProgress("Finding domains", len(jobs), len(jobs))
    yield step
    spots = sum(record.spots for _, record in done)
    drawn = joint.sample(_results(cohort, done, records), spots, settings.seed)
    if drawn is None:
        return cohort
    done = [(entry, record) for entry, record in done if records[entry.name].done]
    found = joint.find_joint(drawn, settings.domains, settings.seed, _joint_key(jobs, records))
    genes = joint.shown_genes(drawn, settings.genes)
    del drawn
    cohort = replace(cohort, genes=genes, domains=dict(zip(found.names, found.colours, strict=True)))
    cohort.save()
    spread = workers.client.scatter(found, broadcast=True)
    going = {
        entry: workers.client.submit(
            work.label,
            jobs[entry],
            record,
            spread,
            genes,
            key=f"mclstexp-domains-{entry.fingerprint[:16]}-{found.key[:8]}",
            pure=False,
        )
        for entry, record in done
    }
    try:
        for entry, future in going.items():
            while future.status == "pending":
                yield step
                time.sleep(WAIT_S)
            record = records[entry.name] = _kept(cohort, entry, given_back(future, jobs[entry]))
            if not record.done:
                yield replace(step, note=_note(entry.name, record))
    finally:
        workers.client.cancel([future for future in going.values() if not future.done()])
    return cohort


def _results(
    cohort: Cohort, done: Sequence[tuple[Entry, Record]], records: dict[str, Record]
) -> Iterator[tuple[Record, Result]]:
    """Results of slides in turn; one that cannot be read has failed: the next run predicts it anew."""
    for entry, record in done:
        try:
            result = load_result(cohort.file(entry, ".h5ad"), pictures=False)
        except ResultError as error:
            told = replace(record, outcome="failed: result", reason=f"{error} Run the cohort again.")
            records[entry.name] = _kept(cohort, entry, told)
        else:
            yield record, result


def _note(name: str, record: Record) -> str:
    return f"{name}, {record.outcome}. {record.reason}"


def _kept(cohort: Cohort, entry: Entry, record: Record) -> Record:
    """Write how a slide ended; that this cannot be written is how it ended, then."""
    try:
        cohort.keep(entry, record)
    except ExportError as error:
        if record.done:
            return replace(record, outcome="failed: writing", reason=str(error))
    return record
