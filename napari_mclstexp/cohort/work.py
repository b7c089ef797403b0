"""What a worker does of a cohort: lays the spots of a slide, encodes a tile of them, finishes the slide.

Each function gives what it made, or a Record that says why it could not: no error of one slide reaches the
others, nor the log of the scheduler.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from contextlib import closing
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
import torch

from napari_mclstexp.cohort.folder import DONE, Record
from napari_mclstexp.cohort.job import Job, Laid
from napari_mclstexp.cohort.loaded import Loaded
from napari_mclstexp.core.backends import DENSE, fastest
from napari_mclstexp.core.context import Queries
from napari_mclstexp.core.dense import dense_grid
from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.fitting_batch import Fitting
from napari_mclstexp.core.how import choose_how
from napari_mclstexp.core.interrupted import read_part, write_part
from napari_mclstexp.core.laying import lay_with_mask
from napari_mclstexp.core.opening import known_scale, scale_question
from napari_mclstexp.core.patches import Field
from napari_mclstexp.core.patchwise import patch_by_patch
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.room import memory_told
from napari_mclstexp.core.scale import parse_mpp
from napari_mclstexp.core.slide import Slide, open_slide
from napari_mclstexp.errors import (
    BundleError,
    DeviceError,
    DeviceMemoryError,
    ExportError,
    GridError,
    MclstexpError,
    ModelError,
    NoTissueError,
    ScaleError,
    SlideError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_mclstexp.cohort.folder import Shown
    from napari_mclstexp.cohort.joint import Joint
    from napari_mclstexp.cohort.request import Settings
    from napari_mclstexp.core.how import How
    from napari_mclstexp.core.interrupted import Part

log = logging.getLogger(__name__)

TOPIC = "mclstexp-spots"
"""Of the events by which a worker tells how many spots of a slide it has encoded since the last one."""
EVERY_S = 1.0
OUTCOMES: tuple[tuple[type[MclstexpError], str], ...] = (
    (ScaleError, "refused: scale"),
    (NoTissueError, "refused: no tissue"),
    (GridError, "refused: spots"),
    (SlideError, "refused: slide"),
    (DeviceMemoryError, "failed: memory"),
    (DeviceError, "failed: device"),
    (BundleError, "failed: model"),
    (ModelError, "failed: model"),
    (ExportError, "failed: writing"),
)
REMEDY = " Write it into the table of slides, as mpp, or add --mpp where it is that of all."
DEFECT = "failed: defect"
MANY = 10**9
"""Spots of a cohort: enough that it is worth while to time backends."""
COHORT_DOMAINS = "kmeans"
"""How the domains were found, as provenance says."""

P = ParamSpec("P")
T = TypeVar("T")


def _told(work: Callable[P, T]) -> Callable[P, T | Record]:
    """The same work; what goes wrong in it is a Record, by the Job that is its first argument."""

    @wraps(work)
    def safe(*given: P.args, **named: P.kwargs) -> T | Record:
        job = given[0]
        assert isinstance(job, Job)
        if job.threads:
            torch.set_num_threads(job.threads)
        for path in (job.slide, job.bundle, job.folder):
            keep_private(path)
        try:
            return work(*given, **named)
        except MclstexpError as error:
            log.info("Refused", exc_info=True)
            outcome = next((text for kind, text in OUTCOMES if isinstance(error, kind)), "failed")
            return Record(job.key, outcome, f"{error}{REMEDY if isinstance(error, ScaleError) else ''}")
        except Exception as error:
            log.exception("A defect")
            told = f"A defect of mclstexp, not of this slide: {type(error).__name__}. The log has more."
            return Record(job.key, DEFECT, told)

    return safe


def choose_backend(job: Job) -> str:
    """How the network runs fastest on this worker, where nothing is asked for; see :func:`.backends.fastest`.

    Raises
    ------
    MclstexpError
        The model, or what is asked of it, cannot be had here.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    loaded, asked = _loaded(job), job.settings
    how = _how(loaded, asked, asked.backend)
    if how.backend or asked.grid == DENSE:
        return how.backend or DENSE
    spec = loaded.bundle.spec
    size = spec.patch_px + 2 * spec.margin_px
    return _outcome(fastest(loaded.network, how.device, size, how.batch, MANY))


@_told
def begin(job: Job) -> Record | Laid:
    """Lay the spots of a slide, and finish it where they are one tile; else give them."""
    began = time.monotonic()
    with _opened(job) as slide:
        laid = _lay(job, slide)
        if len(laid.grid) > job.tile and job.backend != DENSE:
            return laid
        loaded = _loaded(job)
        if job.backend == DENSE:
            return _finish(job, slide, laid, None, began)
        if not job.part(0).exists():
            queries, unread = _encoded(job, slide, laid, 0, loaded)
            return _finish(job, slide, laid, [(slice(0, len(queries)), queries, unread)], began)
        return _finish(job, slide, laid, [read_part(job.part(0), 0, len(laid.grid))], began)


@_told
def encode_tile(job: Job, laid: Laid, start: int) -> float:
    """Encode the spots of a tile, from one on, into the cohort's folder; seconds that it took.

    A tile that is there is not encoded again.
    """
    began = time.monotonic()
    total = len(laid.grid)
    try:
        rows, _, _ = read_part(job.part(start), start, total)
    except (OSError, ValueError):
        with _opened(job) as slide:
            queries, unread = _encoded(job, slide, laid, start, _loaded(job))
        job.unfinished.mkdir(parents=True, exist_ok=True)
        write_part(job.part(start), queries, unread)
    else:
        _tell(job, rows.stop - rows.start)
    return time.monotonic() - began


@_told
def finish(job: Job, laid: Laid, seconds: float) -> Record:
    """Make the result of a slide whose tiles are encoded, which took so many seconds."""
    total = len(laid.grid)
    parts = (read_part(job.part(start), start, total) for start in range(0, total, job.tile))
    with _opened(job) as slide:
        return _finish(job, slide, laid, parts, time.monotonic() - seconds)


@_told
def label(job: Job, record: Record, joint: Joint, genes: Sequence[Shown]) -> Record:
    """Give a finished slide the cohort's domains, and write what shows them.

    Parameters
    ----------
    job : Job
        The slide.
    record : Record
        How it ended.
    joint : Joint
        The domains.
    genes : sequence of Shown
        Genes to draw.

    Returns
    -------
    Record
        With the share of each domain, and the mean of each gene.
    """
    from napari_mclstexp.cohort.pictures import draw_domains, draw_gene

    result = joint.onto(load_result(job.result))
    about = replace(result.provenance, domain_count=job.settings.domains, domain_method=COHORT_DOMAINS)
    result = replace(result, provenance=about)
    save_result(result, job.result, overwrite=True)
    export_result(result, job.result.with_name(f"{job.name}.geojson"), overwrite=True)
    draw_domains(result, job.result.with_name(f"{job.name}.png"))
    for shown in genes:
        draw_gene(result, shown.gene, (shown.low, shown.high), job.map(shown.gene))
    domains = result.domains
    assert domains is not None
    shares = {name: float((domains.labels == k).mean()) for k, name in domains.names.items()}
    means = {shown.gene: _mean(result.believable(shown.gene)) for shown in genes}
    return replace(record, joint=joint.key, domains=shares, means=means)


def _mean(values: NDArray[np.float32]) -> float:
    """Mean of what is finite; NaN where nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _opened(job: Job) -> Slide:
    """The slide, once it is known to be the one that was asked for."""
    slide = open_slide(job.slide)
    if slide.fingerprint != job.fingerprint:
        slide.close()
        msg = f"{slide.path.name} has changed since the cohort began. Run it again."
        raise SlideError(msg)
    return slide


def _lay(job: Job, slide: Slide) -> Laid:
    slide.check_for_model()
    given, spec = job.mpp or job.settings.mpp, _loaded(job).bundle.spec
    scale = parse_mpp(given) if given else known_scale(slide)
    if scale is None:
        raise ScaleError(scale_question(slide))
    grid = dense_grid(spec) if job.settings.grid == DENSE else job.settings.grid
    laid, mask = lay_with_mask(slide, scale, grid, None, None)
    Field(spec.patch_px, spec.field_um).widened(spec.margin_px).size_px(scale)
    return Laid(laid, mask, scale)


def _encoded(
    job: Job, slide: Slide, laid: Laid, start: int, loaded: Loaded
) -> tuple[Queries, NDArray[np.bool_]]:
    """Encode the spots of a tile; tell how many there are, about every second."""
    spec, how = loaded.bundle.spec, _how(loaded, job.settings, job.backend)
    grid = laid.grid.take(slice(start, start + job.tile))
    field = Field(spec.patch_px, spec.field_um).widened(spec.margin_px)
    unread, found = np.zeros(len(grid), dtype=bool), []
    encoder = loaded.encoder(job.backend)
    told, at = 0, time.monotonic()
    encoded = patch_by_patch(
        slide, grid, field, laid.scale, loaded.network, encoder, how, unread, Fitting(how.batch)
    )
    with closing(encoded):
        for rows, queries in encoded:
            found.append(queries)
            if time.monotonic() - at > EVERY_S:
                _tell(job, rows.stop - told)
                told, at = rows.stop, time.monotonic()
    _tell(job, len(grid) - told)
    return Queries.joined(found), unread


def _finish(job: Job, slide: Slide, laid: Laid, parts: Iterable[Part] | None, began: float) -> Record:
    """Predict from what is encoded, write the result, and say that it is done."""
    asked = job.settings
    steps = predict(
        slide,
        _loaded(job).bundle,
        laid.grid,
        laid.scale,
        top_k=asked.top_k,
        head=asked.head,
        batch_size=asked.batch_size,
        device=asked.device,
        backend=job.backend,
        seed=asked.seed,
        encoded_before=parts,
    )
    try:
        with memory_told():
            result = replace(_outcome(steps), tissue=laid.tissue)
    except (OSError, ValueError) as error:
        shutil.rmtree(job.unfinished, ignore_errors=True)
        msg = f"What was encoded of {slide.path.name} is damaged, and was removed. Run the cohort again."
        raise ExportError(msg) from error
    save_result(result, job.result, overwrite=True)
    shutil.rmtree(job.unfinished, ignore_errors=True)
    area = math.nan
    if laid.tissue is not None and laid.scale is not None:
        mask, scale = laid.tissue, laid.scale
        pixel_um2 = mask.downsample_y * scale.mpp_y * mask.downsample_x * scale.mpp_x
        area = float(mask.mask.sum()) * pixel_um2 / 1e6
    return Record(
        key=job.key,
        outcome=DONE,
        spots=len(result.grid),
        tissue_mm2=area,
        unlike=math.nan if result.unlike is None else float(result.unlike.mean()),
        seconds=time.monotonic() - began,
        notes=result.provenance.slide_notes,
    )


def _loaded(job: Job) -> Loaded:
    return Loaded.of(job.bundle, job.bundle_hash, job.settings.device)


def _how(loaded: Loaded, asked: Settings, backend: str | None) -> How:
    return choose_how(loaded.bundle, asked.top_k, asked.head, asked.batch_size, asked.device, backend)


def _tell(job: Job, spots: int) -> None:
    """Tell the cohort that so many spots more are encoded, where this runs on a worker."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return
    worker.log_event(TOPIC, {"key": job.key, "spots": spots})


def _outcome(steps: Generator[object, None, T]) -> T:
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
