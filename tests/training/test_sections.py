"""Readers of paired sections: her2st, Visium folders and .h5ad."""

from __future__ import annotations

import gzip
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse

from napari_mclstexp.errors import MclstexpError, ScaleError, SectionError
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable


# --- her2st ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["C3", "B4"])
def test_a_her2st_section_joins_counts_and_positions(real: Path, name: str) -> None:
    made = read_section(str(real / "her2st" / name))
    counts = pd.read_csv(real / "her2st" / "cnts" / f"{name}.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(real / "her2st" / "spots" / f"{name}_selection.tsv", sep="\t")
    spots.index = pd.Index(spots["x"].astype(str) + "x" + spots["y"].astype(str))
    both = set(counts.index) & set(spots.index)
    assert set(made.ids.tolist()) == both
    assert len(made.ids) == len(both)
    assert made.genes == tuple(counts.columns)
    for i in (0, len(both) // 2, len(both) - 1):
        spot = made.ids[i]
        np.testing.assert_array_equal(made.counts[i].toarray().ravel(), counts.loc[spot])
        np.testing.assert_array_equal(made.xy_px[i], spots.loc[spot, ["pixel_x", "pixel_y"]].to_numpy(float))
        np.testing.assert_array_equal(made.array_xy[i], spots.loc[spot, ["x", "y"]].to_numpy(float))
    assert made.patient == name[0]
    assert made.scale is not None
    xy = spots[["pixel_x", "pixel_y"]].to_numpy()
    nearest = [np.sort(np.hypot(*(xy - p).T))[1] for p in xy]
    assert made.scale.mpp_x == pytest.approx(200 / np.median(nearest))
    assert made.scale.mpp_x == pytest.approx(0.737 if name == "C3" else 0.733, abs=0.003)


def write_her2st(folder: Path) -> Path:
    for part in ("cnts", "spots"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", (900, 900), (200, 120, 160)).save(folder / "AB1.jpg")
    x, y = (a.ravel() for a in np.mgrid[1:4, 1:4])
    spots = pd.DataFrame({"x": x, "y": y, "pixel_x": 250.0 * x, "pixel_y": 250.0 * y, "selected": 1})
    spots.to_csv(folder / "spots" / "AB1_selection.tsv", sep="\t", index=False)
    ids = [f"{a}x{b}" for a, b in zip(x, y, strict=True)][::-1]
    counts = pd.DataFrame(np.random.default_rng(0).poisson(9, (9, 5)), index=ids, columns=list("ABCDE"))
    counts.to_csv(folder / "cnts" / "AB1.tsv.gz", sep="\t")
    return folder / "AB1"


def rewrite_counts(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = folder / "cnts" / "AB1.tsv.gz"
    change(pd.read_csv(path, sep="\t", index_col=0)).to_csv(path, sep="\t")


def test_a_her2st_layout_reads_in_the_order_of_its_counts(tmp_path: Path) -> None:
    made = read_section(str(write_her2st(tmp_path)))
    assert made.ids[0] == "3x3"
    assert made.xy_px[0].tolist() == [750, 750]
    assert made.patient == "AB"
    assert made.scale is not None
    assert made.scale.mpp_x == pytest.approx(0.8)


def test_spots_without_counts_and_counts_without_spots_are_left_out(tmp_path: Path) -> None:
    section = write_her2st(tmp_path)
    rewrite_counts(tmp_path, lambda c: c.drop(index="2x2").rename(index={"1x1": "50x50"}))
    assert set(read_section(str(section)).ids.tolist()) == {
        f"{x}x{y}" for x in (1, 2, 3) for y in (1, 2, 3)
    } - {"2x2", "1x1"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c + 0.5, "no counts"),
        (lambda c: c - 100, "no counts"),
        (lambda c: c.replace(c.iloc[0, 0], np.nan), "no counts"),
        (lambda c: c.rename(index={"1x1": "2x2"}), "twice"),
        (lambda c: c.rename(index=lambda i: f"s{i}"), "do not match"),
        (lambda c: c.astype(str) + "?", "damaged"),
    ],
)
def test_counts_that_are_none_are_refused(tmp_path: Path, change: Callable, why: str) -> None:
    section = write_her2st(tmp_path)
    rewrite_counts(tmp_path, change)
    with pytest.raises(SectionError, match=why):
        read_section(str(section))


@pytest.mark.parametrize("part", ["AB1.jpg", "cnts/AB1.tsv.gz", "spots/AB1_selection.tsv"])
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    section = write_her2st(tmp_path)
    (tmp_path / part).unlink()
    with pytest.raises(SectionError, match=Path(part).name):
        read_section(str(section))


@pytest.mark.parametrize("damage", ["cut", "byte", "no gzip", "empty"])
def test_damaged_counts_are_refused(tmp_path: Path, damage: str) -> None:
    section = write_her2st(tmp_path)
    path = tmp_path / "cnts" / "AB1.tsv.gz"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "byte":
        content[20:60] = b"\xff" * 40
    path.write_bytes({"no gzip": b"hello", "empty": b""}.get(damage, bytes(content)))
    with pytest.raises(SectionError, match=r"AB1"):
        read_section(str(section))


def test_a_spots_table_of_another_form_is_refused(tmp_path: Path) -> None:
    section = write_her2st(tmp_path)
    (tmp_path / "spots" / "AB1_selection.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(SectionError, match="damaged"):
        read_section(str(section))


# --- Visium -----------------------------------------------------------------------


def image_for(folder: Path, tmp_path: Path) -> Path:
    """A made full-resolution image; only its being there matters to the reader."""
    path = tmp_path / f"{folder.name}.jpg"
    Image.new("RGB", (64, 64), (200, 120, 160)).save(path)
    return path


def positions(folder: Path) -> pd.DataFrame:
    columns = ["barcode", "in_tissue", "array_row", "array_col", "y", "x"]
    path = folder / "spatial" / "tissue_positions.csv"
    if path.is_file():
        return pd.read_csv(path, names=columns, skiprows=1, index_col=0)
    return pd.read_csv(folder / "spatial" / "tissue_positions_list.csv", names=columns, index_col=0)


def centre_distance(table: pd.DataFrame) -> float:
    """Pixels between two neighbouring spots of a row: columns differ by two."""
    rows = table.sort_values(["array_row", "array_col"])
    step = rows.groupby("array_row")[["array_col", "x", "y"]].diff()
    step = step[step["array_col"] == 2]
    return float(np.median(np.hypot(step["x"], step["y"])))


@pytest.mark.parametrize(
    "name", ["squidpy", "seurat/visium", "scanpy/visium_data/1.0.0", "sfe/sample01/outs"]
)
def test_a_visium_folder_joins_counts_and_positions(real: Path, tmp_path: Path, name: str) -> None:
    folder = real / name
    made = read_section(f"{folder}={image_for(folder, tmp_path)}")
    table = positions(folder)
    table = table[table["in_tissue"] == 1]
    assert set(made.ids.tolist()) <= set(table.index)
    found = table.loc[made.ids]
    np.testing.assert_array_equal(made.xy_px, found[["x", "y"]])
    np.testing.assert_array_equal(made.array_xy, found[["array_col", "array_row"]])
    assert made.counts.shape == (len(made.ids), len(made.genes))
    assert made.counts.nnz > 0
    assert len(set(made.genes)) == len(made.genes)


@pytest.mark.parametrize(
    "name", ["squidpy", "seurat/visium", "scanpy/visium_data/1.0.0", "sfe/sample01/outs"]
)
def test_a_visium_folders_scale_is_that_of_its_centre_distance(real: Path, tmp_path: Path, name: str) -> None:
    folder = real / name
    made = read_section(f"{folder}={image_for(folder, tmp_path)}")
    assert made.scale is not None
    assert made.scale.mpp_x == pytest.approx(100 / centre_distance(positions(folder)), rel=0.01)


def test_visium_counts_are_those_that_scanpy_reads(real: Path, tmp_path: Path) -> None:
    folder = real / "seurat" / "visium"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scanpy as sc

        theirs = sc.read_10x_h5(folder / "filtered_feature_bc_matrix.h5")
    made = read_section(f"{folder}={image_for(folder, tmp_path)}")
    assert made.genes == tuple(theirs.var_names)
    rows = theirs.obs_names.get_indexer(made.ids)
    assert (rows >= 0).all()
    assert (theirs.X[rows] != made.counts).nnz == 0


def test_a_matrix_folder_reads_as_the_matrix(real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(real / "sfe" / "sample01" / "outs", folder)
    plain = read_section(f"{folder}={image_for(folder, tmp_path)}")
    for path in list((folder / "filtered_feature_bc_matrix").iterdir()):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = read_section(f"{folder}={image_for(folder, tmp_path)}")
    assert packed.genes == plain.genes
    assert (packed.counts != plain.counts).nnz == 0
    for damage in ("cut", "byte"):
        features = folder / "filtered_feature_bc_matrix" / "features.tsv.gz"
        content = bytearray(features.read_bytes())
        spoilt = (
            content[: len(content) // 2] if damage == "cut" else content[:20] + b"\xff" * 40 + content[60:]
        )
        features.write_bytes(spoilt)
        with pytest.raises(SectionError):
            read_section(f"{folder}={image_for(folder, tmp_path)}")
        features.write_bytes(content)


def test_parquet_positions_are_read_or_their_reader_is_named(real: Path, tmp_path: Path) -> None:
    folder = real / "seurat" / "visium_hd" / "binned_outputs" / "square_016um"
    text = f"{folder}={image_for(folder, tmp_path)}"
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(SectionError, match="pip install pyarrow"):
            read_section(text)
    else:  # bins of 16 um, not spots of 100 um: no wrong scale may come of them
        try:
            scale = read_section(text).scale
        except MclstexpError:
            return
        assert scale is not None
        assert scale.mpp_x < 0.6


def test_a_visium_folder_without_its_image_says_what_is_missing(
    real: Path, run: Callable, tmp_path: Path
) -> None:
    with pytest.raises(SectionError, match="=IMAGE"):
        read_section(str(real / "squidpy"))
    ended = run("train", real / "squidpy", "--out", tmp_path / "b")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    with pytest.raises(SectionError, match="no image at"):
        read_section(f"{real / 'squidpy'}={tmp_path / 'absent.jpg'}")


@pytest.mark.parametrize("part", ["positions", "matrix", "in tissue", "columns", "h5"])
def test_damaged_visium_folders_are_refused(real: Path, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(real / "squidpy", folder)
    table = folder / "spatial" / "tissue_positions_list.csv"
    if part == "positions":
        table.unlink()
    elif part == "matrix":
        (folder / "filtered_feature_bc_matrix.h5").unlink()
    elif part == "in tissue":
        table.write_text("AAACAAGTATCTCCCA-1,0,50,102,8513,9811\n")
    elif part == "columns":
        table.write_text("AAACAAGTATCTCCCA-1,1,50\n")
    elif part == "h5":
        (folder / "filtered_feature_bc_matrix.h5").write_bytes(b"no HDF5")
    with pytest.raises(SectionError):
        read_section(f"{folder}={image_for(folder, tmp_path)}")


# --- .h5ad ------------------------------------------------------------------------


@pytest.fixture
def copy(section: Path, tmp_path: Path) -> Path:
    """A copy of the small section, to be changed."""
    for part in section.parent.iterdir():
        shutil.copy(part, tmp_path)
    return tmp_path / section.name


def change(path: Path, **section: object) -> None:
    data = ad.read_h5ad(path)
    data.uns["mclstexp_section"].update(section)
    data.write_h5ad(path)


def test_an_h5ad_section_is_read_whole(section: Path) -> None:
    made, data = read_section(str(section)), ad.read_h5ad(section)
    assert made.slide == section.with_suffix(".tif")
    assert (made.name, made.patient) == ("SecretOne", "Anna Secret")
    assert made.ids.tolist() == data.obs_names.tolist()
    assert made.genes == tuple(data.var_names)
    np.testing.assert_array_equal(made.xy_px, data.obsm["spatial"])
    np.testing.assert_array_equal(made.array_xy, data.obs[["array_col", "array_row"]])
    assert (made.counts != data.layers["counts"]).nnz == 0
    assert made.scale is not None
    assert made.scale.mpp_x == 0.5


def test_counts_come_from_their_layer_and_else_from_x(copy: Path) -> None:
    data = ad.read_h5ad(copy)
    counts = data.layers["counts"].copy()
    data.X = sparse.csr_matrix(np.log1p(counts.toarray()))
    data.write_h5ad(copy)
    assert (read_section(str(copy)).counts != counts).nnz == 0
    del data.layers["counts"]
    data.write_h5ad(copy)
    with pytest.raises(SectionError, match="no counts"):
        read_section(str(copy))
    data.X = counts.toarray().astype(np.int64)
    data.write_h5ad(copy)
    assert (read_section(str(copy)).counts != counts).nnz == 0


def test_a_slide_in_a_folder_below_is_found(copy: Path) -> None:
    (copy.parent / "images").mkdir()
    copy.with_suffix(".tif").rename(copy.parent / "images" / "s.tif")
    change(copy, slide="images/s.tif")
    assert read_section(str(copy)).slide.samefile(copy.parent / "images" / "s.tif")


@pytest.mark.parametrize(
    "named",
    [
        "../SecretOne.tif",
        "images/../../x.tif",
        "{absolute}",
        "/etc/passwd",
        "C:\\slides\\s.tif",
        "C:s.tif",
        "\\\\server\\share\\s.tif",
        "//server/share/s.tif",
        "\\slides\\s.tif",
        "..\\s.tif",
        "https://example.org/s.tif",
        "file:///etc/passwd",
        "link.tif",
        "linked/s.tif",
    ],
)
def test_a_slide_outside_the_sections_folder_is_refused(
    copy: Path, named: str, run: Callable, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(copy.with_suffix(".tif"), outside / "s.tif")
    inside = tmp_path / "inside"
    inside.mkdir()
    shutil.copy(copy, inside)
    moved = inside / copy.name
    (inside / "link.tif").symlink_to(outside / "s.tif")
    (inside / "linked").symlink_to(outside, target_is_directory=True)
    change(moved, slide=named.format(absolute=outside / "s.tif"))
    with pytest.raises(SectionError, match="For safety"):
        read_section(str(moved))
    assert read_section(f"{moved}={outside / 's.tif'}").slide == outside / "s.tif"
    ended = run("train", moved, "--out", tmp_path / "b")
    assert ended.code == 2
    assert "=IMAGE" in ended.err


@pytest.mark.parametrize("named", ["absent.tif", ".", ""])
def test_a_slide_that_is_not_there_is_named(copy: Path, named: str) -> None:
    change(copy, slide=named)
    with pytest.raises(SectionError, match="=IMAGE"):
        read_section(str(copy))


def test_the_image_may_be_given(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "größer.tif"
    shutil.copy(copy.with_suffix(".tif"), other)
    assert read_section(f"{copy}={other}").slide == other
    with pytest.raises(SectionError, match="no image"):
        read_section(f"{copy}={tmp_path / 'absent.tif'}")
    data = ad.read_h5ad(copy)
    del data.uns["mclstexp_section"]
    data.write_h5ad(copy)
    with pytest.raises(SectionError, match="does not name its slide"):
        read_section(str(copy))
    made = read_section(f"{copy}={other}")
    assert (made.name, made.scale) == ("SecretOne", None)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("spatial", 'lacks obsm\\["spatial"\\]'),
        ("nan place", "no numbers"),
        ("negative", "no counts"),
        ("one spot", "2 are needed"),
        ("gene twice", "twice"),
    ],
)
def test_h5ad_sections_that_lack_something_are_refused(copy: Path, spoil: str, why: str) -> None:
    data = ad.read_h5ad(copy)
    if spoil == "spatial":
        del data.obsm["spatial"]
    elif spoil == "nan place":
        data.obsm["spatial"][2] = np.nan
    elif spoil == "negative":
        data.layers["counts"] = data.layers["counts"] * -1
    elif spoil == "one spot":
        data = data[:1].copy()
    elif spoil == "gene twice":
        data.var_names = [data.var_names[0], *data.var_names[:-1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data.write_h5ad(copy)
        with pytest.raises(SectionError, match=why):
            read_section(str(copy))


@pytest.mark.parametrize("mpp", [0.0, -1.0, 352.0, np.nan])
def test_an_implausible_scale_is_refused(copy: Path, mpp: float) -> None:
    change(copy, mpp=mpp)
    with pytest.raises(ScaleError):
        read_section(str(copy))


def test_a_scale_that_is_no_number_is_refused(copy: Path) -> None:
    change(copy, mpp="half")
    with pytest.raises(SectionError):
        read_section(str(copy))


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_other_files_are_no_sections(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.h5ad").write_bytes(content)
    with pytest.raises(SectionError):
        read_section(str(tmp_path / "s.h5ad"))
    with pytest.raises(SectionError, match="no section at"):
        read_section(str(tmp_path / "absent.h5ad"))
    with pytest.raises(SectionError, match="No section at"):
        read_section(str(tmp_path / "absent"))


def test_regions_that_a_pathologist_named_are_read(tmp_path: Path, make_section: Callable[..., Path]) -> None:
    path = make_section(tmp_path, "R", seed=1, spots=(4, 4))
    assert read_section(str(path)).labels is None
    data = ad.read_h5ad(path)
    data.obs["region"] = pd.Categorical(["tumour", None, *["stroma"] * 14])
    data.obs["mine"] = ["a"] * 16
    data.write_h5ad(path)
    assert read_section(str(path)).labels.tolist() == ["tumour", "", *["stroma"] * 14]
    data.uns["mclstexp_section"]["labels"] = "mine"
    data.write_h5ad(path)
    assert read_section(str(path)).labels.tolist() == ["a"] * 16
