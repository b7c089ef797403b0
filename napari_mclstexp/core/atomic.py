"""The one way to write: whole or not at all, whatever fails on the way.

A temporary file beside the target is written, reopened and verified, flushed to the disk, and put in the
target's place; then the folder is flushed. A folder is built beside its target in the same way, marked as
whole, and swapped with what was there. What a killed process leaves is cleared up by the next write in that
folder; see :mod:`.replacing` and :mod:`.unfinished`.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.replacing import replacing_all
from napari_mclstexp.core.unfinished import NAME
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Step = Callable[[Path], object]

BLOCK_BYTES = 2**20


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise ExportError when `target` exists and may not be replaced, or has no folder to lie in."""
    keep_private(target)
    try:
        homeless, exists = not target.parent.is_dir(), target.exists()
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise ExportError(_why(target, error)) from error
    if homeless:
        msg = f"{target.name} cannot be written: the folder {target.parent} does not exist. Make it first."
        raise ExportError(msg)
    if exists and not overwrite:
        msg = (
            f"{target.name} exists already in {target.parent}. Choose another name, or allow it to be "
            "replaced (--overwrite)."
        )
        raise ExportError(msg)


def write_file(target: Path, write: Step, *, overwrite: bool = False, verify: Step | None = None) -> Path:
    """Write one file whole or not at all.

    Parameters
    ----------
    target : pathlib.Path
        The file to make; where it is a link, what it points to is replaced.
    write : callable
        Writes the whole content to the path that it is given.
    overwrite : bool
        Whether an existing target may be replaced.
    verify : callable, optional
        Reopens the path that it is given and raises when it is not as it should be; by default all of it is
        read, and it may not be empty.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        The target exists, or it cannot be written; an old target is left as it was.
    """
    _refuse(target, folder=False, overwrite=overwrite)
    with _told(target), replacing(target, overwrite=overwrite, verify=verify) as part:
        write(part)
    return target


def write_bytes(target: Path, content: bytes | memoryview, *, overwrite: bool = False) -> Path:
    """Write these bytes as a file; see :func:`write_file`."""
    return write_file(
        target,
        lambda path: put_bytes(path, content),
        overwrite=overwrite,
        verify=lambda path: same_bytes(path, content),
    )


def write_text(target: Path, text: str, *, overwrite: bool = False) -> Path:
    """Write a text as UTF-8, its lines as they are; see :func:`write_file`."""
    return write_bytes(target, text.encode("utf-8"), overwrite=overwrite)


def write_folder(target: Path, write: Step, *, overwrite: bool = False, verify: Step | None = None) -> Path:
    """Write one folder whole or not at all; the old one is kept until the new one is complete.

    Parameters
    ----------
    target : pathlib.Path
        The folder to make; where it is a link, what it points to is replaced.
    write : callable
        Fills the empty folder that it is given.
    overwrite : bool
        Whether an existing target may be replaced.
    verify : callable, optional
        Reopens the folder that it is given and raises when it is not as it should be; by default all files in
        it are read.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        The target exists, or it cannot be written; an old target is left as it was.
    """
    _refuse(target, folder=True, overwrite=overwrite)
    with _told(target), replacing(target, overwrite=overwrite, verify=verify) as part:
        part.mkdir()
        write(part)
    return target


def write_files(files: Sequence[tuple[Path, Step, Step]], *, overwrite: bool = False) -> None:
    """Write files that belong together: all of them, or none.

    Parameters
    ----------
    files : sequence of (pathlib.Path, callable, callable)
        Target, and what writes and verifies it; see :func:`write_file`. No two have one suffix.
    overwrite : bool
        Whether existing targets may be replaced.

    Raises
    ------
    ExportError
        A target exists, or one cannot be written; old targets are left as they were.
    """
    for target, _, _ in files:
        _refuse(target, folder=False, overwrite=overwrite)
    targets = [target for target, _, _ in files]
    with _told(targets[-1]), replacing_all(targets, overwrite=overwrite) as all_names:
        for names, (_, write, verify) in zip(all_names, files, strict=True):
            write(names.part)
            verify(names.part)


@contextmanager
def replacing(target: Path, *, overwrite: bool = True, verify: Step | None = None) -> Iterator[Path]:
    """Give a path to write to; what is there takes the target's place when the block ends well.

    Parameters
    ----------
    target : pathlib.Path
        File or folder.
    overwrite : bool
        Whether an existing target may be replaced.
    verify : callable, optional
        See :func:`write_file`.

    Yields
    ------
    pathlib.Path
        A free name beside the target, of the same suffix.

    Raises
    ------
    OSError
        It cannot be written; the target is as it was.
    ExportError
        It was replaced, but the disk does not say that this will last.
    """
    with replacing_all([target], overwrite=overwrite) as (names,):
        yield names.part
        (verify or read_all)(names.part)


def make_folder(folder: Path) -> Path:
    """Make a folder of ours, and those that it lies in.

    Raises
    ------
    ExportError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The folder {folder} cannot be made: {error.strerror}. Make room, or see who may write there."
        raise ExportError(msg) from error
    return folder


def put_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes to the path that a writer is given."""
    with path.open("wb") as file:
        file.write(content)


def same_bytes(path: Path, content: bytes | memoryview) -> None:
    """Raise OSError unless a file holds these bytes."""
    if path.read_bytes() != content:
        raise _unlike()


def read_all(path: Path) -> None:
    """Read a file, or each file of a folder, to its end; raise OSError where it is cut off, or nothing."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    total = 0
    for each in files:
        with each.open("rb") as file:
            count = 0
            while block := file.read(BLOCK_BYTES):
                count += len(block)
        if count != each.stat().st_size:
            raise _unlike()
        total += count
    if not total:
        raise _unlike()


def remove_ours(folder: Path, names: re.Pattern[str]) -> None:
    """Remove a folder's files of these names, and what was left half written; then the folder, if empty.

    What anybody else put there stays.
    """
    with suppress(OSError):
        for file in folder.iterdir():
            if names.fullmatch(file.name) or NAME.fullmatch(file.name):
                file.unlink()
        folder.rmdir()


def _refuse(target: Path, *, folder: bool, overwrite: bool) -> None:
    refuse_existing(target, overwrite=overwrite)
    if target.exists() and target.is_dir() != folder:
        there, wanted = ("file", "folder") if folder else ("folder", "file")
        msg = f"{target} is a {there}. Give the name of a {wanted}."
        raise ExportError(msg)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Tell what a disk does in words; whatever a library makes of it."""
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        if _of_the_disk(error) is None:
            raise
        raise ExportError(_why(target, error)) from error


def _of_the_disk(error: BaseException) -> BaseException | None:
    """What the disk did, where an error stems from that. Of a full disk h5py makes a RuntimeError."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError):
            return at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return error if isinstance(error, RuntimeError) else None


def _why(target: Path, error: BaseException) -> str:
    cause = _of_the_disk(error) or error
    reason = getattr(cause, "strerror", None) or " ".join(str(cause).split())
    return (
        f"{target.name} was not written: {reason}. What was there before is untouched. "
        "Close programs that use it, check free space and rights, or choose another place."
    )


def _unlike() -> OSError:
    return OSError("it does not read back as it was written")
