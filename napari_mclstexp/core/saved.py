"""Work on a slide, kept in the user's folder, so that it can be taken up where it was left.

One folder a slide, named by its fingerprint: ``result.h5ad`` with the prediction as it was made, and
``state.json`` with what changes more often (edits of the domains, gene, view).
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.atomic import make_folder, write_text
from napari_mclstexp.core.domain_history import History
from napari_mclstexp.core.kept_edits import edits_as_dict, mark_of, repeated
from napari_mclstexp.core.maps import Colour
from napari_mclstexp.core.remembered import data_folder
from napari_mclstexp.errors import MclstexpError, ResultError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_mclstexp.core.result import Result

SCHEMA_VERSION = 1
KEPT_SLIDES = 30
"""Of more slides than these, what was kept longest ago goes."""
WAIT_S = 10.0
"""How long another window is waited for that reads or writes the same work."""
MAX_STATE_BYTES = 50_000_000
RESULT, STATE = "result.h5ad", "state.json"


@dataclass(frozen=True, slots=True)
class State:
    """What of a session changes often.

    Attributes
    ----------
    gene : str or None
        The gene shown.
    colour : Colour
        Its colours.
    opacity : float
        Of the map.
    domains : str
        How domains are shown.
    bundle : str
        Path of the model.
    centre : tuple of float
        y, x of the view's centre, full-resolution px.
    zoom : float
        Screen pixels a full-resolution px; 0 where unknown.
    regions : mapping or None
        GeoJSON of where it was predicted; None for the whole tissue.
    spots : str
        Path of the spots that a file gave.
    """

    gene: str | None = None
    colour: Colour = field(default_factory=Colour)
    opacity: float = 0.8
    domains: str = "outlines"
    bundle: str = ""
    centre: tuple[float, float] = (0.0, 0.0)
    zoom: float = 0.0
    regions: Mapping[str, Any] | None = None
    spots: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is told of kept work before it is read.

    Attributes
    ----------
    when : datetime.datetime
        When it was kept, local time.
    spots, edits : int
        Of the prediction, and of its domains; 0 where the prediction alone was kept.
    """

    when: datetime
    spots: int
    edits: int


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Kept work.

    Attributes
    ----------
    result : Result
        With its domains as they were edited.
    history : History or None
        Edits of the domains, so that they can be undone.
    state : State
        Gene and view.
    """

    result: Result
    history: History | None
    state: State


def folder_of(fingerprint: str) -> Path:
    """Folder of the work on a slide; it need not exist."""
    return data_folder() / "slides" / re.sub(r"[^0-9A-Za-z]+", "-", fingerprint)


def keep_result(fingerprint: str, result: Result) -> None:
    """Keep a prediction, as it is before its domains are edited.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    from napari_mclstexp.core.result_file import save_result

    folder = make_folder(folder_of(fingerprint))
    save_result(result, folder / RESULT, overwrite=True)
    _tidy(folder)


def keep_work(fingerprint: str, result: Result, state: State, history: History | None, *, anew: bool) -> None:
    """Keep prediction and state as a whole: of two windows on one slide, that of the last one is kept.

    Parameters
    ----------
    fingerprint : str
        The slide's.
    result : Result
        The prediction, with its domains as they were edited.
    state : State
        Gene and view.
    history : History or None
        Edits of the domains.
    anew : bool
        Whether the prediction is another one than this window kept before. It is written again, too, where
        another window's is kept now.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    made = _as_made(result, history)
    with _alone(fingerprint):
        if anew or _kept_mark(fingerprint) != mark_of(made):
            keep_result(fingerprint, made)
        keep_state(fingerprint, state, history, result)


def keep_state(fingerprint: str, state: State, history: History | None, result: Result) -> None:
    """Keep gene, view and edits of the domains beside the prediction that they belong to.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    folder = make_folder(folder_of(fingerprint))
    told = {
        "schema_version": SCHEMA_VERSION,
        "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        "spots": len(result.grid),
        "of": mark_of(_as_made(result, history)),
        "state": asdict(state),
        **edits_as_dict(history),
    }
    write_text(folder / STATE, json.dumps(told), overwrite=True)


def kept_work(fingerprint: str) -> Kept | None:
    """What is kept of a slide; None where there is nothing that can be read."""
    folder = folder_of(fingerprint)
    try:
        written = datetime.fromtimestamp((folder / RESULT).stat().st_mtime).astimezone()
    except OSError:
        return None
    try:
        told = _told(folder)
        return Kept(datetime.fromisoformat(told["when"]), int(told["spots"]), len(told["done"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Kept(written, 0, 0)


def load_work(fingerprint: str) -> Work:
    """Read kept work.

    Raises
    ------
    ResultError
        It cannot be read.
    """
    with _alone(fingerprint):
        return _load(fingerprint)


def _load(fingerprint: str) -> Work:
    from napari_mclstexp.core.result_file import load_result

    folder = folder_of(fingerprint)
    result = load_result(folder / RESULT)
    history = None if result.domains is None else History(result.domains)
    try:
        told = _told(folder)
        if told["of"] != mark_of(result):  # it stopped between writing the one and the other
            return Work(result, history, State())
        given = dict(told["state"])
        colours: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given["colour"].items()
        }
        colour = Colour(**colours)
        state = State(**{**given, "colour": colour, "centre": tuple(given["centre"])})
        if history is not None:
            history = repeated(history, told)
            result = result.with_domains(history.domains, history.count)
    except FileNotFoundError:
        return Work(result, history, State())
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MclstexpError,
    ) as error:  # fmt: skip
        msg = "What was kept of this slide cannot be read. Start anew: the slide itself is untouched."
        raise ResultError(msg) from error
    return Work(result, history, state)


@contextmanager
def _alone(fingerprint: str) -> Iterator[None]:
    """Let no other window write or read the work on a slide meanwhile; wait for it a while, not for ever."""
    from filelock import FileLock, Timeout

    folder = folder_of(fingerprint)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"), thread_local=False)
    with suppress(OSError, Timeout):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=WAIT_S)
    try:
        yield
    finally:
        lock.release()


def _as_made(result: Result, history: History | None) -> Result:
    """The prediction before its domains were edited."""
    return result if history is None else result.with_domains(history.start)


def _kept_mark(fingerprint: str) -> str:
    """Mark of the prediction that is kept; empty where none is."""
    folder = folder_of(fingerprint)
    try:
        return str(_told(folder)["of"]) if (folder / RESULT).is_file() else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def forget(fingerprint: str) -> None:
    """Delete what is kept of a slide."""
    shutil.rmtree(folder_of(fingerprint), ignore_errors=True)


def _told(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    if path.stat().st_size > MAX_STATE_BYTES:
        msg = "too large"
        raise ValueError(msg)
    told = json.loads(path.read_text(encoding="utf-8"))
    if told["schema_version"] != SCHEMA_VERSION:
        msg = "of another version"
        raise ValueError(msg)
    return dict(told)


def _tidy(kept: Path) -> None:
    """Delete what was kept longest ago of other slides, where there are too many."""
    others = [f for f in kept.parent.iterdir() if f.is_dir() and f != kept]
    others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in others[KEPT_SLIDES - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
