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
from napari_mclstexp.errors import CohortError, ExportError, MclstexpError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from napari_mclstexp.cohort.engine import Engine
    from napari_mclstexp.cohort.folder import Cohort, Entry, Record
    from napari_mclstexp.cohort.request import Asked, Settings

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
    engine: Engine,
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
    engine : Engine
        The workers.
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
    jobs = [(entry, _job(cohort, entry, bundle, settings, engine, tile)) for entry in cohort.entries]
    records = yield from _predicted(cohort, jobs, refused, engine)
    cohort, records = yield from _joined(cohort, jobs, records, engine)
    done = [(entry, records[entry.name]) for entry in cohort.entries if records[entry.name].joint]
    total = len(cohort.entries)
    if done:
        yield CohortProgress("Joining the slides", total, total)
        write_combined(cohort, done)
    write_table(cohort, records)
    write_page(cohort, records)
    return Outcome(cohort, records)


def _job(cohort: Cohort, entry: Entry, bundle: Path, settings: Settings, engine: Engine, tile: int) -> Job:
    return Job(
        key=settings.key(entry.fingerprint, cohort.bundle_hash, entry.mpp),
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
        threads=engine.threads,
    )


def _predicted(
    cohort: Cohort, jobs: Sequence[tuple[Entry, Job]], refused: Mapping[str, Record], engine: Engine
) -> Generator[CohortProgress, None, dict[str, Record]]:
    """Predict the slides that are not done; how each has ended."""
    records: dict[str, Record] = {}
    waiting: dict[str, tuple[Entry, Job]] = {}
    for entry, job in jobs:
        record = refused.get(entry.name) or cohort.record(entry)
        if entry.name in refused and record is not None:
            records[entry.name] = _kept(cohort, entry, record)
        elif record is not None and record.done and record.key == job.key and job.result.exists():
            records[entry.name] = record
        else:
            waiting[job.key] = entry, job
    total = len(jobs)
    if waiting:
        _, first = next(iter(waiting.values()))
        backend = yield from _backend(first, engine, CohortProgress("Starting", total, len(records)))
        dispatch = Dispatch(engine.client, [replace(job, backend=backend) for _, job in waiting.values()])
        try:
            for ended, record, spots in dispatch.run():
                note = ""
                if ended is not None and record is not None:
                    entry, _ = waiting[ended.key]
                    record = records[entry.name] = _kept(cohort, entry, record)
                    note = "" if record.done else f"{entry.name}, {record.outcome}. {record.reason}"
                yield CohortProgress("Predicting", total, len(records), spots, note)
        finally:
            dispatch.close()
    return records


def _backend(first: Job, engine: Engine, step: CohortProgress) -> Generator[CohortProgress, None, str]:
    """How the network runs on the workers, as one of them finds out."""
    found = engine.client.submit(
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


def _joined(
    cohort: Cohort, jobs: Sequence[tuple[Entry, Job]], records: dict[str, Record], engine: Engine
) -> Generator[CohortProgress, None, tuple[Cohort, dict[str, Record]]]:
    """Give all slides that are done the same domains, where they have not got them yet."""
    settings = jobs[0][1].settings
    done = [(entry, records[entry.name]) for entry, _ in jobs if records[entry.name].done]
    key = joint.joint_key([record for _, record in done], settings.domains, settings.seed, settings.genes)
    if all(record.joint == key for _, record in done):
        return cohort, records
    step = CohortProgress("Finding domains", len(jobs), len(jobs))
    yield step
    drawn = joint.sample(cohort, done, settings.seed)
    found = joint.find_joint(drawn, settings.domains, settings.seed, key)
    genes = joint.shown_genes(drawn, settings.genes)
    del drawn
    cohort = replace(cohort, genes=genes, domains=dict(zip(found.names, found.colours, strict=True)))
    cohort.save()
    going = {}
    by_name = {entry.name: job for entry, job in jobs}
    spread = engine.client.scatter(found, broadcast=True)
    for entry, record in done:
        job = by_name[entry.name]
        name = f"mclstexp-domains-{job.fingerprint[:16]}-{key[:8]}"
        going[entry.name] = (
            entry,
            engine.client.submit(work.label, job, record, spread, genes, key=name, pure=False),
        )
    try:
        for name, (entry, future) in going.items():
            while future.status == "pending":
                yield step
                time.sleep(WAIT_S)
            record = records[name] = _kept(cohort, entry, given_back(future, by_name[name]))
            if not record.done:
                yield replace(step, note=f"{name}, {record.outcome}. {record.reason}")
    finally:
        engine.client.cancel([future for _, future in going.values() if not future.done()])
    return cohort, records


def _kept(cohort: Cohort, entry: Entry, record: Record) -> Record:
    """Write how a slide ended; that this cannot be written is how it ended, then."""
    try:
        cohort.keep(entry, record)
    except ExportError as error:
        if record.done:
            return replace(record, outcome="failed: writing", reason=str(error))
    return record
