"""Patches: the right tissue, at the right place, without aliasing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_mclstexp.core.patches import Field, read_batches, read_patch, worked_ahead
from napari_mclstexp.core.scale import Scale, parse_mpp
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import ScaleError
from napari_mclstexp.samples import sample_slide_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def scale(x: float, y: float | None = None) -> Scale:
    return Scale(x, x if y is None else y, "test")


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def save(path: Path, picture: np.ndarray) -> Path:
    Image.fromarray(picture).save(path)
    return path


def test_a_native_patch_is_the_crop_around_the_rounded_centre(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    with open_slide(save(tmp_path / "n.png", picture)) as slide:
        for x, y in [(200, 150), (200.4, 149.6), (180.6, 120.3)]:
            got = read_patch(slide, np.array([y, x]), Field(64, None), None)
            left, top = round(x) - 32, round(y) - 32
            np.testing.assert_array_equal(got, picture[top : top + 64, left : left + 64])


def test_a_native_patch_over_the_border_is_padded_with_white(tmp_path: Path) -> None:
    picture = np.full((100, 120, 3), 30, dtype=np.uint8)
    with open_slide(save(tmp_path / "n.png", picture)) as slide:
        got = read_patch(slide, np.array([5.0, 119.0]), Field(32, None), None)
    expected = np.full((32, 32, 3), 255, dtype=np.uint8)
    expected[11:, :17] = 30
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("mpp", "field_um", "patch_px"), [(0.5, 112, 32), (0.25, 112, 64), (1.0, 50, 50), (0.8, 60, 90)]
)
def test_a_field_in_um_is_centred(tmp_path: Path, mpp: float, field_um: float, patch_px: int) -> None:
    y, x = np.mgrid[:900, :1000]
    picture = np.dstack([x / 1000 * 255, y / 900 * 255, np.zeros(x.shape)]).round().astype(np.uint8)
    centre = np.array([433.0, 517.0])
    with open_slide(save(tmp_path / "ramp.png", picture)) as slide:
        got = read_patch(slide, centre, Field(patch_px, field_um), scale(mpp)).astype(float)
    assert got.shape == (patch_px, patch_px, 3)
    # A spot's centre c is a point between pixels c - 1 and c; a ramp's value at pixel i is that of i + 0.5.
    assert got[..., 0].mean() == pytest.approx((centre[1] - 0.5) / 1000 * 255, abs=0.3)
    assert got[..., 1].mean() == pytest.approx((centre[0] - 0.5) / 900 * 255, abs=0.3)
    side = field_um / mpp
    slope = np.polyfit(np.arange(patch_px), got[..., 0].mean(axis=0), 1)[0]
    assert slope == pytest.approx(side / patch_px * 255 / 1000, rel=0.03)
    np.testing.assert_allclose(got[..., 0], got[:1, :, 0].repeat(patch_px, 0), atol=1)


def test_what_is_finer_than_the_patch_is_averaged_and_not_picked(tmp_path: Path) -> None:
    y, x = np.mgrid[:800, :800]
    with open_slide(save(tmp_path / "checks.png", as_rgb(((x + y) % 2) * 255.0))) as slide:
        for side in (32, 41, 56):
            patch = read_patch(slide, np.array([400.3, 399.1]), Field(side, 112.0), scale(0.5))
            assert np.abs(patch.astype(float) - 127.5).max() < 12


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_patches_from_a_pyramid_show_what_full_resolution_shows(
    tmp_path: Path, picture: Callable[..., np.ndarray], make_slide: Callable[..., Path], mpp: float
) -> None:
    whole = picture(8, 1200, 1000)
    with (
        open_slide(make_slide(tmp_path / "p.tif", whole, mpp)) as pyramid,
        open_slide(save(tmp_path / "p.png", whole)) as flat,
    ):
        assert len(pyramid.levels) > len(flat.levels)
        for centre in np.array([[500.0, 600.0], [333.7, 702.2], [40.0, 1190.0]]):
            field = Field(32, 112.0)
            one, two = (read_patch(s, centre, field, scale(mpp)).astype(int) for s in (pyramid, flat))
            assert np.abs(one - two).mean() < 3


def test_both_axes_have_their_own_scale(tmp_path: Path) -> None:
    y, x = np.mgrid[:600, :600]
    wide = ((x - 300) / 80) ** 2 + ((y - 300) / 40) ** 2 < 1  # round in um at 0.25 x 0.5
    with open_slide(save(tmp_path / "oval.png", as_rgb(255.0 * wide))) as slide:
        patch = read_patch(slide, np.array([300.0, 300.0]), Field(64, 64.0), scale(0.25, 0.5))[..., 0]
    disc = patch > 127
    across, down = disc.any(axis=0).sum(), disc.any(axis=1).sum()
    assert across == down == 40
    assert disc.sum() == pytest.approx(np.pi * 20**2, rel=0.02)


def test_a_field_over_the_border_is_white_there(tmp_path: Path) -> None:
    picture = np.full((300, 300, 3), 40, dtype=np.uint8)
    with open_slide(save(tmp_path / "b.png", picture)) as slide:
        patch = read_patch(slide, np.array([0.0, 150.0]), Field(32, 64.0), scale(0.5))
    assert (patch[:15] > 250).all()
    assert (patch[17:] < 45).all()


def test_fields_in_um_need_a_scale(tmp_path: Path) -> None:
    black = save(tmp_path / "b.png", np.zeros((64, 64, 3), np.uint8))
    with open_slide(black) as slide, pytest.raises(ScaleError, match="um per pixel"):
        read_patch(slide, np.array([30.0, 30.0]), Field(32, 112.0), None)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_batches_hold_every_spot_once_in_order(tmp_path: Path, batch_size: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    centres = np.random.default_rng(1).uniform(10, 190, (19, 2))
    field = Field(16, None)
    with open_slide(save(tmp_path / "n.png", picture)) as slide:
        batches = list(read_batches(slide, centres, field, None, batch_size))
        alone = np.stack([read_patch(slide, c, field, None) for c in centres])
    assert [i for rows, _ in batches for i in range(rows.start, rows.stop)] == list(range(19))
    assert max(len(patches) for _, patches in batches) == min(batch_size, 19)
    np.testing.assert_array_equal(np.concatenate([patches for _, patches in batches]), alone)


def test_closing_the_batches_stops_their_threads(tmp_path: Path) -> None:
    import threading

    before = set(threading.enumerate())  # of a test whose generator Python has not let go of yet
    with open_slide(save(tmp_path / "n.png", np.zeros((64, 64, 3), np.uint8))) as slide:
        batches = read_batches(slide, np.full((500, 2), 30.0), Field(16, None), None, 2)
        next(batches)
        batches.close()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("mclstexp")]


def test_what_is_worked_on_is_given_before_the_error_that_ends_the_tasks() -> None:
    def tasks() -> Iterator[Callable[[], int]]:
        yield from (partial(int, n) for n in range(3))
        msg = "the drive is gone"
        raise OSError(msg)

    given = worked_ahead(tasks())
    assert [next(given) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the drive is gone"):
        next(given)


def test_reading_over_and_over_opens_a_slide_no_more_often_than_threads_read_at_once() -> None:
    """Each run reads by threads of its own."""
    opened = Path("/proc/self/fd")
    if not opened.exists():
        pytest.skip("counted by Linux alone")
    centres = np.full((40, 2), 3000.0)
    with open_slide(sample_slide_path()) as slide:
        counts = []
        for _ in range(4):
            for _ in read_batches(slide, centres, Field(64, None), None, 8):
                pass
            counts.append(sum(1 for f in opened.iterdir() if sample_slide_path() == f.resolve()))
    assert counts[-1] == counts[0] <= 3


@pytest.mark.parametrize(
    ("text", "x", "y"), [("0.5", 0.5, 0.5), ("0.25,0.26", 0.25, 0.26), (" 1 , 0.9", 1.0, 0.9)]
)
def test_a_scale_is_one_number_or_two(text: str, x: float, y: float) -> None:
    parsed = parse_mpp(text)
    assert (parsed.mpp_x, parsed.mpp_y) == (x, y)
    assert "user" in parsed.source


@pytest.mark.parametrize(
    "text", ["", "half", "0.5,0.5,0.5", "0", "-1", "nan", "inf", "352", "0,5", "0.5;0.5"]
)
def test_implausible_scales_are_refused(text: str) -> None:
    with pytest.raises(ScaleError):
        parse_mpp(text)
