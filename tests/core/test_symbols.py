"""Gene symbols of any vintage mapped to those of HGNC."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from napari_mclstexp.core.measured.symbols import to_hgnc
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path


def test_symbols_of_former_days_get_those_of_today() -> None:
    report = to_hgnc(["ERBB2", "SEPT9", "HER2X", "MARCH1", "C1orf112", "ENSG00000075624.15"])
    assert report.names == ("ERBB2", "SEPTIN9", "HER2X", "MARCHF1", "FIRRM", "ACTB")
    assert report.of("approved") == ("ERBB2",)
    assert report.of("unknown") == ("HER2X",)
    assert report.renamed["SEPT9"] == "SEPTIN9"


def test_an_alias_is_mapped_and_a_previous_symbol_goes_before_it() -> None:
    assert to_hgnc(["HER2", "PD-L1"]).names == ("ERBB2", "CD274")
    assert to_hgnc(["MSF"]).names == ("SEPTIN9",)  # MSF is an alias of PRG4, too


def test_a_symbol_of_several_genes_is_left_and_its_candidates_are_named() -> None:
    report = to_hgnc(["ERBB2", "p40"])
    (entry,) = [e for e in report.entries if e.status == "ambiguous"]
    assert entry.name == "p40"
    assert len(entry.candidates) > 1
    assert " or ".join(entry.candidates) in report.text()


def test_two_columns_of_one_gene_stay_apart() -> None:
    report = to_hgnc(["SEPT9", "SEPTIN9", "MSF"])
    assert report.names == ("SEPT9", "SEPTIN9", "MSF")
    assert report.of("collision") == ("SEPT9", "MSF")
    assert to_hgnc(["SEPT9", "MSF"]).names == ("SEPTIN9", "MSF")
    assert len(set(to_hgnc(["A", "B", "SEPT9", "MSF", "HER2", "NGL", "ERBB2"]).names)) == 7


def test_listed_symbols_stay_whatever_their_vintage() -> None:
    assert to_hgnc(["SEPTIN9", "HER2"], listed=["SEPT9", "ERBB2"]).names == ("SEPT9", "ERBB2")
    assert to_hgnc(["SEPT9", "HER2"], listed=["SEPT9"]).of("listed") == ("SEPT9",)
    assert to_hgnc(["SEPT9", "SEPTIN9"], listed=["SEPT9"]).names == ("SEPT9", "SEPTIN9")
    assert to_hgnc(["MSF", "SEPTIN9"], listed=["SEPT9"]).names == ("MSF", "SEPT9")


def test_mouse_symbols_are_no_human_ones() -> None:
    mouse = ["Actb", "Sept9", "Gapdh", "Erbb2", "Col1a1", "H2-K1", "PD-L1"]
    report = to_hgnc(mouse, "bulb")
    assert list(report.names) == mouse
    assert report.foreign == ("bulb",)
    assert "bulb do not look human" in report.text()
    assert to_hgnc(["ERBB2", "Actb"]).names == ("ERBB2", "Actb")


def test_the_report_is_a_few_lines_and_a_whole_table(tmp_path: Path) -> None:
    report = to_hgnc(["ERBB2", "SEPT9", "=1+1"], "C2")
    assert report.text().splitlines() == [
        "Approved by HGNC (July 2024): 1 of 3 gene symbols.",
        "Renamed: 1, e.g. SEPT9 -> SEPTIN9.",
        "Left, for HGNC does not know them: 1, e.g. =1+1.",
    ]
    path = report.write_csv(tmp_path / "genes.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert rows[1] == {
        "section": "C2", "symbol": "SEPT9", "name": "SEPTIN9", "status": "renamed", "candidates": "SEPTIN9",
    }  # fmt: skip
    assert rows[2]["symbol"] == "'=1+1"
    with pytest.raises(ExportError, match="exists"):
        report.write_csv(path)


def test_a_real_section_is_mostly_known(real: Path) -> None:
    from napari_mclstexp.training.sections import read_section

    genes = read_section(str(real / "her2st" / "C2")).genes
    report = to_hgnc(genes, "C2")
    assert len(set(report.names)) == len(genes)
    assert len(report.of("approved")) + len(report.renamed) > 0.9 * len(genes)
    assert report.renamed["SEPT2"] == "SEPTIN2"
