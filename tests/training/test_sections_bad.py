"""Sections of Spatial Transcriptomics that are damaged or poor, and the layout in which GEO ships them.

The GEO files are made here; the series GSE144240 itself was not at hand.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_mclstexp.core.measured.symbols import to_hgnc
from napari_mclstexp.errors import MclstexpError, SectionError
from napari_mclstexp.training.preprocess import choose_genes
from napari_mclstexp.training.sections import read_section

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GENES = ["ERBB2", "SEPT9", "COL1A1", "NEVERHEARD1"]
LAYOUTS = {
    "her2st": ("B7", "{}.jpg", "cnts/{}.tsv.gz", "spots/{}_selection.tsv"),
    "GEO": (
        "P2_ST_rep1",
        "GSM4284316_{}.jpg",
        "GSM4284316_{}_stdata.tsv.gz",
        "GSM4284316_spot_data-selection-{}.tsv.gz",
    ),
    "GEO, unpacked": ("P10_ST_rep3", "{}.jpg", "{}_stdata.tsv", "spot_data-selection-{}.tsv"),
}


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    x, y = (a.ravel() for a in np.mgrid[1:6, 1:5])
    spots = pd.DataFrame({"x": x, "y": y, "new_x": x + 0.1, "new_y": y - 0.1})
    spots = spots.assign(pixel_x=100.0 + 250.0 * x, pixel_y=100.0 + 250.0 * y, selected=1)
    ids = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
    counts = pd.DataFrame(np.random.default_rng(2).poisson(90, (20, 4)), index=ids, columns=GENES)
    return counts, spots


def write(
    folder: Path,
    layout: str = "her2st",
    counts: pd.DataFrame | None = None,
    spots: pd.DataFrame | None = None,
) -> Path:
    name, *parts = LAYOUTS[layout]
    slide, counts_path, spots_path = (folder / part.format(name) for part in parts)
    for path in (slide, counts_path, spots_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    sound = tables()
    Image.new("RGB", (1600, 1400), (200, 120, 160)).save(slide)
    (sound[0] if counts is None else counts).to_csv(counts_path, sep="\t")
    (sound[1] if spots is None else spots).to_csv(spots_path, sep="\t", index=False)
    return folder / name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_reads_alike(tmp_path: Path, layout: str) -> None:
    made = read_section(str(write(tmp_path, layout)))
    counts, spots = tables()
    assert made.ids.tolist() == counts.index.tolist()
    assert made.genes == tuple(GENES)
    np.testing.assert_array_equal(made.counts.toarray(), counts)
    np.testing.assert_array_equal(made.xy_px, spots[["pixel_x", "pixel_y"]])
    assert made.patient == {"her2st": "B", "GEO": "P2", "GEO, unpacked": "P10"}[layout]
    assert made.slide.is_file()
    assert made.scale is not None
    assert made.scale.mpp_x == pytest.approx(0.8)


def test_sections_of_geo_lie_side_by_side_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "GEO")
    write(tmp_path, "GEO, unpacked")
    assert read_section(str(tmp_path / "P2_ST_rep1")).name == "P2_ST_rep1"
    assert read_section(str(tmp_path / "P10_ST_rep3")).name == "P10_ST_rep3"
    with pytest.raises(SectionError, match="No section at"):
        read_section(str(tmp_path / "P2_ST_rep"))
    with pytest.raises(SectionError, match="No section at"):
        read_section(str(tmp_path / "P.*"))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (1, r"P2_ST_rep1\.jpg is missing.*Unpack"),
        (2, "No section at"),
        (3, r"spot_data-selection-.* is missing"),
    ],
)
def test_a_missing_part_of_geo_is_named(tmp_path: Path, part: int, why: str) -> None:
    section = write(tmp_path, "GEO")
    path = tmp_path / LAYOUTS["GEO"][part].format(section.name)
    if part == 1:
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    with pytest.raises(SectionError, match=why):
        read_section(str(section))


@pytest.mark.parametrize("layout", ["her2st", "GEO"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c, s: (c.rename(index=lambda i: f"9{i}"), s), "do not match.* 0 are the same"),
        (
            lambda c, s: (c.rename(index=lambda i: i if i in ("1x1", "2x3", "4x4") else f"9{i}"), s),
            r"Of 20 spots with counts and 20 with a position, 3 are the same",
        ),
        (lambda c, s: (c[:0], s), "Of 0 spots with counts"),
        (lambda c, s: (c, s[:0]), "and 0 with a position"),
        (lambda c, s: (c[:1], s), "has 1 spots.*2 are needed"),
        (lambda c, s: (c.set_axis(["A", "B", "A", "C"], axis=1), s), "names the gene A twice"),
        (lambda c, s: (c[[]], s), "holds .* 0 genes"),
        (lambda c, s: (pd.concat([c, c[:1]]), s), "names the spot 1x1 twice"),
        (lambda c, s: (c, pd.concat([s, s[3:4]])), "names the spot 1x4 twice"),
        (lambda c, s: (c, s.assign(pixel_x=np.nan)), "no numbers"),
        (lambda c, s: (c, s.drop(columns="pixel_y")), "damaged"),
        (lambda c, s: (c / 2 + 0.1, s), "no counts"),
    ],
)
def test_bad_tables_are_refused_with_their_cause(
    tmp_path: Path, layout: str, change: Callable, why: str
) -> None:
    counts, spots = change(*tables())
    with pytest.raises(SectionError, match=why):
        read_section(str(write(tmp_path, layout, counts, spots)))


def test_raw_counts_of_the_whole_array_keep_the_spots_on_tissue(tmp_path: Path) -> None:
    counts, spots = tables()
    assert len(read_section(str(write(tmp_path, "GEO", counts, spots[:6]))).ids) == 6


def test_places_written_with_a_point_are_the_same_places(tmp_path: Path) -> None:
    counts, spots = tables()
    spots = spots.astype({"x": float, "y": float})
    assert len(read_section(str(write(tmp_path, "GEO", counts, spots))).ids) == 20


def test_an_unknown_gene_is_kept_and_reported(tmp_path: Path) -> None:
    report = to_hgnc(read_section(str(write(tmp_path))).genes)
    assert report.of("unknown") == ("NEVERHEARD1",)
    assert report.names == ("ERBB2", "SEPTIN9", "COL1A1", "NEVERHEARD1")


def test_spots_without_a_single_count_read_but_do_not_train(tmp_path: Path) -> None:
    counts, spots = tables()
    half = counts.copy()
    half.iloc[::2] = 0
    made = read_section(str(write(tmp_path / "half", "her2st", half, spots)))
    assert choose_genes([made], 2, min_counts=1)
    none = read_section(str(write(tmp_path / "none", "her2st", counts * 0, spots)))
    with pytest.raises(MclstexpError, match="No spot has 1 counts or more"):
        choose_genes([none], 2, min_counts=1)
