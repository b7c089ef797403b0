"""Small pictures of one slide for the page of a cohort: its domains, or one gene, over the H&E."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_mclstexp.core.atomic import write_bytes
from napari_mclstexp.core.figure_blocks import round_length
from napari_mclstexp.core.figure_images import background, sensible
from napari_mclstexp.core.maps import SEQUENTIAL
from napari_mclstexp.core.palette import rgb
from napari_mclstexp.core.raster import FINE_PIXELS_A_PITCH, raster_spots
from napari_mclstexp.core.reach import pitch_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Result

SIDE_PX = 480
"""Of a picture's longer side: twice what the page shows, for screens of fine pixels."""
MARGIN = 0.04
"""Of the longer side, around the spots."""
FILL, HEATMAP = 0.5, 0.88
"""Opacity of a domain's area, over grey tissue that its hue is not mixed with, and of a gene's colours."""
PALE, LIGHT = 0.5, 0.15
"""How much white there is over the H&E beneath a gene, and over the tissue beneath a domain."""
LUMINANCE = np.array((0.299, 0.587, 0.114), np.float32)
"""Of red, green and blue, after ITU-R BT.601."""
RIM_PX = 2
"""Width of a domain's outline, in the domain's own colour."""
GREY, STRIPE, STRIPE_EVERY = (190, 190, 190), (105, 105, 105), 7
"""Of spots unlike the reference: no colour of viridis, and striped, as no grey tissue is."""
COLOURS = 256
"""In a file: a picture is then a quarter as large, and no colour is off by more than a hair."""
BAR_UM = 1000.0
"""Length of the scale bar, wherever it takes from a tenth to half of the width."""
TEXT_PX, PAD = 19, 8


@dataclass(frozen=True, slots=True)
class Frame:
    """What a picture shows of a slide.

    Attributes
    ----------
    box_px : tuple of float
        y0, x0, y1, x1 in full-resolution pixels: the spots with a margin, within the slide.
    size : tuple of int
        Height and width of the picture, pixels; true to the tissue where x and y have scales of their own.
    """

    box_px: tuple[float, float, float, float]
    size: tuple[int, int]

    def at(self, centres_px: NDArray[np.float64]) -> NDArray[np.intp]:
        """Rows and columns (N, 2) of the picture at these y, x (N, 2) in full-resolution pixels."""
        y0, x0, y1, x1 = self.box_px
        share = (centres_px - (y0, x0)) / (y1 - y0, x1 - x0)
        return np.floor(share * self.size).astype(np.intp).clip(0, np.array(self.size) - 1)


def frame_of(result: Result) -> Frame:
    """What the pictures of a result show."""
    about = result.provenance
    centres = result.grid.centres_px
    pitch = np.array(pitch_px(result.grid))
    low, high = centres.min(axis=0) - pitch, centres.max(axis=0) + pitch
    room = MARGIN * float((high - low).max())
    y0, x0 = np.maximum(low - room, 0.0)
    y1, x1 = np.minimum(high + room, (about.height, about.width))
    unit = about.mpp_y / about.mpp_x if about.mpp_x > 0 and about.mpp_y > 0 else 1.0
    tall, wide = (y1 - y0) * unit, x1 - x0
    scale = SIDE_PX / max(tall, wide)
    size = (max(1, round(tall * scale)), max(1, round(wide * scale)))
    return Frame((float(y0), float(x0), float(y1), float(x1)), size)


def draw_domains(result: Result, target: Path) -> Path:
    """Draw the domains in their colours, translucent with a firm outline, over the H&E.

    Parameters
    ----------
    result : Result
        Of N spots. One without domains shows the H&E alone.
    target : pathlib.Path
        PNG to write, or to replace; its longer side has 480 px.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    frame = frame_of(result)
    picture = background(result, frame.box_px, frame.size, None).astype(np.float32)
    of = _spots_of(result.grid, frame)
    if result.domains is not None:
        labels = np.append(result.domains.labels, 0)[of]
        tints = np.zeros((max(result.domains.colours, default=0) + 1, 3), np.float32)
        for label, colour in result.domains.colours.items():
            tints[label] = rgb(colour)
        inside, rim = labels > 0, _rim(labels)
        tissue = (picture @ LUMINANCE)[..., None]
        tissue += (255 - tissue) * LIGHT
        opacity = np.where(rim, np.float32(1), np.float32(FILL))[..., None]
        picture = np.where(inside[..., None], tissue + (tints[labels] - tissue) * opacity, picture)
    return _save(picture, of >= 0, frame, result, target)


def draw_gene(result: Result, gene: str, limits: tuple[float, float], target: Path) -> Path:
    """Draw one gene in viridis over the pale H&E; spots unlike the reference are striped in grey.

    Parameters
    ----------
    result : Result
        Of N spots.
    gene : str
        Its symbol.
    limits : tuple of float
        Values at the ends of the colours, in the unit of the expression.
    target : pathlib.Path
        PNG to write, or to replace; its longer side has 480 px.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    GeneError
        The model does not predict it.
    ExportError
        It cannot be written.
    """
    values = np.append(result.believable(gene), np.float32(np.nan))
    low, high = sensible(limits)
    frame = frame_of(result)
    picture = background(result, frame.box_px, frame.size, None).astype(np.float32)
    picture += (255 - picture) * PALE
    of = _spots_of(result.grid, frame)
    shown = values[of]
    known = np.isfinite(shown)
    place = ((shown[known] - low) / (high - low) * len(_viridis())).clip(0, len(_viridis()) - 1)
    picture[known] += (_viridis()[place.astype(np.intp)] - picture[known]) * HEATMAP
    row, column = np.indices(frame.size)
    stripes = np.where(((row + column) % STRIPE_EVERY < 2)[..., None], STRIPE, GREY)
    unlike = (of >= 0) & ~known
    picture[unlike] = stripes[unlike]
    return _save(picture, of >= 0, frame, result, target)


def bar_colours(count: int) -> list[str]:
    """So many colours ``#rrggbb`` from low to high, as :func:`draw_gene` shows them over white glass."""
    colours = _viridis()[np.linspace(0, 255, count).round().astype(int)]
    shown = np.rint(255 + (colours - 255) * HEATMAP).astype(int)
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in shown]


@lru_cache(maxsize=1)
def _spots_of(grid: SpotGrid, frame: Frame) -> NDArray[np.intp]:
    """Row of the spot that each pixel shows, -1 where there is none; the same for all genes of a slide."""
    y0, x0, y1, x1 = frame.box_px
    steps = ((y1 - y0) / frame.size[0], (x1 - x0) / frame.size[1])
    wanted = max(np.array(pitch_px(grid)) / steps)
    raster = raster_spots(grid, int(np.clip(math.ceil(wanted), 2, FINE_PIXELS_A_PITCH)))
    of = np.full(frame.size, -1, np.intp)
    places = [
        np.rint((start + (np.arange(count) + 0.5) * step - origin) / pixel).astype(np.intp)
        for start, step, count, origin, pixel in zip(
            (y0, x0), steps, frame.size, raster.origin_px, raster.step_px, strict=True
        )
    ]
    rows, columns = ((at >= 0) & (at < n) for at, n in zip(places, raster.values.shape, strict=True))
    of[np.ix_(rows, columns)] = raster.values[np.ix_(places[0][rows], places[1][columns])]
    return of


def _rim(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which pixels lie beside another label, or beside none."""
    rim = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        padded = np.pad(labels, RIM_PX, mode="edge")
        for step in (-RIM_PX, -1, 1, RIM_PX):
            beside = np.roll(padded, step, axis)[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]
            rim |= (beside != labels) & ((abs(step) == 1) | (beside == 0))
    return rim


@lru_cache(maxsize=1)
def _viridis() -> NDArray[np.float32]:
    """(256, 3) float32 from 0 to 255, the colours of the window's maps."""
    from matplotlib import colormaps

    return np.asarray(255 * colormaps[SEQUENTIAL[0]](np.arange(256))[:, :3], np.float32)


def _save(
    picture: NDArray[np.float32], spots: NDArray[np.bool_], frame: Frame, result: Result, target: Path
) -> Path:
    image = Image.fromarray(np.rint(picture).clip(0, 255).astype(np.uint8))
    mpp = result.provenance.mpp_x
    if mpp > 0:
        _add_scale_bar(image, spots, (frame.box_px[3] - frame.box_px[1]) * mpp)
    content = io.BytesIO()
    image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(content, "PNG")
    return write_bytes(target, content.getvalue(), overwrite=True)


def _add_scale_bar(image: Image.Image, spots: NDArray[np.bool_], um: float) -> None:
    """Draw a bar of 1 mm, or of a round length where that is too long or short; the width is `um`.

    It stands in the corner where it hides the fewest spots.
    """
    length = BAR_UM if um / 10 <= BAR_UM <= um / 2 else round_length(um / 5)
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    bar, font = round(length / um * image.width), _font()
    wide, tall = max(bar, round(font.getlength(text))) + 2 * PAD, TEXT_PX + 19
    if wide + 2 * PAD > image.width or tall + 2 * PAD > image.height:
        return
    right, bottom = image.width - PAD - wide, image.height - PAD - tall
    corners = ((PAD, bottom), (right, bottom), (PAD, PAD), (right, PAD))
    x, y = min(corners, key=lambda at: int(spots[at[1] : at[1] + tall, at[0] : at[0] + wide].sum()))
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rounded_rectangle((x, y, x + wide, y + tall), 5, fill=(0, 0, 0, 175))
    draw.text((x + wide / 2, y + 4), text, fill="white", font=font, anchor="ma")
    left = x + (wide - bar) / 2
    draw.rectangle((left, y + tall - 10, left + bar, y + tall - 7), fill="white")


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), TEXT_PX)
