"""What a figure shows over the slide: values of spots, domains and crosses, in full-resolution pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from napari_mclstexp.core.cells import domain_areas
from napari_mclstexp.core.figure_images import clip, draw_smooth, near, outline_of, sensible
from napari_mclstexp.core.reach import pitch_px

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.figure import Scene
    from napari_mclstexp.core.result import Result

SPOT_SHARE = 0.8
"""Of the pitch: how wide a spot is drawn."""
CROSS_SHARE, CROSS_PT = 0.5, 1.2
GREY = "#7a7a7a"
POINTS_AT_MOST = 5_000
"""More spots than these are pixels in SVG and PDF, too."""
FILL, STROKE_PT, STROKE_SHARE = 0.5, 1.3, 0.11
"""Opacity of a domain's area; width of its outline, at most, and of the pitch as it is drawn."""


def areas_of(result: Result, scene: Scene) -> dict[int, shapely.Geometry]:
    """Whole areas, in full-resolution px (x, y), of the domains in view; none where they are hidden."""
    if result.domains is None or scene.domains == "hidden":
        return {}
    y0, x0, y1, x1 = scene.box_px
    view = shapely.box(x0, y0, x1, y1)
    return {
        label: area
        for label, area in domain_areas(result.grid, result.domains).items()
        if label not in scene.hidden and shapely.intersects(area, view)
    }


def draw_values(axes: Axes, result: Result, scene: Scene) -> None:
    """Draw the heatmap or blend as spots of their true size, or as a smooth map."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    from napari_mclstexp.core.figure import Blend, Heatmap

    heatmap = scene.heatmap
    if heatmap is None:
        return
    if isinstance(heatmap, Heatmap) and heatmap.smooth:
        draw_smooth(axes, result, scene, heatmap)
        return
    rows = near(result, scene)
    if isinstance(heatmap, Blend):
        colours = heatmap.rgb[rows]
    else:
        norm = Normalize(*sensible(heatmap.limits), clip=True)
        values = heatmap.values[rows]
        known = np.isfinite(values)
        colours = np.full((len(values), 3), np.nan)
        colours[known] = colormaps[heatmap.colormap](norm(values[known]))[:, :3]
    told = np.isfinite(colours).all(axis=1)
    _draw_spots(axes, result, rows[told], colours[told].clip(0, 1), heatmap.opacity)


def _draw_spots(
    axes: Axes, result: Result, rows: NDArray[np.intp], colours: NDArray[Any], opacity: float
) -> None:
    from matplotlib.collections import EllipseCollection

    if len(rows) == 0:
        return
    height, width = (SPOT_SHARE * pitch for pitch in pitch_px(result.grid))
    spots = EllipseCollection(
        np.full(len(rows), width),
        np.full(len(rows), height),
        np.zeros(len(rows)),
        units="xy",
        offsets=result.grid.centres_px[rows][:, ::-1],
        offset_transform=axes.transData,
        facecolors=np.column_stack([colours, np.full(len(rows), opacity)]),
        linewidths=0,
        zorder=3,
    )
    spots.set_rasterized(len(rows) > POINTS_AT_MOST)
    axes.add_collection(spots, autolim=False)


def draw_domains(
    axes: Axes, result: Result, scene: Scene, areas: dict[int, shapely.Geometry], width_pt: float
) -> None:
    """Draw areas of domains: each outline inside its own area, so that neighbours hide none of it.

    `width_pt` is that of the picture, for the width of lines.
    """
    from matplotlib.patches import PathPatch

    if result.domains is None:
        return
    pitch_pt = pitch_px(result.grid)[1] / (scene.box_px[3] - scene.box_px[1]) * width_pt
    stroke = min(STROKE_PT, max(0.4, STROKE_SHARE * pitch_pt))
    for label, area in areas.items():
        colour, outline = result.domains.colours[label], outline_of(area)
        if scene.domains == "filled":
            fill = PathPatch(outline, facecolor=colour, alpha=FILL, linewidth=0, zorder=2)
            axes.add_patch(fill)
        line = PathPatch(outline, fill=False, edgecolor=colour, linewidth=2 * stroke, zorder=4)
        line.set_joinstyle("miter")
        axes.add_patch(line)
        clip(line, axes, area, scene)


def annotations_in_view(result: Result, scene: Scene) -> list[Annotation]:
    """Annotations that meet the box."""
    y0, x0, y1, x1 = scene.box_px
    view = shapely.box(x0, y0, x1, y1)
    notes = () if result.domains is None else result.domains.annotations
    return [note for note in notes if shapely.intersects(note.area, view)]


def draw_annotations(axes: Axes, result: Result, scene: Scene) -> None:
    """Draw the outlines of annotations, dashed: they are no domains."""
    from matplotlib.patches import PathPatch

    for note in annotations_in_view(result, scene):
        outline = outline_of(note.area)
        for colour, style, width in (
            ("white", "-", STROKE_PT + 0.8),
            (note.colour, (0, (4, 1.5)), STROKE_PT),
        ):
            axes.add_patch(
                PathPatch(outline, fill=False, edgecolor=colour, linestyle=style, linewidth=width, zorder=4.5)
            )


def draw_crosses(axes: Axes, result: Result, scene: Scene) -> None:
    """Mark the spots in view that are unlike the reference."""
    from matplotlib.collections import LineCollection

    rows = unlike_in_view(result, scene)
    if len(rows) == 0:
        return
    x, y = result.grid.centres_px[rows][:, 1], result.grid.centres_px[rows][:, 0]
    half_y, half_x = (CROSS_SHARE / 2 * pitch for pitch in pitch_px(result.grid))
    lines = np.array([[[x - half_x, y], [x + half_x, y]], [[x, y - half_y], [x, y + half_y]]])  # (2, 2, 2, n)
    segments = lines.transpose(3, 0, 1, 2).reshape(-1, 2, 2)
    for width, colour in ((CROSS_PT + 0.8, "white"), (CROSS_PT, GREY)):  # the rim shows on dark tissue
        crosses = LineCollection(list(segments), colors=colour, linewidths=width, capstyle="butt", zorder=5)
        crosses.set_rasterized(len(rows) > POINTS_AT_MOST)
        axes.add_collection(crosses, autolim=False)


def unlike_in_view(result: Result, scene: Scene) -> NDArray[np.intp]:
    """Rows of the spots in the box that are marked by crosses."""
    if not scene.crosses or result.unlike is None:
        return np.empty(0, np.intp)
    rows = near(result, scene, 0.0)
    return rows[result.unlike[rows]]
