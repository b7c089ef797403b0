"""The scale: what a file's fields claim is weighed, and a person's ways to settle it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_mclstexp.core.scale import (
    ScaleClaim,
    claim_of,
    objective_claim,
    resolution_claim,
    scale_of_line,
    scale_of_spots,
    weigh_scale,
)
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import ScaleError

if TYPE_CHECKING:
    from pathlib import Path


def noisy(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("claims", "mpp", "asks"),
    [
        ([], None, ""),
        ([(0.5, 0.5)], 0.5, ""),
        ([(0.5, 0.51), (0.505, 0.505)], 0.5, ""),
        ([(0.5, 0.5), (0.25, 0.25)], None, "contradicts itself"),
        ([(0.5, 0.5), (352.8, 352.8)], 0.5, ""),
        ([(352.8, 352.8)], None, "not plausible"),
        ([(0.5, 0.4)], None, "not plausible"),
        ([(0.0, 0.0)], None, "not plausible"),
        ([(-0.5, -0.5)], None, "not plausible"),
        ([(math.nan, math.nan)], None, "no number"),
        ([(math.inf, 0.5)], None, "not plausible"),
    ],
)
def test_claims_are_weighed(claims: list[tuple[float, float]], mpp: float | None, asks: str) -> None:
    reading = weigh_scale([ScaleClaim(x, y, f"field {i}") for i, (x, y) in enumerate(claims)])
    assert (reading.scale.mpp_x if reading.scale else None) == mpp
    assert asks in reading.question
    assert bool(asks) == bool(reading.question)
    for i in range(len(claims) if "contradicts" in asks else 0):
        assert f"field {i}" in reading.question


@pytest.mark.parametrize(
    ("power", "agrees"), [("20", True), ("40", False), ("10", False), ("", True), ("x", True)]
)
def test_an_objective_contradicts_only_by_a_great_deal(power: str, agrees: bool) -> None:
    claims = [claim_of("0.46", "0.46", "file"), objective_claim(power)]
    reading = weigh_scale([c for c in claims if c])
    assert (reading.scale is not None) == agrees


def test_an_objective_alone_is_no_scale() -> None:
    claim = objective_claim(20)
    assert claim is not None
    assert weigh_scale([claim]).scale is None


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600])
def test_what_image_software_writes_by_default_is_no_claim(dpi: float) -> None:
    assert resolution_claim((dpi, dpi), 25400.0, "tags") is None
    assert resolution_claim((dpi / 2.54, dpi / 2.54), 10000.0, "tags") is None


def test_a_resolution_is_a_claim() -> None:
    claim = resolution_claim((20_000.0, 25_000.0), 10_000.0, "tags")
    assert claim is not None
    assert (claim.mpp_x, claim.mpp_y) == (0.5, 0.4)
    assert resolution_claim((0.0, 5.0), 10_000.0, "tags") is None


@pytest.mark.parametrize(
    ("told", "asks"), [("half", "no number (aperio.MPP)"), ("0", "0 (aperio.MPP)"), ("12", "12 (aperio.MPP)")]
)
def test_an_aperio_slide_with_a_bad_scale_asks(tmp_path: Path, told: str, asks: str) -> None:
    about = f"Aperio Image Library v11\n300x200 [0,0 300x200] (128x128)|AppMag = 20|MPP = {told}"
    options = {"photometric": "rgb", "tile": (128, 128), "metadata": None}
    tifffile.imwrite(tmp_path / "a.svs", noisy(300, 200), description=about, **options)
    with open_slide(tmp_path / "a.svs") as slide:
        assert slide.scale is None
        assert asks in slide.traits.scale.question


def test_an_ome_tiff_whose_fields_disagree_asks(tmp_path: Path) -> None:
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"}
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        noisy(128, 96),
        ome=True,
        photometric="rgb",
        metadata={"axes": "YXS", **sizes},
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.scale is None
        assert "PhysicalSize" in slide.traits.scale.question
        assert "TIFF resolution tags" in slide.traits.scale.question


def test_spots_and_lines_of_known_length() -> None:
    spots = np.array([[x, y] for x in range(0, 1000, 250) for y in range(0, 1000, 250)], dtype=float)
    assert scale_of_spots(spots, 200).mpp_x == pytest.approx(0.8)
    assert "200 um" in scale_of_spots(spots, 200).source
    assert scale_of_line(np.array([[0, 0], [300, 400]]), 250).mpp_y == pytest.approx(0.5)
    for bad in (spots[:1], spots[[0, 0]]):
        with pytest.raises(ScaleError, match="two at different places"):
            scale_of_spots(bad, 200)
    with pytest.raises(ScaleError, match="no length"):
        scale_of_line(np.zeros((2, 2)), 100)
    with pytest.raises(ScaleError, match="not plausible"):
        scale_of_line(np.array([[0, 0], [0, 10]]), 1000)
