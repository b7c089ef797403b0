"""Retrieval, trust and spot encoding, against sums done by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mclstexp.core import trust
from napari_mclstexp.core.encode import encode_spots
from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.core.retrieval import gather, match

# Embeddings in a plane: lengths 1, 2, 1, 5 and angles 0, 0, 90, 180 degrees from the query's.
BANK = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-5.0, 0.0]], dtype=np.float32)
QUERY = np.array([[3.0, 0.0]], dtype=np.float32)
EXPRESSION = np.array([[0.0, 1.0], [4.0, 1.0], [8.0, 3.0], [100.0, 100.0]], dtype=np.float32)


def test_inverse_square_weights_by_hand() -> None:
    found = match(QUERY, BANK, 3)
    assert found.indices.tolist() == [[0, 1, 2]]  # equal cosines in the bank's order
    np.testing.assert_allclose(found.cosine, [[1, 1, 0]], atol=1e-12)
    raw = np.array([1 / 4, 1 / 1, 1 / 10])  # squared distances 4, 1, 10
    np.testing.assert_allclose(found.weights, [raw / raw.sum()], rtol=1e-6)
    mean, spread = gather(found, EXPRESSION)
    w = raw / raw.sum()
    by_hand = w @ EXPRESSION[:3]
    np.testing.assert_allclose(mean, [by_hand], rtol=1e-6)
    variance = w @ (EXPRESSION[:3] - by_hand) ** 2
    np.testing.assert_allclose(spread, [math.sqrt(variance.mean())], rtol=1e-6)
    np.testing.assert_allclose(trust.effective_k(found), [1 / (w**2).sum()], rtol=1e-6)
    np.testing.assert_allclose(trust.similarity(found), [w[0] + w[1]], rtol=1e-6)


def test_softmax_weights_by_hand() -> None:
    found = match(QUERY, BANK, 4, weighting="softmax", temperature=0.5)
    raw = np.exp(np.array([1.0, 1.0, 0.0, -1.0]) / 0.5)
    assert found.indices.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(found.weights, [raw / raw.sum()], rtol=1e-9)


def test_neighbours_are_found_by_angle_and_not_by_distance() -> None:
    bank = np.array([[100.0, 1.0], [0.9, 0.5]])
    assert match(np.array([[1.0, 0.0]]), bank, 1).indices.tolist() == [[0]]


def test_an_exact_match_takes_all_the_weight() -> None:
    bank = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    found = match(bank[1:2], bank, 3)
    assert found.indices[0, 0] == 1
    assert found.weights[0, 0] > 1 - 1e-6
    assert np.isfinite(found.weights).all()
    mean, spread = gather(found, EXPRESSION[:3])
    np.testing.assert_allclose(mean[0], EXPRESSION[1], atol=1e-4)
    assert trust.effective_k(found)[0] == pytest.approx(1, abs=1e-5)
    assert spread[0] < 0.01


def test_equal_matches_have_effective_k_k() -> None:
    bank = np.tile([[1.0, 1.0]], (6, 1))
    found = match(np.array([[2.0, 2.0]]), bank, 4)
    assert found.indices.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(found.weights, 0.25)
    np.testing.assert_allclose(trust.effective_k(found), 4, rtol=1e-6)


def test_any_number_of_equal_matches_come_in_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_mclstexp.core.nearest.BANK_ROWS", 64)
    bank = np.repeat(np.random.default_rng(0).normal(size=(5, 16)), 300, axis=0)
    found = match(bank[[0, 450]], bank, 40)
    np.testing.assert_array_equal(found.indices, [np.arange(40), np.arange(300, 340)])


def test_k_beyond_the_bank_takes_the_whole_bank() -> None:
    assert match(QUERY, BANK, 99).indices.shape == (1, 4)


@pytest.mark.parametrize("weighting", ["inverse-square", "softmax"])
def test_queries_do_not_depend_on_their_company(weighting: str) -> None:
    rng = np.random.default_rng(0)
    queries, bank = (
        rng.normal(size=(70, 16)).astype(np.float32),
        rng.normal(size=(300, 16)).astype(np.float32),
    )
    together = match(queries, bank, 20, weighting=weighting)
    for i in (0, 33, 69):
        alone = match(queries[i : i + 1], bank, 20, weighting=weighting)
        np.testing.assert_array_equal(alone.indices[0], together.indices[i])
        np.testing.assert_allclose(alone.weights[0], together.weights[i], rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 40), st.integers(1, 50))
def test_any_match_is_the_brute_force_one(seed: int, n: int, m: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries, bank = rng.normal(size=(n, 5)), rng.normal(size=(m, 5))
    found = match(queries, bank, k)
    cosine = (queries / np.linalg.norm(queries, axis=1)[:, None]) @ (
        bank / np.linalg.norm(bank, axis=1)[:, None]
    ).T
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(k, m)]
    np.testing.assert_allclose(found.cosine, np.take_along_axis(cosine, order, 1), atol=1e-9)
    np.testing.assert_array_equal(found.indices, order)
    distance = np.linalg.norm(queries[:, None] - bank[order], axis=2)
    raw = 1 / (distance**2 + 1e-8)
    np.testing.assert_allclose(found.weights, raw / raw.sum(1, keepdims=True), rtol=1e-5)
    kept = trust.effective_k(found)
    assert (kept >= 1 - 1e-5).all()
    assert (kept <= min(k, m) + 1e-4).all()
    expression = rng.gamma(2.0, size=(m, 3))
    mean, spread = gather(found, expression)
    assert (mean <= expression.max(0) + 1e-5).all()
    assert (spread >= 0).all()


# --- spots of the reference ----------------------------------------------------


def spots(count: int, genes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    places = rng.permutation(40 * 40)[:count]
    positions = np.column_stack(np.divmod(places, 40)) + rng.uniform(-0.3, 0.3, (count, 2))  # no ties
    return rng.gamma(1.0, size=(count, genes)).astype(np.float32), positions


@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_a_section_is_encoded_by_itself(mode: str) -> None:
    torch.manual_seed(0)
    rows = (np.arange(40), np.arange(40))
    model = MclSTExp(6, mode, rows if mode == "paper" else None).eval()
    one, two = spots(300, 6, 1), spots(50, 6, 2)
    expression, positions = np.concatenate([one[0], two[0]]), np.concatenate([one[1], two[1]])
    section = np.array(["one"] * 300 + ["two"] * 50)
    mixed = np.random.default_rng(3).permutation(350)
    together = encode_spots(model, expression[mixed], positions[mixed], section[mixed])
    apart = np.concatenate([encode_spots(model, e, p, np.full(len(e), "any")) for e, p in (one, two)])
    np.testing.assert_allclose(together, apart[mixed], atol=1e-5)
    changed = expression.copy()
    changed[300:] += 5  # section two
    other = encode_spots(model, changed, positions, section)
    np.testing.assert_allclose(other[:300], apart[:300], atol=1e-5)
    assert np.abs(other[300:] - apart[300:]).max() > 1e-3


def test_paper_spots_attend_over_their_whole_section() -> None:
    torch.manual_seed(0)
    model = MclSTExp(6, "paper", (np.arange(40), np.arange(40))).eval()
    with torch.no_grad():
        for block in model.spot_encoder:
            block.to_qkv.weight.mul_(6)  # attend to some more than to others
    expression, positions = spots(300, 6, 1)
    section = np.full(300, "s")
    before = encode_spots(model, expression, positions, section)
    with torch.inference_mode():
        sequence = model.encode_sequence(
            torch.from_numpy(expression), torch.from_numpy(np.rint(positions).astype(np.int64))
        ).numpy()
    np.testing.assert_allclose(before, sequence, atol=1e-5)
    expression[280:] *= 10 * np.arange(6)
    after = encode_spots(model, expression, positions, section)
    assert (np.abs(after - before).max(axis=1) > 1e-4).mean() > 0.9  # even the first hear of the last


def test_corrected_spots_hear_only_their_neighbourhood_and_move_with_it() -> None:
    torch.manual_seed(0)
    model = MclSTExp(6, "corrected").eval()
    row, col = np.divmod(np.arange(400), 20)
    positions = np.column_stack([col, row]) * 100.0
    expression = np.random.default_rng(0).gamma(1.0, size=(400, 6)).astype(np.float32)
    section = np.full(400, "s")
    before = encode_spots(model, expression, positions, section)
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1, atol=1e-5)
    moved = encode_spots(model, expression, positions + np.array([5000, -300]), section)
    inner = (row > 2) & (row < 17) & (col > 2) & (col < 17)
    np.testing.assert_allclose(moved[inner], before[inner], atol=1e-3)
    expression[0] += 10
    after = encode_spots(model, expression, positions, section)
    far = np.hypot(row, col) > 6
    np.testing.assert_array_equal(after[far], before[far])
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_blocks_of_the_bank_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_mclstexp.core import nearest, retrieval

    rng = np.random.default_rng(3)
    bank, asked = rng.normal(size=(500, 16)), rng.normal(size=(40, 16))
    bank[300:320] = bank[100:120]  # equal ones, far apart
    values = rng.normal(size=(500, 7)).astype(np.float32)
    whole = match(asked, bank, 30)
    monkeypatch.setattr(nearest, "QUERY_ROWS", 7)
    monkeypatch.setattr(nearest, "BANK_ROWS", 13)
    monkeypatch.setattr(nearest, "SPARE", 3)
    parts = match(asked, bank, 30)
    cosine = (asked @ bank.T) / np.outer(np.linalg.norm(asked, axis=1), np.linalg.norm(bank, axis=1))
    by_hand = np.argsort(-np.round(cosine, 12), axis=1, kind="stable")[:, :30]
    np.testing.assert_array_equal(parts.indices, by_hand)
    np.testing.assert_array_equal(whole.indices, parts.indices)
    np.testing.assert_allclose(whole.weights, parts.weights, rtol=1e-9)
    once = gather(whole, values)
    monkeypatch.setattr(retrieval, "BLOCK_BYTES", 1)
    for a, b in zip(once, gather(whole, values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    by_gene = retrieval.gene_spread(whole, values)
    first = whole.weights[0] @ (values[whole.indices[0]] - whole.weights[0] @ values[whole.indices[0]]) ** 2
    np.testing.assert_allclose(by_gene[0], np.sqrt(first), rtol=1e-5)
    np.testing.assert_allclose(np.sqrt((by_gene**2).mean(axis=1)), once[1], rtol=1e-5)


MILLION = """
import resource, sys
import numpy as np
from napari_mclstexp.core.retrieval import gather, match
rng = np.random.default_rng(0)
bank = rng.standard_normal((1_000_000, 256), dtype=np.float32)
values = np.zeros((1_000_000, 2), dtype=np.float32)
values[:, 0] = np.arange(1_000_000) % 7
asked = bank[::20_000] + 0.01
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
before = peak()
found = match(asked, bank, 50)
gather(found, values)
print(peak() - before)
assert found.indices[:, 0].tolist() == list(range(0, 1_000_000, 20_000))
asked = asked[:5].astype(float) / np.linalg.norm(asked[:5].astype(float), axis=1, keepdims=True)
cosine = []
for start in range(0, 1_000_000, 50_000):
    part = bank[start : start + 50_000].astype(float)
    cosine.append(asked @ (part / np.linalg.norm(part, axis=1, keepdims=True)).T)
cosine = np.hstack(cosine)
nearest = np.argsort(-cosine, axis=1)[:, :50]
np.testing.assert_array_equal(found.indices[:5], nearest)
np.testing.assert_allclose(found.cosine[:5], np.take_along_axis(cosine, nearest, axis=1), atol=1e-12)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked of the resource module")
def test_a_bank_of_a_million_spots_is_searched_within_a_gibibyte() -> None:
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0  # GiB beyond the bank itself
