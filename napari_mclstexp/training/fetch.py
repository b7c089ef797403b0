"""The her2st data set, fetched section by section from the authors' repository, every file verified.

Which files there are, and their names by content, is told by GitHub for one pinned commit, and checked up to
that commit's name (`git_objects`). The files of four sections are known beforehand (`her2st.json`).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from napari_mclstexp.errors import FetchError
from napari_mclstexp.training.download import download, read_json
from napari_mclstexp.training.git_objects import Entry, blob_id, checked_tree, names_commit

if TYPE_CHECKING:
    from collections.abc import Generator

PINNED = Path(__file__).with_name("her2st.json")
HOSTS = ("api.github.com", "raw.githubusercontent.com")
SPARE_BYTES = 2**24
"""Left free on the disk."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the repository is asked.

    Attributes
    ----------
    api, raw : str
        Addresses of GitHub's interface and of its files. Tests, and mirrors inside an institution, give their
        own, also as MCLSTEXP_GITHUB_API and MCLSTEXP_GITHUB_RAW; what comes is checked all the same.
    """

    api: str = f"https://{HOSTS[0]}"
    raw: str = f"https://{HOSTS[1]}"

    @classmethod
    def from_environment(cls) -> Source:
        """GitHub, or what the environment names in its place."""
        return cls(
            os.environ.get("MCLSTEXP_GITHUB_API", cls().api), os.environ.get("MCLSTEXP_GITHUB_RAW", cls().raw)
        )


@dataclass(frozen=True, slots=True)
class File:
    """One file to have.

    Attributes
    ----------
    url : str
        Where it comes from.
    target : pathlib.Path
        Where it goes.
    name : str
        The same, within the data set's folder.
    blob : str
        Its name by content.
    size : int
        Its bytes.
    here : bool
        Whether it is there already, and verified.
    """

    url: str
    target: Path
    name: str
    blob: str
    size: int
    here: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fetch will do.

    Attributes
    ----------
    files : tuple of File
        Three a section.
    note : str
        What could not be checked, empty where all was.
    """

    files: tuple[File, ...]
    note: str

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes of the files that are not there."""
        return sum(f.size for f in self.files if not f.here)


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a fetch has come.

    Attributes
    ----------
    file : File
        The one at hand.
    done, total : int
        Bytes of all files to fetch.
    whole : bool
        Whether this file is complete and verified.
    """

    file: File
    done: int
    total: int
    whole: bool


def her2st_sections() -> tuple[str, ...]:
    """Names of all sections, A1 to H3; the letter is the patient."""
    return tuple(_pinned()["sections"])


def plan_her2st(folder: Path, sections: tuple[str, ...] = (), source: Source | None = None) -> Plan:
    """Find what is to be fetched; the list of files is asked for unless all are known beforehand.

    Parameters
    ----------
    folder : pathlib.Path
        Where the sections shall lie, as ``NAME.jpg``, ``cnts/NAME.tsv.gz``, ``spots/NAME_selection.tsv``.
    sections : tuple of str
        Which; all where empty.
    source : Source, optional
        Where to ask.

    Returns
    -------
    Plan
        Its files; those that are there are verified.

    Raises
    ------
    FetchError
        A section is unknown, or the list cannot be had or is not what it should be.
    """
    pinned, source = _pinned(), source or Source.from_environment()
    unknown = [name for name in sections if name not in pinned["sections"]]
    if unknown:
        msg = f"her2st has no section {unknown[0]}. Choose from {', '.join(pinned['sections'])}."
        raise FetchError(msg)
    lists: dict[str, tuple[dict[str, Entry], bool]] = {}
    files = []
    for name in dict.fromkeys(sections or pinned["sections"]):
        for part in pinned["parts"].values():
            commit = part["commit"]
            pattern = part["path"].format(name=name, patient=name[0])
            entry = _match(pattern, _known())
            if entry is None:
                if commit not in lists:
                    lists[commit] = _listed(commit, source)
                entry = _match(pattern, lists[commit][0])
            if entry is None:
                msg = f"The repository has no {pattern} at the pinned commit. See mclstexp data list."
                raise FetchError(msg)
            to = part["to"].format(name=name)
            url = f"{source.raw}/{pinned['repository']}/{commit}/{quote(entry.path)}"
            files.append(File(url, folder / to, to, entry.id, entry.size, _is_there(folder / to, entry)))
    return Plan(tuple(files), "" if all(tied for _, tied in lists.values()) else _UNTIED)


_UNTIED = (
    "The list of files fits together, but could not be tied to the pinned commit: that it is the right one "
    "is GitHub's word."
)


def fetch(plan: Plan) -> Generator[FetchProgress, None, int]:
    """Fetch what a plan says. Closing the generator stops it; what has arrived is kept and not fetched again.

    Parameters
    ----------
    plan : Plan
        Of :func:`plan_her2st`.

    Yields
    ------
    FetchProgress
        After each block, and each file.

    Returns
    -------
    int
        How many files were fetched.

    Raises
    ------
    FetchError
        A file cannot be had or written, or is not what it should be; those before it stay.
    """
    missing, done = [file for file in plan.files if not file.here], 0
    _make_room(missing, plan.bytes_to_fetch)
    for file in missing:
        for arrived in download(file.url, file.target, file.blob, file.size):
            yield FetchProgress(file, done + arrived, plan.bytes_to_fetch, whole=False)
        done += file.size
        yield FetchProgress(file, done, plan.bytes_to_fetch, whole=True)
    return len(missing)


def _make_room(files: list[File], needed: int) -> None:
    """Make the folders, and refuse a disk without room."""
    for folder in {file.target.parent for file in files}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            msg = f"{folder} cannot be used: {error.strerror}. Choose another folder."
            raise FetchError(msg) from error
        if free < needed + SPARE_BYTES:
            msg = (
                f"{needed / 1e6:,.0f} MB are to be fetched, and {folder} has room for {free / 1e6:,.0f} MB. "
                "Make room, or choose another folder or fewer sections."
            )
            raise FetchError(msg)


def _listed(commit: str, source: Source) -> tuple[dict[str, Entry], bool]:
    """Files of a commit, and whether its name vouches for them."""
    base = f"{source.api}/repos/{_pinned()['repository']}/git"
    try:
        described = read_json(f"{base}/commits/{commit}")
        root = described["tree"]["sha"]
        tied = names_commit(described, commit)
        answer = read_json(f"{base}/trees/{root}?recursive=1")
        entries = [
            Entry(e["path"], e["mode"].lstrip("0"), e["sha"], int(e.get("size", 0))) for e in answer["tree"]
        ]
        whole = not answer.get("truncated", False)
        listed = checked_tree(entries, root) if whole else {}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        msg = "GitHub's list of files has another form than expected. Nothing was fetched; try again later."
        raise FetchError(msg) from error
    if not whole:
        msg = "GitHub gave only a part of the list of files. Nothing was fetched; try again later."
        raise FetchError(msg)
    for path, known in _known().items():
        if path in listed and listed[path].id != known.id:
            msg = f"GitHub names another {path} than the one known. Nothing was fetched."
            raise FetchError(msg)
    return listed, tied


def _match(pattern: str, entries: dict[str, Entry]) -> Entry | None:
    """The entry at a path, or the only one that "*" in its last part stands for."""
    before, star, after = pattern.partition("*")
    if not star:
        return entries.get(pattern)
    found = [p for p in entries if p.startswith(before) and p.endswith(after) and "/" not in p[len(before) :]]
    return entries[found[0]] if len(found) == 1 else None


def _is_there(path: Path, entry: Entry) -> bool:
    return path.is_file() and path.stat().st_size == entry.size and blob_id(path) == entry.id


@cache
def _pinned() -> dict[str, Any]:
    pinned: dict[str, Any] = json.loads(PINNED.read_text(encoding="utf-8"))
    return pinned


@cache
def _known() -> dict[str, Entry]:
    """Files whose names by content are known beforehand."""
    known = _pinned()["known"]
    return {path: Entry(path, "100644", told["id"], told["size"]) for path, told in known.items()}
