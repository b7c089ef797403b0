"""The scale of a slide: micrometres a pixel (mpp), in x and y, and where it was learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.errors import ScaleError

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAUSIBLE_MPP = (0.1, 2.0)
"""um per px at which histology is scanned; a 72-dpi tag, for one, reads as 352."""

OVERVIEW_MPP = 100.0
"""um per px up to which a reduced picture is looked at."""

TOLERANCE = 0.05
"""Two fields that differ by more contradict each other; so do x and y of one."""

ROUGH_TOLERANCE = 0.6
"""The same for an objective's power: scanners of 20x are found from 0.44 to 0.55 um per px, some beyond."""

UM_AT_1X = 10.0
UM_PER_INCH = 25400.0
DEFAULT_DPI = (1, 72, 75, 90, 96, 100, 120, 150, 200, 300, 400, 600, 1200)
"""What image software writes where nothing is known of the scale."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Micrometres a full-resolution pixel.

    Attributes
    ----------
    mpp_x, mpp_y : float
        um per px along each axis.
    source : str
        Where it was learned, such as ``"openslide.mpp-x"`` or ``"given by the user"``.
    overview : bool
        Whether it is that of a reduced picture, which is looked at and not predicted.
    """

    mpp_x: float
    mpp_y: float
    source: str
    overview: bool = False

    def __post_init__(self) -> None:
        low, high = PLAUSIBLE_MPP
        high = OVERVIEW_MPP if self.overview else high
        for value in (self.mpp_x, self.mpp_y):
            if not (math.isfinite(value) and low <= value <= high):
                msg = (
                    f"{value:g} um per pixel is not plausible for a histology slide "
                    f"({low:g} to {high:g} is). Check the value; 20x scans have about 0.5, 40x about 0.25."
                )
                raise ScaleError(msg)

    @property
    def mean(self) -> float:
        """Geometric mean of both axes, um per px."""
        return math.sqrt(self.mpp_x * self.mpp_y)


def plausible_scale(mpp: float, source: str, *, overview: bool = False) -> Scale | None:
    """Scale alike in x and y; None where it is not plausible."""
    try:
        return Scale(mpp, mpp, source, overview=overview)
    except ScaleError:
        return None


@dataclass(frozen=True, slots=True)
class ScaleClaim:
    """What one field of a file says of its scale; nothing is checked yet.

    Attributes
    ----------
    mpp_x, mpp_y : float
        um per px along each axis; NaN where the field is no number.
    source : str
        The field, such as ``"aperio.MPP"``.
    rough : bool
        Whether the field tells no more than the order, as an objective's power does.
    """

    mpp_x: float
    mpp_y: float
    source: str
    rough: bool = False

    @property
    def plausible(self) -> bool:
        """Whether histology is scanned at this scale, alike in x and y."""
        low, high = PLAUSIBLE_MPP
        within = all(low <= value <= high for value in (self.mpp_x, self.mpp_y))  # NaN is not
        return within and _apart(self.mpp_x, self.mpp_y) <= TOLERANCE

    def __str__(self) -> str:
        shown = ["no number" if math.isnan(v) else f"{v:.4g}" for v in (self.mpp_x, self.mpp_y)]
        value = shown[0] if shown[0] == shown[1] else " x ".join(shown)
        return f"{'about ' if self.rough else ''}{value} ({self.source})"


@dataclass(frozen=True, slots=True)
class ScaleReading:
    """What a file's own fields say of its scale, weighed.

    Attributes
    ----------
    scale : Scale or None
        Where they agree on a plausible one.
    claims : tuple of ScaleClaim
        What they say, the most trusted first.
    question : str
        What a person has to decide, empty where the fields agree or say nothing.
    """

    scale: Scale | None = None
    claims: tuple[ScaleClaim, ...] = ()
    question: str = ""


NO_SCALE = ScaleReading()


def weigh_scale(claims: Iterable[ScaleClaim]) -> ScaleReading:
    """Settle a slide's scale from its own fields, or say what is to be asked.

    Parameters
    ----------
    claims : iterable of ScaleClaim
        The most trusted first.

    Returns
    -------
    ScaleReading
        A scale where the first plausible claim is contradicted by no other; none and no question where
        nothing is claimed; else a question. Implausible claims beside a plausible one count for nothing:
        generic resolution tags are often left at a screen's.
    """
    claims = tuple(claims)
    exact = [claim for claim in claims if not claim.rough]
    if not exact:
        return ScaleReading(claims=claims)
    plausible = [claim for claim in exact if claim.plausible]
    if not plausible:
        told = "; ".join(map(str, exact))
        why = f"The file's scale is not plausible for histology: {told} um per pixel. What is right?"
        return ScaleReading(claims=claims, question=why)
    best = plausible[0]
    rough = [claim for claim in claims if claim.rough]
    against = [c for c in plausible[1:] if _differ(best, c) > TOLERANCE]
    against += [c for c in rough if _differ(best, c) > ROUGH_TOLERANCE]
    if against:
        told = " but ".join(map(str, (best, *against)))
        why = f"The file contradicts itself on its scale: {told} um per pixel. What is right?"
        return ScaleReading(claims=claims, question=why)
    return ScaleReading(Scale(best.mpp_x, best.mpp_y, best.source), claims)


def claim_of(x: object, y: object, source: str) -> ScaleClaim:
    """Make a claim of two values of a file as they stand there; what is no number becomes NaN."""
    values = []
    for value in (x, y):
        try:
            values.append(float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            values.append(math.nan)
    return ScaleClaim(values[0], values[1], source)


def objective_claim(power: object) -> ScaleClaim | None:
    """What an objective's power says: 20 is about 0.5 um per px, 40 about 0.25; None without a power."""
    try:
        mpp = UM_AT_1X / float(power)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return ScaleClaim(mpp, mpp, f"the objective's {power}x", rough=True)


def resolution_claim(per_unit: tuple[float, float], um_per_unit: float, source: str) -> ScaleClaim | None:
    """What pixels per inch or cm say; None for zero and for the defaults of screens and printers."""
    if not all(math.isfinite(v) and v > 0 for v in per_unit):
        return None
    per_inch = [v * UM_PER_INCH / um_per_unit for v in per_unit]
    if all(any(abs(v - d) < 1 for d in DEFAULT_DPI) for v in per_inch):
        return None
    return ScaleClaim(um_per_unit / per_unit[0], um_per_unit / per_unit[1], source)


def _apart(a: float, b: float) -> float:
    """How far two positive numbers are apart, as a share of the smaller."""
    return max(a, b) / min(a, b) - 1 if min(a, b) > 0 else math.inf


def _differ(a: ScaleClaim, b: ScaleClaim) -> float:
    return max(_apart(a.mpp_x, b.mpp_x), _apart(a.mpp_y, b.mpp_y))


def parse_mpp(text: str) -> Scale:
    """Read ``M`` or ``MX,MY`` as a user typed it.

    Raises
    ------
    ScaleError
        It is no number, two numbers, or implausible.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        msg = f"{text!r} is no scale. Give um per pixel, such as 0.5, or 0.50,0.51 for x and y."
        raise ScaleError(msg)
    return Scale(values[0], values[-1], "given by the user")


def scale_of_spots(xy_px: np.ndarray, pitch_um: float) -> Scale:
    """Scale from spots (N, 2) in full-resolution px whose neighbours are `pitch_um` apart.

    Raises
    ------
    ScaleError
        Fewer than two spots, or an implausible outcome.
    """
    spacing = median_spacing(xy_px)
    if not spacing > 0:
        msg = "The scale cannot be taken from these spots: two at different places are needed."
        raise ScaleError(msg)
    return Scale(pitch_um / spacing, pitch_um / spacing, f"spots {pitch_um:g} um apart")


def scale_of_line(ends_px: np.ndarray, length_um: float) -> Scale:
    """Scale from a line, its ends (2, 2) in full-resolution px, and its known length.

    Raises
    ------
    ScaleError
        The line has no length, or the outcome is implausible.
    """
    length_px = float(np.linalg.norm(np.diff(np.asarray(ends_px, dtype=np.float64), axis=0)))
    if not (length_px > 0 and length_um > 0):
        msg = "The line has no length. Draw it along a distance that you know, such as a scale bar."
        raise ScaleError(msg)
    return Scale(length_um / length_px, length_um / length_px, f"a line of {length_um:g} um, drawn")


def median_spacing(points: np.ndarray) -> float:
    """Median nearest-neighbour distance of points (N, 2), in their unit; NaN for fewer than two."""
    if len(points) < 2:
        return math.nan
    from scipy.spatial import cKDTree  # a fifth of a second, for which no slide's first picture waits

    return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))
