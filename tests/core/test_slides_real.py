"""Every real file of SOURCES.tsv opens as it should, or is refused with its cause."""

from __future__ import annotations

import csv
import json
import os
import warnings
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import SlideError

REAL = Path(os.environ.get("MCLSTEXP_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "real"))

# Pattern -> format, levels, um per px (None: the file does not tell), and why the model cannot be given it.
GREY, ONE_CHANNEL, SMALL_PICTURE = "grey", "one channel", "small picture of a measured section"
OPENS = {
    "aperio-cmu/*.svs": ("aperio", 2, 0.499, ""),
    "azneca-napari-wsi/*.dcm": ("dicom", 2, 0.499, ""),
    "her2st/*.jpg": ("jpeg", 4, None, ""),
    "histolab/kidney-48-5.tif": ("tiff", 1, None, ""),
    "large_image/yb10kx5k.zstd.tiff": ("generic-tiff", 5, None, ""),
    "openslide-python/boxes.tiff": ("generic-tiff", 4, None, ""),
    "openslide-python/boxes_dcm/*.dcm": ("dicom", 1, 0.499, ""),
    "openslide-python/small.svs": ("aperio", 1, 0.499, ""),
    "openslide-python/\N{NEUTRAL FACE}.svs": ("aperio", 1, 0.499, ""),
    "openslide-python/unreadable.svs": ("aperio", 1, 0.499, ""),
    "qupath/cells/cells-1.jp2": ("jpeg2000", 1, None, ""),
    "qupath/cells/cells-2[czt].ome.tif": ("ome-tiff", 1, 0.25, ONE_CHANNEL),
    "qupath/cells/cells.ome.tif": ("ome-tiff", 1, 0.25, ""),
    "qupath/cells/cells-gray*.tif": ("tiff", 1, None, GREY),
    "qupath/cells/cells-gray8.png": ("png", 1, None, GREY),
    "qupath/cells/cells.jpg": ("jpeg", 1, None, ""),
    "qupath/cells/cells.png": ("png", 1, None, ""),
    "qupath/cells/cells.tif": ("tiff", 1, None, ""),
    "*/tissue_hires_image.png": ("png", None, None, ""),
    "*/tissue_lowres_image.png": ("png", 1, None, ""),
    "squidpy/test_data.h5ad": ("h5ad", 1, 4.272, SMALL_PICTURE),
    "sfe/*.jpg": ("jpeg", 1, None, ""),
    "st-utility-mob/*.jpg": ("jpeg", 1, None, ""),
    "viv/*multi-channel.ome.tif": ("ome-tiff", 1, None, ONE_CHANNEL),
    "viv/multifile/*.ome.tiff": ("ome-tiff", 1, 1.0, GREY),
}
REFUSED = {
    "histolab/broken.svs": "neither a format",
    "openslide-python/unopenable.tiff": "compression: 52479",
    "*.csv": "not a slide",
    "*.tsv": "not a slide",
    "*.tsv.gz": "not a slide",
    "*.txt": "not a slide",
    "*.mtx": "not a slide",
    "*.json": "not a slide",
    "*.geojson": "not a slide",
    "*.parquet": "not a slide",
    "*.h5": "not a slide",
    "*.ome.xml": "not a slide",
    "*.md": "not a slide",
}
FOLDERS = {
    "viv/ome-zarr/blobs_image_v04.ome.zarr": ("ome-zarr", 1, None, ONE_CHANNEL),
    "viv/ome-zarr/blobs_image_v05.ome.zarr": ("ome-zarr", 1, None, ONE_CHANNEL),
    "viv/bioformats-zarr/data.zarr": ("ome-zarr", 2, None, ONE_CHANNEL),
    "ome-zarr-py/data/v1": ("ome-zarr", 1, None, ONE_CHANNEL),
    "ome-zarr-py/data/v2": ("ome-zarr", 1, None, ONE_CHANNEL),
    "azneca-napari-wsi/CMU-1-Small-Region-dicom": ("dicom", 2, 0.499, ""),
}
# Visium folders -> levels, um per px of the small picture that they hold (100 um, or what HD names, over the
# centre distance in its pixels), and the folder whose section is taken.
VISIUM = {
    "scanpy/visium_data/1.0.0": (1, 16.150, ""),  # its hires picture is blank
    "seurat/visium": (1, 4.221, ""),
    "seurat/visium_hd": (3, 1.0776, "binned_outputs/square_008um"),
    "seurat/visium_hd/binned_outputs/square_008um": (3, 1.0776, ""),
    "seurat/visium_hd/binned_outputs/square_016um": (3, 1.0776, ""),
    "sfe/sample01": (1, 4.585, "outs"),
    "sfe/sample01/outs": (1, 4.585, ""),
    "squidpy": (1, 16.150, ""),
}


LEVELS = (
    "aperio-cmu/CMU-1-Small-Region.svs",
    "openslide-python/boxes.tiff",
    "large_image/yb10kx5k.zstd.tiff",
)


def rows() -> list[str]:
    """Names in SOURCES.tsv; one that fails where the folder is absent."""
    source = REAL / "SOURCES.tsv"
    if not source.is_file():
        return []
    with source.open(encoding="utf-8") as file:
        return [row["file"] for row in csv.DictReader(file, delimiter="\t")]


def independent_size(path: Path) -> tuple[int, int]:
    """Width and height by OpenSlide, tifffile or Pillow alone."""
    try:
        with openslide.OpenSlide(str(path)) as slide:
            return slide.dimensions
    except openslide.OpenSlideError:
        pass
    if path.suffix in (".tif", ".tiff"):
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            return page.imagewidth, page.imagelength
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            return image.size


def check(path: Path, expected: tuple[str, int | None, float | None, str]) -> None:
    """Open a slide and compare with the table."""
    kind, levels, mpp, not_for_model = expected
    with open_slide(path) as slide:
        assert slide.format == kind
        if levels is not None:
            assert len(slide.levels) == levels
        assert max(slide.levels[-1].width, slide.levels[-1].height) <= 2048
        assert (slide.levels[0].width, slide.levels[0].height) == (slide.width, slide.height)
        if mpp is None:
            assert slide.scale is None
            assert not slide.traits.scale.question
        else:
            assert slide.scale is not None
            assert (slide.scale.mpp_x, slide.scale.mpp_y) == pytest.approx((mpp, mpp), rel=1e-3)
            assert slide.scale.source
        assert bool(slide.not_for_model) == bool(not_for_model)
        assert not_for_model in slide.not_for_model
        if path.is_file() and kind != "h5ad":
            assert (slide.width, slide.height) == independent_size(path)
        if not_for_model:
            with pytest.raises(SlideError, match=not_for_model):
                slide.check_for_model()


@pytest.mark.parametrize("name", rows(), ids=ascii)
def test_each_real_file_opens_or_is_refused(real: Path, name: str) -> None:
    folder = next((f for f in FOLDERS if name.startswith(f + "/") and not name.endswith(".dcm")), None)
    if folder is not None:  # a part of a slide that is a folder
        check(real / folder, FOLDERS[folder])
        return
    opens = [expected for pattern, expected in OPENS.items() if fnmatch(name, pattern)]
    refused = [why for pattern, why in REFUSED.items() if fnmatch(name, pattern)]
    assert len(opens) == 1 or (not opens and refused), f"{name} is not in the table"
    if opens:
        check(real / name, opens[0])
    else:
        with pytest.raises(SlideError, match=refused[0]):
            open_slide(real / name)


def test_the_list_is_there(real: Path) -> None:
    assert len(rows()) > 100


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_each_real_folder_opens(real: Path, name: str) -> None:
    check(real / name, FOLDERS[name])


@pytest.mark.parametrize("name", sorted(VISIUM))
def test_each_real_visium_folder_opens(real: Path, name: str) -> None:
    levels, mpp, section = VISIUM[name]
    check(real / name, ("visium", levels, mpp, SMALL_PICTURE))
    with open_slide(real / name) as slide:
        assert slide.companion is not None
        assert slide.companion.path == real / name / section
        spatial = slide.companion.path / "spatial"
        factors = json.loads((spatial / "scalefactors_json.json").read_text())
        kind = "lowres" if "1.0.0" in name or name == "squidpy" else "hires"
        assert slide.companion.factor == factors[f"tissue_{kind}_scalef"]
        with Image.open(spatial / f"tissue_{kind}_image.png") as shown:
            white = Image.new("RGBA", shown.size, "white")
            expected = np.asarray(Image.alpha_composite(white, shown.convert("RGBA")).convert("RGB"))
        np.testing.assert_array_equal(slide.read(0, 0, slide.width, slide.height), expected)


def test_a_matrix_without_positions_is_no_visium_folder(real: Path) -> None:
    with pytest.raises(SlideError, match="nor a Visium section"):
        open_slide(real / "scanpy" / "visium_data" / "2.1.0")


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_agrees_with_openslide(real: Path, name: str) -> None:
    """Tolerance 0: the same decoder. Within levels, across their borders by the white beyond."""
    with open_slide(real / name) as slide, openslide.OpenSlide(str(real / name)) as other:
        for level, down in enumerate(other.level_downsamples):
            size = slide.levels[level]
            assert (size.width, size.height) == other.level_dimensions[level]
            width, height = min(90, size.width), min(70, size.height)
            right, bottom = size.width - width, size.height - height
            for x, y in ((0, 0), (right, bottom), (right // 3, bottom // 3)):
                theirs = other.read_region((round(x * down), round(y * down)), level, (width, height))
                white = Image.new("RGBA", theirs.size, "white")
                expected = np.asarray(Image.alpha_composite(white, theirs).convert("RGB"))
                np.testing.assert_array_equal(slide.read(x, y, width, height, level), expected)


def test_the_dicom_folder_is_its_file(real: Path) -> None:
    folder = real / "azneca-napari-wsi" / "CMU-1-Small-Region-dicom"
    file = sorted(folder.glob("*.dcm"))[0]
    with open_slide(folder) as one, open_slide(file) as two, openslide.OpenSlide(str(file)) as other:
        assert one.fingerprint == two.fingerprint
        theirs = np.asarray(other.read_region((700, 900), 0, (300, 200)).convert("RGB"))
        np.testing.assert_array_equal(one.read(700, 900, 300, 200), theirs)
        np.testing.assert_array_equal(two.read(700, 900, 300, 200), theirs)


def test_tifffile_and_openslide_read_the_same_tiff(real: Path) -> None:
    path = real / "large_image" / "yb10kx5k.zstd.tiff"
    with open_slide(path) as slide, tifffile.TiffFile(path) as tiff:
        for level, page in enumerate(tiff.series[0].levels):
            np.testing.assert_array_equal(slide.read(0, 0, *page.shape[1::-1], level), page.asarray())
