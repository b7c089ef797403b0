"""Sections of old and of current gene symbols are trained on together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_mclstexp.errors import GeneError
from napari_mclstexp.training.harmonise import harmonise
from napari_mclstexp.training.preprocess import choose_genes, expression_of
from napari_mclstexp.training.sections import Section


def section(name: str, genes: list[str]) -> Section:
    n = 12
    xy = np.column_stack([np.arange(n), np.zeros(n)]) * 100.0
    counts = sparse.csr_matrix(np.random.default_rng(len(name)).poisson(90, (n, len(genes))).astype(float))
    ids = np.arange(n).astype(str)
    return Section(name, "p", None, ids, xy, xy, tuple(genes), counts, Path("none.tif"))


OLD, NEW = ["SEPT9", "ERBB2", "MARCH1", "RP11-1"], ["MARCHF1", "SEPTIN9", "ERBB2", "CD274"]


def test_genes_by_number_are_shared_under_the_symbols_of_today() -> None:
    old, new = section("old", OLD), section("new", NEW)
    assert choose_genes([old, new], 100) == ("ERBB2",)
    made, report = harmonise([old, new], "100")
    genes = choose_genes(made, 100)
    assert genes == ("ERBB2", "MARCHF1", "SEPTIN9")
    np.testing.assert_array_equal(
        expression_of(made[0], genes), expression_of(old, ("ERBB2", "MARCH1", "SEPT9"))
    )
    assert old.genes == tuple(OLD)
    assert "Renamed: 2, e.g. SEPT9 -> SEPTIN9, MARCH1 -> MARCHF1." in report.text()


@pytest.mark.parametrize("listed", [("SEPT9", "MARCHF1"), ("MARCH1", "SEPTIN9")])
def test_genes_of_a_file_keep_its_symbols(tmp_path: Path, listed: tuple[str, ...]) -> None:
    (tmp_path / "genes.txt").write_text("\n".join(listed))
    file = str(tmp_path / "genes.txt")
    made, _ = harmonise([section("old", OLD), section("new", NEW)], file)
    assert choose_genes(made, file) == listed


def test_a_list_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genes.txt").write_text("\n\n")
    for file, why in ((tmp_path / "genes.txt", "is empty"), (tmp_path / "absent.txt", "cannot be read")):
        with pytest.raises(GeneError, match=why):
            harmonise([section("old", OLD)], str(file))
