"""Where spots are predicted: a grid over the tissue, or positions that are given."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.scale import Scale, median_spacing
from napari_mclstexp.errors import GridError, NoTissueError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.tissue import TissueMask

VISIUM_PITCH_UM = 100.0
"""10x Visium: spots 55 um wide, 100 um apart, hexagonal."""

ST_PITCH_UM = 200.0
"""Legacy Spatial Transcriptomics: spots 100 um wide, 200 um apart, square."""

SQUARE = "square:"
"""Before the pitch in um of a square grid."""

SPOT_TO_PITCH = 0.55
TISSUE_FRACTION = 0.5
MAX_SPOTS = 2_000_000
MAX_TABLE_BYTES = 200 * 10**6


@dataclass(frozen=True, slots=True, eq=False)
class SpotGrid:
    """Spots on a slide.

    Attributes
    ----------
    ids : numpy.ndarray
        (N,) str, unique.
    centres_px : numpy.ndarray
        (N, 2) float64 y, x in full-resolution pixels.
    array_row, array_col : numpy.ndarray
        (N,) int64 positions in the grid (Visium's convention on a hexagonal one).
    layout : {"hexagonal", "square", "given"}
        How spots are arranged.
    pitch_px : tuple of float
        Distance between neighbours in y and x pixels; NaN where a single spot has none.
    pitch_um : float
        Distance between neighbours in um; NaN where the scale is unknown.
    """

    ids: NDArray[np.str_]
    centres_px: NDArray[np.float64]
    array_row: NDArray[np.int64]
    array_col: NDArray[np.int64]
    layout: str
    pitch_px: tuple[float, float]
    pitch_um: float

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: slice | NDArray[np.intp]) -> SpotGrid:
        """Some of the spots, named and numbered as they are here; the distance stays that of all of them."""
        return replace(
            self,
            ids=self.ids[rows],
            centres_px=self.centres_px[rows],
            array_row=self.array_row[rows],
            array_col=self.array_col[rows],
        )

    def first(self, count: int) -> SpotGrid:
        """The first spots, `count` of them."""
        return self.take(slice(count))


def parse_grid(text: str) -> tuple[str, float]:
    """Layout and pitch in um of ``visium``, ``st``, a number of um (hexagonal), or ``square:`` and a number.

    Raises
    ------
    GridError
        It is none of them, or no sensible pitch.
    """
    if text == "visium":
        return "hexagonal", VISIUM_PITCH_UM
    if text == "st":
        return "square", ST_PITCH_UM
    layout = "square" if text.startswith(SQUARE) else "hexagonal"
    try:
        pitch = float(text.removeprefix(SQUARE))
    except ValueError:
        pitch = math.nan
    if not 2.0 <= pitch <= 5000.0:
        msg = (
            f"{text!r} is no spot grid. Give visium, st, dense, or a pitch in um from 2 to 5000, such as 50 "
            f"or {SQUARE}50."
        )
        raise GridError(msg)
    return layout, pitch


def make_grid(tissue: TissueMask, scale: Scale, layout: str, pitch_um: float) -> SpotGrid:
    """Lay a regular grid over the tissue.

    Parameters
    ----------
    tissue : TissueMask
        Spots with less than half of their area on tissue are left out.
    scale : Scale
        um per px.
    layout : {"hexagonal", "square"}
        Arrangement.
    pitch_um : float
        Distance between neighbours.

    Returns
    -------
    SpotGrid
        In rows from the top, each from the left.

    Raises
    ------
    GridError
        Over two million spots.
    NoTissueError
        No spot lies on tissue.
    """
    from scipy.ndimage import uniform_filter

    height, width = tissue.mask.shape
    size_um = (height * tissue.downsample_y * scale.mpp_y, width * tissue.downsample_x * scale.mpp_x)
    row_um = pitch_um * math.sqrt(3) / 2 if layout == "hexagonal" else pitch_um
    if size_um[0] / row_um * size_um[1] / pitch_um > MAX_SPOTS:
        msg = f"A pitch of {pitch_um:g} um gives over {MAX_SPOTS:,} spots on this slide. Take a wider one."
        raise GridError(msg)
    rows, cols = np.meshgrid(
        np.arange(math.floor(size_um[0] / row_um)),
        np.arange(math.floor(size_um[1] / pitch_um)),
        indexing="ij",
    )
    row, col = rows.ravel(), cols.ravel()
    shift = np.where(row % 2 == 1, 0.5, 0.0) if layout == "hexagonal" else np.zeros(len(row))
    y_um, x_um = (row + 0.5) * row_um, (col + 0.5 + shift) * pitch_um
    centres = np.column_stack([y_um / scale.mpp_y, x_um / scale.mpp_x])

    spot = np.array([pitch_um / scale.mpp_y, pitch_um / scale.mpp_x]) * SPOT_TO_PITCH
    window = np.maximum(1, np.rint(spot / (tissue.downsample_y, tissue.downsample_x))).astype(int)
    covered = uniform_filter(tissue.mask.astype(np.float32), size=tuple(window), mode="constant")
    at = (centres / (tissue.downsample_y, tissue.downsample_x)).astype(np.int64)
    inside = (at[:, 0] < height) & (at[:, 1] < width)
    keep = np.flatnonzero(inside)
    keep = keep[covered[at[keep, 0], at[keep, 1]] >= TISSUE_FRACTION]
    if len(keep) == 0:
        msg = f"The tissue is too small for spots {pitch_um:g} um apart. Take a narrower pitch."
        raise NoTissueError(msg)
    row, col = row[keep], col[keep]
    if layout == "hexagonal":
        col = 2 * col + row % 2  # Visium numbers columns so that neighbours in a row differ by two
    return SpotGrid(
        ids=np.array([f"{r}x{c}" for r, c in zip(row, col, strict=True)]),
        centres_px=centres[keep],
        array_row=row.astype(np.int64),
        array_col=col.astype(np.int64),
        layout=layout,
        pitch_px=(pitch_um / scale.mpp_y, pitch_um / scale.mpp_x),
        pitch_um=pitch_um,
    )


def given_grid(
    ids: NDArray[np.str_], xy_px: NDArray[np.float64], size: tuple[int, int], scale: Scale | None
) -> SpotGrid:
    """Take spots as they are given: all of them, in their order, without a tissue mask.

    Parameters
    ----------
    ids : numpy.ndarray
        (N,) names.
    xy_px : numpy.ndarray
        (N, 2) x, y in full-resolution pixels.
    size : tuple of int
        Width and height of the slide, px.
    scale : Scale or None
        um per px, where known.

    Returns
    -------
    SpotGrid
        Its pitch is the median distance to the nearest neighbour.

    Raises
    ------
    GridError
        No spots, a name twice, or a centre that is no number or outside the slide.
    """
    import pandas as pd

    if len(ids) == 0:
        msg = "No spots were given."
        raise GridError(msg)
    if len(set(ids.tolist())) != len(ids):
        twice = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        msg = f"The spot id {twice!r} is given twice. Give each spot its own."
        raise GridError(msg)
    outside = ~((xy_px >= 0).all(axis=1) & (xy_px[:, 0] < size[0]) & (xy_px[:, 1] < size[1]))
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        msg = (
            f"{int(outside.sum())} of {len(ids)} spots lie outside the slide of {size[0]} x {size[1]} px, "
            f"such as {ids[first]} at x {xy_px[first, 0]:g}, y {xy_px[first, 1]:g}. Positions are full-"
            "resolution pixels, x before y: check that they belong to this slide."
        )
        raise GridError(msg)
    spacing = median_spacing(xy_px)
    unit = spacing if spacing > 0 else 1.0  # NaN (one spot) compares false
    array = np.rint((xy_px - xy_px.min(axis=0)) / unit).astype(np.int64)
    return SpotGrid(
        ids=ids,
        centres_px=np.ascontiguousarray(xy_px[:, ::-1]),
        array_row=array[:, 1],
        array_col=array[:, 0],
        layout="given",
        pitch_px=(spacing, spacing),
        pitch_um=spacing * scale.mean if scale else math.nan,
    )


def read_spots(path: Path) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Read ``spot_id,x_px,y_px`` from a CSV file.

    Parameters
    ----------
    path : pathlib.Path
        The file; other columns are ignored.

    Returns
    -------
    ids : numpy.ndarray
        (N,) str as written.
    xy_px : numpy.ndarray
        (N, 2) float64 x, y in full-resolution pixels.

    Raises
    ------
    GridError
        The file is not there, or is no such table.
    """
    import pandas as pd

    keep_private(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with a value too many
            with path.open("rb") as file:
                content = file.read(MAX_TABLE_BYTES + 1)
            if len(content) > MAX_TABLE_BYTES:
                msg = (
                    f"{path.name} is larger than {MAX_TABLE_BYTES // 10**6} MB. Give fewer spots or columns."
                )
                raise GridError(msg)
            table = pd.read_csv(
                io.BytesIO(content), dtype={"spot_id": str}, keep_default_na=False, index_col=False
            )
        ids = table["spot_id"].to_numpy(dtype=str)
        xy = table[["x_px", "y_px"]].to_numpy(dtype=np.float64)
    except FileNotFoundError as error:
        msg = f"There is no spot file at {path}."
        raise GridError(msg) from error
    except (KeyError, ValueError, OSError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        msg = f"{path.name} is no spot table. It needs the columns spot_id,x_px,y_px, with numbers in px."
        raise GridError(msg) from error
    return ids, xy
