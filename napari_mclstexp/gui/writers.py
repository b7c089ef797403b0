"""Napari's File > Save for layers of ours: what is written is the result of their window, with its edits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakValueDictionary

from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_mclstexp.session import Session

KEY = "mclstexp_result"
DEFAULT = ".h5ad"
"""Suffix where a person gives none: the one format that holds all of a result."""

_open: WeakValueDictionary[str, Session] = WeakValueDictionary()


class Saved:
    """Lets the layers of a window be saved while it is open.

    Parameters
    ----------
    session : Session
        State of the window; it is not kept alive.
    """

    def __init__(self, session: Session) -> None:
        self._key = uuid4().hex
        _open[self._key] = session

    def mark(self) -> dict[str, Any]:
        """Metadata of a layer that shows the window's result on the slide that is open."""
        session = _open.get(self._key)
        return {} if session is None else {KEY: (self._key, session.generation)}

    def close(self) -> None:
        """Let the layers be saved no longer."""
        _open.pop(self._key, None)


def write_layers(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write the result that layers show.

    Parameters
    ----------
    path : str
        Target, which is replaced: napari has asked. Without a suffix it gets ``.h5ad``, and nothing is
        replaced.
    layers : sequence of (data, metadata, type)
        Layer data of napari.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    ExportError
        A layer is none of a result, its window or its slide is no longer open, or the file cannot be written.
    """
    from napari_mclstexp.core.export import export_result

    sessions = [_session_of(about) for _, about, _ in layers]
    session = sessions[0]
    result = session.result
    if any(other is not session for other in sessions):
        raise ExportError("These layers show results of several windows. Save them one by one.")  # noqa: EM101
    if result is None or session.job.predicting:
        raise ExportError("The prediction is not done yet. Save it when it is.")  # noqa: EM101
    maps = any(kind != "labels" for _, _, kind in layers)
    gene = session.gene if maps and session.gene in result.genes else None
    target = Path(path)
    given = bool(target.suffix)
    target = target if given else target.with_name(target.name + DEFAULT)
    return [str(export_result(result, target, overwrite=given, gene=gene, opened=session.opened))]


def _session_of(about: dict[str, Any]) -> Session:
    name, (key, generation) = about.get("name", ""), about.get("metadata", {}).get(KEY, ("", 0))
    if not key:
        msg = (
            f"The layer {name} shows no domains or predictions of mclSTExp, which are all that it can write. "
            "Choose another format for it."
        )
        raise ExportError(msg)
    session = _open.get(key)
    if session is None or session.generation != generation:
        msg = (
            f"The prediction that the layer {name} shows is no longer open, so that it cannot be written. "
            "Open its slide again and resume."
        )
        raise ExportError(msg)
    return session
