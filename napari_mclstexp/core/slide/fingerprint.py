"""A slide's fingerprint: stands for its content where its name must not be told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from napari_mclstexp.errors import ExportError, SlideError

if TYPE_CHECKING:
    from pathlib import Path

END_BYTES = 2**20
BLOCKS = 64
BLOCK_BYTES = 64 * 2**10


def fingerprint(*paths: Path) -> str:
    """SHA-256 over total size, first and last MiB, and 64 evenly spaced blocks of 64 KiB.

    Parameters
    ----------
    *paths : pathlib.Path
        Files, or folders, whose member files are taken in order of their relative names. Several files
        of one folder stand for one slide: they are taken in the order given, without their names.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    SlideError
        The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in paths:
            if path.is_dir():
                members = sorted((f.relative_to(path).as_posix(), f) for f in path.rglob("*") if f.is_file())
                for name, member in members:
                    digest.update(name.encode())
                    _update(digest, member)
            else:
                _update(digest, path)
    except OSError as error:
        msg = f"{paths[0].name} cannot be read: {error.strerror}."
        raise SlideError(msg) from error
    return digest.hexdigest()


def refuse_slide(target: Path, known: str, *opened: Path) -> None:
    """Raise ExportError where a target is the slide with this fingerprint, or what was opened with it.

    Parameters
    ----------
    target : pathlib.Path
        Where something is about to be written.
    known : str
        Fingerprint of the slide.
    *opened : pathlib.Path
        Files and folders that are open: see :attr:`.Slide.opened`, and :attr:`.Measured.path`. What lies in
        the folders of such a folder is part of it; a file directly in it may be an export of before.
    """
    if not target.exists():
        return
    try:
        is_part = any(path.resolve() in target.resolve().parents[1:] for path in opened if path.is_dir())
        is_open = any(path.exists() and target.samefile(path) for path in opened)
        is_slide = is_open or fingerprint(target) == known
    except (SlideError, OSError):
        return
    if is_part:
        msg = (
            f"{target.name} is part of what is open, which is never replaced. Choose another name or folder."
        )
        raise ExportError(msg)
    if is_slide:
        msg = f"{target.name} is the slide itself, which is never replaced. Choose another name."
        raise ExportError(msg)


def _update(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(END_BYTES))
        file.seek(max(0, size - END_BYTES))
        digest.update(file.read(END_BYTES))
        for block in range(BLOCKS):
            file.seek(max(0, size - BLOCK_BYTES) * block // (BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
