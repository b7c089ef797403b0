"""Prediction as a generator: it yields progress with finished spots and returns the Result."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from napari_mclstexp.core import trust
from napari_mclstexp.core.backends import DENSE, fastest, image_backend
from napari_mclstexp.core.context import Disc, Neighbours
from napari_mclstexp.core.dense import by_region, dense_queries, share_of
from napari_mclstexp.core.fitting_batch import Fitting
from napari_mclstexp.core.how import choose_how, provenance_of
from napari_mclstexp.core.interrupted import Unfinished, given_before, name_of
from napari_mclstexp.core.patches import Field
from napari_mclstexp.core.patchwise import patch_by_patch
from napari_mclstexp.core.progress import Progress, heard
from napari_mclstexp.core.recent import Recent
from napari_mclstexp.core.result import Result
from napari_mclstexp.core.slide.watch import Watch
from napari_mclstexp.core.told import Told
from napari_mclstexp.core.unread import check_some_read, unread_note
from napari_mclstexp.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.context import Around
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.heads import Head
    from napari_mclstexp.core.how import How
    from napari_mclstexp.core.interrupted import Encoded, Part
    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

HIRES_PX = 2000
LOWRES_PX = 600
IMAGE_COMPONENTS = 20
SEEN_AT_ONCE = 512
"""Spots at once where each is seen among its neighbours: some rows of a region."""


def predict(
    slide: Slide,
    bundle: Bundle,
    grid: SpotGrid,
    scale: Scale | None,
    *,
    top_k: int | None = None,
    head: Head | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    backend: str | None = None,
    seed: int = 0,
    resumable: bool = False,
    encoded_before: Iterable[Part] | None = None,
) -> Generator[Progress, None, Result]:
    """Predict the expression of every spot.

    Spots at which the slide cannot be decoded are left out, and the provenance tells how many. Closing the
    generator cancels it. :class:`.Enough`, thrown into it, ends it with the spots that are done:
    they are then predicted as if they had been given alone.

    Parameters
    ----------
    slide : Slide
        The image.
    bundle : Bundle
        The model.
    grid : SpotGrid
        Where to predict.
    scale : Scale or None
        um per px; None only for a bundle of native pixels.
    top_k : int, optional
        Reference spots to average; the bundle's own number by default.
    head : str, optional
        See :mod:`.heads`; the bundle's own by default.
    batch_size : int, optional
        Patches a forward pass; found from the patch size by default. It does not change the outcome
        beyond rounding.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the network runs.
    backend : str, optional
        How; see :data:`.backends.BACKENDS`. By default as a dense map where grid and model have one, which
        changes the outcome a little, as the bundle tells; else the fastest, by which only rounding differs.
    seed : int
        Recorded with the result; prediction itself draws nothing at random.
    resumable : bool
        Whether what is done is kept in the user's folder until the end, so that the same prediction goes on
        from there where this one is interrupted; see :mod:`.interrupted`.
    encoded_before : iterable of Part, optional
        All spots in their order, encoded by this model and `backend`: then the slide's patches are not read.

    Yields
    ------
    Progress
        After each batch, with its finished spots.

    Returns
    -------
    Result
        Without domains; ``provenance.partial`` says whether it was stopped.

    Raises
    ------
    ScaleError, SlideError, DeviceError, ModelError, BundleError
        See each class.
    """
    slide.check_for_model()
    spec = bundle.spec
    how = choose_how(bundle, top_k, head, batch_size, device, backend)
    field = Field(spec.patch_px, spec.field_um).widened(spec.margin_px)
    field.size_px(scale)
    total = done = len(grid)
    yield Progress("Loading the model", 0, total, grid=grid, genes=spec.genes)
    watch = Watch(slide)
    with ThreadPoolExecutor(1, thread_name_prefix="mclstexp-read") as pool:  # while the model is made
        pictures = [pool.submit(slide.overview, px) for px in (HIRES_PX, LOWRES_PX)]
        network = on_device(bundle, how.device) if encoded_before is None else None
    share = None if scale is None or how.backend not in ("", DENSE) else share_of(grid, spec)
    if how.backend == DENSE and share is None:
        msg = "These spots have no feature map in common, or the model has no margin. Take another backend."
        raise DeviceError(msg)
    unread, fitting = np.zeros(total, dtype=bool), Fitting(how.batch)
    if share is not None and scale is not None:
        how = replace(how, backend=DENSE)
        grid, regions = by_region(grid, share)
    else:
        regions = [slice(0, total)]
        if not how.backend and network is not None:
            name = yield from fastest(network, how.device, field.patch_px, how.batch, total)
            how = replace(how, backend=name)
    parts = [
        slice(n, min(n + SEEN_AT_ONCE, part.stop))
        for part in regions
        for n in range(part.start, part.stop, SEEN_AT_ONCE)
    ]

    def encode_from(start: int) -> Encoded:
        if network is None:
            return given_before(encoded_before or (), unread)
        if share is not None and scale is not None:
            others = [slice(max(part.start, start), part.stop) for part in regions if part.stop > start]
            return dense_queries(slide, grid, others, spec, scale, network, unread, fitting)
        encode = image_backend(how.backend, network)
        return patch_by_patch(slide, grid, field, scale, network, encode, how, unread, fitting, start)

    unfinished = Unfinished(name_of(slide, grid, scale, how)) if resumable else None
    encoded = encode_from(0) if unfinished is None else unfinished.goes_on(encode_from, unread)
    around = None if scale is None else _around(grid, scale, spec.context_um, share)
    recent = Recent(total, parts, around, unread)
    spots = Told.empty(total, len(spec.genes), min(how.bank.k, trust.SHOWN))
    began = time.monotonic()
    alone = around is None or share is None  # else a spot is told of once it is seen among its neighbours
    with closing(encoded):
        for rows, found in encoded:
            check_some_read(unread, rows.stop, total)
            recent.put(rows, found)
            taken = 0 if unfinished is None else unfinished.taken
            left = (time.monotonic() - began) / max(rows.stop - taken, 1) * (total - rows.stop)
            told = Progress("Predicting", rows.stop, total, left, grid=grid, genes=spec.genes, taken=taken)
            step = replace(told, note=fitting.note)
            if alone:
                spots.take(rows, found.seen_among(None), how)
                spots.expression[rows][unread[rows]] = np.nan  # shown by none, and left out in the end
                step = replace(step, rows=rows, expression=spots.expression[rows])
            enough = yield from heard(step)
            for part in _look_around(recent, rows.stop, spots, how):
                if not alone:
                    step = replace(step, rows=part, expression=spots.expression[part])
                    enough = (yield from heard(step)) or enough
            if enough:
                done = rows.stop
                break
    watch.check()
    partial = f"{done:,} of {total:,} spots; stopped by the user" if done < total else ""
    notes = (*slide.notes, unread_note(unread[:done]))
    unread[done:] = True
    read = np.flatnonzero(~unread)
    if len(read) < done:
        check_some_read(unread, done, done)
    if around is not None:
        step = Progress("Looking around each spot", len(read), len(read), 0.0, grid=grid, genes=spec.genes)
        yield from heard(step)
        for part in _look_around(recent, total, spots, how):
            if not alone:
                step = replace(step, rows=part, expression=spots.expression[part])
            yield from heard(step)
    embeddings, looks = recent.embeddings, recent.looks
    if len(read) < total:
        grid, embeddings, looks, spots = grid.take(read), embeddings[read], looks[read], spots.some(read)

    done = len(read)
    yield from heard(Progress("Finishing", done, done, 0.0))
    if unfinished is not None:
        unfinished.forget()
    return Result(
        grid=grid,
        genes=spec.genes,
        expression=spots.expression,
        similarity=spots.similarity,
        spread=spots.spread,
        effective_k=spots.effective_k,
        provenance=replace(
            provenance_of(slide, grid, scale, replace(how, batch=fitting.size)),
            seed=seed,
            partial=partial,
            slide_notes="; ".join(filter(None, notes)),
        ),
        hires=pictures[0].result(),
        lowres=pictures[1].result(),
        trust=spots.trust(looks, how),
        held_out=bundle.beside.held_out,
        image=_components(embeddings),
        reference_mean=bundle.expression.mean(axis=0, dtype=np.float64).astype(np.float32),
    )


def on_device(bundle: Bundle, device: torch.device) -> MclSTExp:
    """The bundle's network on a device, its memory laid out as that computes fastest."""
    network = bundle.network().to(device)
    return network if device.type == "mps" else network.to(memory_format=torch.channels_last)


def _around(grid: SpotGrid, scale: Scale, context_um: float | None, share: int | None) -> Around | None:
    """Who is near whom; None where each spot is seen alone. `share`: of a dense map, see :mod:`.dense`."""
    if context_um is None:
        return None
    if share is None:
        return Neighbours(grid.centres_px[:, ::-1] * (scale.mpp_x, scale.mpp_y), context_um)
    return Disc(np.column_stack([grid.array_row, grid.array_col]), context_um / grid.pitch_um)


def _components(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal components (N, at most 20) of (N, 256) embeddings."""
    from sklearn.decomposition import PCA

    if len(embeddings) < 2:
        return np.zeros((len(embeddings), 1), dtype=np.float32)
    count = min(IMAGE_COMPONENTS, len(embeddings) - 1)
    return PCA(count, copy=False, svd_solver="covariance_eigh").fit_transform(embeddings).astype(np.float32)


def _look_around(recent: Recent, encoded: int, spots: Told, how: How) -> Iterator[slice]:
    """Predict the parts that can be seen among their neighbours, of which so many spots are encoded.

    The linear algebra computes by one thread: the last digits of a product go by their number.
    """
    for part, rows, seen in recent.seen(encoded):
        with threadpool_limits(1, user_api="blas"):
            spots.take(rows, seen, how)
        spots.expression[part][recent.absent[part]] = np.nan
        yield part
