"""The pixels of a figure: H&E and smooth maps, and where they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from PIL import Image

from napari_mclstexp.core.cells import spot_cells
from napari_mclstexp.core.raster import canvas_of
from napari_mclstexp.core.reach import pitch_px

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.path import Path as Outline
    from numpy.typing import NDArray

    from napari_mclstexp.core.figure import Heatmap, Scene
    from napari_mclstexp.core.raster import Canvas
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.slide.base import Slide

READ_PX = 8_000
"""A side of the H&E as it is read from a level, at most."""
CLIPPED_AT_MOST = 20_000
"""Of spots: up to these a smooth map ends exactly where their cells do."""


def add_pixels(axes: Axes, paint: Callable[[int, int], NDArray[np.uint8]], *, zorder: float, key: str) -> Any:
    """Fill axes with pixels that are painted when their number is known.

    matplotlib's own images take 100 bytes a pixel while they are resampled, gigabytes in print.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    paint : callable
        Takes a height and a width, gives (height, width, 4) uint8 RGBA.
    zorder : float
        Higher is over lower.
    key : str
        Names the pixels in SVG.

    Returns
    -------
    matplotlib.image.AxesImage
        What was added.
    """
    from matplotlib.image import AxesImage
    from matplotlib.transforms import IdentityTransform

    class Pixels(AxesImage):
        def make_image(self, renderer: Any, magnification: float = 1.0, unsampled: bool = False) -> Any:
            width, height = (max(1, round(n * magnification)) for n in axes.bbox.size)
            return paint(height, width)[::-1], axes.bbox.x0, axes.bbox.y0, IdentityTransform()

    image = Pixels(axes, zorder=zorder)
    image.set_data(np.zeros((1, 1)))
    image.set_gid(key)
    image.set_clip_path(axes.patch)
    axes.add_image(image)
    return image


def background(
    result: Result, box_px: tuple[float, float, float, float], size: tuple[int, int], slide: Slide | None
) -> NDArray[np.uint8]:
    """H&E in a box, white beyond the slide.

    Parameters
    ----------
    result : Result
        Its picture is taken without a slide.
    box_px : tuple of float
        y0, x0, y1, x1 in full-resolution px.
    size : tuple of int
        Height and width of the outcome.
    slide : Slide or None
        Read at the coarsest level that has as many pixels.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8 RGB.
    """
    y0, x0, y1, x1 = box_px
    height, width = size
    picture = np.full((height, width, 3), 255, np.uint8)
    about = result.provenance
    left, top, right, bottom = max(x0, 0.0), max(y0, 0.0), min(x1, about.width), min(y1, about.height)
    if left >= right or top >= bottom:
        return picture
    inside = (left, top, right, bottom)
    if slide is None:
        pixels, origin = result.hires, (0, 0)
        scale = (pixels.shape[1] / about.width, pixels.shape[0] / about.height)
    else:
        pixels, origin, scale = _read(slide, inside, width / (x1 - x0))
    limits = np.array([pixels.shape[1], pixels.shape[0]] * 2)
    crop = (np.array(inside) * (scale * 2) - origin * 2).clip(0, limits)
    columns, rows = (
        [round((at - start) / (end - start) * count) for at in places]
        for places, start, end, count in (((left, right), x0, x1, width), ((top, bottom), y0, y1, height))
    )
    target = (columns[1] - columns[0], rows[1] - rows[0])
    if min(target) > 0:
        shown = Image.fromarray(pixels).resize(target, Image.Resampling.BICUBIC, box=tuple(crop.tolist()))
        picture[rows[0] : rows[1], columns[0] : columns[1]] = np.asarray(shown)
    return picture


def _read(
    slide: Slide, inside: tuple[float, float, float, float], wanted: float
) -> tuple[NDArray[np.uint8], tuple[int, int], tuple[float, float]]:
    """Pixels over x0, y0, x1, y1, `wanted` or more a full-resolution px; their origin and scale in x, y."""
    side = max(inside[2] - inside[0], inside[3] - inside[1])
    fits = [i for i, level in enumerate(slide.levels) if level.width / slide.width * side <= READ_PX]
    fits = fits or [len(slide.levels) - 1]
    fine = [i for i in fits if slide.levels[i].width / slide.width >= wanted]
    at = fine[-1] if fine else fits[0]
    level = slide.levels[at]
    scale = (level.width / slide.width, level.height / slide.height)
    x, y = int(inside[0] * scale[0]), int(inside[1] * scale[1])
    right = min(int(np.ceil(inside[2] * scale[0])), level.width)
    bottom = min(int(np.ceil(inside[3] * scale[1])), level.height)
    return slide.read(x, y, max(right - x, 1), max(bottom - y, 1), at), (x, y), scale


def sensible(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits, widened where they are equal or no numbers."""
    low, high = limits
    if not np.isfinite(limits).all():
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1.0)


def near(result: Result, scene: Scene, pitches: float = 1.0) -> NDArray[np.intp]:
    """Rows of the spots within the box, or up to so many pitches beyond it."""
    y0, x0, y1, x1 = scene.box_px
    beyond = np.multiply(pitch_px(result.grid), pitches)
    low, high = np.array([y0, x0]) - beyond, np.array([y1, x1]) + beyond
    centres = result.grid.centres_px
    return np.flatnonzero(((centres >= low) & (centres <= high)).all(axis=1))


def draw_smooth(axes: Axes, result: Result, scene: Scene, heatmap: Heatmap) -> None:
    """Draw the same smooth map as the window, its border along the cells of the spots."""
    from matplotlib import colormaps
    from scipy.ndimage import distance_transform_edt

    rows = near(result, scene, 4.0)
    values = heatmap.values[rows]
    if not np.isfinite(values).any():
        return
    grid = result.grid
    canvas = canvas_of(grid.take(rows), smooth=True)
    shown = canvas.paint(values)
    empty = np.isnan(shown)
    nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
    low, high = sensible(heatmap.limits)
    shown = ((shown[tuple(nearest)] - low) / (high - low)).astype(np.float32)
    colours = np.rint(255 * colormaps[heatmap.colormap](np.arange(256))).astype(np.uint8)
    colours[:, 3] = round(255 * heatmap.opacity)
    clipped = len(rows) <= CLIPPED_AT_MOST

    def paint(height: int, width: int) -> NDArray[np.uint8]:
        at = _affine(canvas, scene.box_px, (height, width))
        size, way = (width, height), Image.Transform.AFFINE
        picture = Image.fromarray(shown).transform(size, way, at, Image.Resampling.BILINEAR)
        pixels = colours[(np.asarray(picture) * 256).clip(0, 255).astype(np.uint8)]
        if not clipped:
            beyond = Image.fromarray(empty).transform(size, way, at, Image.Resampling.NEAREST, fillcolor=1)
            pixels[np.asarray(beyond)] = 0
        return pixels

    image = add_pixels(axes, paint, zorder=3, key="heatmap")
    if clipped:
        clip(image, axes, shapely.union_all(spot_cells(grid.take(rows))[np.isfinite(values)]), scene)


def _affine(
    canvas: Canvas, box_px: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, ...]:
    """Pillow's six numbers that lead from a pixel of a picture of the box to the canvas's."""
    y0, x0, y1, x1 = box_px
    (top, left), (dy, dx) = canvas.raster.origin_px, canvas.raster.step_px
    across, down = (x1 - x0) / size[1] / dx, (y1 - y0) / size[0] / dy
    return (across, 0.0, (x0 - left) / dx + 0.5, 0.0, down, (y0 - top) / dy + 0.5)


def clip(artist: Any, axes: Axes, area: shapely.Geometry, scene: Scene) -> None:
    """Draw no further than an area and the box."""
    y0, x0, y1, x1 = scene.box_px
    artist.set_clip_path(outline_of(shapely.intersection(area, shapely.box(x0, y0, x1, y1))), axes.transData)


def outline_of(area: shapely.Geometry) -> Outline:
    """One path, exteriors one way and holes the other, of a geometry's polygons."""
    from matplotlib.path import Path as Outline

    polygons = [p for p in shapely.get_parts(area) if p.geom_type == "Polygon" and p.area > 0]
    rings = [ring for p in shapely.orient_polygons(polygons) for ring in (p.exterior, *p.interiors)]
    if not rings:
        return Outline(np.zeros((1, 2)))
    return Outline.make_compound_path(*[Outline(np.array(ring.coords), closed=True) for ring in rings])
