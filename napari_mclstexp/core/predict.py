"""Prediction as a generator: it yields progress with finished spots and returns the Result."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_mclstexp import __version__
from napari_mclstexp.core import trust
from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.backends import DENSE, check_backend, fastest, image_backend, told_as
from napari_mclstexp.core.context import Around, Disc, Neighbours, Queries, Seen
from napari_mclstexp.core.dense import by_region, dense_queries, share_of
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.encode import encode_patches
from napari_mclstexp.core.heads import Bank, Head, check_head, predict_by
from napari_mclstexp.core.model import EMBEDDING, IMAGE_FEATURES
from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.progress import Progress, heard
from napari_mclstexp.core.result import Provenance, Result
from napari_mclstexp.core.slide.watch import Watch
from napari_mclstexp.core.unread import check_some_read, unread_note
from napari_mclstexp.errors import BundleError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

HIRES_PX = 2000
LOWRES_PX = 600
IMAGE_COMPONENTS = 20
CONTEXT_ROWS = 512
"""Spots at once where each is seen among its neighbours."""
CPU_BATCH_PIXELS = 8 * 224 * 224
"""Pixels a batch on the CPU: about a second of work on two cores, so that a cancel is heard soon."""


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
    how = _chosen(bundle, top_k, head, batch_size, device, backend)
    field = Field(spec.patch_px, spec.field_um).widened(spec.margin_px)
    field.size_px(scale)
    total = done = len(grid)
    yield Progress("Loading the model", 0, total, grid=grid, genes=spec.genes)
    network = bundle.network().to(how.device)
    if how.device.type != "mps":
        network = network.to(memory_format=torch.channels_last)
    unread = np.zeros(total, dtype=bool)
    share = share_of(grid, spec) if how.backend in ("", DENSE) else None
    if how.backend == DENSE and share is None:
        msg = "These spots have no feature map in common, or the model has no margin. Take another backend."
        raise DeviceError(msg)
    if share is not None and scale is not None:
        how = replace(how, backend=DENSE)
        grid, regions = by_region(grid, share)
        encoded = dense_queries(slide, grid, regions, spec, scale, network, unread)
    else:
        if not how.backend:
            name = yield from fastest(network, how.device, field.patch_px, how.batch, total)
            how = replace(how, backend=name)
        encoded = _patch_by_patch(slide, grid, field, scale, network, how, unread)

    queries = Queries(
        np.empty((total, IMAGE_FEATURES), np.float32),
        np.empty((total, EMBEDDING), np.float32),
        np.empty((total, APPEARANCE), np.float32),
    )
    spots = _Spots.empty(total, len(spec.genes), min(how.bank.k, trust.SHOWN))
    began, watch = time.monotonic(), Watch(slide)
    twice = share is not None and spec.context_um is not None  # then it is not worth while alone, too
    for rows, found in encoded:
        check_some_read(unread, rows.stop, total)
        queries.put(rows, found)
        left = (time.monotonic() - began) / rows.stop * (total - rows.stop)
        step = Progress("Predicting", rows.stop, total, left, grid=grid, genes=spec.genes)
        if not twice:
            spots.take(rows, found.seen_among(None), how)
            spots.expression[rows][unread[rows]] = np.nan  # shown by none, and left out in the end
            step = replace(step, rows=rows, expression=spots.expression[rows])
        if (yield from heard(step)):
            done = rows.stop
            break
    partial = f"{done:,} of {total:,} spots; stopped by the user" if done < total else ""
    if partial:
        grid, queries, spots = grid.first(done), queries.rows(slice(done)), spots.some(slice(done))
    watch.check()
    ended = done
    notes = (*slide.notes, unread_note(unread[:done]))
    left_before = np.r_[0, np.cumsum(~unread[:done])].tolist()
    if notes[-1]:
        check_some_read(unread, done, done)
        read = np.flatnonzero(~unread[:done])
        grid, queries, spots = grid.take(read), queries.rows(read), spots.some(read)
        done = len(read)
    if spec.context_um is not None and scale is not None:
        if share is None:
            around: Around = Neighbours(
                grid.centres_px[:, ::-1] * (scale.mpp_x, scale.mpp_y), spec.context_um
            )
            parts = [slice(start, start + CONTEXT_ROWS) for start in range(0, done, CONTEXT_ROWS)]
        else:
            around = Disc(np.column_stack([grid.array_row, grid.array_col]), spec.context_um / grid.pitch_um)
            within = [
                (left_before[rows.start], left_before[rows.stop]) for rows in regions if rows.stop <= ended
            ]
            parts = [slice(start, stop) for start, stop in within if start < stop]
        yield from _look_around(queries, spots, around, parts, how, grid if twice else None)

    yield from heard(Progress("Finishing", done, done, 0.0))
    return Result(
        grid=grid,
        genes=spec.genes,
        expression=spots.expression,
        similarity=spots.similarity,
        spread=spots.spread,
        effective_k=spots.effective_k,
        provenance=replace(
            _provenance(slide, grid, scale, how),
            seed=seed,
            partial=partial,
            slide_notes="; ".join(filter(None, notes)),
        ),
        hires=slide.overview(HIRES_PX),
        lowres=slide.overview(LOWRES_PX),
        trust=spots.trust(queries.looks, how),
        held_out=bundle.beside.held_out,
        image=_components(queries.embeddings),
        reference_mean=bundle.expression.mean(axis=0, dtype=np.float64).astype(np.float32),
    )


def _patch_by_patch(
    slide: Slide,
    grid: SpotGrid,
    field: Field,
    scale: Scale | None,
    network: MclSTExp,
    how: _How,
    unread: NDArray[np.bool_],
) -> Iterator[tuple[slice, Queries]]:
    """Encode the spots of a grid, each from its own patch."""
    encode = image_backend(how.backend, network)
    for rows, patches in read_batches(slide, grid.centres_px, field, scale, how.batch, unread):
        yield rows, encode_patches(network, patches, how.device, encode)


def _components(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal components (N, at most 20) of (N, 256) embeddings."""
    from sklearn.decomposition import PCA

    if len(embeddings) < 2:
        return np.zeros((len(embeddings), 1), dtype=np.float32)
    count = min(IMAGE_COMPONENTS, len(embeddings) - 1)
    return PCA(count, svd_solver="covariance_eigh").fit_transform(embeddings).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _How:
    """By what spots are predicted: all that was asked for, checked."""

    bundle: Bundle
    bank: Bank
    head: Head
    batch: int
    device: torch.device
    backend: str

    @property
    def usual(self) -> bool:
        """Whether matches are counted and weighted as they were where the held-out similarities come from."""
        return self.bank.k == self.bundle.spec.top_k and "softmax" not in self.head


def _chosen(
    bundle: Bundle,
    top_k: int | None,
    head: Head | None,
    batch_size: int | None,
    device: str,
    backend: str | None,
) -> _How:
    spec = bundle.spec
    chosen = choose_device(device)
    k = spec.top_k if top_k is None else top_k
    if not 1 <= k <= len(bundle.expression):
        msg = f"top-k is {k}, but the bundle has {len(bundle.expression)} reference spots. Choose 1 to that."
        raise BundleError(msg)
    chosen_head = check_head(head or spec.head, bundle.beside.ridge)
    batch = (
        default_batch_size(spec.patch_px + 2 * spec.margin_px, chosen) if batch_size is None else batch_size
    )
    if batch < 1:
        msg = f"A batch of {batch} patches cannot be. Choose 1 or more."
        raise DeviceError(msg)
    named = "" if backend is None else check_backend(backend, chosen)
    return _How(bundle, bundle.bank(k), chosen_head, batch, chosen, named)


def _look_around(
    queries: Queries, spots: _Spots, around: Around, parts: list[slice], how: _How, grid: SpotGrid | None
) -> Generator[Progress, None, None]:
    """Predict the spots, part by part, each seen among its neighbours; tell them where a grid is given."""
    total, genes = len(queries), how.bundle.spec.genes
    yield from heard(Progress("Looking around each spot", total, total, 0.0))
    for rows in parts:
        spots.take(rows, queries.seen_among(around, rows), how)
        step = Progress("Looking around each spot", min(rows.stop, total), total)
        if grid is not None:
            step = replace(step, rows=rows, expression=spots.expression[rows], grid=grid, genes=genes)
        yield from heard(step)


def _provenance(slide: Slide, grid: SpotGrid, scale: Scale | None, how: _How) -> Provenance:
    spec = how.bundle.spec
    return Provenance(
        slide_fingerprint=slide.fingerprint,
        width=slide.width,
        height=slide.height,
        mpp_x=scale.mpp_x if scale else math.nan,
        mpp_y=scale.mpp_y if scale else math.nan,
        mpp_source=scale.source if scale else "unknown",
        layout=grid.layout,
        pitch_um=grid.pitch_um,
        bundle_id=how.bundle.id,
        bundle_hash=how.bundle.digest,
        mode=spec.mode,
        normalisation=spec.normalisation,
        field_um=math.nan if spec.field_um is None else spec.field_um,
        patch_px=spec.patch_px,
        top_k=how.bank.k,
        weighting=spec.weighting,
        backend=told_as(how.backend, how.device.type),
        device=how.device.type,
        batch_size=how.batch,
        threads=torch.get_num_threads(),
        seed=0,
        version=__version__,
        head=how.head,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Spots:
    """What is told of each spot, filled in batch by batch."""

    expression: NDArray[np.float32]
    similarity: NDArray[np.float32]
    spread: NDArray[np.float32]
    effective_k: NDArray[np.float32]
    patients: NDArray[np.int32]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def empty(cls, total: int, genes: int, shown: int) -> _Spots:
        return cls(
            np.zeros((total, genes), np.float32),
            np.zeros(total, np.float32),
            np.zeros(total, np.float32),
            np.zeros(total, np.float32),
            np.zeros(total, np.int32),
            np.zeros((total, shown), np.int32),
            np.zeros((total, shown), np.float32),
        )

    def some(self, at: slice | NDArray[np.intp]) -> _Spots:
        """Copy of some spots, so that the room of the others is given back."""
        return _Spots(*(getattr(self, field.name)[at].copy() for field in fields(self)))

    def take(self, at: slice, seen: Seen, how: _How) -> None:
        ridge, patient = how.bundle.beside.ridge, how.bundle.patient
        self.expression[at], self.spread[at], matches = predict_by(how.head, seen, how.bank, ridge)
        self.similarity[at] = trust.similarity(matches)
        self.effective_k[at] = trust.effective_k(matches)
        self.patients[at] = trust.patients_among(matches, patient)
        self.rows[at], self.weights[at] = trust.heaviest(matches)

    def trust(self, looks: NDArray[np.float32], how: _How) -> trust.SpotTrust:
        held_out, unlike = how.bundle.beside.held_out, how.bundle.beside.unlike
        return trust.SpotTrust(
            self.patients,
            held_out.percentile(self.similarity) if held_out is not None and how.usual else None,
            None if unlike is None else unlike.unlike(looks),
            self.rows,
            self.weights,
        )


def default_batch_size(patch_px: int, device: torch.device) -> int:
    """Patches a forward pass, from their size: 8 at 224 px on the CPU, 8 times as many elsewhere."""
    fits = CPU_BATCH_PIXELS // patch_px**2
    return max(1, min(64, fits)) * (1 if device.type == "cpu" else 8)
