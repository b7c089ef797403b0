"""Where workers come from: a GPU each, and other schedulers by encrypted addresses alone."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from typing import TYPE_CHECKING

import dask
import pytest
from distributed import LocalCluster
from distributed.security import Security
from steps import finish

from napari_mclstexp.cohort.engine import environment, remote
from napari_mclstexp.cohort.plan import cohort_folder
from napari_mclstexp.cohort.request import Settings, find_slides
from napari_mclstexp.cohort.run import run_cohort
from napari_mclstexp.errors import CohortError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.cohort.engine import Engine


def all_done(folder: Path, slides: Path, bundle: Path, engine: Engine) -> bool:
    settings = Settings(domains=3, backend="torch", device="cpu")
    with cohort_folder(folder):
        steps = run_cohort(folder, find_slides([str(slides)]), bundle, settings, nullcontext(engine))
        return finish(steps)[1].all_done


def certificate(folder: Path, name: str) -> dict[str, str]:
    """Make a key and a certificate signed by itself, as Dask's configuration names them."""
    key, signed = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}"]
    subprocess.run([*words, "-keyout", key, "-out", signed], check=True, capture_output=True)
    return {
        "distributed.comm.tls.ca-file": signed,
        **{f"distributed.comm.tls.{who}.cert": signed for who in ("scheduler", "worker", "client")},
        **{f"distributed.comm.tls.{who}.key": key for who in ("scheduler", "worker", "client")},
    }


def test_unencrypted_addresses_need_a_word(
    engine: Engine, study: Path, bundle_path: Path, tmp_path: Path
) -> None:
    address = engine.client.scheduler.address
    assert address.startswith("tcp://")
    with pytest.raises(CohortError, match="tls://"), remote(address):
        pass
    with pytest.raises(CohortError, match="tls://"), remote(address.removeprefix("tcp://")):
        pass
    with remote(address, insecure=True) as there:
        assert all_done(tmp_path / "out", study / "north", bundle_path, there)


def test_a_scheduler_with_certificates(study: Path, bundle_path: Path, tmp_path: Path) -> None:
    ours, theirs = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    with (
        dask.config.set(ours),
        LocalCluster(
            1,
            threads_per_worker=1,
            protocol="tls://",
            security=Security(),
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
    ):
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with remote(address) as there:
            assert all_done(tmp_path / "out", study / "north", bundle_path, there)
        with (
            dask.config.set(theirs),
            pytest.raises(CohortError, match=r"distributed\.comm\.tls"),
            remote(address),
        ):
            pass


def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    seen = [environment(worker, 3, 2)["CUDA_VISIBLE_DEVICES"] for worker in range(3)]
    assert seen == ["4", "6", "4"]
    assert "CUDA_VISIBLE_DEVICES" not in environment(0, 3, 0)
    assert environment(0, 3, 0)["OMP_NUM_THREADS"] == "3"
