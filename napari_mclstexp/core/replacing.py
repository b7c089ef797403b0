"""Putting what has been written into its target's place; the old one survives any fault until then."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.core.unfinished import Names, flush_folder, mark_whole, new_stem, remove, repair
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SWAPS = 20
"""How often a folder is swapped anew because another process swapped it meanwhile."""


class _HalfDone(ExportError):
    """Some of several files were replaced, which could not be undone; their mark says what is to follow."""


@contextmanager
def replacing_all(targets: Sequence[Path], *, overwrite: bool) -> Iterator[list[Names]]:
    """Give names to write to; what is there at the block's end is flushed, and takes the targets' places."""
    places = [target.resolve() if target.is_symlink() else target for target in targets]
    for folder in {place.parent for place in places}:
        repair(folder)
    stem = new_stem()
    writes = [(Names.beside(place, stem), place) for place in places]
    half_done = False
    try:
        yield [names for names, _ in writes]
        for names, place in writes:
            with suppress(OSError):  # a new target has what the umask gives
                shutil.copymode(place, names.part)
            _flush(names.part)
            if place.exists() and not overwrite:
                raise _exists(place)
        if writes[0][0].part.is_dir():
            _swap(*writes[0], overwrite=overwrite)
        else:
            _replace(writes)
    except _HalfDone:
        half_done = True
        raise
    finally:
        for names, place in () if half_done else writes:
            _clear(names, place)


def finish(part: Path, target: Path) -> None:
    """Flush a file that has been written and checked, and put it in its target's place.

    Raises
    ------
    OSError
        It cannot be.
    """
    _flush(part)
    os.replace(part, target)  # noqa: PTH105 - the one call that is atomic everywhere
    flush_folder(target.parent)


def _replace(writes: Sequence[tuple[Names, Path]]) -> None:
    """Put files that are whole, and on the disk, in their places."""
    kept = [_keep(names, place) for names, place in writes]
    folders, swap = {place.parent for _, place in writes}, writes[0][0].swap
    if len(writes) > 1 and len(folders) == 1:
        mark_whole({names.part: place for names, place in writes}, swap)
    try:
        for names, place in writes:
            os.replace(names.part, place)  # noqa: PTH105 - the one call that is atomic everywhere
        for folder in folders:
            flush_folder(folder)
    except OSError as error:
        try:
            _undo(writes, kept)
        except OSError as also:
            place = writes[-1][1]
            if swap.exists():
                raise _HalfDone(_half(place, error)) from also
            raise ExportError(_unsure(place, error)) from also
        remove(swap)
        raise


def _undo(writes: Sequence[tuple[Names, Path]], kept: list[bool | None]) -> None:
    """Bring back what those targets were that were replaced."""
    for (names, place), how in zip(writes, kept, strict=True):
        if os.path.lexists(names.part):
            continue  # not replaced yet
        if how is None:
            raise OSError
        if how:
            os.replace(names.old, place)  # noqa: PTH105
        else:
            place.unlink()


def _keep(names: Names, place: Path) -> bool | None:
    """Whether there is a target, kept under a second name; None where the drive knows no second names."""
    if not place.exists():
        return False
    try:
        os.link(place, names.old)
    except OSError:
        return None
    return True


def _swap(names: Names, place: Path, *, overwrite: bool) -> None:
    """Put a folder that is whole, and on the disk, in the place of another."""
    mark_whole({names.part: place}, names.swap)
    for attempt in range(SWAPS):
        if not overwrite and place.exists():
            raise _exists(place)
        with suppress(FileNotFoundError):
            place.rename(names.old)
        try:
            names.part.rename(place)
            break
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and attempt + 1 < SWAPS:
                remove(names.old)  # another process was quicker: what it put there is the old one now
                continue
            _bring_back(names, place, error)
            raise
    try:
        flush_folder(place.parent)
    except OSError as error:
        try:
            place.rename(names.part)
        except OSError as also:
            raise ExportError(_unsure(place, error)) from also
        _bring_back(names, place, error)
        raise
    remove(names.old)


def _bring_back(names: Names, place: Path, why: OSError) -> None:
    """Put the old folder back; where that cannot be done either, leave all for the next start, and say so."""
    try:
        with suppress(FileNotFoundError):
            names.old.rename(place)
    except OSError as also:
        raise _HalfDone(_half(place, why)) from also


def _clear(names: Names, place: Path) -> None:
    """Bring back what the target was, where it is away, and remove everything else."""
    if os.path.lexists(names.old) and not os.path.lexists(place):
        with suppress(OSError):
            names.old.rename(place)
        if os.path.lexists(names.old):
            return  # the next start brings it to an end
    for path in (names.swap, names.part, names.old):  # the first says that the second is whole
        remove(path)


def _flush(path: Path) -> None:
    """Flush a file, or a folder from its files up."""
    if not path.is_dir():
        _flush_file(path)
        return
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            _flush_file(os.path.join(folder, name))  # noqa: PTH118 - as os.walk gives it
        flush_folder(Path(folder))


def _flush_file(path: Path | str) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unsure(place: Path, error: OSError) -> str:
    return (
        f"{place.name} was replaced, but the disk does not confirm it ({error.strerror}): a power cut could "
        "still undo it. Look after the disk, then write it again."
    )


def _half(place: Path, error: OSError) -> str:
    return (
        f"{place.name} and what belongs to it were replaced in part ({error.strerror}), which could not be "
        "undone. All of it is on the disk: the next start of this program brings it to an end."
    )


def _exists(place: Path) -> OSError:
    return FileExistsError(errno.EEXIST, "another program wrote it meanwhile", str(place))
