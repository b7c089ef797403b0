"""A warm process that has imported everything, and from which writers are forked; see :class:`Writers`."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.writing.formats import FORMATS, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Go = Callable[..., "Ending"]

CALLS = ("write", "fsync", "rename", "open")
"""As faults.c numbers them."""
EVERY = 2**30


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls that fail.

    Attributes
    ----------
    call : str
        One of `CALLS`.
    first, last : int
        Of those into the folder.
    error : int
        The errno; 0 kills the process.
    """

    call: str
    first: int
    last: int
    error: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a writer ended.

    Attributes
    ----------
    error : str
        Class of what it raised; empty where it wrote, and ``killed`` where it was.
    said : str
        The error's message.
    seconds : float
        From its announcement that it is writing until its end.
    counts : dict of str to int
        Calls into the folder.
    record : tuple of (str, str, str)
        Those calls in their order: name, and one or two paths.
    """

    error: str
    said: str = ""
    seconds: float = 0.0
    counts: dict[str, int] | None = None
    record: tuple[tuple[str, str, str], ...] = ()


class Writers:
    """A process that stays warm.

    Parameters
    ----------
    shim : pathlib.Path, optional
        Library made of faults.c; without it no fault can be asked for.
    """

    def __init__(self, shim: Path | None = None) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        }
        if shim is not None:
            environment |= {"LD_PRELOAD": str(shim), "MCLSTEXP_SHIM": str(shim)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.writing.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._answer()
        self.forker = 0
        """Process of :meth:`ready`, from which writers are forked."""

    def write(self, name: str, folder: Path, which: int) -> Ending:
        """Write a format once; see :meth:`ready`."""
        with self.ready(name, folder, which) as go:
            return go()

    @contextmanager
    def ready(self, name: str, folder: Path, which: int) -> Iterator[Go]:
        """Come to where the writing begins, with all that is to be written made.

        Parameters
        ----------
        name : str
            Of `FORMATS`.
        folder : pathlib.Path
            Where to.
        which : int
            The older or the newer.

        Yields
        ------
        callable
            Writes from there to the end, in a process of its own: may be called again. It takes ``fault``;
            ``kill_after``, seconds from its announcement that it is writing until it is killed; and
            ``most_bytes`` that a file may have, for a disk that is full. It returns the Ending.
        """
        self._send({"name": name, "folder": str(folder), "which": which})
        told = self._answer()
        if "ready" not in told:
            self._answer()
            raise RuntimeError(f"{name} does not come to writing: {told}")
        self.forker = told["ready"]
        try:
            yield self._go
        finally:
            self._send({})
            self._answer()

    def _go(
        self, *, fault: Fault | None = None, kill_after: float | None = None, most_bytes: int = 0
    ) -> Ending:
        told = None if fault is None else (CALLS.index(fault.call), fault.first, fault.last, fault.error)
        # Who may be killed says what fits into a pipe at once.
        self._send({"fault": told, "most": most_bytes, "record": kill_after is None})
        pid = self._answer()["writing"]
        if kill_after is not None:
            _kill(pid, kill_after)
        ending = Ending("killed")
        while "ended" not in (answer := self._answer()):
            calls = tuple(tuple(line) for line in answer.pop("record"))
            ending = Ending(**answer, record=calls)  # type: ignore[arg-type]
        if answer["ended"] not in (0, -signal.SIGKILL):
            return Ending("crashed", str(answer["ended"]))
        return ending

    def _send(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End the warm process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the warm process has ended")
        return json.loads(line)


def _kill(pid: int, after: float) -> None:
    """Kill a process after some seconds, to a tenth of a millisecond; not another that got its number."""
    end = time.perf_counter() + after
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if after > 2e-3:
            time.sleep(after - 1e-3)
        while time.perf_counter() < end:
            pass
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def main() -> None:
    """Take requests, a line of JSON each: what to come to, then how to write it, again and again."""
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing that is printed comes among the answers
    warnings.simplefilter("ignore")
    warm()
    _say(answers, {"warm": True})
    while order := _line():
        pid = os.fork()
        if pid == 0:
            _come_to(answers, order)
            os._exit(0)
        os.waitpid(pid, 0)
        _say(answers, {"over": True})


def warm() -> None:
    """Import everything that a writer needs, and make what is written."""
    import geopandas  # noqa: F401
    import tifffile  # noqa: F401
    import torch
    import zarr.storage  # noqa: F401

    import napari_mclstexp.core.backends
    import napari_mclstexp.core.export.anndata_zarr
    import napari_mclstexp.core.export.geojson
    import napari_mclstexp.core.export.loupe
    import napari_mclstexp.core.export.ome_tiff
    import napari_mclstexp.core.export.ome_zarr
    import napari_mclstexp.core.export.picture
    import napari_mclstexp.core.export.report_pdf
    import napari_mclstexp.core.export.spatial
    import napari_mclstexp.core.replay
    import napari_mclstexp.core.saved
    import napari_mclstexp.core.slide.prepared
    import napari_mclstexp.training.checkpoint  # noqa: F401
    from tests.writing.formats import bundles, results

    torch.set_num_threads(1)
    results()
    bundles()
    gc.collect()
    gc.freeze()  # a fork shares what is never collected
    gc.disable()


def _come_to(answers: int, order: dict[str, Any]) -> None:
    """Begin to write; where the first look into the folder is made, fork a writer at each request."""
    folder, came, began = Path(order["folder"]), False, 0.0
    shim, how = _shim(), {"record": False}

    def fork(event: str, words: Sequence[Any]) -> None:
        nonlocal came, began, how
        if came or event not in ("os.listdir", "os.scandir"):
            return
        if not isinstance(words[0], (str, Path)) or not Path(words[0]).is_relative_to(folder):
            return
        came = True
        _say(answers, {"ready": os.getpid()})
        while how := _line():
            pid = os.fork()
            if pid == 0:
                began = time.perf_counter()
                _break(shim, folder, how)
                _say(answers, {"writing": os.getpid()})
                return
            _, status = os.waitpid(pid, 0)
            _say(answers, {"ended": os.waitstatus_to_exitcode(status)})
        os._exit(0)

    sys.addaudithook(fork)
    error = said = ""
    try:
        FORMATS[order["name"]].write(folder, order["which"])
    except Exception as raised:  # noqa: BLE001 - it is told
        error, said = type(raised).__name__, str(raised)
    seconds, counts, record = time.perf_counter() - began, {}, []
    if shim is not None and how["record"]:
        counts = {call: shim.fault_count(i) for i, call in enumerate(CALLS)}
        lines = shim.fault_record().decode("utf-8", "replace").splitlines()
        record = [[word.rstrip() for word in line.split("\t")] for line in lines]
        shim.fault_disarm()
    _say(answers, {"error": error, "said": said, "seconds": seconds, "counts": counts, "record": record})


def _shim() -> ctypes.CDLL | None:
    if "MCLSTEXP_SHIM" not in os.environ:
        return None
    shim = ctypes.CDLL(os.environ["MCLSTEXP_SHIM"])
    shim.fault_record.restype = ctypes.c_char_p
    return shim


def _break(shim: ctypes.CDLL | None, folder: Path, how: dict[str, Any]) -> None:
    """Let happen what is asked for."""
    if shim is not None:
        shim.fault_arm(os.fsencode(folder), *(how["fault"] or (-1, 0, 0, 0)))
    if how["most"]:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (how["most"], how["most"]))


def _line() -> dict[str, Any]:
    """One line of the requests, no byte more: a forked process reads the next."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return {}
        line += byte
    told: dict[str, Any] = json.loads(line)
    return told


def _say(answers: int, what: dict[str, Any]) -> None:
    line = (json.dumps(what) + "\n").encode()
    while line:
        line = line[os.write(answers, line) :]


if __name__ == "__main__":
    main()
