"""A cohort on two workers: equal to single predictions, and nothing lost whatever dies."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import anndata as ad
import dask
import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file
from steps import finish

from napari_mclstexp.cohort import work
from napari_mclstexp.cohort.engine import local
from napari_mclstexp.cohort.folder import load_cohort
from napari_mclstexp.cohort.job import Job
from napari_mclstexp.cohort.plan import cohort_folder
from napari_mclstexp.cohort.request import Settings, find_slides
from napari_mclstexp.cohort.run import Outcome, run_cohort
from napari_mclstexp.core.pipeline import load_bundle, load_result, open_slide, predict_and_label
from napari_mclstexp.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_mclstexp.cohort.engine import Engine
    from napari_mclstexp.core.result import Result

SETTINGS = Settings(domains=3, backend="torch", device="cpu", genes=("ERBB2", "CD3D"))
TILE = 40


def run(folder: Path, sources: list[Path], bundle: Path, engine: Engine, **more: object) -> Outcome:
    asked = find_slides([str(source) for source in sources])
    with cohort_folder(folder):
        steps = run_cohort(folder, asked, bundle, SETTINGS, nullcontext(engine), tile=TILE, **more)
        return finish(steps)[1]


@contextmanager
def no_worker() -> Iterator[Engine]:
    pytest.fail("workers were started, and there was nothing to do")
    yield  # type: ignore[unreachable]


def alone(slide: Path, bundle: Path) -> Result:
    with open_slide(slide) as opened:
        steps = predict_and_label(
            opened, load_bundle(bundle), opened.scale, domains=3, backend="torch", device="cpu"
        )
        return finish(steps)[1]


def same(a: Result, b: Result) -> bool:
    assert a.grid.ids.tolist() == b.grid.ids.tolist()
    return bool(np.allclose(a.expression, b.expression, rtol=0, atol=1e-5))


@pytest.fixture(scope="module")
def ended(
    study: Path, bundle_path: Path, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """A run over all of the study."""
    return run(tmp_path_factory.mktemp("cohort") / "out", [study], bundle_path, engine)


def test_each_slide_ends_by_itself(ended: Outcome) -> None:
    outcomes = {name: record.outcome for name, record in ended.records.items()}
    assert outcomes == {
        "north-CANARY Jane": "done",
        "south-CANARY Jane": "done",
        "large": "done",
        "copy": "refused: duplicate",
        "cut": "refused: slide",
        "unscaled": "refused: scale",
    }
    assert "cut off" in ended.records["cut"].reason
    assert "Give um per pixel" in ended.records["unscaled"].reason
    assert "same content as large" in ended.records["copy"].reason
    assert not ended.all_done


def test_results_are_those_of_single_predictions(ended: Outcome, study: Path, bundle_path: Path) -> None:
    folder = ended.cohort.folder / "slides"
    for name, slide in (("large", "large.tif"), ("south-CANARY Jane", "south/CANARY Jane.tif")):
        found, wanted = load_result(folder / f"{name}.h5ad"), alone(study / slide, bundle_path)
        assert same(found, wanted)
        np.testing.assert_allclose(found.similarity, wanted.similarity, atol=1e-5)
        assert (found.tissue.mask == wanted.tissue.mask).all()
        assert found.domains is not None
    assert len(found.grid) < TILE < len(load_result(folder / "large.h5ad").grid)


def test_domains_are_the_same_over_all_slides(ended: Outcome) -> None:
    cohort, folder = ended.cohort, ended.cohort.folder
    kept = load_cohort(folder)
    assert kept.domains == cohort.domains
    assert [shown.gene for shown in kept.genes] == ["ERBB2", "CD3D"]
    whole = ad.read_zarr(folder / "cohort.zarr")
    assert list(whole.obs["domain"].cat.categories) == list(cohort.domains)
    for name, record in ended.records.items():
        if record.done:
            result = load_result(folder / "slides" / f"{name}.h5ad")
            rows = whole[whole.obs["slide"] == name]
            assert list(result.domains.names.values()) == list(cohort.domains)
            assert list(result.domains.colours.values()) == list(cohort.domains.values())
            named = [result.domains.names[label] for label in result.domains.labels.tolist()]
            assert rows.obs["domain"].tolist() == named
            np.testing.assert_array_equal(rows.X, result.expression)
            np.testing.assert_allclose(rows.obsm["spatial_um"], result.grid.centres_px[:, ::-1] * 0.5)
            assert record.spots == len(rows)
            assert sum(record.domains.values()) == pytest.approx(1)
            assert record.tissue_mm2 == pytest.approx(
                0.25
                * result.tissue.mask.sum()
                * 1e-6
                * (result.tissue.downsample_y * result.tissue.downsample_x)
            )
    lazy = ad.experimental.read_lazy(folder / "cohort.zarr")
    assert lazy.shape == whole.shape


def test_table_page_and_pictures_are_complete(ended: Outcome) -> None:
    folder = ended.cohort.folder
    with (folder / "cohort.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["slide"]: row for row in csv.DictReader(file)}
    assert rows.keys() == ended.records.keys()
    assert rows["large"]["outcome"] == "done"
    for name, record in ended.records.items():
        made = [folder / "slides" / f"{name}{suffix}" for suffix in (".h5ad", ".geojson", ".png")]
        made += [folder / "maps" / f"{name}.{gene}.png" for gene in ("ERBB2", "CD3D")]
        assert all(path.is_file() for path in made) == record.done
    assert "unscaled" in (folder / "index.html").read_text(encoding="utf-8")
    assert not list((folder / "unfinished").glob("*"))


def test_a_finished_slide_is_never_done_again(
    ended: Outcome, study: Path, bundle_path: Path, engine: Engine, tmp_path: Path
) -> None:
    folder = ended.cohort.folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "slides").glob("*.h5ad")}
    sources = find_slides([str(study / "large.tif"), str(study / "south" / "CANARY Jane.tif")])
    with cohort_folder(folder):
        steps = run_cohort(folder, sources, bundle_path, SETTINGS, no_worker(), tile=TILE)
        with pytest.raises(pytest.fail.Exception):  # those of the study that were not done are tried again
            finish(steps)
    assert {path: path.stat().st_mtime_ns for path in (folder / "slides").glob("*.h5ad")} == before


def test_a_second_run_needs_no_worker(study: Path, bundle_path: Path, engine: Engine, tmp_path: Path) -> None:
    slide = study / "north" / "CANARY Jane.tif"
    first = run(tmp_path / "out", [slide], bundle_path, engine)
    made = (tmp_path / "out" / "slides" / "CANARY Jane.h5ad").stat().st_mtime_ns
    with cohort_folder(tmp_path / "out"):
        steps = run_cohort(
            tmp_path / "out", find_slides([str(slide)]), bundle_path, SETTINGS, no_worker(), tile=TILE
        )
        again = finish(steps)[1]
    assert again.records == first.records
    assert again.all_done
    moved = tmp_path / "moved" / "another name.tif"
    moved.parent.mkdir()
    moved.write_bytes(slide.read_bytes())
    with cohort_folder(tmp_path / "out"):
        steps = run_cohort(
            tmp_path / "out", find_slides([str(moved)]), bundle_path, SETTINGS, no_worker(), tile=TILE
        )
        assert finish(steps)[1].records == first.records
    assert (tmp_path / "out" / "slides" / "CANARY Jane.h5ad").stat().st_mtime_ns == made


def test_what_was_refused_is_tried_again_and_nothing_else_is_touched(
    study: Path, bundle_path: Path, engine: Engine, tmp_path: Path
) -> None:
    slides, out = [study / "north" / "CANARY Jane.tif", study / "unscaled.tif"], tmp_path / "out"
    first = run(out, slides, bundle_path, engine)
    made = [path for path in out.glob("[ms]*/*") if path.suffix != ".json"]
    before = [path.stat().st_mtime_ns for path in made]
    again = run(out, slides, bundle_path, engine)
    assert again.records["CANARY Jane"] == first.records["CANARY Jane"]
    assert [record.outcome for record in again.records.values()] == ["done", "refused: scale"]
    assert again.cohort == first.cohort
    assert len(made) == 3 + len(SETTINGS.genes)
    assert [path.stat().st_mtime_ns for path in made] == before


def test_a_cohort_grows_and_its_domains_keep_their_names(
    study: Path, bundle_path: Path, engine: Engine, tmp_path: Path
) -> None:
    first = run(tmp_path / "out", [study / "large.tif"], bundle_path, engine)
    alone_labels = load_result(tmp_path / "out" / "slides" / "large.h5ad").domains.labels
    assert (alone_labels == alone(study / "large.tif", bundle_path).domains.labels).all()
    second = run(tmp_path / "out", [study / "south" / "CANARY Jane.tif"], bundle_path, engine)
    assert set(second.records) == {"large", "CANARY Jane"}
    assert second.records["large"].seconds == first.records["large"].seconds  # it was not predicted again
    was, now = first.cohort.domains, second.cohort.domains
    assert {name: colour for name, colour in now.items() if name in was} == {
        name: was[name] for name in now if name in was
    }
    both = load_result(tmp_path / "out" / "slides" / "large.h5ad").domains
    kept = [name for name in now if name in was]
    assert kept
    for name in kept:
        label = next(k for k, v in both.names.items() if v == name)
        old = list(was).index(name) + 1
        together = ((both.labels == label) & (alone_labels == old)).sum()
        assert together * 2 > (both.labels == label).sum()


def test_a_damaged_result_is_made_anew(
    study: Path, bundle_path: Path, engine: Engine, tmp_path: Path
) -> None:
    run(tmp_path / "out", [study / "north"], bundle_path, engine)
    first = tmp_path / "out" / "slides" / "CANARY Jane.h5ad"
    before = load_result(first)
    first.write_bytes(first.read_bytes()[:5000])
    told = run(tmp_path / "out", [study / "south"], bundle_path, engine).records["CANARY Jane"]
    assert told.outcome == "failed: result"
    assert "Run the cohort again" in told.reason
    again = run(tmp_path / "out", [study / "north"], bundle_path, engine)
    assert again.records["CANARY Jane"].done
    assert same(load_result(first), before)


def test_a_cohort_asked_for_otherwise_is_not_replaced(
    ended: Outcome, study: Path, bundle_path: Path, engine: Engine
) -> None:
    other = Settings(domains=4, backend="torch", device="cpu")
    with cohort_folder(ended.cohort.folder), pytest.raises(CohortError, match=r"otherwise \(domains\)"):
        finish(run_cohort(ended.cohort.folder, find_slides([str(study)]), bundle_path, other, no_worker()))


def test_two_runs_in_one_folder_and_a_folder_of_others_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with cohort_folder(out), pytest.raises(CohortError, match="Another run goes on"), cohort_folder(out):
        pass
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(CohortError, match="something other"), cohort_folder(tmp_path / "thesis"):
        pass
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_a_killed_worker_costs_its_tile(
    study: Path, bundle_path: Path, engine: Engine, tmp_path: Path
) -> None:
    asked = find_slides([str(study / "large.tif")])
    folder, killed = tmp_path / "out", []
    with cohort_folder(folder):
        steps = run_cohort(folder, asked, bundle_path, SETTINGS, nullcontext(engine), tile=4)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                break
            if not killed and list(folder.glob("unfinished/*/[0-9]*.safetensors")):
                killed = list(engine.client.run(os.getpid).values())[:1]
                os.kill(killed[0], signal.SIGKILL)
    assert killed
    assert outcome.all_done
    assert same(load_result(folder / "slides" / "large.h5ad"), alone(study / "large.tif", bundle_path))
    engine.client.wait_for_workers(2, timeout=60)  # it was started again


def test_a_killed_run_goes_on_from_its_tiles(
    study: Path, bundle_path: Path, engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    words = [sys.executable, "-m", "napari_mclstexp.cli", "cohort", "run", study / "large.tif"]
    words += ["--bundle", bundle_path, "--out", folder, "--tile", TILE, "--workers", 1, "--domains", 3]
    words += ["--backend", "torch", "--device", "cpu", "--genes", "ERBB2,CD3D"]
    going = subprocess.Popen([str(w) for w in words], start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (parts := list(folder.glob("unfinished/*/[0-9]*.safetensors"))):
        assert time.monotonic() < until
        assert going.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(going.pid).children(recursive=True)
    os.killpg(going.pid, signal.SIGKILL)
    going.wait()
    psutil.wait_procs(workers, timeout=30)
    assert parts[0].exists()
    held = load_file(parts[0])  # another place in the space of the bank: it shows where it is taken
    save_file({**held, "embeddings": -held["embeddings"], "features": -held["features"]}, parts[0])
    assert run(folder, [study / "large.tif"], bundle_path, engine).all_done
    found = load_result(folder / "slides" / "large.h5ad")
    wanted = alone(study / "large.tif", bundle_path)
    first = slice(int(parts[0].stem), int(parts[0].stem) + TILE)
    rest = np.ones(len(found.grid), dtype=bool)
    rest[first] = False
    assert not np.allclose(found.similarity[first], wanted.similarity[first], atol=1e-3)
    np.testing.assert_allclose(found.similarity[rest], wanted.similarity[rest], atol=1e-5)
    assert not list(folder.rglob("*.part*"))


def test_a_full_disk_fails_one_slide(study: Path, bundle_path: Path, tmp_path: Path) -> None:
    """The result of the large slide is beyond the size that a file may have there; the others' are not."""
    script = tmp_path / "limit.py"
    script.write_text(
        "import resource\n"
        "def dask_setup(worker):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))\n"
    )
    sources = [study / "large.tif", study / "north" / "CANARY Jane.tif"]
    with dask.config.set({"distributed.worker.preload": [str(script)]}), local(1) as small:
        outcome = run(tmp_path / "out", sources, bundle_path, small)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out" / "slides").glob("*.h5ad")}
    assert outcome.records["large"].outcome == "failed: writing", (outcome.records, sizes)
    assert outcome.records["CANARY Jane"].done
    assert (tmp_path / "out" / "cohort.csv").is_file()


def test_a_worker_checks_the_model(study: Path, bundle_path: Path, tmp_path: Path) -> None:
    with open_slide(study / "large.tif") as slide:
        fingerprint = slide.fingerprint
    job = Job(
        key="k",
        fingerprint=fingerprint,
        slide=str(study / "large.tif"),
        bundle=str(bundle_path),
        folder=str(tmp_path),
        name="large",
        mpp="",
        bundle_hash="0" * 64,
        settings=SETTINGS,
        backend="torch",
        tile=TILE,
    )
    record = work.begin(job)
    assert record.outcome == "failed: model"
    assert "another than that of the cohort" in record.reason


def test_nothing_listens_beyond_this_computer(engine: Engine) -> None:
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        for socket in process.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN:
                assert socket.laddr.ip in ("127.0.0.1", "::1")


def test_neither_keys_nor_logs_name_a_slide(ended: Outcome, engine: Engine, study: Path) -> None:
    def keys(dask_scheduler: object) -> str:
        return repr([entry[0] for entry in dask_scheduler.transition_log])

    told = engine.client.run_on_scheduler(keys)
    assert "mclstexp-laid-" in told
    told += repr(engine.client.get_worker_logs()) + repr(engine.client.get_scheduler_logs())
    for word in ("CANARY", "large.tif", str(study), study.name):
        assert word not in told


def test_exit_codes(run: Callable[..., object], study: Path, bundle_path: Path, tmp_path: Path) -> None:
    words = ["--bundle", bundle_path, "--out", tmp_path / "out", "--device", "cpu", "--workers", 1]
    good = run("cohort", "run", study / "north", *words)
    assert (good.code, "1 done" in good.out) == (0, True)
    bad = run("cohort", "run", study / "unscaled.tif", *words)
    assert bad.code == 3
    assert "1 refused: scale" in bad.out
    assert "Give um per pixel" in bad.err
    for wrong in (
        ["cohort", "run", tmp_path / "empty.csv", *words],
        ["cohort", "run", study, *words[:4], "--scheduler", "tcp://127.0.0.1:1"],
        ["cohort", "run", study, *words, "--scheduler", "tls://127.0.0.1:1"],
        ["cohort", "run", study, "--bundle", tmp_path / "none", "--out", tmp_path / "other"],
        ["cohort", "run", study],
    ):
        misused = run(*wrong)
        assert misused.code == 2
        assert "Traceback" not in misused.err
