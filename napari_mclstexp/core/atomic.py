"""Writing without ever harming what was there before.

A sibling temporary file is written, verified by the caller, flushed to disk and moved over the target.
A folder (or its zip) is built beside the target and renamed into place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

PREFIX = ".mclstexp-"
"""How the names of files begin that are being written."""


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise ExportError when `target` exists and may not be replaced, or has no folder to lie in."""
    keep_private(target)
    if not target.parent.is_dir():
        msg = f"{target.name} cannot be written: the folder {target.parent} does not exist. Make it first."
        raise ExportError(msg)
    if target.exists() and not overwrite:
        msg = (
            f"{target.name} exists already in {target.parent}. Choose another name, or allow it to be "
            "replaced (--overwrite)."
        )
        raise ExportError(msg)


def write_file(
    target: Path,
    write: Callable[[Path], None],
    *,
    overwrite: bool = False,
    verify: Callable[[Path], None] | None = None,
) -> Path:
    """Write one file whole or not at all.

    Parameters
    ----------
    target : pathlib.Path
        The file to make.
    write : callable
        Writes the whole content to the path that it is given.
    overwrite : bool
        Whether an existing target may be replaced.
    verify : callable, optional
        Reopens the path that it is given and raises when it is not as it should be.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        The target exists, or it cannot be written; an old target is left as it was.
    """
    refuse_existing(target, overwrite=overwrite)
    if target.is_dir():
        msg = f"{target} is a folder. Give the name of a file."
        raise ExportError(msg)
    temporary = _sibling(target)
    try:
        write(temporary)
        if verify is not None:
            verify(temporary)
        _flush(temporary)
        os.replace(temporary, target)  # noqa: PTH105 - the one call that is atomic everywhere
        _flush_folder(target.parent)
    except (OSError, RuntimeError) as error:  # h5py raises RuntimeError on a full disk
        raise ExportError(_why(target, error)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def write_folder(target: Path, write: Callable[[Path], None], *, overwrite: bool = False) -> Path:
    """Write one folder whole or not at all; the old one is kept until the new one is complete.

    Parameters
    ----------
    target : pathlib.Path
        The folder to make.
    write : callable
        Fills the empty folder that it is given.
    overwrite : bool
        Whether an existing target may be replaced.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        The target exists, or it cannot be written; an old target is left as it was.
    """
    refuse_existing(target, overwrite=overwrite)
    temporary = _sibling(target)
    backup = temporary.with_suffix(".bak")
    try:
        temporary.mkdir()
        write(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        if target.exists():
            target.rename(backup)
        try:
            temporary.rename(target)
        except OSError:
            if backup.exists():
                backup.rename(target)
            raise
        _flush_folder(target.parent)
    except (OSError, RuntimeError) as error:
        raise ExportError(_why(target, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove(backup)
    return target


def remove_ours(folder: Path, names: re.Pattern[str]) -> None:
    """Remove a folder's files of these names, and what was left half written; then the folder, if empty.

    What anybody else put there stays.
    """
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if names.fullmatch(file.name) or file.name.startswith(PREFIX):
                file.unlink()
        folder.rmdir()


def _sibling(target: Path) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=".part" + target.suffix, dir=target.parent)
    except OSError as error:
        raise ExportError(_why(target, error)) from error
    os.close(handle)
    path = Path(name)
    path.unlink()
    return path


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _why(target: Path, error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return (
        f"{target.name} was not written: {reason}. What was there before is untouched. "
        "Close programs that use it, check free space and rights, or choose another place."
    )
