"""What was being written when a process died: told from what a live one writes, then finished or undone.

Everything that is being written lies beside its target under a name of ours, which tells the computer (by a
hash), the process, and the write. Of one write there may be ``.part``, what becomes the target; ``.old``,
what the target was; and, of a folder or of files that belong together, ``.swap``, which says that the parts
are whole and on the disk, and for which targets.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

NAME = re.compile(r"(\.mclstexp-([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{12})\.(?:part|old|swap)(?:\.\w{1,12})?")
"""Stem, computer and process."""
SUFFIX = re.compile(r"\.\w{1,12}")
SWEEPS, SETTLE_S = 50, 0.02
"""How often a folder is deleted again that comes back, and after how long it is looked for."""
SLACK_S = 5.0
FOREIGN_S = 7 * 86400.0
"""How old what another computer writes must be, to be taken for left over."""


@dataclass(frozen=True, slots=True)
class Names:
    """Paths of one write, beside its target.

    Attributes
    ----------
    part : pathlib.Path
        What is written.
    old : pathlib.Path
        What the target was.
    swap : pathlib.Path
        Says that the parts are whole, and what they are to be called.
    """

    part: Path
    old: Path
    swap: Path

    @classmethod
    def beside(cls, target: Path, stem: str) -> Names:
        """Names by a stem of :func:`new_stem`; with the target's suffix, which some libraries go by."""
        folder, suffix = target.parent, target.suffix if SUFFIX.fullmatch(target.suffix) else ""
        return cls(folder / f"{stem}.part{suffix}", folder / f"{stem}.old{suffix}", folder / f"{stem}.swap")


def new_stem() -> str:
    """A stem that no other write has; short, however long the target's name is."""
    return f".mclstexp-{_computer()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def mark_whole(places: dict[Path, Path], swap: Path) -> None:
    """Say that parts, in one folder, are whole and on the disk.

    Parameters
    ----------
    places : dict of pathlib.Path to pathlib.Path
        Part, and the target that it is to become.
    swap : pathlib.Path
        Where to say so.
    """
    begun = swap.with_suffix(".part.swap")  # a mark is there whole or not at all
    try:
        with begun.open("w", encoding="utf-8") as file:
            json.dump({part.name: target.name for part, target in places.items()}, file)
            file.flush()
            os.fsync(file.fileno())
        begun.rename(swap)
    except BaseException:
        remove(begun)
        raise
    flush_folder(swap.parent)


def repair(folder: Path) -> None:
    """Finish or undo what dead processes were writing into a folder, and sweep what they left.

    A folder that was to be replaced is the old one or the new one afterwards, whole. What a live process is
    writing stays, and so does, for a week, what another computer is. A folder that cannot be read or written
    is left alone.
    """
    try:
        there = list(folder.iterdir())
    except OSError:
        return
    left: dict[str, list[Path]] = {}
    for path in there:
        if found := NAME.fullmatch(path.name):
            left.setdefault(found[1], []).append(path)
    for stem, paths in left.items():
        try:
            if not _being_written(paths):
                _settle(folder, f"{stem}.swap", paths)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("What was left half written cannot be cleared up (%s)", type(error).__name__)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, as far as that can be done.

    Where the writing of a folder has failed, threads of its library may go on for a moment, and make it anew.
    """
    if not path.is_dir() or path.is_symlink():
        with suppress(OSError):
            path.unlink()
        return
    for _ in range(SWEEPS):
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(SETTLE_S)
        if not path.exists():
            return


def flush_folder(folder: Path) -> None:
    """Make the names in a folder last. Windows cannot, and some network drives cannot."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _settle(folder: Path, swap: str, paths: list[Path]) -> None:
    """Bring one write to an end."""
    if folder / swap in paths:
        told = json.loads((folder / swap).read_text(encoding="utf-8"))
        for name, target in told.items():
            if NAME.fullmatch(name) is None or not target or Path(target).name != target:
                msg = "not names"
                raise ValueError(msg)
            _settle_one(folder / name, folder / target)
        flush_folder(folder)
    for path in paths:
        if path.name != swap:
            remove(path)
    remove(folder / swap)


def _settle_one(part: Path, target: Path) -> None:
    """Let a part that is whole take its place; a folder only where that place is free."""
    old = part.with_name(part.name.replace(".part", ".old"))
    if part.is_file():
        os.replace(part, target)  # noqa: PTH105
    elif not os.path.lexists(target):
        whole = part if part.is_dir() else old
        if whole.is_dir():
            whole.rename(target)
            log.info("A folder that was left half replaced is whole again")


def _being_written(paths: list[Path]) -> bool:
    found = NAME.fullmatch(paths[0].name)
    touched = 0.0
    for path in paths:
        with suppress(FileNotFoundError):
            about = path.lstat()
            touched = max(touched, about.st_mtime, about.st_ctime)
    if found is None or found[2] != _computer():
        return time.time() - touched < FOREIGN_S
    import psutil

    try:
        # A process that began after the file was written has only got the number of the one that wrote it.
        return bool(psutil.Process(int(found[3])).create_time() <= touched + SLACK_S)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


@cache
def _computer() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "replace")).hexdigest()[:8]
