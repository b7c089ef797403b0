"""Slides of the vendors' formats, written here: what opens, what is shown, and what is kept back."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pytest
from PIL import Image

from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import SlideError

from .vendor_slides import FORMATS, JPEG_TOLERANCE, Vendor
from .vendor_tiff import LABEL, MACRO, TILE, halved, write_philips

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CANARY = "Zebra-Secretova-1961"


@dataclass(frozen=True, slots=True)
class Made:
    """A slide as it was written."""

    vendor: Vendor
    path: Path
    picture: np.ndarray

    def files(self) -> list[Path]:
        """All files of the slide, its own first."""
        return [self.path, *sorted(f for f in self.path.parent.rglob("*") if f.is_file() and f != self.path)]


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]
) -> Callable[[str], Made]:
    """Writer of one slide a format, each once and in a folder of its own."""

    @cache
    def write(key: str) -> Made:
        vendor = FORMATS[key]
        image = picture(3, *vendor.size)
        path = tmp_path_factory.mktemp(key) / vendor.name
        return Made(vendor, vendor.write(path, image, vendor.mpp, CANARY), image)

    return write


@pytest.fixture(params=FORMATS)
def made(request: pytest.FixtureRequest, make: Callable[[str], Made]) -> Made:
    """A slide of each format."""
    return make(request.param)


def near(got: np.ndarray, expected: np.ndarray, tolerance: int) -> None:
    """Demand that no grey value differs by more."""
    assert got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= tolerance


def on_white(region: Image.Image) -> np.ndarray:
    """What OpenSlide read, laid on white."""
    white = Image.new("RGBA", region.size, "white")
    return np.asarray(Image.alpha_composite(white, region).convert("RGB"))


def test_format_size_and_levels(made: Made) -> None:
    width, height = made.vendor.size
    with open_slide(made.path) as slide:
        assert slide.format == made.vendor.format
        assert (slide.width, slide.height) == made.vendor.size
        sizes = [(width // 2**n, height // 2**n) for n in made.vendor.times]
        assert [(level.width, level.height) for level in slide.levels] == sizes
        expected = [2**n for n in made.vendor.times]
        assert [level.downsample for level in slide.levels] == pytest.approx(expected, rel=0.01)


def test_the_scale(made: Made) -> None:
    with open_slide(made.path) as slide:
        assert slide.scale is not None
        assert (slide.scale.mpp_x, slide.scale.mpp_y) == pytest.approx(made.vendor.mpp, rel=1e-6)


@pytest.mark.parametrize("key", FORMATS)
def test_the_scale_names_the_field_that_it_is_from(make: Callable[[str], Made], key: str) -> None:
    made = make(key)
    with open_slide(made.path) as slide:
        assert slide.scale is not None
        assert made.vendor.source in slide.scale.source


def test_every_level_shows_the_picture(made: Made) -> None:
    with open_slide(made.path) as slide:
        for index, times in enumerate(made.vendor.times):
            level = slide.levels[index]
            whole = slide.read(0, 0, level.width, level.height, index)
            near(whole, halved(made.picture, times), made.vendor.tolerance)


@pytest.mark.parametrize(("width", "height"), [(300, 270), (64, 200), (2, 2), (1, 1)])
def test_regions_across_tile_borders(made: Made, width: int, height: int) -> None:
    with open_slide(made.path) as slide:
        for x, y in [(0, 0), (1, 3), (63, 63), (111, 111), (119, 127), (127, 120), (255, 101), (311, 187)]:
            region = slide.read(x, y, width, height)
            expected = made.picture[y : y + height, x : x + width]
            near(region[: expected.shape[0], : expected.shape[1]], expected, made.vendor.tolerance)


def test_levels_are_those_of_openslide(made: Made) -> None:
    left, top = made.vendor.corner
    with open_slide(made.path) as slide, openslide.OpenSlide(str(made.path)) as other:
        for index, down in enumerate(other.level_downsamples):
            level = slide.levels[index]
            assert level.downsample == down
            w, h = level.width // 2, level.height // 2
            middle, end = (level.width // 3, level.height // 4), (level.width - w, level.height - h)
            for x, y in [(0, 0), (3, 1), middle, end]:
                theirs = other.read_region((left + round(x * down), top + round(y * down)), index, (w, h))
                np.testing.assert_array_equal(slide.read(x, y, w, h, index), on_white(theirs))


def test_beyond_the_border_is_white(made: Made) -> None:
    with open_slide(made.path) as slide:
        for index, level in enumerate(slide.levels):
            whole = slide.read(0, 0, level.width, level.height, index)
            region = slide.read(-7, -9, level.width + 20, level.height + 20, index)
            near(region[9 : 9 + level.height, 7 : 7 + level.width], whole, 0)
            region[9 : 9 + level.height, 7 : 7 + level.width] = 255
            assert (region == 255).all()
            assert (slide.read(level.width, 0, 5, 5, index) == 255).all()


def test_coordinates_start_at_the_scan_and_not_at_the_glass(made: Made) -> None:
    with openslide.OpenSlide(str(made.path)) as other:
        canvas = other.dimensions
        if made.vendor.corner == (0, 0):
            assert canvas == made.vendor.size
            return
        found = tuple(int(other.properties[f"openslide.bounds-{n}"]) for n in ("x", "y", "width", "height"))
    assert found == (*made.vendor.corner, *made.vendor.size)
    assert canvas[0] > made.vendor.size[0]
    assert canvas[1] > made.vendor.size[1]
    with open_slide(made.path) as slide:
        first, last = slide.read(0, 0, 9, 9), slide.read(slide.width - 9, slide.height - 9, 9, 9)
        near(first, made.picture[:9, :9], made.vendor.tolerance)
        near(last, made.picture[-9:, -9:], made.vendor.tolerance)
        assert (slide.read(-50, 0, 50, 50) == 255).all()


@pytest.mark.parametrize("max_px", [2048, 300, 100])
def test_the_overview_is_the_scan_without_label_and_macro(made: Made, max_px: int) -> None:
    with openslide.OpenSlide(str(made.path)) as other:
        assert set(other.associated_images) >= made.vendor.hidden
    with open_slide(made.path) as slide:
        overview = slide.overview(max_px).astype(int)
    assert max(overview.shape) == min(max_px, max(made.vendor.size))
    size = (overview.shape[1], overview.shape[0])
    expected = Image.fromarray(made.picture).resize(size, Image.Resampling.BOX)
    assert np.abs(overview - np.asarray(expected, dtype=int)).mean() < 5
    for image in (LABEL, MACRO):
        assert not (np.abs(overview - image[0, 0]).max(axis=2) < 60).any()


def test_nothing_that_tells_of_the_person_leaves_the_file(made: Made, run: Callable[..., object]) -> None:
    assert any(CANARY.encode() in file.read_bytes() for file in made.files())
    with openslide.OpenSlide(str(made.path)) as other:
        assert any(CANARY in value for value in other.properties.values())
    with open_slide(made.path) as slide:
        assert slide.scale is not None
        told = [slide.format, slide.scale.source, repr(slide), repr(slide.levels), slide.fingerprint]
    text, as_json = run("info", made.path), run("info", made.path, "--json")
    assert text.code == as_json.code == 0
    assert json.loads(as_json.out)["format"] == made.vendor.format
    told += [text.out, text.err, as_json.out, as_json.err]
    assert not [words for words in told if CANARY.lower() in words.lower()]


def test_a_tile_that_the_scanner_left_out_is_white(
    tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    image = picture(3, *FORMATS["philips"].size)
    write_philips(tmp_path / "p.tiff", image, (0.25, 0.25), CANARY, absent=7)
    expected = image.copy()
    expected[TILE : 2 * TILE, 2 * TILE : 3 * TILE] = 255  # the third of the second row of five
    with open_slide(tmp_path / "p.tiff") as slide:
        near(slide.read(0, 0, slide.width, slide.height), expected, JPEG_TOLERANCE)


def test_the_fingerprint_tells_slides_apart(made: Made, tmp_path: Path) -> None:
    other = made.picture.copy()
    other[200:260, 200:260] = 255 - other[200:260, 200:260]
    made.vendor.write(tmp_path / made.vendor.name, other, made.vendor.mpp, CANARY)
    with open_slide(made.path) as one, open_slide(tmp_path / made.vendor.name) as two:
        assert one.fingerprint != two.fingerprint


KEPT = (100, 0.5, 0.98, 0.999)
LEVEL_LEFT_OUT = (
    "OpenSlide opens DICOM without a level whose header is cut off, and reads no frame beforehand"
)
OPENED = {
    "m.mrxs": (KEPT, "OpenSlide reads nothing of it but its name: it is a picture of the label"),
    "m/Data0000.dat": (KEPT[1:], "OpenSlide reads the coarsest level alone beforehand"),
    "m/Data0001.dat": (KEPT[2:], "it ends with the label, of which OpenSlide reads the size alone"),
    "d.dcm": (KEPT[1:], "OpenSlide reads no frame beforehand"),
    "d-1.dcm": (KEPT, LEVEL_LEFT_OUT),
    "d-2.dcm": (KEPT, LEVEL_LEFT_OUT),
    "d-label.dcm": (KEPT, "OpenSlide opens DICOM without a label"),
    "d-overview.dcm": (KEPT, "OpenSlide opens DICOM without an overview"),
}
"""Files that may lack their end without OpenSlide's noticing, where it does not, and why."""

CUTS = [
    (key, name, kept)
    for key, vendor in FORMATS.items()
    for name in (vendor.name, *vendor.others)
    for kept in KEPT
]


def unnoticed(name: str, kept: float) -> list[pytest.MarkDecorator]:
    """The mark of a file whose missing end OpenSlide does not notice on opening."""
    where, why = OPENED.get(name, ((), ""))
    return [pytest.mark.xfail(reason=why)] if kept in where else []


def cut(made: Made, name: str, kept: float, folder: Path) -> Path:
    """Copy a slide, of one file only the first `kept` bytes, or that part of it."""
    for each in made.files():
        target = folder / each.relative_to(made.path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = each.read_bytes()
        whole = each != made.path.parent / name
        target.write_bytes(content if whole else content[: int(kept if kept >= 1 else kept * len(content))])
    return folder / made.path.name


@pytest.mark.parametrize(
    ("key", "name", "kept"), [pytest.param(*case, marks=unnoticed(*case[1:])) for case in CUTS]
)
def test_a_slide_that_is_cut_off_is_refused(
    make: Callable[[str], Made], key: str, name: str, kept: float, tmp_path: Path
) -> None:
    with pytest.raises(SlideError) as refused, open_slide(cut(make(key), name, kept, tmp_path)):
        pass
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(("key", "name", "kept"), [case for case in CUTS if unnoticed(*case[1:])])
def test_a_cut_off_slide_that_opens_shows_no_other_pixels(
    make: Callable[[str], Made], key: str, name: str, kept: float, tmp_path: Path
) -> None:
    made = make(key)
    try:
        slide = open_slide(cut(made, name, kept, tmp_path))
    except SlideError:
        return  # better still
    with slide:
        for index, level in enumerate(slide.levels):
            with contextlib.suppress(SlideError):
                whole = slide.read(0, 0, level.width, level.height, index)
                near(whole, halved(made.picture, round(np.log2(level.downsample))), made.vendor.tolerance)
