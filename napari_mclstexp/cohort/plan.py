"""What a run of a cohort has to do: its folder, its slides by their content, those that cannot be read."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from napari_mclstexp.cohort.folder import (
    COHORT,
    LOCK,
    MAPS,
    SLIDES,
    Cohort,
    Entry,
    Record,
    load_cohort,
)
from napari_mclstexp.cohort.names import names_for
from napari_mclstexp.core.atomic import make_folder
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.unfinished import repair
from napari_mclstexp.errors import CohortError, MclstexpError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from napari_mclstexp.cohort.request import Asked, Settings

NUMBERS = ("grid", "mpp", "top_k", "head", "domains", "seed")
"""Settings on which the numbers of a cohort depend."""


@dataclass(frozen=True, slots=True)
class CohortProgress:
    """How far a cohort is.

    Attributes
    ----------
    stage : str
        What goes on.
    slides, done : int
        How many there are, and how many have ended.
    spots : int
        Encoded since this run began.
    note : str
        How a slide ended that was not done, with its name.
    """

    stage: str
    slides: int
    done: int
    spots: int = 0
    note: str = ""


@contextmanager
def cohort_folder(folder: Path) -> Iterator[None]:
    """Make a cohort's folder, finish what a killed run left, and keep other runs out meanwhile.

    Raises
    ------
    CohortError
        It holds something else, or another run goes on in it.
    """
    if folder.exists() and not (folder / COHORT).exists():
        ours = (SLIDES, MAPS)  # of a run that was killed before it knew its slides
        members = [] if not folder.is_dir() else [m.name for m in folder.iterdir() if m.name[0] != "."]
        if not folder.is_dir() or any(name not in ours for name in members):
            msg = f"{folder} holds something other than a cohort. Choose a new folder."
            raise CohortError(msg)
    try:
        for part in (folder, folder / SLIDES, folder / MAPS):
            make_folder(part)
    except OSError as error:
        msg = f"{folder} cannot be made: {error.strerror}."
        raise CohortError(msg) from error
    lock = FileLock(folder / LOCK)
    try:
        with lock.acquire(blocking=False):
            for part in (folder, folder / SLIDES, folder / MAPS):
                repair(part)
            yield
    except Timeout as error:
        msg = f"Another run goes on in {folder}. Wait for its end, or choose another folder."
        raise CohortError(msg) from error


def planned(
    folder: Path, asked: Sequence[Asked], bundle: Path, settings: Settings, *, overwrite: bool = False
) -> Generator[CohortProgress, None, tuple[Cohort, dict[str, Record]]]:
    """Find out which slides there are, by their content, and which cannot be read.

    Slides that the folder has from earlier runs stay in the cohort; one that has moved is still the same.

    Parameters
    ----------
    folder : pathlib.Path
        Of the cohort.
    asked : sequence of Asked
        Slides.
    bundle : pathlib.Path
        The model.
    settings : Settings
        How they are predicted.
    overwrite : bool
        Whether a cohort by another model or other settings may be replaced.

    Yields
    ------
    CohortProgress
        A step a slide.

    Returns
    -------
    cohort : Cohort
        As it is written to the folder.
    refused : dict of str to Record
        By name, slides that cannot be read or are there twice.

    Raises
    ------
    CohortError, BundleError
        The folder's cohort is by another model or other settings; the model cannot be loaded.
    """
    yield CohortProgress("Loading the model", len(asked), 0)
    model = load_bundle(bundle)
    for gene in settings.genes:
        if gene not in model.spec.genes:
            msg = f"The model does not predict the gene {gene!r}, which the page should show."
            raise CohortError(msg)
    before = load_cohort(folder) if (folder / COHORT).exists() else None
    if before is not None and not overwrite:
        _check_same(before, model.digest, settings)
    paths = [slide.path for slide in asked]
    found: list[str | Record] = []
    for path in paths:
        found.append(_fingerprint(path))
        yield CohortProgress("Reading the slides", len(asked), len(found))
    known = {entry.path: entry for entry in (before.entries if before is not None else ())}
    for path, fingerprint in zip(paths, found, strict=True):
        moved = [e for e in known.values() if e.fingerprint == fingerprint and e.path not in paths]
        if path not in known and moved:
            known[path] = known.pop(moved[0].path)
    names = names_for(paths, {path: entry.name for path, entry in known.items()})
    refused: dict[str, Record] = {}
    first = {e.fingerprint: e.name for e in known.values() if e.path not in paths and e.fingerprint}
    for slide, fingerprint in zip(asked, found, strict=True):
        name = names[slide.path]
        digits = fingerprint if isinstance(fingerprint, str) else ""
        known[slide.path] = Entry(name, slide.path, digits, slide.mpp, slide.patient, slide.group)
        if isinstance(fingerprint, Record):
            refused[name] = fingerprint
        elif first.setdefault(fingerprint, name) != name:
            text = (
                f"It has the same content as {first[fingerprint]}, which counts once. Leave one of them out."
            )
            refused[name] = Record("", "refused: duplicate", text)
    cohort = Cohort(
        folder=folder,
        entries=tuple(known.values()),
        bundle=bundle.resolve(),
        bundle_id=model.id,
        bundle_hash=model.digest,
        unit=model.spec.normalisation,
        settings=settings.told(),
        genes=before.genes if before is not None else (),
        domains=before.domains if before is not None else {},
    )
    cohort.save()
    return cohort, refused


def _check_same(before: Cohort, digest: str, settings: Settings) -> None:
    told = settings.told()
    changed = [name for name in NUMBERS if before.settings.get(name) != told[name]]
    if before.bundle_hash != digest:
        changed = ["another model"]
    if changed:
        msg = (
            f"{before.folder} holds a cohort that was asked for otherwise ({', '.join(changed)}). "
            "Choose another folder, or add --overwrite to predict its slides anew."
        )
        raise CohortError(msg)


def _fingerprint(path: Path) -> str | Record:
    """A slide's fingerprint, or how it was refused."""
    try:
        with open_slide(path) as slide:
            return slide.fingerprint
    except MclstexpError as error:
        return Record("", "refused: slide", str(error))
