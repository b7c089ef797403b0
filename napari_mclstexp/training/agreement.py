"""How near a model's dense maps are to what it predicts patch by patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.backends import DENSE, TORCH
from napari_mclstexp.core.dense import by_region, dense_grid, share_of
from napari_mclstexp.core.laying import lay_spots
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.training.scores import pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.training.sections import Section

SECTIONS, REGIONS, SPOTS = 3, 4, 50
"""Sections that are looked at, regions of each, and spots of each region."""


def dense_agreement(bundle: Bundle, sections: list[Section]) -> dict[str, Any]:
    """Predict some spots of some sections both ways.

    Parameters
    ----------
    bundle : Bundle
        With a margin.
    sections : list of Section
        Whose slides are predicted.

    Returns
    -------
    dict
        ``pcc``: median over genes of the correlation of both predictions over the spots of a section, mean
        over sections; ``pcc_low``: its 5 % quantile over genes; ``spots``, ``sections``: how many. Empty
        where no section has tissue enough.
    """
    found, spots = [], 0
    for section in sections[:SECTIONS]:
        with open_slide(section.slide) as slide:
            scale = section.scale or slide.scale
            try:
                grid = lay_spots(slide, scale, grid=dense_grid(bundle.spec))
            except MclstexpError:
                continue
            some = _sample(grid, share_of(grid, bundle.spec) or 1)
            both = [_finished(predict(slide, bundle, some, scale, backend=b)) for b in (DENSE, TORCH)]
        order = np.argsort(some.ids)  # a dense map has its own order
        dense, patches = both
        found.append(pearson(dense[1][np.argsort(dense[0])], patches[1][order]))
        spots += len(some)
    if not found:
        return {}
    pcc = np.nanmean(found, axis=0)
    return {
        "pcc": round(float(np.nanmedian(pcc)), 4),
        "pcc_low": round(float(np.nanquantile(pcc, 0.05)), 4),
        "spots": spots,
        "sections": len(found),
    }


def _sample(grid: SpotGrid, share: int) -> SpotGrid:
    """Some spots of the regions that have most of them."""
    ordered, regions = by_region(grid, share)
    fullest = sorted(regions, key=lambda rows: rows.start - rows.stop)[:REGIONS]
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.arange(r.start, r.stop))[:SPOTS] for r in fullest]
    return ordered.take(np.sort(np.concatenate(rows)))


def _finished(steps: Any) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Names and expression of the spots, once they are predicted."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value.grid.ids, stop.value.expression
