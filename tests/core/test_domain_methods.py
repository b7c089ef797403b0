"""Ways to find domains, how stable they are, and what colours they have."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from results import build, laid
from sklearn.metrics import adjusted_rand_score
from steps import finish

from napari_mclstexp.core.adjacency import adjacency, smoothing
from napari_mclstexp.core.domain_colours import coloured_like, profiles
from napari_mclstexp.core.domain_methods import METHODS
from napari_mclstexp.core.domains import find_domains
from napari_mclstexp.core.grid import make_grid
from napari_mclstexp.core.palette import COLOURS
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.stability import stability
from napari_mclstexp.core.tissue import TissueMask
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from napari_mclstexp.core.result import Result

GROUPS = 3


def banded(layout: str = "hexagonal", seed: int = 0) -> tuple[Result, np.ndarray]:
    """Three bands of tissue whose expression and image differ, and the band of each spot."""
    mask = TissueMask(np.ones((100, 120), dtype=bool), 10.0, 10.0)
    grid = make_grid(mask, Scale(0.5, 0.5, "test"), layout, 30.0)
    result = build(grid, (1200, 1000))
    band = np.minimum(grid.centres_px[:, 1] // 400, GROUPS - 1).astype(int)
    rng = np.random.default_rng(seed)
    means = rng.normal(0, 3, (GROUPS, 20))
    expression = (means[band] + rng.normal(0, 1, (len(grid), 20))).astype(np.float32)
    image = (rng.normal(0, 2, (GROUPS, 8))[band] + rng.normal(0, 1, (len(grid), 8))).astype(np.float32)
    genes = tuple(f"G{i}" for i in range(20))
    return replace(result, expression=expression, genes=genes, image=image, domains=None), band


@pytest.mark.parametrize(("layout", "neighbours"), [("hexagonal", 6), ("square", 4)])
def test_neighbours_are_those_that_touch(layout: str, neighbours: int) -> None:
    result, _ = banded(layout)
    near = adjacency(result.grid)
    assert (near != near.T).nnz == 0
    counts = np.asarray(near.sum(axis=1)).ravel()
    assert counts.max() == neighbours
    assert np.median(counts) == neighbours
    pairs = near.tocoo()
    apart = np.linalg.norm(result.grid.centres_px[pairs.row] - result.grid.centres_px[pairs.col], axis=1)
    assert apart.max() < 1.3 * result.grid.pitch_px[1]
    np.testing.assert_allclose(np.asarray(smoothing(near).sum(axis=1)).ravel(), 1, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_differs_is_told_apart_and_the_same_seed_finds_the_same(method: str) -> None:
    result, band = banded()
    found = find_domains(result, GROUPS, 3, method)
    assert adjusted_rand_score(band, found.domains.labels) > 0.95
    assert len(found.domains.names) == GROUPS
    sizes = np.bincount(found.domains.labels)[1:]
    assert (np.diff(sizes) <= 0).all(), "the largest comes first"
    again = find_domains(result, GROUPS, 3, method)
    np.testing.assert_array_equal(found.domains.labels, again.domains.labels)
    assert (found.provenance.domain_method, found.provenance.domain_count) == (method, GROUPS)


def test_leiden_leaves_the_network_its_threads() -> None:
    """Numba sets them where it starts, once in a process; predictions after it would differ by that."""
    script = (
        "import torch, test_domain_methods as here\n"
        "here.find_domains(here.banded()[0], 3, 0, 'leiden')\n"
        "print(torch.get_num_threads())\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    assert ended.stdout.split() == ["1"], ended.stderr


@pytest.mark.parametrize("count", [2, 5, 9])
def test_leiden_gives_the_number_asked_for(count: int) -> None:
    result, _ = banded()
    assert len(find_domains(result, count, 0, "leiden").domains.names) == count


def test_neighbours_settle_what_expression_leaves_open() -> None:
    result, band = banded()
    noisy = result.expression + np.random.default_rng(5).normal(0, 6, result.expression.shape).astype(
        np.float32
    )
    noise = replace(result, expression=noisy)
    alone = adjusted_rand_score(band, find_domains(noise, GROUPS, 0, "kmeans").domains.labels)
    fused = adjusted_rand_score(band, find_domains(noise, GROUPS, 0, "fused").domains.labels)
    assert fused > alone + 0.1


def test_what_a_method_lacks_is_said() -> None:
    result, _ = banded()
    with pytest.raises(DomainError, match="former version"):
        find_domains(replace(result, image=None), GROUPS, 0, "fused")
    with pytest.raises(DomainError, match="Known are kmeans, leiden, fused"):
        find_domains(result, GROUPS, 0, "louvain")


@pytest.mark.parametrize("method", METHODS)
def test_few_spots_have_domains_too(method: str) -> None:
    result, _ = banded()
    few = replace(
        result, grid=result.grid.take(np.arange(4)), expression=result.expression[:4], image=result.image[:4]
    )
    assert 1 <= len(find_domains(few, 7, 0, method).domains.names) <= 4


@pytest.mark.parametrize("method", ["kmeans", "fused"])
def test_the_stable_number_is_the_true_one(method: str) -> None:
    result, _ = banded()
    steps, curve = finish(stability(result, method, 0, (2, 3, 4, 5, 6)))
    assert curve.best == GROUPS
    assert curve.counts == (2, 3, 4, 5, 6)
    assert curve.mean[1] > 0.95
    assert curve.mean[3] < curve.mean[1] - 0.02, "too many are less stable"
    for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True):
        assert low <= mean <= high
    assert [step.done for step in steps] == list(range(5))
    _, again = finish(stability(result, method, 0, (2, 3, 4, 5, 6)))
    assert again == curve


def test_too_few_spots_have_no_stable_number() -> None:
    result, _ = banded()
    few = replace(result, grid=result.grid.take(np.arange(5)), expression=result.expression[:5])
    with pytest.raises(DomainError, match="too few"):
        finish(stability(few))


def test_like_domains_are_coloured_alike_on_another_slide() -> None:
    here, band = banded()
    here = find_domains(here, GROUPS, 0)
    there, other = banded("square")  # the same kinds of tissue, in another order of sizes
    keep = (other != 0) | (np.arange(len(other)) % 3 == 0)
    there = replace(
        there,
        grid=there.grid.take(np.flatnonzero(keep)),
        expression=there.expression[keep],
        image=there.image[keep],
    )
    there = coloured_like(find_domains(there, GROUPS, 1), profiles(here))
    for tissue in range(GROUPS):
        own = here.domains.colours[int(np.bincount(here.domains.labels[band == tissue]).argmax())]
        label = int(np.bincount(there.domains.labels[other[keep] == tissue]).argmax())
        assert there.domains.colours[label] == own


def test_what_is_like_nothing_known_has_a_colour_of_its_own() -> None:
    here = find_domains(banded()[0], GROUPS, 0)
    strange = find_domains(banded(seed=9)[0], GROUPS, 0)
    known = profiles(here)
    coloured = coloured_like(strange, known)
    assert len(set(coloured.domains.colours.values())) == GROUPS
    alike = np.corrcoef(profiles(strange).values, known.values)[:GROUPS, GROUPS:].max(axis=1)
    for label, best in zip(sorted(strange.domains.names), alike, strict=True):
        if best < 0.4:
            assert coloured.domains.colours[label] not in known.colours


def test_colours_differ_where_the_palette_runs_short() -> None:
    result = find_domains(banded(seed=9)[0], GROUPS, 0)
    known = replace(profiles(find_domains(banded()[0], GROUPS, 0)), colours=COLOURS[:3])
    many = replace(known, values=np.zeros((len(COLOURS) - 1, 20), np.float32), colours=COLOURS[:-1])
    found = coloured_like(result, many).domains.colours
    assert len(set(found.values())) == GROUPS
    assert COLOURS[-1] in found.values(), "the one that nothing known has"


def test_profiles_of_other_genes_change_nothing() -> None:
    here = find_domains(banded()[0], GROUPS, 0)
    other = laid("square")
    assert coloured_like(here, profiles(other)).domains.colours == here.domains.colours
