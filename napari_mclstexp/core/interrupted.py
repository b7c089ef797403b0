"""Predictions that were interrupted go on where they stopped: what is encoded is kept while they run.

One folder for each prediction in the user's folder, named by what makes its numbers: slide, model, spots,
scale and backend. In it lie safetensors files, each of the spots after those of the one before; the folder
goes when the prediction has ended. A lock beside it lets one process at a time keep and read it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.atomic import write_file
from napari_mclstexp.core.backends import told_as
from napari_mclstexp.core.context import Queries
from napari_mclstexp.core.model import EMBEDDING, IMAGE_FEATURES
from napari_mclstexp.core.remembered import data_folder
from napari_mclstexp.core.unfinished import repair
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.how import How
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

    Encoded: TypeAlias = Generator[tuple[slice, Queries], None, None]
    Part: TypeAlias = tuple[slice, Queries, NDArray[np.bool_]]

log = logging.getLogger(__name__)

FOLDER = "unfinished"
KEPT_RUNS, MAX_BYTES = 5, 2_000_000_000
"""Of more runs than these, what was kept longest ago goes; a larger run is no longer kept."""
FIRST_S, LAST_S, SHARE = 5.0, 60.0, 20
"""It is written after 5 s, then each time a 20th of the run has gone by, at least every minute."""


class Unfinished:
    """What one prediction keeps while it runs.

    Parameters
    ----------
    name : str
        See :func:`name_of`.

    Attributes
    ----------
    taken : int
        Spots that an interrupted run had finished.
    """

    def __init__(self, name: str) -> None:
        self._folder = data_folder() / FOLDER / name
        self._lock = FileLock(self._folder.with_suffix(".lock"), thread_local=False)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mclstexp-keep")
        self._writing: Future[None] | None = None
        self._waiting: list[Part] = []
        self._began = self._written = time.monotonic()
        self._bytes, self._off = 0, False
        self.taken = 0

    def goes_on(
        self,
        encode_from: Callable[[int], Generator[tuple[slice, Queries], None, None]],
        unread: NDArray[np.bool_],
    ) -> Generator[tuple[slice, Queries], None, None]:
        """Give what is kept, then what `encode_from` encodes from there on; keep that as it comes.

        Parameters
        ----------
        encode_from : callable
            Given how many spots there are already, encodes the others.
        unread : numpy.ndarray
            (N,) bool: spots at which the slide cannot be decoded, marked as in :func:`.patches.read_batches`.
        """
        self._own()
        try:
            for rows, found, marked in self._kept(len(unread)):
                unread[rows] = marked
                self.taken = rows.stop
                yield rows, found
            with closing(encode_from(self.taken)) as encoded:
                for rows, found in encoded:
                    self._waiting.append((rows, found, unread[rows].copy()))
                    if self._is_due():
                        self._write()
                    yield rows, found
        except BaseException:  # a cancel, too: GeneratorExit
            if time.monotonic() - self._began > FIRST_S:
                self._write()
            raise
        finally:
            self._pool.shutdown(wait=True)
            self._lock.release()

    def forget(self) -> None:
        """Delete what is kept: the prediction has ended."""
        with suppress(OSError, Timeout), self._lock.acquire(blocking=False):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _own(self) -> None:
        """Become the one who keeps this run; where another process does so, keep nothing."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
            repair(self._folder)
            _tidy(self._folder)
        except (OSError, Timeout) as error:
            log.info("This run is not kept (%s)", type(error).__name__)
            self._off = True

    def _kept(self, total: int) -> Generator[Part, None, None]:
        """What is kept, part by part, as far as it is whole."""
        start = 0
        for path in [] if self._off else sorted(self._folder.glob("[0-9]*.safetensors")):
            try:
                part = read_part(path, start, total)
            except (OSError, ValueError) as error:
                log.warning(
                    "A kept part of an interrupted run is damaged (%s): it goes on before",
                    type(error).__name__,
                )
                path.unlink(missing_ok=True)
                continue
            start = part[0].stop
            self._bytes += path.stat().st_size
            yield part

    def _is_due(self) -> bool:
        now = time.monotonic()
        pause = min(LAST_S, max(FIRST_S, (now - self._began) / SHARE))
        busy = self._writing is not None and not self._writing.done()
        return now - self._written > pause and not busy

    def _write(self) -> None:
        """Have a thread write what waits, as one part."""
        self._written, waiting = time.monotonic(), self._waiting
        self._waiting = []
        if not self._off and waiting:
            self._writing = self._pool.submit(self._write_part, waiting)

    def _write_part(self, waiting: list[Part]) -> None:
        if self._bytes > MAX_BYTES:
            return
        found = Queries.joined([part for _, part, _ in waiting])
        unread = np.concatenate([marked for _, _, marked in waiting])
        path = self._folder / f"{waiting[0][0].start:09}.safetensors"
        try:
            write_part(path, found, unread)
            self._bytes += path.stat().st_size
        except (ExportError, OSError) as error:
            log.warning("This run is no longer kept", exc_info=error)
            self._off = True


def given_before(parts: Iterable[Part], unread: NDArray[np.bool_]) -> Encoded:
    """Give spots that are encoded already, and mark those at which the slide cannot be decoded."""
    for rows, found, marked in parts:
        unread[rows] = marked
        yield rows, found


def write_part(path: Path, found: Queries, unread: NDArray[np.bool_]) -> None:
    """Write encoded spots, whole or not at all; the file's name is the number of the first.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    held = {name: np.ascontiguousarray(getattr(found, name)) for name in Queries.__slots__}
    write_file(path, partial(_save, {**held, "unread": unread}), overwrite=True)


def read_part(path: Path, start: int, total: int) -> Part:
    """Read encoded spots that begin at spot `start` of `total`.

    Raises
    ------
    OSError, ValueError
        They are absent, damaged, or others.
    """
    try:
        return _read(path, start, total)
    except (KeyError, SafetensorError) as error:
        raise ValueError(str(error)) from error


def name_of(slide: Slide, grid: SpotGrid, scale: Scale | None, how: How) -> str:
    """Name of a prediction by all that its encoded spots depend on, but for how many go at once."""
    told = [
        slide.fingerprint,
        slide.traits.plane,
        how.bundle.digest,
        None if scale is None else (scale.mpp_x, scale.mpp_y),
        told_as(how.backend, how.device.type),
        how.device.type,
        len(grid),
    ]
    return hashlib.sha256(repr(told).encode() + np.ascontiguousarray(grid.centres_px).tobytes()).hexdigest()[
        :32
    ]


def _read(path: Path, start: int, total: int) -> Part:
    """A part that begins at spot `start`; ValueError where it is none."""
    held = load_file(path)
    found = Queries(*(held[name] for name in Queries.__slots__))
    rows = slice(int(path.stem), int(path.stem) + len(found))
    fits = rows.start == start and 0 < rows.stop <= total and held["unread"].shape == (len(found),)
    for name, width in zip(Queries.__slots__, (IMAGE_FEATURES, EMBEDDING, APPEARANCE), strict=True):
        values = getattr(found, name)
        fits = fits and values.dtype == np.float32 and values.shape == (len(found), width)
        fits = fits and bool(np.isfinite(values).all())
    if not fits or held["unread"].dtype != np.bool_:
        msg = "not of this run"
        raise ValueError(msg)
    return rows, found, held["unread"]


def _save(held: dict[str, NDArray[np.generic]], path: Path) -> None:
    save_file(held, path)


def _tidy(own: Path) -> None:
    """Delete what other runs kept longest ago, where there are too many."""
    others = [f for f in own.parent.iterdir() if f.is_dir() and f != own]
    others.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in others[KEPT_RUNS - 1 :]:
        lock = FileLock(folder.with_suffix(".lock"))
        with suppress(OSError, Timeout), lock.acquire(blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
