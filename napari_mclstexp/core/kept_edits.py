"""Edits of domains as plain values; those of a prediction that lies elsewhere, kept in the user's folder."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.atomic import make_folder, write_text
from napari_mclstexp.core.domain_history import History, edit_as_dict, edit_from_dict
from napari_mclstexp.core.remembered import data_folder
from napari_mclstexp.errors import MclstexpError, ResultError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_mclstexp.core.result import Result

SCHEMA_VERSION = 1
MAX_BYTES = 50_000_000


def mark_of(result: Result) -> str:
    """Tells one prediction from another, and the same one with other domains."""
    found = hashlib.sha256(np.ascontiguousarray(result.expression).tobytes())
    found.update(np.ascontiguousarray(result.grid.centres_px).tobytes())
    if result.domains is not None:
        found.update(np.ascontiguousarray(result.domains.labels, dtype=np.int32).tobytes())
    return found.hexdigest()


def edits_as_dict(history: History | None) -> dict[str, Any]:
    """Edits done and undone as plain values for JSON."""
    return {
        "done": [edit_as_dict(e) for e in history.done] if history else [],
        "undone": [edit_as_dict(e) for e in history.undone] if history else [],
    }


def repeated(history: History, told: Mapping[str, Any]) -> History:
    """History with the edits of :func:`edits_as_dict` done again.

    Raises
    ------
    DomainError
        One of them is not possible.
    """
    for edit in (*told["done"], *reversed(told["undone"])):
        history = history.do(edit_from_dict(edit))
    for _ in told["undone"]:
        history = history.undo()
    return history


def keep_edits(made: Result, history: History) -> None:
    """Keep edits of the domains of a prediction by what it is, wherever it lies.

    Parameters
    ----------
    made : Result
        The prediction, with its domains as they were found.
    history : History
        What was done to them.

    Raises
    ------
    ExportError
        They cannot be written.
    """
    path = _path(mark_of(made))
    make_folder(path.parent)
    told = {"schema_version": SCHEMA_VERSION, **edits_as_dict(history)}
    write_text(path, json.dumps(told), overwrite=True)


def load_edits(made: Result, mark: str) -> History | None:
    """Edits that were kept of a prediction; None where there are none, or it has no domains.

    Parameters
    ----------
    made : Result
        The prediction, with its domains as they were found.
    mark : str
        By :func:`mark_of`.

    Raises
    ------
    ResultError
        They cannot be read.
    """
    path = _path(mark)
    if made.domains is None or not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = "too large"
            raise ValueError(msg)
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["schema_version"] != SCHEMA_VERSION:
            msg = "of another version"
            raise ValueError(msg)
        return repeated(History(made.domains), told)
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MclstexpError,
    ) as error:  # fmt: skip
        msg = "Edits that were kept of its domains cannot be read."
        raise ResultError(msg) from error


def _path(mark: str) -> Path:
    return data_folder() / "edits" / f"{mark}.json"
