"""Measured and paired sections: Visium folders, her2st tables, .h5ad (rows 1 to 4, 34 to 38, 66 to 70)."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from tests.helpers.visium_folder import in_matrix, poke, put

from .case import Case
from .of_bundle import external_link, external_storage, huge, soft_link, virtual

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .case import Make
    from .goods import Goods

R, D, W = "R", "D", "works"

# --- Visium -------------------------------------------------------------------


def visium(change: Callable[[Path], object]) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        path = goods.copy(goods.visium, folder)
        change(path)
        return path

    return make


def positions(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Make:
    def apply(path: Path) -> None:
        file = path / "spatial" / "tissue_positions.csv"
        change(pd.read_csv(file)).to_csv(file, index=False)

    return visium(apply)


def matrix(change: Callable[[h5py.Group], object]) -> Make:
    return visium(in_matrix(change))


def text(name: str, content: bytes | str) -> Make:
    return visium(lambda p: (p / name).write_bytes(content.encode() if isinstance(content, str) else content))


FACTORS, POSITIONS, MATRIX = (
    "spatial/scalefactors_json.json",
    "spatial/tissue_positions.csv",
    "filtered_feature_bc_matrix.h5",
)
NO_MATRIX, LAYOUT = "is no 10x matrix of Cell Ranger 3 or newer", "is damaged or of an unknown layout"
VISIUM: dict[str, tuple[int, Make, str]] = {
    "an index far out of range": (34, matrix(poke("indices", 0, 10**6)), NO_MATRIX),
    "an index below nought": (34, matrix(poke("indices", 0, -5)), NO_MATRIX),
    "index pointers out of order": (34, matrix(poke("indptr", 3, 10**6)), NO_MATRIX),
    "a shape beyond its names": (34, matrix(put("shape", [10**9, 25])), "names 12 genes and 25 barcodes"),
    "too few barcodes": (34, matrix(put("barcodes", np.array(["A"], dtype="S"))), "12 genes and 1 barcodes"),
    "barcodes that are numbers": (34, matrix(put("barcodes", np.arange(25))), NO_MATRIX),
    "counts that are a group": (34, matrix(put("data", h5py.Empty("f"))), NO_MATRIX),
    "counts too few": (34, matrix(put("data", np.ones(3))), NO_MATRIX),
    "no features": (38, matrix(lambda g: g.__delitem__("features")), NO_MATRIX),
    "no matrix in the file": (38, visium(lambda p: h5py.File(p / MATRIX, "w").close()), NO_MATRIX),
    "no matrix at all": (38, visium(lambda p: (p / MATRIX).unlink()), "neither filtered_feature_bc_matrix.h5 nor"),
    "an empty matrix": (1, text(MATRIX, b""), "cannot be read"),
    "a matrix cut off": (4, visium(lambda p: (p / MATRIX).write_bytes((p / MATRIX).read_bytes()[:3000])), "cannot be read|damaged"),
    "a matrix that is a text": (2, text(MATRIX, "x" * 999), "cannot be read"),
    "a link out of the matrix": (68, matrix(lambda g: g.__setitem__("more", h5py.ExternalLink("/etc/hostname", "x"))), "holds a link"),
    "a barcode twice": (38, positions(lambda t: pd.concat([t, t[:1]])), "names a barcode twice"),
    "a place that is no number": (63, positions(lambda t: t.assign(array_row=np.nan)), "positions that are no numbers"),
    "a place that is a word": (63, positions(lambda t: t.assign(array_col="left")), LAYOUT),
    "places without end": (63, positions(lambda t: t.assign(pxl_row_in_fullres=np.inf)), "positions that are no numbers"),
    "another table": (38, positions(lambda t: t[["barcode", "in_tissue"]]), LAYOUT),
    "none in tissue": (45, positions(lambda t: t.assign(in_tissue=0)), "no barcode has both"),
    "barcodes of another section": (66, positions(lambda t: t.assign(barcode=[f"X{i}" for i in range(len(t))])), "no barcode has both"),
    "positions that are empty": (1, text(POSITIONS, b""), LAYOUT),
    "positions that are zeros": (2, text(POSITIONS, bytes(500)), LAYOUT),
    "positions that are no UTF-8": (2, text(POSITIONS, b"\xff\xfe" * 90), LAYOUT),
    "scale factors that are a list": (3, text(FACTORS, "[1, 2]"), "scalefactors_json.json is damaged"),
    "scale factors cut off": (4, text(FACTORS, '{"tissue_hires'), "scalefactors_json.json is damaged"),
    "scale factors of 400 digits": (3, text(FACTORS, '{"tissue_hires_scalef": 1%s}' % ("0" * 400)), "is damaged"),
    "scale factors nested without end": (24, text(FACTORS, '{"a":' * 100_000), "is damaged"),
}  # fmt: skip
CASES: list[Case] = [
    Case(
        f"Visium: {name}",
        row,
        "Visium",
        f"Visium, {name}",
        "read_measured",
        make,
        R,
        f"^SectionError: .*{says}",
    )
    for name, (row, make, says) in VISIUM.items()
]


def no_full(path: Path) -> None:
    (path / "HE_section.tif").unlink()


def picture(change: Callable[[Path], object]) -> Make:
    return visium(lambda p: (no_full(p), change(p / "spatial" / "tissue_hires_image.png")))


CASES += [
    Case(f"Visium: {name}", row, "Visium", f"Visium, {name}", "read_measured", make, outcome, says)
    for name, row, make, outcome, says in (
        ("a picture cut off", 4, picture(lambda p: p.write_bytes(p.read_bytes()[:2000])), R, "is cut off or damaged"),
        ("an empty picture", 1, picture(lambda p: p.write_bytes(b"")), R, "is cut off or damaged"),
        ("no picture", 38, picture(lambda p: p.unlink()), R, "its factor is missing|is cut off or damaged"),
        ("no factor of the picture", 12, visium(lambda p: (no_full(p), (p / FACTORS).write_text("{}"))), R, "its factor is missing"),
        ("a factor of nought", 13, visium(lambda p: (no_full(p), (p / FACTORS).write_text('{"tissue_hires_scalef": 0}'))), R, "its factor is missing"),
        ("a factor of NaN", 13, visium(lambda p: (no_full(p), (p / FACTORS).write_text('{"tissue_hires_scalef": NaN}'))), R, "its factor is missing"),
        ("a full image that is damaged", 4, visium(lambda p: (p / "HE_section.tif").write_bytes(b"II*\0")), D, "measured 25 spots, 12 genes, on visium"),
        ("as it should be", 60, visium(lambda p: None), W, "measured 25 spots, 12 genes, on (generic-)?tiff"),
    )
]  # fmt: skip

# --- .h5ad --------------------------------------------------------------------


def h5ad(change: Callable[[h5py.File], object]) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        goods.copy(goods.section.with_suffix(".tif"), folder)
        path = goods.copy(goods.section, folder)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def names_slide(name: str) -> Make:
    def change(file: h5py.File) -> None:
        group = file["uns/mclstexp_section"]
        attributes = dict(group["slide"].attrs)
        del group["slide"]
        group.create_dataset("slide", data=name, dtype=h5py.string_dtype()).attrs.update(attributes)

    return h5ad(change)


def linked_slide(goods: Goods, folder: Path) -> Path:
    (folder / "elsewhere").mkdir()
    slide = goods.copy(goods.section.with_suffix(".tif"), folder / "elsewhere")
    (folder / slide.name).symlink_to(slide)
    return goods.copy(goods.section, folder)


def without(name: str) -> Make:
    return h5ad(lambda file: file.__delitem__(name))


def value(name: str, at: int, number: Any) -> Make:
    return h5ad(lambda file: file[name].__setitem__(at, number))


def of_embedding(change: Callable[[h5py.File], object]) -> Make:
    def apply(file: h5py.File) -> None:
        for name in ("obsm/embedding", "X"):
            if name in file:
                del file[name]
        file["obsm/embedding"] = np.zeros((3, 3), "f4")
        file["X"] = np.zeros((30, 12), "f4")
        change(file)

    return h5ad(apply)


PATHS = ("/etc/passwd", "../one.tif", "C:\\one.tif", "\\\\server\\share\\one.tif", "https://example.org/one.tif", "a/../../one.tif", "..\\one.tif")  # fmt: skip
UNSAFE = "For safety only a file in its own folder is opened"
SECTIONS: dict[str, tuple[int, Make, str]] = {
    **{f"the slide {path}": (70, names_slide(path), UNSAFE) for path in PATHS},
    "the slide is a link": (70, linked_slide, UNSAFE),
    "the slide is not there": (38, names_slide("two.tif"), "which is not beside it"),
    "the slide is the file itself": (38, names_slide("one.h5ad"), "not a slide that can be opened"),
    "an external link": (68, of_embedding(external_link), "holds a link"),
    "external storage": (68, of_embedding(external_storage), "keeps its values in another file"),
    "a virtual dataset": (68, of_embedding(virtual), "keeps its values in another file"),
    "a soft link": (68, of_embedding(soft_link), "holds a link"),
    "4 TB declared": (69, of_embedding(huge), "declares more than 32 GiB"),
    "no positions": (38, without("obsm/spatial"), 'lacks obsm\\["spatial"\\]'),
    "no obs": (38, without("obs"), "holds no AnnData|not a slide"),
    "no counts": (38, h5ad(lambda f: [f.__delitem__(n) for n in ("X", "layers")]), "holds no counts"),
    "indices out of range": (34, value("layers/counts/indices", 3, 10**6), "of the wrong kind"),
    "positions of NaN": (63, value("obsm/spatial", 2, [np.nan, 1.0]), "has spot positions that are no numbers"),
    "a scale of nought": (13, h5ad(lambda f: f["uns/mclstexp_section/mpp"].__setitem__((), 0.0)), "not plausible"),
    "cut off": (4, lambda g, f: _cut(g, f), "cut off"),
    "a prediction": (66, lambda g, f: g.copy(g.result, f), "holds a prediction, no measurement"),
}  # fmt: skip
CASES += [
    Case(f"section: {name}", row, ".h5ad section", f"section, {name}", "read_measured", make, R, says)
    for name, (row, make, says) in SECTIONS.items()
]


def _cut(goods: Goods, folder: Path) -> Path:
    path = goods.copy(goods.section, folder)
    path.write_bytes(path.read_bytes()[:20_000])
    return path


# --- her2st -------------------------------------------------------------------


def her2st(change: Callable[[pd.DataFrame, pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame]]) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        x, y = (a.ravel() for a in np.mgrid[1:6, 1:5])
        spots = pd.DataFrame({"x": x, "y": y, "pixel_x": 100.0 + 250 * x, "pixel_y": 100.0 + 250 * y})
        ids = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
        counts = pd.DataFrame(
            np.random.default_rng(2).poisson(90, (20, 3)), index=ids, columns=["A", "B", "C"]
        )
        counts, spots = change(counts, spots)
        for part in ("cnts", "spots"):
            (folder / part).mkdir()
        Image.new("RGB", (1600, 1400), (200, 120, 160)).save(folder / "B7.jpg")
        counts.to_csv(folder / "cnts" / "B7.tsv.gz", sep="\t")
        spots.to_csv(folder / "spots" / "B7_selection.tsv", sep="\t", index=False)
        return folder / "B7"

    return make


def her2st_file(name: str, content: bytes | None) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        path = her2st(lambda c, s: (c, s))(goods, folder)
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        return path

    return make


def counts_bomb(goods: Goods, folder: Path) -> Path:
    path = her2st(lambda c, s: (c, s))(goods, folder)
    with gzip.open(folder / "cnts" / "B7.tsv.gz", "wb", compresslevel=9) as file:
        file.write(b"\tA\tB\tC\n")
        for _ in range(1600):
            file.write(b"1x1\t1\t1\t1\n" * 200_000)
    return path


C, S = "cnts/B7.tsv.gz", "spots/B7_selection.tsv"
TABLES: dict[str, tuple[int, Make, str]] = {
    "ids of another section": (66, her2st(lambda c, s: (c.rename(index=lambda i: f"9{i}"), s)), "counts and spots do not match"),
    "no counts": (45, her2st(lambda c, s: (c[:0], s)), "Of 0 spots with counts"),
    "no positions": (45, her2st(lambda c, s: (c, s[:0])), "and 0 with a position"),
    "one spot": (46, her2st(lambda c, s: (c[:1], s)), "has 1 spots.*2 are needed"),
    "a gene twice": (38, her2st(lambda c, s: (c.set_axis(["A", "B", "A"], axis=1), s)), "names the gene A twice"),
    "no genes": (34, her2st(lambda c, s: (c[[]], s)), "0 genes"),
    "a spot twice in the counts": (38, her2st(lambda c, s: (pd.concat([c, c[:1]]), s)), "names the spot 1x1 twice"),
    "a spot twice in the positions": (38, her2st(lambda c, s: (c, pd.concat([s, s[3:4]]))), "names the spot 1x4 twice"),
    "positions of NaN": (63, her2st(lambda c, s: (c, s.assign(pixel_x=np.nan))), "no numbers"),
    "no column of y": (38, her2st(lambda c, s: (c, s.drop(columns="pixel_y"))), "damaged"),
    "halves of counts": (35, her2st(lambda c, s: (c / 2 + 0.1, s)), "no counts"),
    "counts below nought": (35, her2st(lambda c, s: (-c, s)), "no counts"),
    "counts of Inf": (35, her2st(lambda c, s: (c * np.inf, s)), "no counts|not finite|no numbers"),
    "counts of text": (35, her2st(lambda c, s: (c.astype(str) + "x", s)), "damaged"),
    "counts missing": (38, her2st_file(C, None), "is missing"),
    "positions missing": (38, her2st_file(S, None), "is missing"),
    "the slide missing": (38, her2st_file("B7.jpg", None), "is missing"),
    "counts empty": (1, her2st_file(C, b""), "damaged"),
    "counts that are no gzip": (2, her2st_file(C, b"1x1\t3\n" * 40), "damaged"),
    "counts cut off": (4, her2st_file(C, gzip.compress(b"\tA\n1x1\t3\n" * 999)[:60]), "damaged"),
    "positions empty": (1, her2st_file(S, b""), "damaged"),
    "positions that are zeros": (2, her2st_file(S, bytes(900)), "damaged"),
    "a bomb of counts": (33, counts_bomb, "unpack to over|larger"),
}  # fmt: skip
CASES += [
    Case(
        f"her2st: {name}",
        row,
        "her2st section",
        f"her2st, {name}",
        "read_section",
        make,
        R,
        f"^SectionError: .*({says})",
    )
    for name, (row, make, says) in TABLES.items()
]
