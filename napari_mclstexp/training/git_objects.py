"""Names that git gives to contents: who holds a commit's name can check every file of it.

A name is the SHA-1 of a kind, a length and a content (Git's documentation, gitformat-objects). A tree's
content names its files and folders; a commit's names its tree.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from napari_mclstexp.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 2**20
TREE = "40000"
ZONES = [f"{'-' if m < 0 else '+'}{abs(m) // 60:02d}{abs(m) % 60:02d}" for m in range(-720, 841, 15)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of a tree.

    Attributes
    ----------
    path : str
        From the root, with "/".
    mode : str
        As in a tree's content, such as 100644; folders have 40000.
    id : str
        40 hexadecimal digits.
    size : int
        Bytes of a file, 0 for a folder.
    """

    path: str
    mode: str
    id: str
    size: int


def blob_id(path: Path) -> str:
    """Name of a file's content, 40 hexadecimal digits."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def checked_tree(entries: list[Entry], root: str) -> dict[str, Entry]:
    """Entries of a tree by path, once every folder up to the root has the name that its content gives it.

    Parameters
    ----------
    entries : list of Entry
        All files and folders, at any depth.
    root : str
        Name of the root.

    Raises
    ------
    FetchError
        A name does not fit its content.
    """
    inside: dict[str, list[Entry]] = {"": []}
    for entry in entries:
        inside.setdefault(entry.path.rpartition("/")[0], []).append(entry)
    folders = {e.path: e.id for e in entries if e.mode == TREE} | {"": root}
    for path in inside.keys() | folders.keys():
        if _tree_id(inside.get(path, [])) != folders.get(path):
            msg = (
                f"The list of files is not what it should be: the names in {path or 'its top'} do not give "
                "the name of the folder. Nothing was fetched; try again later."
            )
            raise FetchError(msg)
    return {e.path: e for e in entries}


def names_commit(described: dict[str, Any], commit: str) -> bool:
    """Whether a commit as GitHub describes it gives its name; the tree that it tells is then the right one.

    GitHub tells times in UTC and leaves out the zone, which is a part of the content: all zones are tried. It
    drops the message's last line break.
    """
    return any(_name(b"commit", text.encode()) == commit for text in _commit_texts(described))


def _commit_texts(described: dict[str, Any]) -> Iterator[str]:
    signed = described.get("verification") or {}
    if signed.get("payload") and signed.get("signature"):
        head, _, message = signed["payload"].partition("\n\n")
        # a genuine signature beside another tree says nothing of that tree
        own = head.startswith(f"tree {described['tree']['sha']}\n")
        for signature in (signed["signature"].rstrip("\n"), signed["signature"]) if own else ():
            yield f"{head}\ngpgsig " + signature.replace("\n", "\n ") + f"\n\n{message}"
    tops = [f"tree {described['tree']['sha']}", *(f"parent {p['sha']}" for p in described["parents"])]
    author, committer = _who(described["author"]), _who(described["committer"])
    likely = [(zone, zone) for zone in ZONES] + [(a, b) for a in ZONES for b in ZONES]
    for end in ("\n", ""):
        for a, b in likely:
            lines = [*tops, f"author {author} {a}", f"committer {committer} {b}", "", described["message"]]
            yield "\n".join(lines) + end


def _who(person: dict[str, str]) -> str:
    seconds = int(datetime.fromisoformat(person["date"]).timestamp())
    return f"{person['name']} <{person['email']}> {seconds}"


def _tree_id(entries: list[Entry]) -> str:
    def key(entry: Entry) -> bytes:  # git sorts folders as if they ended in "/"
        return (_last(entry) + ("/" if entry.mode == TREE else "")).encode()

    rows = (f"{e.mode} {_last(e)}".encode() + b"\0" + bytes.fromhex(e.id) for e in sorted(entries, key=key))
    return _name(b"tree", b"".join(rows))


def _last(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _name(kind: bytes, content: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
