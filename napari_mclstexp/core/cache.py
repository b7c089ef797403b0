"""A bounded folder on disk for what is costly to make again, such as the decoded pixels of a slide.

Files are named by a fingerprint, never by the slide's name. The least recently used go first when the
folder outgrows its bound; what a killed process left unfinished is swept.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from napari_mclstexp.core.atomic import replacing
from napari_mclstexp.core.unfinished import NAME, repair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "MCLSTEXP_CACHE"
"""Environment variable that names another folder."""

BOUND_VARIABLE = "MCLSTEXP_CACHE_GB"
DEFAULT_GB = 10.0


def cache_folder() -> Path:
    """Folder of the cache; it need not exist."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else user_cache_path("napari-mclstexp") / "slides"


def bound_bytes() -> int:
    """How many bytes the folder may hold."""
    try:
        gigabytes = float(os.environ.get(BOUND_VARIABLE, DEFAULT_GB))
    except ValueError:
        gigabytes = DEFAULT_GB
    return int(max(0.0, gigabytes) * 1e9)


def cached(name: str) -> Path | None:
    """Path of a finished file, marked as just used; None where there is none."""
    path = cache_folder() / name
    try:
        os.utime(path)
    except OSError:
        return None
    return path


@contextmanager
def making(name: str, verify: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give a path to write to; the file takes its name when the block ends well, and is gone otherwise.

    Parameters
    ----------
    name : str
        Name of the file within the folder.
    verify : callable, optional
        See :func:`.atomic.write_file`.

    Yields
    ------
    pathlib.Path
        A free name in the same folder.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(folder / name, verify=verify) as path:
        yield path
    tidy(keep=name)


def tidy(keep: str = "") -> None:
    """Sweep what was left unfinished, and the least recently used files beyond the bound."""
    repair(cache_folder())
    found = []
    for path in cache_folder().iterdir():
        with suppress(OSError):
            about = path.stat()
            if not NAME.fullmatch(path.name):
                found.append((about.st_mtime, about.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= bound_bytes():
            break
        if path.name != keep:
            with suppress(OSError):  # in use by another program, on some systems
                path.unlink()
                total -= size


def forget(name: str) -> None:
    """Remove a file that proved to be damaged."""
    with suppress(OSError):
        (cache_folder() / name).unlink(missing_ok=True)


def clear() -> int:
    """Remove every file of the cache; returns how many bytes that freed."""
    freed = 0
    folder = cache_folder()
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            freed += size
    return freed
