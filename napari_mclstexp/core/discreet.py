"""Keeps identity out of text that may be sent to others: log lines, tracebacks, reports for support.

What is known to name a person's files is replaced wherever it stands (:func:`keep_private`); beyond that,
whatever looks like a path, an address or a data file is. So a word too many goes rather than one too few.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import sysconfig
from contextlib import suppress
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
SUFFIXES = (
    "svs|ndpi|mrxs|scn|bif|vms|vmu|dcm|tiff?|btf|jpe?g|png|jp2|j2[kc]|zarr|h5ad|h5|csv|tsv|txt|gmt|geojson|"
    "json|zip|gz|html|pdf|svg|ipynb|py|safetensors"
)
OURS = {"bundle.json", "weights.safetensors", "reference.h5ad", "beside.safetensors", "log.txt", "state.json"}
"""Names of files that every installation has."""
NOBODY = {"napari_mclstexp", "napari-mclstexp"}

_WORD = re.compile(r"[a-z]*|\w{0,3}")
"""What may be any word, and is not replaced without its suffix or the rest of its path."""
_URL = re.compile(r"\b\w[\w+.-]*://\S+")
_QUOTED = re.compile(r"(?<!\w)(['\"])(?:(?!\1)[^\n])*?[/\\](?:(?!\1)[^\n])*?\1(?!\w)")
_ROOTED = re.compile(
    r"(?<![\w.>/\\])(?:~?[/\\]|[A-Za-z]:[/\\])(?=[^\s/\\]|\\)"
    rf"(?:[^\n'\"<>]*(?:[/\\]|\.(?:{SUFFIXES})\b))?[^\s'\",;:)\]<>]*",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"(?<![\w<>])[^\s'\"(]*[^\s'\"(\d/\\][/\\][^\s'\",;)]+")
_FILE = re.compile(rf"(?<![\w<>])[^\s'\"(<>]*\w\.(?:{SUFFIXES})(?![\w<>])", re.IGNORECASE)
_FRAME = re.compile(r'^(\s*File )"([^"\n]*)"(, line \d+.*)$')

_private: dict[str, str] = {}
_names: list[re.Pattern[str]] = []


def keep_private(path: str | os.PathLike[str], what: str = "path") -> None:
    """Replace a file's paths and names, and those of its folders, from now on.

    Parameters
    ----------
    path
        A file or folder that a person named.
    what : str
        Word in whose angle brackets its name is told, such as ``slide``.
    """
    given = Path(path)
    forms = [str(path), str(given)]
    with suppress(OSError, ValueError):  # no folder to be in; no path at all
        forms += [str(given.absolute()), os.path.realpath(given)]
    for form in forms:
        _add(form, "path")
        _add(form.replace("\\", "/"), "path")
    _add(given.name, what)
    alone = [(given.stem, what), (given.name.partition(".")[0], what)]
    alone += [(folder.name, "path") for folder in Path(forms[-1]).parents]
    for name, of in alone:
        if not _WORD.fullmatch(name) and name not in NOBODY:
            _add(name, of)


def _add(text: str, what: str) -> None:
    if len(text) > 1 and text.lower() not in OURS and _private.setdefault(text, what) == what:
        _names.clear()


def discreet(text: str) -> str:
    """Text in which no path, no name of a file, person or computer stands.

    Parameters
    ----------
    text : str
        Of any number of lines. Of a traceback the names of the modules of installed packages stay.

    Returns
    -------
    str
        With ``<path>``, ``<file>``, ``<slide>`` and so on in their place.
    """
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    frame = _FRAME.match(line)
    if frame is not None:
        return f'{frame[1]}"{_module(frame[2])}"{frame[3]}'
    line = _URL.sub("<address>", line)
    line = _known().sub(lambda found: f"<{_what(found[0])}>", line)
    line = _QUOTED.sub(r"\1<path>\1", line)
    line = _ROOTED.sub("<path>", line)
    line = _RELATIVE.sub("<path>", line)
    return _FILE.sub(lambda found: found[0] if _common(found[0]) else "<file>", line)


def _common(name: str) -> bool:
    """Whether every installation has what looks like a file: our own ones, and modules."""
    return name in OURS or name.startswith(f"{PACKAGE.name}.")


def _module(file: str) -> str:
    """Where a module lies within its package; ``<path>`` for a person's own. What is such an answer stays."""
    path, ours = Path(file), PACKAGE.name
    if path.is_relative_to(PACKAGE):
        return (ours / path.relative_to(PACKAGE)).as_posix()
    for root in _package_folders():
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
        if not path.is_absolute() and (path.parts[:1] == (ours,) or (root / path).is_file()):
            return file
    return file if file.startswith("<frozen ") else "<path>"


def _package_folders() -> list[Path]:
    paths = sysconfig.get_paths()
    given = [Path(paths[name]) for name in ("purelib", "platlib", "platstdlib", "stdlib")]
    return [*given, *(folder.resolve() for folder in given)]


def _known() -> re.Pattern[str]:
    """What is to be replaced wherever it stands as a word, the longest first."""
    if not _names:
        everyone = {**dict.fromkeys(_people(), "user"), **dict.fromkeys(_hosts(), "host"), **_private}
        texts = sorted(everyone, key=len, reverse=True)
        whole = "|".join(map(re.escape, texts)) or r"(?!)"
        _names.append(re.compile(rf"(?<![^\W_])(?:{whole})(?![^\W_])", re.IGNORECASE))
    return _names[0]


def _what(found: str) -> str:
    for text, what in _private.items():
        if text.lower() == found.lower():
            return what
    return "host" if found.lower() in {host.lower() for host in _hosts()} else "user"


def _people() -> set[str]:
    try:
        named = {getpass.getuser()}
    except (OSError, KeyError, ImportError):  # an account without a name
        named = set()
    return {name for name in (*named, Path.home().name, str(Path.home())) if len(name) > 1}


def _hosts() -> set[str]:
    node = platform.node()
    return {name for name in (node, node.split(".")[0]) if len(name) > 1}
