"""The door for window and command line: open, lay spots, predict, label, export.

Opening is :func:`.slide.open_slide` and :func:`.bundle.load_bundle`; export is
:func:`.export.export_result`. This module joins what lies between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.bundle import Bundle, load_bundle
from napari_mclstexp.core.domains import DEFAULT_DOMAINS, check_domains, find_domains
from napari_mclstexp.core.export import export_result
from napari_mclstexp.core.grid import SpotGrid, given_grid, make_grid, parse_grid, read_spots
from napari_mclstexp.core.opening import MISSING_MPP, known_scale, preparing, scale_question
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.progress import Progress
from napari_mclstexp.core.result_file import load_result, save_result
from napari_mclstexp.core.slide import Slide, open_slide
from napari_mclstexp.core.tissue import find_tissue
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
    "Progress",
    "Slide",
    "SpotGrid",
    "export_result",
    "find_domains",
    "known_scale",
    "lay_spots",
    "load_bundle",
    "load_result",
    "open_slide",
    "predict_and_label",
    "preparing",
    "save_result",
    "scale_question",
]

def lay_spots(
    slide: Slide, scale: Scale | None, *, grid: str | SpotGrid = "visium", spots: Path | None = None
) -> SpotGrid:
    """Spots on the slide's tissue, or those that a file gives.

    Parameters
    ----------
    slide : Slide
        The image.
    scale : Scale or None
        um per px; None is enough only for given spots.
    grid : str or SpotGrid
        ``visium``, ``st`` or a pitch in um; or spots that are laid already, which are taken as they are.
    spots : pathlib.Path, optional
        CSV with ``spot_id,x_px,y_px``; then `grid` is not looked at.

    Returns
    -------
    SpotGrid
        Where to predict.

    Raises
    ------
    GridError, NoTissueError, ScaleError
        See each class.
    """
    if isinstance(grid, SpotGrid):
        return grid
    if spots is not None:
        ids, xy = read_spots(spots)
        return given_grid(ids, xy, (slide.width, slide.height), scale)
    layout, pitch_um = parse_grid(grid)
    if scale is None:
        raise ScaleError(scale_question(slide))
    return make_grid(find_tissue(slide, scale), scale, layout, pitch_um)


def predict_and_label(
    slide: Slide,
    bundle: Bundle,
    scale: Scale | None,
    *,
    grid: str | SpotGrid = "visium",
    spots: Path | None = None,
    top_k: int | None = None,
    head: Head | None = None,
    domains: int = DEFAULT_DOMAINS,
    batch_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Generator[Progress, None, Result]:
    """Lay spots, predict their expression and find domains. Closing the generator cancels it.

    Parameters
    ----------
    slide, bundle, scale
        As in :func:`.predict.predict`.
    grid, spots
        As in :func:`lay_spots`.
    top_k, head, batch_size, device, seed
        As in :func:`.predict.predict`.
    domains : int
        Number of domains.

    Yields
    ------
    Progress
        Stage, spots done and time left; finished spots on the way.

    Returns
    -------
    Result
        With domains.

    Raises
    ------
    MclstexpError
        Of the class that says what is wrong.
    """
    check_domains(domains, seed)
    slide.check_for_model()
    if bundle.spec.mpp is not None and scale is None:
        raise ScaleError(scale_question(slide))
    yield from preparing(slide)
    yield Progress("Finding tissue", 0, 0)
    laid = lay_spots(slide, scale, grid=grid, spots=spots)
    result = yield from predict(
        slide, bundle, laid, scale, top_k=top_k, head=head, batch_size=batch_size, device=device, seed=seed
    )
    yield Progress("Finding domains", len(laid), len(laid), 0.0)
    return find_domains(result, domains, seed)
