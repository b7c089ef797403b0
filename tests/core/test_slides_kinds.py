"""Pixels of every kind: shown right where they can be, refused by the model where they cannot be given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image, ImageOps

from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.slide import Slide

RGB = [{"color": c} for c in ("FF0000", "00FF00", "0000FF")]


def noisy(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def whole(slide: Slide) -> np.ndarray:
    return slide.read(0, 0, slide.width, slide.height)


# --- plain images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_is_shown_and_not_predicted_from(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(noisy(50, 40)).convert(mode)
    grey.save(tmp_path / "grey.png")
    with open_slide(tmp_path / "grey.png") as slide:
        np.testing.assert_array_equal(whole(slide), np.asarray(grey.convert("RGB")))
        with pytest.raises(SlideError, match="grey"):
            slide.check_for_model()


def test_prediction_refuses_what_the_model_cannot_be_given(
    tmp_path: Path, trained: tuple[Bundle, bool]
) -> None:
    Image.fromarray(noisy(600, 500)).convert("L").save(tmp_path / "grey.png")
    with open_slide(tmp_path / "grey.png") as slide, pytest.raises(SlideError, match="grey"):
        next(predict(slide, trained[0], None, None))  # type: ignore[arg-type]


def test_cmyk_is_shown_by_approximation_and_refused(tmp_path: Path) -> None:
    cmyk = Image.fromarray(noisy(48, 32)).convert("CMYK")
    cmyk.save(tmp_path / "print.jpg", quality=100, subsampling=0)
    with open_slide(tmp_path / "print.jpg") as slide, Image.open(tmp_path / "print.jpg") as same:
        np.testing.assert_array_equal(whole(slide), np.asarray(same.convert("RGB")))
        assert "CMYK" in slide.not_for_model
        assert slide.notes == ("converted from CMYK",)


def test_sixteen_bits_span_the_screen(tmp_path: Path) -> None:
    ramp = np.linspace(900, 2900, 64 * 50).reshape(50, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    tifffile.imwrite(tmp_path / "deep.tif", ramp, metadata=None)
    for name in ("deep.png", "deep.tif"):
        with open_slide(tmp_path / name) as slide:
            shown = whole(slide)[..., 0].astype(int)
            assert (np.diff(shown.ravel()) >= 0).all()
            assert (shown[0, 0], shown[-1, -1]) == (0, 255)
            assert abs(shown.mean() - 127.5) < 3
            assert slide.not_for_model


def test_floats_with_gaps_are_shown(tmp_path: Path) -> None:
    values = np.linspace(-2, 3, 64 * 50).reshape(50, 64).astype(np.float32)
    values[:5] = np.nan
    tifffile.imwrite(tmp_path / "float.tif", values, metadata=None)
    with open_slide(tmp_path / "float.tif") as slide:
        shown = whole(slide)
        assert (shown[:5] == 0).all()
        assert shown[-1, -1, 0] == 255
        assert slide.not_for_model


def test_sixteen_bit_rgb_is_refused_by_its_depth(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", noisy(64, 48).astype(np.uint16) * 16, photometric="rgb")
    with open_slide(tmp_path / "deep.tif") as slide:
        assert "16 bits a channel" in slide.not_for_model
        assert whole(slide).max() == 255


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    rgba = np.dstack([noisy(64, 48), np.random.default_rng(1).integers(0, 256, (48, 64), dtype=np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    white = Image.new("RGBA", (64, 48), "white")
    expected = np.asarray(Image.alpha_composite(white, Image.fromarray(rgba)).convert("RGB")).astype(int)
    for name in ("a.png", "a.tif"):
        with open_slide(tmp_path / name) as slide:
            assert np.abs(whole(slide) - expected).max() <= 1
            assert slide.notes == ("transparency laid on white",)
            assert not slide.not_for_model


def test_palettes_are_resolved(tmp_path: Path) -> None:
    image = Image.fromarray(noisy(64, 48)).quantize(32)
    image.save(tmp_path / "p.png")
    image.save(tmp_path / "p.tif")
    for name in ("p.png", "p.tif"):
        with open_slide(tmp_path / name) as slide:
            np.testing.assert_array_equal(whole(slide), np.asarray(image.convert("RGB")))


def test_white_at_zero_is_turned_round(tmp_path: Path) -> None:
    grey = noisy(64, 48)[..., 0]
    tifffile.imwrite(tmp_path / "w.tif", grey, photometric="miniswhite", metadata=None)
    with open_slide(tmp_path / "w.tif") as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], 255 - grey)


def test_colours_that_cannot_be_shown_right_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "lab.tif", noisy(64, 48), photometric="cielab", metadata=None)
    with pytest.raises(SlideError, match="CIELAB, which cannot be shown right"):
        open_slide(tmp_path / "lab.tif")


@pytest.mark.parametrize("suffix", ["jp2", "j2k"])
def test_jpeg_2000_is_exact(tmp_path: Path, suffix: str) -> None:
    picture = noisy(300, 200)
    codec = {"jp2": "JP2", "j2k": "J2K"}[suffix]
    coded = imagecodecs.jpeg2k_encode(picture, level=0, codecformat=codec, reversible=True)
    (tmp_path / f"p.{suffix}").write_bytes(coded)
    with open_slide(tmp_path / f"p.{suffix}") as slide:
        assert slide.format == "jpeg2000"
        np.testing.assert_array_equal(whole(slide), picture)


TURNED = [(kind, tag) for kind in ("jpeg", "tiled", "strips") for tag in range(1, 9)]


@pytest.mark.parametrize(("kind", "orientation"), [*TURNED, ("large", 6)])
def test_an_image_lies_as_its_tag_says(tmp_path: Path, kind: str, orientation: int) -> None:
    """As Pillow turns it, whatever reads it: Pillow, OpenSlide, tifffile, or the prepared copy."""
    size = (4200, 4100) if kind == "large" else (150, 90)
    picture = noisy(*size)
    if kind in ("jpeg", "large"):
        path = tmp_path / "turned.jpg"
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(picture).save(path, quality=90, exif=exif)
    else:
        path = tmp_path / "turned.tif"
        tile = {"tile": (64, 64)} if kind == "tiled" else {"rowsperstrip": 16, "compression": "deflate"}
        tag = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(path, picture, photometric="rgb", metadata=None, extratags=tag, **tile)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == expected.shape[1::-1]
        np.testing.assert_array_equal(slide.read(20, 30, 50, 40), expected[30:70, 20:70])
        np.testing.assert_array_equal(whole(slide), expected)
        assert slide.overview(64).shape[0] == round(64 * min(1, slide.height / slide.width))


# --- stacks and several files ---------------------------------------------------------------------


def test_a_stack_asks_for_its_plane(tmp_path: Path) -> None:
    planes = np.stack([noisy(80, 60, seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "z.ome.tif", planes, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    with open_slide(tmp_path / "z.ome.tif") as slide:
        assert slide.traits.planes == ("Z 1", "Z 2", "Z 3")
        assert "stack of 3 planes (Z 1, Z 2, Z 3)" in slide.not_for_model
        np.testing.assert_array_equal(whole(slide), planes[0])
    with open_slide(tmp_path / "z.ome.tif", plane=2) as slide:
        assert not slide.not_for_model
        assert slide.notes == ("plane Z 3",)
        np.testing.assert_array_equal(whole(slide), planes[2])
    for wrong in (3, -1):
        with pytest.raises(SlideError, match="3 planes"):
            open_slide(tmp_path / "z.ome.tif", plane=wrong)
    Image.fromarray(planes[0]).save(tmp_path / "single.png")
    with pytest.raises(SlideError, match="no plane to choose"):
        open_slide(tmp_path / "single.png", plane=0)


def _ome(parts: list[tuple[str, str]], own: str) -> str:
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{i}" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for i, (name, uuid) in enumerate(parts)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{own}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
        f'SizeX="64" SizeY="48" SizeC="3" SizeZ="{len(parts)}" SizeT="1">'
        '<Channel ID="Channel:0" SamplesPerPixel="3"/>'
        f"{data}</Pixels></Image></OME>"
    )


UUIDS = [f"urn:uuid:0000000{i}-1111-2222-3333-444444444444" for i in range(2)]


def _two_files(folder: Path, names: tuple[str, str]) -> list[np.ndarray]:
    planes = [noisy(64, 48, seed) for seed in range(2)]
    parts = list(zip(names, UUIDS, strict=True))
    for name, uuid, plane in zip(names, UUIDS, planes, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(target, plane, photometric="rgb", description=_ome(parts, uuid), metadata=None)
    return planes


def test_an_image_in_two_files_of_one_folder_is_one_stack(tmp_path: Path) -> None:
    planes = _two_files(tmp_path, ("a.ome.tif", "b.ome.tif"))
    for i, plane in enumerate(planes):
        with open_slide(tmp_path / "a.ome.tif", plane=i) as slide:
            assert len(slide.traits.planes) == 2
            np.testing.assert_array_equal(whole(slide), plane)
    with open_slide(tmp_path / "a.ome.tif") as one, open_slide(tmp_path / "b.ome.tif") as two:
        assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize("other", ["../b.ome.tif", "outside/b.ome.tif", "/etc/passwd", "C:\\b.tif"])
def test_a_part_outside_the_folder_is_refused_unopened(tmp_path: Path, other: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    xml = _ome([("a.ome.tif", UUIDS[0]), (other, UUIDS[1])], UUIDS[0])
    tifffile.imwrite(folder / "a.ome.tif", noisy(64, 48), photometric="rgb", description=xml, metadata=None)
    with pytest.raises(SlideError, match="outside its folder"):
        open_slide(folder / "a.ome.tif")


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    _two_files(tmp_path, ("a.ome.tif", "b.ome.tif"))
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(SlideError, match="one of 2 files"):
        open_slide(tmp_path / "a.ome.tif")


# --- OME-Zarr -------------------------------------------------------------------------------------


def write_zarr(
    path: Path, picture: np.ndarray, version: str, unit: str = "micrometer", size: float = 0.5
) -> None:
    """Write RGB as (c, y, x) in two levels."""
    levels = [np.moveaxis(picture, -1, 0), np.moveaxis(picture[::2, ::2], -1, 0)]
    scales = [{"type": "scale", "scale": [1, size * 2**i, size * 2**i]} for i in range(2)]
    datasets = [{"path": str(i), "coordinateTransformations": [scale]} for i, scale in enumerate(scales)]
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": unit} for n in "yx")]
    image = {"axes": axes, "datasets": datasets}
    omero = {"channels": RGB}
    if version == "0.5":
        about = {"ome": {"version": version, "multiscales": [image], "omero": omero}}
        group = zarr.create_group(path, zarr_format=3, attributes=about)
    else:
        about = {"multiscales": [{**image, "version": version}], "omero": omero}
        group = zarr.create_group(path, zarr_format=2, attributes=about)
    for i, level in enumerate(levels):
        group.create_array(str(i), data=level, chunks=(3, 64, 64))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_in_colour(tmp_path: Path, version: str) -> None:
    picture = noisy(200, 150)
    write_zarr(tmp_path / "p.ome.zarr", picture, version)
    with open_slide(tmp_path / "p.ome.zarr") as slide:
        assert slide.format == "ome-zarr"
        assert [(lv.width, lv.height) for lv in slide.levels] == [(200, 150), (100, 75)]
        assert (slide.scale.mpp_x, slide.scale.mpp_y) == (0.5, 0.5)
        assert not slide.not_for_model
        np.testing.assert_array_equal(slide.read(50, 40, 90, 80), picture[40:120, 50:140])
        np.testing.assert_array_equal(slide.read(5, 6, 30, 20, 1), picture[12:52:2, 10:70:2])
    (tmp_path / "copy").mkdir()
    (tmp_path / "p.ome.zarr").rename(tmp_path / "copy" / "0")
    if version == "0.4":  # the layout of bioformats2raw
        (tmp_path / "copy" / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
        (tmp_path / "copy" / ".zattrs").write_text('{"bioformats2raw.layout": 3}', encoding="utf-8")
        with open_slide(tmp_path / "copy") as slide:
            assert slide.width == 200


def test_ome_zarr_in_nanometres_and_without_a_unit(tmp_path: Path) -> None:
    write_zarr(tmp_path / "nm.zarr", noisy(64, 64), "0.5", "nanometer", 250.0)
    write_zarr(tmp_path / "none.zarr", noisy(64, 64), "0.5", "", 0.5)
    with open_slide(tmp_path / "nm.zarr") as slide:
        assert slide.scale.mpp_x == pytest.approx(0.25)
    with open_slide(tmp_path / "none.zarr") as slide:
        assert slide.scale is None


def _edit(path: Path, change: dict[str, object]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    document.update(change)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_bad_ome_zarr_is_refused_by_its_cause(tmp_path: Path) -> None:
    cases = {
        "version": "version 0.9",
        "outside": "outside its folder",
        "codec": "coded by pickle",
        "pixels": "damaged or incomplete",
        "image": "no multiscales",
        "json": "damaged or incomplete",
    }
    for name, why in cases.items():
        path = tmp_path / f"{name}.zarr"
        write_zarr(path, noisy(64, 64), "0.4")
        about = json.loads((path / ".zattrs").read_text(encoding="utf-8"))
        if name == "version":
            about["multiscales"][0]["version"] = "0.9"
        elif name == "outside":
            about["multiscales"][0]["datasets"][0]["path"] = "../version.zarr/0"
        elif name == "image":
            del about["multiscales"]
        (path / ".zattrs").write_text("{" if name == "json" else json.dumps(about), encoding="utf-8")
        if name == "codec":
            _edit(path / "0" / ".zarray", {"filters": [{"id": "pickle"}]})
        elif name == "pixels":
            (path / "0" / ".zarray").unlink()
        with pytest.raises(SlideError, match=why):
            open_slide(path)
