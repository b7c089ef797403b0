"""Laying spots on a slide: a grid over its tissue, or positions that are given; everywhere, or in regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.grid import SpotGrid, given_grid, make_grid, parse_grid, read_spots
from napari_mclstexp.core.opening import scale_question
from napari_mclstexp.core.tissue import TissueMask, tissue_of
from napari_mclstexp.errors import GridError, NoTissueError, ScaleError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.regions import Regions
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide


def lay_spots(
    slide: Slide,
    scale: Scale | None,
    *,
    grid: str | SpotGrid = "visium",
    spots: Path | None = None,
    tissue: TissueMask | None = None,
    regions: Regions | None = None,
) -> SpotGrid:
    """Spots on the slide's tissue, or those that a file gives.

    Parameters
    ----------
    slide : Slide
        The image.
    scale : Scale or None
        um per px; None is enough only for given spots.
    grid : str or SpotGrid
        As in :func:`.grid.parse_grid`; or spots that are laid already, which are taken as they are.
    spots : pathlib.Path, optional
        CSV with ``spot_id,x_px,y_px``; then `grid` is not looked at.
    tissue : TissueMask, optional
        Where tissue lies, such as a person has painted it; it is found on the slide by default. Spots that
        are given or laid already are not changed by it.
    regions : Regions, optional
        Spots outside are left out, those that are given, too.

    Returns
    -------
    SpotGrid
        Where to predict.

    Raises
    ------
    GridError, NoTissueError, ScaleError
        See each class.
    """
    laid, _ = lay_with_mask(slide, scale, grid, spots, tissue)
    return laid if regions is None else regions.kept(laid)


def lay_with_mask(
    slide: Slide, scale: Scale | None, grid: str | SpotGrid, spots: Path | None, tissue: TissueMask | None
) -> tuple[SpotGrid, TissueMask | None]:
    """All spots of the slide, and the mask by which they were laid; None for spots that were given."""
    if isinstance(grid, SpotGrid):
        return grid, None if grid.layout == "given" else tissue
    if spots is not None:
        ids, xy = read_spots(spots)
        return given_grid(ids, xy, (slide.width, slide.height), scale), None
    layout, pitch_um = parse_grid(grid)
    if scale is None:
        raise ScaleError(scale_question(slide))
    mask = tissue_of(slide, scale) if tissue is None else _fitting(tissue, slide)
    return make_grid(mask, scale, layout, pitch_um), mask


def _fitting(tissue: TissueMask, slide: Slide) -> TissueMask:
    """A mask that was given, once it is known to be of this slide."""
    height, width = tissue.mask.shape
    off = (
        abs(height * tissue.downsample_y - slide.height) / tissue.downsample_y,
        abs(width * tissue.downsample_x - slide.width) / tissue.downsample_x,
    )
    if max(off) >= 1:
        msg = f"The tissue mask is not of this slide of {slide.width} x {slide.height} px. Find it again."
        raise GridError(msg)
    if not tissue.mask.any():
        msg = "The tissue mask is empty: nothing is left of it. Paint some tissue, or take the one found."
        raise NoTissueError(msg)
    return tissue
