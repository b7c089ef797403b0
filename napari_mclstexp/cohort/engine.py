"""Where the workers of a cohort come from: processes of this computer, or a Dask cluster by its address."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import psutil

from napari_mclstexp.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client, SpecCluster

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
WORKER_BYTES = 3_000_000_000
"""Memory that a worker has for the network, a slide's pixels and a slide's results."""
CORES_A_WORKER = 4
ANSWER_S, CLOSE_S = 15, 30
TRIMMING = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
"""By it Dask's workers give memory back to the system at each chance; a network takes the same ever again."""


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """Workers that are there, or will be.

    Attributes
    ----------
    client : distributed.Client
        By which they get work.
    threads : int
        On which the network of each computes; 0 where they decide.
    dashboard : str
        Address of Dask's page on them; empty where there is none.
    """

    client: Client
    threads: int
    dashboard: str


@contextmanager
def local(workers: int | None = None) -> Iterator[Engine]:
    """Run workers on this computer, each a process of its own; none can be reached from another computer.

    Parameters
    ----------
    workers : int, optional
        How many; by default one for each GPU, else one for four cores, as memory allows. A worker that dies
        is started again.

    Yields
    ------
    Engine
        Until the block ends.

    Raises
    ------
    CohortError
        There cannot be so many, or Dask is not installed.
    """
    _check_installed()
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    gpus = _gpus()
    cores = len(psutil.Process().cpu_affinity() or ()) if hasattr(psutil.Process, "cpu_affinity") else 0
    cores = cores or os.cpu_count() or 1
    count = _default(gpus, cores) if workers is None else workers
    if not 1 <= count <= 1024:
        msg = f"There cannot be {count} workers. Choose 1 to 1024."
        raise CohortError(msg)
    threads = max(1, cores // count)
    for name in ("distributed", "tornado.application"):  # of workers that come and go while all is well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(prefix="mclstexp-dask-", ignore_cleanup_errors=True) as scratch,
        dask.config.set({TRIMMING: None}),
    ):
        cluster = SpecCluster(
            workers={
                i: {
                    "cls": Nanny,
                    "options": {
                        "host": LOOPBACK,
                        "nthreads": 1,
                        "memory_limit": 0,
                        "dashboard": False,
                        "dashboard_address": f"{LOOPBACK}:0",
                        "local_directory": scratch,
                        "silence_logs": logging.ERROR,
                        "env": environment(i, threads, gpus),
                    },
                }
                for i in range(count)
            },
            scheduler={
                "cls": Scheduler,
                "options": {
                    "host": LOOPBACK,
                    "port": 0,
                    "dashboard": find_spec("bokeh") is not None,
                    "dashboard_address": f"{LOOPBACK}:0",
                },
            },
            silence_logs=logging.ERROR,
        )
        client = Client(cluster)
        try:
            yield Engine(client, threads, _dashboard(client))
        except BaseException:
            _kill(cluster)
            raise
        finally:
            _close(cluster, client)


def _kill(cluster: SpecCluster) -> None:
    """End the workers at once: what they do is wanted by nobody."""
    for nanny in list(cluster.workers.values()):
        nanny.auto_restart = False
        with suppress(psutil.Error, TypeError, ValueError):
            psutil.Process(nanny.pid).kill()


def _close(cluster: SpecCluster, client: Client) -> None:
    for close in (client.close, cluster.close):
        try:
            close(timeout=CLOSE_S)
        except (TimeoutError, OSError) as error:
            log.warning("Dask did not end in time (%s)", type(error).__name__)


@contextmanager
def remote(address: str, *, insecure: bool = False) -> Iterator[Engine]:
    """Use a Dask cluster that runs already, such as one of SLURM or Kubernetes.

    Parameters
    ----------
    address : str
        Of its scheduler, ``tls://HOST:PORT``; certificates come from Dask's configuration.
    insecure : bool
        Whether another protocol is allowed: whoever reaches such a scheduler can run programs on its workers
        and read what goes over the network.

    Yields
    ------
    Engine
        Until the block ends; the cluster goes on.

    Raises
    ------
    CohortError
        The address is not safe, or no scheduler answers there.
    """
    _check_installed()
    from distributed import Client
    from distributed.security import Security

    scheme = address.partition("://")[0] if "://" in address else ""
    if scheme != "tls" and not insecure:
        named = f"{scheme}://" if scheme else "An address without tls://"
        msg = (
            f"{named} is not encrypted, and whoever reaches that scheduler can run programs on its workers. "
            "Use a tls:// address, or add --insecure where you trust the network."
        )
        raise CohortError(msg)
    try:
        client = Client(address, timeout=ANSWER_S, security=Security() if scheme == "tls" else None)
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        hint = (
            " Certificates come from Dask's configuration, distributed.comm.tls." if scheme == "tls" else ""
        )
        msg = f"No Dask scheduler answers at {address} ({type(error).__name__}).{hint}"
        raise CohortError(msg) from error
    with client:
        yield Engine(client, 0, _dashboard(client))


def environment(worker: int, threads: int, gpus: int) -> dict[str, str]:
    """Environment of a local worker: how many threads its libraries take, and which GPU it sees, if any."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    gpu = {"CUDA_VISIBLE_DEVICES": _visible()[worker % gpus]} if gpus else {}
    return {**dict.fromkeys(names, str(threads)), **gpu}


def _visible() -> list[str]:
    """Names of the GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(_gpus())]


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _default(gpus: int, cores: int) -> int:
    if gpus:
        return gpus
    room = int(psutil.virtual_memory().available // WORKER_BYTES)
    return max(1, min(cores // CORES_A_WORKER, room))


def _dashboard(client: Any) -> str:
    with suppress(KeyError, OSError):
        if client.scheduler_info(n_workers=0)["services"].get("dashboard") and find_spec("bokeh"):
            return str(client.dashboard_link)
    return ""


def _check_installed() -> None:
    if find_spec("distributed") is None:
        msg = "A cohort needs dask.distributed: pip install 'napari-mclstexp[cohort]'."
        raise CohortError(msg)
