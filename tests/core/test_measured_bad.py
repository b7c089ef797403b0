"""Damaged, hostile and unusual measured sections: each is refused with its cause, or read right."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from scipy import sparse
from visium_folder import PITCH_PX, in_matrix, poke, put, write_visium

from napari_mclstexp.core.measured.reading import read_measured
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import SectionError, SlideError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mclstexp.core.measured.on_slide import Measured


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(90, 250, (900, 1000, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """A sound Visium folder."""
    write_visium(tmp_path / "v", pixels, np.random.default_rng(0).poisson(30, (25, 12)))
    return tmp_path / "v"


def read(path: Path) -> Measured:
    with open_slide(path) as slide:
        return read_measured(slide.companion.path, slide, slide.companion.factor)


def positions(change: Callable[[pd.DataFrame], object], **options: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "spatial" / "tissue_positions.csv"
        table = pd.read_csv(path)
        table = change(table)
        table.to_csv(path, index=False, **options)

    return apply


def scale_factors(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "spatial" / "scalefactors_json.json").write_text(text)


def as_mtx(header: str = "", features: str = "", barcodes: bytes = b"") -> Callable[[Path], None]:
    """The matrix as a folder of text, one part of it spoilt."""

    def apply(folder: Path) -> None:
        path = folder / "filtered_feature_bc_matrix.h5"
        with h5py.File(path) as file:
            names = [b.decode() for b in file["matrix/barcodes"][:]]
        path.unlink()
        text = folder / "filtered_feature_bc_matrix"
        text.mkdir()
        lines = "\n".join(f"ID{i}\tGENE{i}\tGene Expression" for i in range(12))
        (text / "features.tsv").write_text(features or lines)
        content = barcodes or "\n".join(names).encode()
        (text / "barcodes.tsv.gz").write_bytes(gzip.compress(content))
        head = "%%MatrixMarket matrix coordinate integer general\n"
        (text / "matrix.mtx").write_text(head + (header or "12 25 1") + "\n1 1 300\n")

    return apply


BAD = {
    "an index far out of range": (in_matrix(poke("indices", 0, 10**6)), "indices"),
    "an index below zero": (in_matrix(poke("indices", 0, -5)), "indices"),
    "an index one too far": (in_matrix(poke("indices", 0, 12)), "indices"),
    "index pointers out of order": (in_matrix(poke("indptr", 3, 10**6)), "no 10x matrix"),
    "a shape beyond its names": (in_matrix(put("shape", [10**9, 25])), "names 12 genes and 25 barcodes"),
    "too few barcodes": (in_matrix(put("barcodes", np.array(["A"], dtype="S"))), "12 genes and 1 barcodes"),
    "barcodes that are numbers": (in_matrix(put("barcodes", np.arange(25))), "no 10x matrix"),
    "counts that are a group": (in_matrix(put("data", h5py.Empty("f"))), "no 10x matrix"),
    "no features": (in_matrix(lambda group: group.__delitem__("features")), "no 10x matrix"),
    "a barcode twice": (positions(lambda t: pd.concat([t, t[:1]])), "names a barcode twice"),
    "a place that is no number": (positions(lambda t: t.assign(array_row=np.nan)), "no numbers"),
    "a place that is a word": (positions(lambda t: t.assign(array_col="left")), "unknown layout"),
    "another table": (positions(lambda t: t[["barcode", "in_tissue"]]), "unknown layout"),
    "none in tissue": (positions(lambda t: t.assign(in_tissue=0)), "no barcode has both"),
    "scale factors that are a list": (scale_factors("[1, 2]"), "scalefactors_json.json is damaged"),
    "scale factors cut off": (scale_factors('{"tissue_hires'), "scalefactors_json.json is damaged"),
    "scale factors too large": (scale_factors('{"tissue_hires_scalef": 1%s}' % ("0" * 400)), "is damaged"),
    "scale factors without end": (scale_factors('{"a":' * 100_000), "is damaged"),
    "no factor of the picture": (scale_factors("{}"), "its factor is missing"),
    "a factor of zero": (scale_factors('{"tissue_hires_scalef": 0}'), "its factor is missing"),
    "a factor that is no number": (scale_factors('{"tissue_hires_scalef": NaN}'), "its factor is missing"),
    "text: more values than fit": (as_mtx("12 25 299"), "declares 299 values"),
    "text: values without number": (as_mtx("12 25 10000000000"), "declares 10000000000 values"),
    "text: another shape": (as_mtx("1000000000000 25 1"), "names 12 genes and 25 barcodes"),
    "text: features of one column": (as_mtx(features="A\nB"), "damaged or incomplete"),
    "text: barcodes without end": (as_mtx(barcodes=b"\n" * (2**28 + 1)), "more than 256 MiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_visium_folder_is_refused(folder: Path, name: str) -> None:
    spoil, why = BAD[name]
    assert len(read(folder).genes) == 12
    spoil(folder)
    with pytest.raises(SectionError, match=why):
        read(folder)


def test_no_genes_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    write_visium(tmp_path / "v", pixels, np.zeros((25, 0)))
    with pytest.raises(SectionError, match="0 genes"):
        read(tmp_path / "v")


# --- unusual, and right ----------------------------------------------------------------------------


def test_positions_go_by_their_names(folder: Path) -> None:
    """Columns in another order, quoted, with a byte order mark."""
    before = read(folder)
    positions(lambda t: t[["barcode", *reversed(t.columns[1:])]], encoding="utf-8-sig", quoting=1)(folder)
    np.testing.assert_allclose(read(folder).grid.centres_px, before.grid.centres_px)


def test_antibodies_are_no_genes(folder: Path) -> None:
    before = read(folder).gene_values("GENE3")
    kinds = np.array(["Gene Expression"] * 10 + ["Antibody Capture"] * 2, dtype="S")
    in_matrix(lambda group: group["features"].create_dataset("feature_type", data=kinds))(folder)
    after = read(folder)
    assert after.genes == tuple(f"GENE{i}" for i in range(10))
    assert (after.gene_values("GENE3") > before).all()  # of a library without antibodies


def test_genes_of_one_name_get_numbers(folder: Path) -> None:
    names = np.array(["A", "A", "A-1", *"BCDEFGHIJ"], dtype="S")
    in_matrix(put("features/name", names))(folder)
    assert read(folder).genes == ("A", "A-2", "A-1", *"BCDEFGHIJ")


def test_a_picture_that_is_cut_off_is_passed_over(folder: Path) -> None:
    spatial = folder / "spatial"
    hires = spatial / "tissue_hires_image.png"
    Image.open(hires).resize((100, 90)).save(spatial / "tissue_lowres_image.png")
    factors = {"tissue_hires_scalef": 0.25, "tissue_lowres_scalef": 0.1}
    (spatial / "scalefactors_json.json").write_text(json.dumps(factors))
    (folder / "HE_section.tif").unlink()
    hires.write_bytes(hires.read_bytes()[:5000])
    with open_slide(folder) as slide:
        assert (slide.width, slide.height) == (100, 90)
        assert slide.companion.factor == 0.1
    (spatial / "tissue_lowres_image.png").write_bytes(b"")
    with pytest.raises(SectionError, match=r"tissue_hires_image\.png is cut off or damaged"):
        open_slide(folder)


@pytest.mark.parametrize("place", ["outs", "binned_outputs/square_016um"])
def test_the_full_image_is_found_above_the_outputs(tmp_path: Path, folder: Path, place: str) -> None:
    inside = tmp_path / "top" / place
    inside.parent.mkdir(parents=True)
    folder.rename(inside)
    (inside / "HE_section.tif").rename(tmp_path / "top" / "HE_section.tif")
    with open_slide(tmp_path / "top") as slide:
        assert slide.path == tmp_path / "top" / "HE_section.tif"
        assert slide.companion.path == inside


def test_two_images_of_that_size_are_not_chosen_from(folder: Path) -> None:
    shutil.copy(folder / "HE_section.tif", folder / "HE_again.tif")
    with open_slide(folder) as slide:
        assert slide.format == "visium"
        assert "no second one of its size" in slide.not_for_model


def test_an_h5ad_beside_the_image_is_no_image(folder: Path) -> None:
    data = ad.AnnData(np.ones((2, 2)), uns={"mclstexp_section": {"slide": "HE_section.tif"}})
    data.write_h5ad(folder / "analysis.h5ad")
    with open_slide(folder) as slide:
        assert slide.path.name == "HE_section.tif"
        assert slide.companion.path == folder


def test_spots_of_a_coarse_image_are_looked_at(tmp_path: Path, pixels: np.ndarray) -> None:
    """15 px a pitch: 6.7 um per px is beyond what is predicted, and no reason not to show it."""
    table = write_visium(tmp_path / "v", pixels, np.full((25, 12), 30), full=False)
    shrink = PITCH_PX / 15
    columns = ["pxl_row_in_fullres", "pxl_col_in_fullres"]
    table[columns] /= shrink
    table.to_csv(tmp_path / "v" / "spatial" / "tissue_positions.csv", index=False)
    with open_slide(tmp_path / "v") as slide:
        assert slide.scale.mpp_x == pytest.approx(100 / 15 / 0.25)
    assert read(tmp_path / "v").scale is None


# --- .h5ad -----------------------------------------------------------------------------------------


@pytest.fixture
def h5ad(section: Path, tmp_path: Path) -> Path:
    """A sound section beside its slide."""
    shutil.copy(section.with_suffix(".tif"), tmp_path)
    return Path(shutil.copy(section, tmp_path))


def edit(path: Path, change: Callable[[ad.AnnData], object]) -> None:
    data = ad.read_h5ad(path)
    change(data)
    data.write_h5ad(path)


def library(**changes: object) -> dict:
    picture = np.full((40, 60, 3), 128, np.uint8)
    factors = {"tissue_hires_scalef": 0.05, "spot_diameter_fullres": 89.0}
    return {"images": {"hires": picture}, "scalefactors": factors, **changes}


def only_picture(path: Path, **changes: object) -> None:
    def change(data: ad.AnnData) -> None:
        del data.uns["mclstexp_section"]
        data.uns["spatial"] = {"one": library(**changes)}

    edit(path, change)


def test_an_h5ad_that_names_itself_or_another_is_refused(h5ad: Path) -> None:
    edit(h5ad, lambda data: data.uns["mclstexp_section"].update(slide=h5ad.name))
    with pytest.raises(SectionError, match="is not a slide that can be opened"):
        open_slide(h5ad)


def test_indices_out_of_range_are_refused(h5ad: Path) -> None:
    with h5py.File(h5ad, "r+") as file:
        file["layers/counts/indices"][3] = 10**6
    with pytest.raises(SectionError, match="of the wrong kind"):
        read(h5ad)


def test_a_cut_off_h5ad_says_so(h5ad: Path) -> None:
    h5ad.write_bytes(h5ad.read_bytes()[:20_000])
    with pytest.raises(SectionError, match="cut off"):
        open_slide(h5ad)


def test_several_sections_in_one_file_are_refused(h5ad: Path) -> None:
    edit(h5ad, lambda data: data.uns.update(spatial={"one": library(), "two": library()}))
    with pytest.raises(SectionError, match="several sections"):
        open_slide(h5ad)


def test_rows_of_several_libraries_are_refused(h5ad: Path) -> None:
    edit(h5ad, lambda data: data.obs.insert(0, "library_id", ["a", *"b" * (data.n_obs - 1)]))
    with pytest.raises(SectionError, match="several sections"):
        read(h5ad)


def test_a_picture_beyond_all_bounds_is_refused(h5ad: Path) -> None:
    only_picture(h5ad)
    with h5py.File(h5ad, "r+") as file:
        images = file["uns/spatial/one/images"]
        del images["hires"]
        images.create_dataset("hires", shape=(40_000, 40_000, 3), dtype="u1", chunks=(100, 100, 3))
    with pytest.raises(SectionError, match="holds a picture of 4577 MiB"):
        open_slide(h5ad)


@pytest.mark.parametrize(
    ("picture", "shown"),
    [
        (np.full((4, 6, 3), 0.5), 128),
        (np.full((4, 6, 3), 100.0), 100),
        (np.full((4, 6, 4), 200, np.uint8), 200),
        (np.full((4, 6, 3), 25700, np.uint16), 100),
    ],
)
def test_pictures_of_any_number_type(h5ad: Path, picture: np.ndarray, shown: int) -> None:
    only_picture(h5ad, images={"hires": picture})
    with open_slide(h5ad) as slide:
        assert (slide.width, slide.height) == (6, 4)
        assert (slide.read(0, 0, 6, 4) == shown).all()


NO_PICTURES = [np.zeros((0, 0, 3), np.uint8), np.zeros((4, 6)), np.zeros((4, 6, 3), int)]


@pytest.mark.parametrize("picture", NO_PICTURES)
def test_what_is_no_picture_is_none(h5ad: Path, picture: np.ndarray) -> None:
    only_picture(h5ad, images={"hires": picture})
    with pytest.raises(SectionError, match="neither names its slide nor holds a picture"):
        open_slide(h5ad)


def test_the_scale_of_visium_hd_is_what_it_names(h5ad: Path) -> None:
    """Its spot diameter is that of a bin, not the 65 um of Visium."""
    factors = {"tissue_hires_scalef": 0.25, "spot_diameter_fullres": 29.2, "bin_size_um": 8.0}
    only_picture(h5ad, scalefactors={**factors, "microns_per_pixel": 0.2738})
    with open_slide(h5ad) as slide:
        assert slide.scale.mpp_x == pytest.approx(0.2738 / 0.25)
    only_picture_again = {"one": library(scalefactors=factors)}
    edit(h5ad, lambda data: data.uns.update(spatial=only_picture_again))
    with open_slide(h5ad) as slide:
        assert slide.scale is None


def test_a_section_of_another_slide_is_refused(h5ad: Path, slide_path: Path) -> None:
    with open_slide(slide_path) as slide, pytest.raises(SectionError, match="names another slide"):
        read_measured(h5ad, slide)


def test_names_of_samples_do_not_become_ids(h5ad: Path) -> None:
    edit(h5ad, lambda data: setattr(data, "obs_names", [f"ACGT-1-Patient7-{i}" for i in range(data.n_obs)]))
    assert read(h5ad).grid.ids[:2].tolist() == ["spot1", "spot2"]


def test_links_out_of_the_file_are_refused(h5ad: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.arange(5)
    with h5py.File(h5ad, "r+") as file:
        file["uns/mclstexp_section/more"] = h5py.ExternalLink("other.h5", "secret")
    with pytest.raises(SectionError, match="holds a link"):
        open_slide(h5ad)


def test_a_10x_matrix_alone_is_no_slide(folder: Path) -> None:
    with pytest.raises(SlideError, match="not a slide"):
        open_slide(folder / "filtered_feature_bc_matrix.h5")


def test_a_plane_that_is_not_there_is_told(h5ad: Path) -> None:
    with pytest.raises(SlideError, match="no stack"):
        open_slide(h5ad, plane=1)


def test_nan_values_are_shown_as_they_are(h5ad: Path) -> None:
    def spoil(data: ad.AnnData) -> None:
        values = np.asarray(data.X.todense(), dtype=np.float32)
        values[0, 0] = np.nan
        data.X = sparse.csr_matrix(values)
        del data.layers["counts"]

    edit(h5ad, spoil)
    measured = read(h5ad)
    assert measured.unit == "as stored in the file"
    assert np.isnan(measured.gene_values(measured.genes[0])[0])


def test_the_slides_own_tiff_is_read(folder: Path, pixels: np.ndarray) -> None:
    with open_slide(folder) as slide, tifffile.TiffFile(folder / "HE_section.tif") as tiff:
        np.testing.assert_array_equal(slide.read(0, 0, 1000, 900), tiff.asarray())
