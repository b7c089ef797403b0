"""Normalisation and the choice of genes."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_mclstexp.core.measured.expression import normalise
from napari_mclstexp.errors import GeneError, SectionError
from napari_mclstexp.training.preprocess import choose_genes, expression_of, rich_spots
from napari_mclstexp.training.sections import Section


def section(counts: np.ndarray, genes: list[str], name: str = "s") -> Section:
    n = len(counts)
    xy = np.column_stack([np.arange(n), np.zeros(n)]) * 100.0
    return Section(
        name, "p", None, np.arange(n).astype(str), xy, xy, tuple(genes),
        sparse.csr_matrix(counts.astype(float)), Path("none.tif"),
    )  # fmt: skip


def poisson(n: int, g: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(30, (n, g))


def test_every_spot_sums_to_ten_thousand_over_its_whole_library() -> None:
    counts = poisson(20, 50)
    counts[3] = 0
    values = normalise(sparse.csr_matrix(counts)).toarray()
    sums = np.expm1(values).sum(axis=1)
    np.testing.assert_allclose(np.delete(sums, 3), 1e4, rtol=1e-5)
    assert (values[3] == 0).all()
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[0], np.log1p(counts[0] / counts[0].sum() * 1e4), rtol=1e-5)


def test_depth_does_not_change_a_spots_values() -> None:
    counts = poisson(5, 30)
    np.testing.assert_allclose(
        normalise(sparse.csr_matrix(counts)).toarray(),
        normalise(sparse.csr_matrix(7 * counts)).toarray(),
        rtol=1e-5,
    )


def test_the_library_is_that_of_all_genes_and_not_of_the_panel() -> None:
    made = section(poisson(6, 10), [f"G{i}" for i in range(10)])
    panel = expression_of(made, ("G7", "G2"))
    whole = normalise(made.counts).toarray()
    np.testing.assert_array_equal(panel, whole[:, [7, 2]])
    assert panel.dtype == np.float32


def test_poor_spots_are_those_below_the_bound() -> None:
    counts = np.array([[199, 0], [200, 0], [100, 100], [0, 0]])
    assert rich_spots(section(counts, ["A", "B"]), 200).tolist() == [False, True, True, False]


def test_the_most_variable_genes_are_chosen_alike_every_time() -> None:
    counts = poisson(40, 12)
    counts[:20, 4] *= 6
    counts[:20, 9] *= 4
    genes = [f"G{i:02d}" for i in range(12)]
    made = section(counts, genes)
    chosen = choose_genes([made], 2)
    assert chosen == ("G04", "G09")
    order = np.random.default_rng(0).permutation(12)
    shuffled = section(counts[:, order], [genes[i] for i in order])
    assert choose_genes([shuffled], 2) == chosen
    assert choose_genes([made], 5) == choose_genes([shuffled], 5)
    assert choose_genes([made], 999) == tuple(genes)


def test_the_choice_over_real_sections_is_scanpys(real: Path) -> None:
    import scanpy as sc

    from napari_mclstexp.training.sections import read_section

    made = [read_section(str(real / "her2st" / name)) for name in ("B4", "C2")]
    chosen = choose_genes(made, 300)
    shared = sorted(set(made[0].genes) & set(made[1].genes))
    parts = []
    for s in made:
        counts = s.counts[rich_spots(s)][:, [s.genes.index(g) for g in shared]]
        parts.append(ad.AnnData(counts, var=pd.DataFrame(index=shared)))
    joined = ad.concat(parts, label="in", index_unique="-")
    joined = joined[:, np.asarray(joined.X.sum(axis=0)).ravel() > 0].copy()
    found = sc.experimental.pp.highly_variable_genes(joined, n_top_genes=300, batch_key="in", inplace=False)
    assert set(chosen) == set(joined.var_names[found["highly_variable"]])
    assert choose_genes(made[::-1], 300) == chosen
    assert {"ERBB2", "COL1A1", "CD74"} <= set(chosen)


def test_genes_that_no_spot_has_are_chosen_last() -> None:
    counts = 9 * poisson(40, 6)
    counts[:, [1, 4]] = 0
    made = section(counts, list("ABCDEF"))
    assert not {"B", "E"} & set(choose_genes([made], 4))
    assert choose_genes([made], 5) == ("A", "B", "C", "D", "F")
    assert choose_genes([made], 6) == tuple("ABCDEF")


def test_poor_spots_have_no_say_in_the_choice() -> None:
    counts = poisson(40, 6)
    genes = list("ABCDEF")
    clean = choose_genes([section(counts, genes)], 3)
    noise = np.zeros((10, 6), dtype=int)
    noise[:, 2] = 1  # a single count normalises to 9.2
    assert choose_genes([section(np.vstack([counts, noise]), genes)], 3) == clean


def test_sections_of_poor_spots_alone_are_refused() -> None:
    with pytest.raises((SectionError, GeneError), match="counts"):
        choose_genes([section(np.ones((10, 4)), list("ABCD"))], 2)


def test_only_genes_of_every_section_are_chosen() -> None:
    one, two = section(9 * poisson(10, 4), list("ABCD")), section(9 * poisson(10, 3), list("DCX"), "t")
    assert choose_genes([one, two], 10) == ("C", "D")
    with pytest.raises(SectionError, match="no gene in common"):
        choose_genes([one, section(poisson(10, 2), ["Y", "Z"])], 10)


def test_genes_of_a_list_keep_its_order(tmp_path: Path) -> None:
    made = section(poisson(10, 4), list("ABCD"))
    (tmp_path / "genes.txt").write_text("\n D \nB\nNONE\nB\n")
    assert choose_genes([made], str(tmp_path / "genes.txt")) == ("D", "B")
    (tmp_path / "none.txt").write_text("X\nY\n")
    with pytest.raises(GeneError, match="None of the genes"):
        choose_genes([made], str(tmp_path / "none.txt"))
    with pytest.raises(GeneError, match="cannot be read"):
        choose_genes([made], str(tmp_path / "absent.txt"))
    for number in (0, "0"):
        with pytest.raises(GeneError):
            choose_genes([made], number)


def test_the_papers_panel_is_found_in_a_real_section(real: Path) -> None:
    from napari_mclstexp.training.sections import read_section

    made = read_section(str(real / "her2st" / "C3"))
    panel = (real / "her2st" / "panel.txt").read_text(encoding="utf-8").split()
    genes = choose_genes([made], str(real / "her2st" / "panel.txt"))
    assert set(genes) <= set(panel)
    assert len(genes) > 0.95 * len(panel)
    sums = np.expm1(normalise(made.counts).toarray()).sum(axis=1)
    np.testing.assert_allclose(sums[sums > 0], 1e4, rtol=1e-4)
