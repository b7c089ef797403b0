"""A slide of a cohort with what was predicted on it, as it is looked at: read on a worker."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mclstexp.cohort.folder import COHORT, load_cohort
from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.progress import Progress
from napari_mclstexp.core.scale import Scale, parse_mpp
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import CohortError, MclstexpError, ScaleError, SlideError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from napari_mclstexp.cohort.folder import Cohort, Entry, Record
    from napari_mclstexp.core.domain_history import History
    from napari_mclstexp.core.drawing import Drawing
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.slide import Slide

HEAD_BYTES = 4096
MARKS = (b'"schema_version"', b'"bundle_id"')
"""What begins a ``cohort.json`` of ours; other programs can have files of that name."""
NOT_YET = "Not predicted yet: the cohort's run has not come to it."


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A slide with what was predicted on it.

    Attributes
    ----------
    slide : Slide
        Open.
    scale : Scale or None
        That of the prediction, else the slide's.
    record : Record or None
        How it ended in the cohort.
    result : Result or None
        With its domains as they were edited in this window; None where there is none to show.
    history : History or None
        Of these edits.
    mark : str
        Of the prediction, see :func:`.kept_edits.mark_of`.
    drawing : Drawing or None
        Of the prediction's grid.
    note : str
        Why there is no result, or what else is not as it should be.
    """

    slide: Slide
    scale: Scale | None
    record: Record | None
    result: Result | None = None
    history: History | None = None
    mark: str = ""
    drawing: Drawing | None = None
    note: str = ""


def is_cohort(path: Path) -> bool:
    """Whether a path is a cohort's folder, or the ``cohort.json`` in one, be it damaged."""
    try:
        file = path / COHORT if path.is_dir() else path
        if file.name != COHORT or not file.is_file():
            return False
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except (OSError, ValueError):
        return False
    return all(mark in head for mark in MARKS)


def read_cohort(path: Path) -> tuple[Cohort, tuple[Record | None, ...]]:
    """A cohort, and how each of its slides ended.

    Raises
    ------
    CohortError
        See :func:`.folder.load_cohort`; or it has no slides.
    """
    keep_private(path)
    cohort = load_cohort(path)
    records = tuple(map(cohort.record, cohort.entries))
    if not records:
        msg = f"The cohort in {cohort.folder.name} has no slides yet. Run it first: mclstexp cohort run."
        raise CohortError(msg)
    return cohort, records


def open_page(
    cohort: Cohort, entry: Entry, *, smooth: bool, edited: Mapping[str, History]
) -> Generator[Progress, None, Page]:
    """Open a slide of a cohort with what was predicted on it.

    Parameters
    ----------
    cohort : Cohort
        Whose slide.
    entry : Entry
        Which.
    smooth : bool
        Whether its map runs smoothly from spot to spot.
    edited : mapping of str to History
        Edits of domains that may not have been written yet, by the mark of their prediction.

    Yields
    ------
    Progress
        What is being done.

    Returns
    -------
    Page
        Without a result where the slide has none, or one that cannot be read: its note tells why.

    Raises
    ------
    CohortError
        The slide is not where it was, or another one is.
    SlideError
        It cannot be opened.
    """
    yield Progress("Opening the slide", 0, 0)
    slide = _slide(cohort, entry)
    try:
        slide.glance(0, 0, 1, 1, len(slide.levels) - 1)  # what a preview costs is spent here
        yield Progress("Reading its prediction", 0, 0)
        record = cohort.record(entry)
        scale = _given_scale(cohort, entry) or slide.scale
        note = _why_none(record)
        if note:
            return Page(slide, scale, record, note=note)
        try:
            made = _result(cohort, entry, slide)
        except MclstexpError as error:
            return Page(slide, scale, record, note=f"{error} {_again(cohort.file(entry, '.h5ad'))}")
        yield Progress("Drawing", 0, 0)
        from napari_mclstexp.core.drawing import drawing_of

        drawing = drawing_of(made.grid, smooth=smooth, tissue=made.tissue)
        yield Progress("Reading its prediction", 0, 0)
        history, mark, note = _history(made, edited)
        about = made.provenance
        if math.isfinite(about.mpp_x):
            scale = Scale(about.mpp_x, about.mpp_y, about.mpp_source)
        result = made if history is None else made.with_domains(history.domains, history.count)
        return Page(slide, scale, record, result, history, mark, drawing, note)
    except BaseException:
        slide.close()
        raise


def _slide(cohort: Cohort, entry: Entry) -> Slide:
    """The slide where it was; else beside the cohort's folder or in it, where both were copied together."""
    keep_private(entry.path, "slide")
    folder, other, refused = cohort.folder, None, None
    for path in (folder / entry.path, folder.parent / entry.path.name, folder / entry.path.name):
        try:
            if not path.exists():
                continue
            slide = open_slide(path)
            if entry.fingerprint in ("", slide.fingerprint):
                return slide
            slide.close()
            other = other or path
        except SlideError as error:
            refused = refused or error
        except (OSError, ValueError):
            continue
    if refused is not None:
        raise refused
    back = f"Put it back there, or into {folder.parent}, and go to it again."
    if other is not None:
        msg = f"{other} is not the slide that the cohort was made of: its content is another. {back}"
    else:
        msg = f"The slide {entry.name} is not at {entry.path} any more. {back}"
    raise CohortError(msg)


def _given_scale(cohort: Cohort, entry: Entry) -> Scale | None:
    """Scale that was given for the slide, or for all of them."""
    with suppress(ScaleError):
        given = entry.mpp or str(cohort.settings.get("mpp") or "")
        return parse_mpp(given) if given else None
    return None


def _why_none(record: Record | None) -> str:
    """Why a slide has no result; empty where it has one."""
    if record is None:
        return NOT_YET
    if record.done:
        return ""
    how, _, kind = record.outcome.partition(":")
    return f"{how.capitalize()}: {record.reason or kind.strip() or 'no reason is told.'}"


def _again(file: Path) -> str:
    first = f"Delete {file.name} and run" if file.is_file() else "Run"
    return f"{first} the cohort again: what is missing is made anew."


def _result(cohort: Cohort, entry: Entry, slide: Slide) -> Result:
    """Its saved prediction.

    Raises
    ------
    ResultError
        It cannot be read.
    CohortError
        It belongs to another slide.
    """
    from napari_mclstexp.core.result_file import load_result  # its libraries take a while to load

    made = load_result(cohort.file(entry, ".h5ad"))
    about = made.provenance
    if (about.slide_fingerprint, about.width, about.height) != (slide.fingerprint, slide.width, slide.height):
        msg = f"{entry.name}.h5ad is the prediction of another slide."
        raise CohortError(msg)
    return made


def _history(made: Result, edited: Mapping[str, History]) -> tuple[History | None, str, str]:
    """Edits of its domains, the mark that they are kept by, and what is wrong with those that were kept."""
    if made.domains is None:
        return None, "", ""
    from napari_mclstexp.core.domain_history import History
    from napari_mclstexp.core.kept_edits import load_edits, mark_of

    mark, note = mark_of(made), ""
    found = edited.get(mark)
    if found is None:
        try:
            found = load_edits(made, mark)
        except MclstexpError as error:
            note = f"{error} They are shown as they were found."
    return found or History(made.domains), mark, note
