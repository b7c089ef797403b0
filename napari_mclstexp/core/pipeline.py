"""The door for window and command line: open, lay spots, predict, label, export.

Opening is :func:`.slide.open_slide` and :func:`.bundle.load_bundle`; export is
:func:`.export.export_result`. This module joins what lies between.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_mclstexp.core.backends import DENSE
from napari_mclstexp.core.bundle import Bundle, load_bundle
from napari_mclstexp.core.dense import dense_grid
from napari_mclstexp.core.domain_methods import check_method
from napari_mclstexp.core.domains import DEFAULT_DOMAINS, check_domains, find_domains
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.grid import SpotGrid
from napari_mclstexp.core.laying import lay_spots, lay_with_mask
from napari_mclstexp.core.opening import MISSING_MPP, known_scale, preparing, scale_question
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.progress import Enough, Progress, heard
from napari_mclstexp.core.regions import Regions, read_regions, regions_of
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.room import memory_told
from napari_mclstexp.core.slide import Slide, open_slide
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.errors import ScaleError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_mclstexp.core.heads import Head
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale

__all__ = [
    "MISSING_MPP",
    "Bundle",
    "Enough",
    "Progress",
    "Regions",
    "Slide",
    "SpotGrid",
    "TissueMask",
    "export_result",
    "find_domains",
    "known_scale",
    "lay_spots",
    "load_bundle",
    "load_result",
    "open_slide",
    "predict_and_label",
    "preparing",
    "read_regions",
    "regions_of",
    "save_result",
    "scale_question",
]


def predict_and_label(
    slide: Slide,
    bundle: Bundle,
    scale: Scale | None,
    *,
    grid: str | SpotGrid = "visium",
    spots: Path | None = None,
    tissue: TissueMask | None = None,
    regions: Regions | None = None,
    top_k: int | None = None,
    head: Head | None = None,
    domains: int = DEFAULT_DOMAINS,
    domain_method: str = "kmeans",
    batch_size: int | None = None,
    device: str = "auto",
    backend: str | None = None,
    seed: int = 0,
    resumable: bool = False,
) -> Generator[Progress, None, Result]:
    """Lay spots, predict their expression and find domains.

    Closing the generator cancels it; :class:`.Enough`, thrown into it, ends it with the spots that are done.

    Parameters
    ----------
    slide, bundle, scale
        As in :func:`.predict.predict`.
    grid
        As in :func:`lay_spots`, and ``dense``: the dense map of the model, see :func:`.dense.dense_grid`.
    spots, tissue, regions
        As in :func:`lay_spots`.
    top_k, head, batch_size, device, backend, seed, resumable
        As in :func:`.predict.predict`.
    domains : int
        Number of domains.
    domain_method : str
        As in :func:`.domains.find_domains`.

    Yields
    ------
    Progress
        Stage, spots done and time left; finished spots on the way.

    Returns
    -------
    Result
        With domains, and the mask by which its spots were laid.

    Raises
    ------
    MclstexpError
        Of the class that says what is wrong.
    """
    check_domains(domains, seed)
    check_method(domain_method)
    slide.check_for_model()
    if bundle.spec.mpp is not None and scale is None:
        raise ScaleError(scale_question(slide))
    yield from preparing(slide)
    yield Progress("Finding tissue", 0, 0)
    if grid == DENSE:
        grid = dense_grid(bundle.spec)
    whole, mask = lay_with_mask(slide, scale, grid, spots, tissue)
    laid = whole if regions is None else regions.kept(whole)
    with memory_told():
        result = yield from predict(
            slide,
            bundle,
            laid,
            scale,
            top_k=top_k,
            head=head,
            batch_size=batch_size,
            device=device,
            backend=backend,
            seed=seed,
            resumable=resumable,
        )
    about = replace(
        result.provenance,
        regions="" if regions is None else regions.story(scale, len(laid), len(whole)),
        tissue_edits="" if mask is None else mask.story,
    )
    result = replace(result, provenance=about, tissue=mask)
    yield from heard(Progress("Finding domains", len(result.grid), len(result.grid), 0.0))
    with memory_told():
        return find_domains(result, domains, seed, domain_method)
