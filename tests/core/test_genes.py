"""Genes found by what is typed, and put in order; statistics by hand and by other ways to reckon them."""

from __future__ import annotations

import gzip
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_mclstexp.core import genes as genes_module
from napari_mclstexp.core.genes import ORDERS, Found, find_genes, marker_effects, morans_i, order_genes
from napari_mclstexp.core.grid import SpotGrid, given_grid, make_grid
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.core.measured.symbols import TABLE, names_of, stands_for
from napari_mclstexp.core.result import Domains, Provenance, Result
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.core.trust import SpotTrust
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = Scale(0.5, 0.4, "test")


def symbols(found: tuple[Found, ...]) -> list[str]:
    return [f.gene for f in found]


def laid(layout: str, pitch_um: float = 100.0) -> SpotGrid:
    mask = np.ones((70, 90), dtype=bool)
    mask[:25, 30:60] = False
    return make_grid(TissueMask(mask, 20.0, 20.0), SCALE, layout, pitch_um)


def given(xy: list[tuple[float, float]] | NDArray[np.float64]) -> SpotGrid:
    places = np.asarray(xy, dtype=np.float64)
    return given_grid(np.arange(len(places)).astype(str), places, (10_000, 10_000), SCALE)


# --- search ------------------------------------------------------------------


def test_names_of_an_approved_symbol_are_the_former_ones_then_the_aliases() -> None:
    assert names_of("MS4A1") == ("CD20", "B1", "Bp35", "FMC7")
    assert names_of("HER2") == names_of("no gene") == ()
    assert stands_for("HER2") == ("ERBB2",)
    assert len(stands_for("p40")) > 1
    assert stands_for("no gene") == ()


def test_the_symbol_goes_first_then_its_beginning_then_its_middle() -> None:
    genes = ("PTPRCAP", "CD3E", "XCD3", "CD3D", "CD33", "CD3")
    assert symbols(find_genes("cd3", genes)) == ["CD3", "CD3E", "CD3D", "CD33", "XCD3"]
    assert find_genes("cd3", genes)[0] == Found("CD3", "")
    assert find_genes("no such gene", genes) == ()


@pytest.mark.parametrize("text", ["", "  ", "-"])
def test_an_empty_text_finds_all_genes(text: str) -> None:
    assert find_genes(text, ["B2M", "ACTB"]) == (Found("B2M", ""), Found("ACTB", ""))
    assert find_genes(text, []) == ()


def test_an_alias_goes_before_all_but_the_symbol_itself() -> None:
    genes = ("XHER2", "HER2B", "ERBB2")
    assert find_genes("HER2", genes) == (Found("ERBB2", "HER2"), Found("HER2B", ""), Found("XHER2", ""))
    assert find_genes("her2", ("HER2", "ERBB2")) == (Found("HER2", ""), Found("ERBB2", "HER2"))
    assert find_genes("HER", ("ERBB2", "CHERP", "HERC1")) == (
        Found("HERC1", ""), Found("CHERP", ""), Found("ERBB2", "HER-2"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "by"),
    [("HER-2", "HER-2"), ("her 2", "HER-2"), ("Her2", "HER2"), ("pdl1", "PDL1"), ("PD-L", "PD-L1")],
)
def test_hyphens_and_spaces_do_not_count(text: str, by: str) -> None:
    (found,) = find_genes(text, ("ERBB2", "GAPDH", "CD274"))
    assert found.by == by


def test_hyphens_of_symbols_do_not_count_either() -> None:
    assert symbols(find_genes("hlaa", ("HLA-DRA", "HLA-A"))) == ["HLA-A"]
    assert symbols(find_genes("hlad", ("HLA-DRA", "HLA-A"))) == ["HLA-DRA"]


def test_what_hgnc_takes_for_one_gene_goes_before_what_several_share() -> None:
    genes = ("PRG4", "SEPTIN9")  # MSF was SEPTIN9's symbol, and is an alias of PRG4, too
    assert find_genes("MSF", genes) == (Found("SEPTIN9", "MSF"), Found("PRG4", "MSF"))
    assert find_genes("CD20", ("CD200", "KRT20", "MS4A1"))[0] == Found("MS4A1", "CD20")


def test_genes_of_former_days_are_found_by_their_symbol_of_today() -> None:
    assert find_genes("septin9", ("SEPT9", "ACTB")) == (Found("SEPT9", "SEPTIN9"),)
    assert find_genes("ERBB2", ("ENSG00000141736", "ACTB")) == (Found("ENSG00000141736", "ERBB2"),)


def test_mouse_genes_have_no_human_aliases() -> None:
    assert find_genes("p53", ("Trp53", "Actb", "Gapdh")) == (Found("Trp53", ""),)
    assert find_genes("HER2", ("Erbb2", "Actb", "Gapdh")) == ()
    assert find_genes("MS4A1", ("Bp35", "Actb", "Gapdh")) == ()
    assert find_genes("MS4A1", ("Bp35", "ACTB", "GAPDH")) == (Found("Bp35", "MS4A1"),)


def test_twenty_thousand_genes_are_searched_while_typing() -> None:
    with gzip.open(TABLE, "rt", encoding="utf-8") as file:
        genes = [line.split("\t")[0] for line in file][::2][:20_000]
    assert len(genes) == 20_000
    find_genes("x", genes)
    for text in ("c", "a", "1", "", "HER2", "cd"):
        spent = []
        for _ in range(7):
            start = time.process_time()
            find_genes(text, genes)
            spent.append(time.process_time() - start)
        assert min(spent) < 0.02, text


# --- Moran's I ---------------------------------------------------------------


def dense(grid: SpotGrid, expression: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """Moran's I as the textbook has it, spot by spot."""
    places = grid.centres_px / np.array(grid.pitch_px)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    weights = np.zeros_like(apart)
    for row, away in enumerate(apart):
        near = [i for i in np.argsort(away, kind="stable")[:count] if away[i] <= 1.5]
        weights[row, near] = 1 / max(len(near), 1)
    z = expression.astype(np.float64) - expression.mean(axis=0, dtype=np.float64)
    return len(grid) / weights.sum() * np.einsum("ij,ig,jg->g", weights, z, z) / np.square(z).sum(axis=0)


def patterns(grid: SpotGrid) -> NDArray[np.float32]:
    """A slope, noise, and both."""
    y = grid.centres_px[:, 0] / grid.centres_px[:, 0].max()
    noise = np.random.default_rng(0).normal(size=len(grid))
    return np.column_stack([y, noise, 5 * y + noise]).astype(np.float32)


def test_morans_i_of_a_row_of_four_spots() -> None:
    row = given([(100, 100), (200, 100), (300, 100), (400, 100)])
    expression = np.array([[1, 1], [2, 0], [3, 1], [4, 0]], dtype=np.float32)
    # z = -1.5 -.5 .5 1.5: (.75 + .25 + .25 + .75) / 2 ... the ends have one neighbour, the others two:
    # lags -.5 -.5 .5 .5, sum of products 2, over squares 5; the other alternates: lag is -z, so -1.
    np.testing.assert_allclose(morans_i(row, expression), [2 / 5, -1], atol=1e-6)
    assert morans_i(row, expression).dtype == np.float32


def test_morans_i_on_a_hexagonal_grid_of_unlike_pixels_is_that_of_the_textbook() -> None:
    grid = laid("hexagonal")
    assert grid.pitch_px[0] != grid.pitch_px[1]
    found = morans_i(grid, patterns(grid))
    np.testing.assert_allclose(found, dense(grid, patterns(grid), 6), atol=1e-5)
    assert found[0] > 0.8 > found[2] > 0.3 > abs(found[1])


@pytest.mark.parametrize(("layout", "count"), [("given", 6), ("square", 4)])
def test_morans_i_of_spots_off_their_places_is_that_of_the_textbook(layout: str, count: int) -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:9, :8] * 100.0 + 200
    grid = given(np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-20, 20, (72, 2)))
    found = morans_i(replace(grid, layout=layout), patterns(grid))
    np.testing.assert_allclose(found, dense(grid, patterns(grid), count), atol=1e-5)
    assert not np.allclose(found, dense(grid, patterns(grid), 10 - count), atol=1e-3)


def test_morans_i_is_that_of_scanpy() -> None:
    import scanpy as sc
    from scipy.sparse import csr_matrix
    from scipy.spatial import cKDTree

    grid = laid("hexagonal")
    tree = cKDTree(grid.centres_px / np.array(grid.pitch_px))
    near = tree.sparse_distance_matrix(tree, 1.2).tocoo()
    off = near.row != near.col
    graph = csr_matrix((np.ones(off.sum()), (near.row[off], near.col[off])), shape=near.shape)
    graph = csr_matrix(graph.multiply(1 / np.maximum(graph.sum(axis=1), 1)))
    theirs = sc.metrics.morans_i(graph, patterns(grid).T.astype(np.float64))
    np.testing.assert_allclose(morans_i(grid, patterns(grid)), theirs, atol=1e-5)


def test_constant_genes_and_lone_spots_have_no_morans_i() -> None:
    grid = laid("hexagonal")
    constant = np.full((len(grid), 2), 0.1)
    assert constant.mean(axis=0)[0] != 0.1, "rounding gives a constant a deviation"
    assert morans_i(grid, constant).tolist() == [0, 0]
    rng = np.random.default_rng(0)
    assert morans_i(given([(5, 5)]), rng.normal(size=(1, 3))).tolist() == [0, 0, 0]
    assert morans_i(given([(5, 5), (5, 5)]), rng.normal(size=(2, 1))).tolist() == [0]
    far = grid.take(np.array([0, len(grid) - 1]))
    assert morans_i(far, rng.normal(size=(2, 1))).tolist() == [0]


def test_spots_at_one_place_are_neighbours_but_none_is_its_own() -> None:
    row = [(2000.0 + 100 * i + i * i, 100.0) for i in range(14)]
    grid = given([(100, 100)] * 9 + [(900, 100)] * 2 + row + [(5000, 5000)])  # the last one is alone
    assert grid.pitch_px[0] > 100
    values = np.r_[np.full(9, 2.0), 5, -5, np.arange(14) % 3, 4][:, None].astype(np.float32)
    np.testing.assert_allclose(morans_i(grid, values), dense(grid, values, 6), atol=1e-5)


def test_genes_are_taken_in_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = laid("hexagonal")
    expression = np.random.default_rng(3).normal(size=(len(grid), 7)).astype(np.float32)
    labels = np.arange(len(grid)) % 3
    at_once = morans_i(grid, expression), marker_effects(expression, labels, 1)
    monkeypatch.setattr(genes_module, "CHUNK", 3 * len(grid))
    np.testing.assert_array_equal(morans_i(grid, expression), at_once[0])
    np.testing.assert_array_equal(marker_effects(expression, labels, 1), at_once[1])
    assert np.count_nonzero(at_once[0]) == np.count_nonzero(at_once[1]) == 7


# --- markers -----------------------------------------------------------------


def test_effects_of_a_few_spots() -> None:
    expression = np.array([[1, 4, 2], [3, 4, 2], [4, 2, 2], [6, 0, 2], [8, 1, 2]], dtype=np.float32)
    labels = np.array([2, 2, 1, 1, 1], dtype=np.int32)
    # Means 2 and 6, squares 2 and 8 over 3: d = -4 / sqrt(10 / 3). Then 4 and 1, squares 0 and 2.
    by_hand = [-4 / math.sqrt(10 / 3), 3 / math.sqrt(2 / 3), 0]
    found = marker_effects(expression, labels, 2)
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(marker_effects(expression, labels, 1), np.negative(by_hand), rtol=1e-6)


def test_effects_are_those_of_the_t_statistic_of_scipy() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(4)
    expression = rng.gamma(2, size=(200, 30)).astype(np.float32)
    inside = rng.random(200) < 0.2
    t = ttest_ind(expression[inside], expression[~inside]).statistic
    expected = t * math.sqrt(1 / inside.sum() + 1 / (~inside).sum())
    np.testing.assert_allclose(marker_effects(expression, inside.astype(np.int32), 1), expected, rtol=1e-4)


def test_a_side_without_spots_and_constant_genes_have_no_effect() -> None:
    expression = np.full((7, 2), 0.1, dtype=np.float32)
    labels = np.array([1, 1, 1, 2, 2, 2, 2], dtype=np.int32)
    assert marker_effects(expression, labels, 1).tolist() == [0, 0]
    varied = np.random.default_rng(0).normal(size=(7, 2))
    assert marker_effects(varied, labels, 3).tolist() == [0, 0]
    assert marker_effects(varied, np.ones(7, np.int32), 1).tolist() == [0, 0]
    steps = np.where(labels == 1, 0.3, 0.1).astype(np.float32)[:, None]
    assert marker_effects(steps, labels, 1)[0] == math.inf
    assert marker_effects(steps, labels, 2)[0] == -math.inf


# --- orders ------------------------------------------------------------------


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
    """Of the genes D, B, A and C: a slope, noise, a slope, and nothing; in two domains."""
    grid = laid("hexagonal")
    slope, noise, _ = patterns(grid).T
    whole = made(grid, ("D", "B", "A", "C"), np.column_stack([slope, noise, slope, 0 * slope]))
    labels = np.where(slope > np.median(slope), 2, 1).astype(np.int32)
    whole = replace(whole, domains=Domains(labels, {1: "Top", 2: "Bottom"}, {1: "#000000", 2: "#ffffff"}))
    return doubting(whole, np.zeros(len(grid), dtype=bool))


def evaluated(result: Result, pcc: list[float]) -> Result:
    flat = np.array(pcc, np.float32)
    held = HeldOut(
        flat, flat - 0.1, flat + 0.1, flat, np.linspace(0, 1, 101, dtype=np.float32),
        "leave-patient-out", False, 3, 3, "patients",
    )  # fmt: skip
    return replace(result, held_out=held)


def test_genes_in_each_order_with_equals_by_name(result: Result) -> None:
    assert list(ORDERS) == ["name", "pcc", "spatial", "markers"]
    assert order_genes(result, "name") == ("A", "B", "C", "D")
    assert order_genes(evaluated(result, [0.2, 0.5, 0.2, -0.3]), "pcc") == ("B", "A", "D", "C")
    assert order_genes(result, "spatial")[:2] == ("A", "D")
    assert order_genes(result, "markers", 2)[:2] == ("A", "D")
    assert order_genes(result, "markers", 1)[-2:] == ("A", "D")
    assert set(order_genes(result, "markers", 1)) == set(result.genes)


def test_spots_unlike_the_reference_have_no_say(result: Result) -> None:
    odd = np.zeros(len(result.grid), dtype=bool)
    odd[::4] = True
    kept = np.flatnonzero(~odd)
    expression = result.expression.copy()
    wild = np.where(result.domains.labels[odd] == 2, 1000, -1000)
    expression[odd, 3] = wild  # C is constant but there
    expression[odd, 0] = np.random.default_rng(1).normal(size=odd.sum()) * 1000
    believed = replace(result, expression=expression)
    doubted = doubting(believed, odd)
    few = replace(
        result, grid=result.grid.take(kept), expression=result.expression[kept], trust=None,
        domains=replace(result.domains, labels=result.domains.labels[kept]),
    )  # fmt: skip
    for by, label in (("spatial", None), ("markers", 2), ("markers", 1)):
        assert order_genes(doubted, by, label) == order_genes(few, by, label)
        assert order_genes(doubted, by, label) != order_genes(believed, by, label)


def test_an_order_that_cannot_be_had_says_why(result: Result) -> None:
    with pytest.raises(GeneError, match="not evaluated"):
        order_genes(replace(result, held_out=None), "pcc")
    with pytest.raises(GeneError, match="Find domains first"):
        order_genes(replace(result, domains=None), "markers", 1)
    with pytest.raises(GeneError, match="no domain named"):
        order_genes(result, "markers")
    with pytest.raises(GeneError, match="no domain 9"):
        order_genes(result, "markers", 9)
    odd = doubting(result, result.domains.labels == 2)
    with pytest.raises(GeneError, match="no domain 2"):
        order_genes(odd, "markers", 2)
    with pytest.raises(GeneError, match="Choose name, pcc, spatial, markers"):
        order_genes(result, "size")
    nowhere = doubting(result, np.ones(len(result.grid), dtype=bool))
    assert order_genes(nowhere, "spatial") == ("A", "B", "C", "D")
