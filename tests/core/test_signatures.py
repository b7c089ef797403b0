"""Gene sets as they are typed and read, and their scores."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_mclstexp.core.grid import SpotGrid, given_grid
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.core.measured.symbols import stands_for
from napari_mclstexp.core.result import Provenance, Result
from napari_mclstexp.core.signatures import MAX_BYTES, GeneSet, parse_symbols, read_gmt, score
from napari_mclstexp.core.trust import SpotTrust
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


# --- what is typed -----------------------------------------------------------


def test_symbols_are_parted_by_what_people_put_between_them() -> None:
    assert parse_symbols(" CD3D, CD8A;CD4\nFOXP3\tHLA-A\r\nCD3D,, ;\n", "T cells") == GeneSet(
        "T cells", ("CD3D", "CD8A", "CD4", "FOXP3", "HLA-A")
    )
    assert parse_symbols("=1+1 ?? Cd4 CD4").genes == ("=1+1", "??", "Cd4", "CD4")
    assert parse_symbols("A").name == "Signature"


@pytest.mark.parametrize("text", ["", " \n", ",;, \t"])
def test_no_symbols_are_an_error(text: str) -> None:
    with pytest.raises(GeneError, match="No gene symbols"):
        parse_symbols(text)


# --- files -------------------------------------------------------------------


def test_gene_sets_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_bytes("\ufeffT cells\thttp://x\tCD3D\tCD8A\tCD3D\t\r\n\r\n \t\r\nÄ 1\t\tALB\n".encode())
    assert read_gmt(path) == (GeneSet("T cells", ("CD3D", "CD8A")), GeneSet("Ä 1", ("ALB",)))


def test_a_name_may_hold_what_elsewhere_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("a\u2028b\x0cc\tx\tALB\nd\tx\tTTR", encoding="utf-8")
    assert [s.genes for s in read_gmt(path)] == [("ALB",), ("TTR",)]


@pytest.mark.parametrize("line", ["one two three", "name\tdescription", "name\tdescription\t\t ", "\tx\tALB"])
def test_a_line_of_another_form_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text(f"good\tx\tALB\n\n{line}\n", encoding="utf-8")
    with pytest.raises(GeneError, match=r"Line 3 of sets\.gmt"):
        read_gmt(path)


def test_files_that_are_no_gene_sets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    with pytest.raises(GeneError, match="no file of gene sets"):
        read_gmt(path)
    with pytest.raises(GeneError, match="cannot be read"):
        read_gmt(tmp_path)
    path.write_bytes("Ä\tx\tALB\n".encode("latin-1"))
    with pytest.raises(GeneError, match="UTF-8"):
        read_gmt(path)
    path.write_text("\n \n")
    with pytest.raises(GeneError, match="holds no gene sets"):
        read_gmt(path)


def test_large_files_are_refused_and_those_at_the_limit_are_not(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    head = b"big\tx\t"
    path.write_bytes(head + b"A" * (MAX_BYTES - len(head)))
    assert len(read_gmt(path)[0].genes[0]) == MAX_BYTES - len(head)
    with path.open("ab") as file:
        file.write(b"A")
    with pytest.raises(GeneError, match="larger than 20 MB"):
        read_gmt(path)


# --- scores ------------------------------------------------------------------

GENES = ("ERBB2", "C1orf112", "SEPT9", "ACTB", "B2M")
VALUES = np.array(
    [[1, 0, 2, 0.1, 5], [3, 0, 2, 0.1, 1], [1, 3, 4, 0.1, 0], [3, 9, 4, 0.1, 2]], dtype=np.float32
)


PROVENANCE = Provenance(
    "print", 2000, 2000, 0.5, 0.5, "test", "hexagonal", 100.0, "tiny", "hash", "corrected", "log1p", 112.0,
    224, 8, "softmax", "test", "cpu", 8, 1, 0, "0",
)  # fmt: skip


def made(grid: SpotGrid, genes: tuple[str, ...], expression: NDArray[np.floating]) -> Result:
    """A result that says of no spot whether it is like the reference."""
    flat, picture = np.zeros(len(grid), np.float32), np.zeros((4, 4, 3), np.uint8)
    return Result(
        grid, genes, np.asarray(expression, np.float32), flat, flat, flat, PROVENANCE, picture, picture
    )


def doubting(result: Result, unlike: NDArray[np.bool_]) -> Result:
    """The same, with spots that are unlike the reference."""
    count = len(unlike)
    trust = SpotTrust(
        np.ones(count, np.int32),
        None,
        unlike,
        np.zeros((count, 1), np.int32),
        np.ones((count, 1), np.float32),
    )
    return replace(result, trust=trust)


@pytest.fixture
def result() -> Result:
    """Four spots, all like the reference."""
    xy = np.array([[100.0, 100], [200, 100], [100, 200], [200, 200]])
    grid = given_grid(np.array(list("abcd")), xy, (2000, 2000), None)
    return doubting(made(grid, GENES, VALUES), np.zeros(4, dtype=bool))


def wanted(*genes: str) -> GeneSet:
    return GeneSet("Wanted", genes)


def test_the_score_is_the_mean_of_z_scores(result: Result) -> None:
    # ERBB2 has mean 2 and deviation 1, C1orf112 3 and sqrt((9 + 9 + 0 + 36) / 4).
    erbb2, orf = np.array([-1, 1, -1, 1]), np.array([-3, -3, 0, 6]) / math.sqrt(13.5)
    found = score(result, wanted("ERBB2", "NOSUCH", "C1orf112"))
    np.testing.assert_allclose(found.values, (erbb2 + orf) / 2, rtol=1e-6)
    assert found.values.dtype == np.float32
    assert (found.used, found.absent, found.doubtful) == (("ERBB2", "C1orf112"), ("NOSUCH",), ())


def test_the_score_is_that_of_scipys_z_scores(result: Result) -> None:
    from scipy.stats import zscore

    expression = np.random.default_rng(0).gamma(2, size=VALUES.shape).astype(np.float32)
    found = score(replace(result, expression=expression), wanted(*GENES))
    np.testing.assert_allclose(found.values, zscore(expression.astype(float)).mean(axis=1), atol=1e-6)


def test_a_constant_gene_is_used_and_counts_as_nought(result: Result) -> None:
    alone = score(result, wanted("ACTB"))
    assert alone.values.tolist() == [0, 0, 0, 0]
    assert alone.used == ("ACTB",)
    np.testing.assert_allclose(score(result, wanted("ACTB", "ERBB2")).values, [-0.5, 0.5, -0.5, 0.5])


def test_spots_unlike_the_reference_have_no_score_and_no_say(result: Result) -> None:
    odd = np.array([False, False, False, True])
    doubted = doubting(result, odd)
    found = score(doubted, wanted("B2M", "SEPT9")).values
    few = VALUES[:3].astype(float)
    z = (few - few.mean(axis=0)) / np.maximum(few.std(axis=0), 1e-9)
    np.testing.assert_allclose(found[:3], (z[:, 4] + z[:, 2]) / 2, rtol=1e-5)
    assert np.isnan(found[3])
    nowhere = doubting(result, np.ones(4, dtype=bool))
    assert np.isnan(score(nowhere, wanted("B2M")).values).all()
    unknown = replace(result, trust=None)
    assert np.isfinite(score(unknown, wanted("B2M")).values).all()


@pytest.mark.parametrize(
    ("symbol", "gene"),
    [
        ("ERBB2", "ERBB2"),
        ("erbb2", "ERBB2"),
        ("HER2", "ERBB2"),
        ("her-2", "ERBB2"),
        ("NGL", "ERBB2"),
        ("ENSG00000141736.5", "ERBB2"),
        ("C1ORF112", "C1orf112"),
        ("FIRRM", "C1orf112"),
        ("SEPTIN9", "SEPT9"),
        ("MSF", "SEPT9"),
    ],
)
def test_symbols_of_any_vintage_find_the_models_gene(result: Result, symbol: str, gene: str) -> None:
    found = score(result, wanted(symbol))
    assert (found.used, found.absent) == ((gene,), ())
    np.testing.assert_array_equal(found.values, score(result, wanted(gene)).values)


def test_a_set_in_capitals_finds_a_renamed_open_reading_frame(result: Result) -> None:
    today = replace(result, genes=("FIRRM", *GENES[2:], "ALB"))
    assert score(today, wanted("C1ORF112")).used == ("FIRRM",)


def test_a_gene_that_bears_the_symbol_goes_before_one_that_it_might_mean(result: Result) -> None:
    both = replace(result, genes=("ERBB2", "HER2", "her2", "Sept9", "B2M"))
    assert score(both, wanted("HER2")).used == ("HER2",)
    assert score(both, wanted("her2")).used == ("her2",)
    assert score(both, wanted("hER2")).used == ("HER2",)


def test_a_symbol_of_several_genes_is_absent(result: Result) -> None:
    one_of_them = replace(result, genes=(stands_for("p40")[0], "KRT20", *GENES[:3]))
    found = score(one_of_them, wanted("p40", "CD20", "ERBB2"))  # CD20 is MS4A1's before it is KRT20's
    assert (found.used, found.absent) == (("ERBB2",), ("p40", "CD20"))


def test_symbols_of_one_gene_count_once(result: Result) -> None:
    found = score(result, wanted("HER2", "B2M", "ERBB2", "erbb2"))
    assert (found.used, found.absent) == (("ERBB2", "B2M"), ())
    np.testing.assert_array_equal(found.values, score(result, wanted("ERBB2", "B2M")).values)


def test_human_aliases_are_none_of_a_mouse_model(result: Result) -> None:
    mouse = replace(result, genes=("Erbb2", "Actb", "Gapdh", "Bp35", "B2m"))
    found = score(mouse, wanted("ERBB2", "HER2", "MS4A1"))
    assert (found.used, found.absent) == (("Erbb2",), ("HER2", "MS4A1"))


def test_genes_that_the_evaluation_doubts_are_told(result: Result) -> None:
    pcc = np.array([0.5, 0.05, 0.3, 0.4, 0.02], np.float32)
    held = HeldOut(
        pcc, pcc - np.array([0.1, 0.1, 0.31, 0.1, 0.1], np.float32), pcc + 0.1, pcc,
        np.linspace(0, 1, 101, dtype=np.float32), "leave-patient-out", False, 3, 3, "patients",
    )  # fmt: skip
    found = score(replace(result, held_out=held), wanted("SEPTIN9", "ERBB2", "C1ORF112", "NOSUCH"))
    assert found.used == ("SEPT9", "ERBB2", "C1orf112")
    assert found.doubtful == ("SEPT9", "C1orf112")


def test_a_set_that_the_model_predicts_nothing_of_is_an_error(result: Result) -> None:
    with pytest.raises(GeneError, match=r"none of the genes of 'Wanted' \(NO1, NO2, NO3, and others\)"):
        score(result, wanted("NO1", "NO2", "NO3", "NO4"))
    with pytest.raises(GeneError, match=r"\(NO1\)"):
        score(result, wanted("NO1"))
    with pytest.raises(GeneError) as told:
        score(result, parse_symbols("x" * 5000))
    assert len(str(told.value)) < 300
