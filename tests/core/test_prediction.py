"""Prediction: the same whatever the batches, cancelled cleanly, recorded in full."""

from __future__ import annotations

import dataclasses
import gc
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from steps import finish
from threadpoolctl import threadpool_limits

from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.patches import Field, read_patch
from napari_mclstexp.core.pipeline import predict_and_label
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.progress import Enough
from napari_mclstexp.core.retrieval import match
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import BundleError, DeviceError, GridError, MclstexpError, ModelError, ScaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.slide import Slide

SCALE = Scale(0.5, 0.5, "test")


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


@pytest.fixture
def slide(slide_path: Path) -> Generator[Slide]:
    with open_slide(slide_path) as opened:
        yield opened


def scattered(slide: Slide, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(50, (slide.width - 50, slide.height - 50), (count, 2))


def run(slide: Slide, bundle: Bundle, xy: np.ndarray, **options: object) -> Result:
    ids = np.array([f"{x:.3f}-{y:.3f}" for x, y in xy])
    grid = given_grid(ids, xy, (slide.width, slide.height), SCALE)
    return finish(predict(slide, bundle, grid, SCALE, device="cpu", **options))[1]


def test_batches_do_not_change_the_prediction(slide: Slide, bundle: Bundle) -> None:
    xy = scattered(slide, 70)
    k = bundle.spec.top_k
    results = {size: run(slide, bundle, xy, batch_size=size) for size in (1, 7, 64)}
    network = bundle.network()
    embeddings = []
    import torch

    with torch.inference_mode():
        for x, y in xy:
            patch = read_patch(
                slide, np.array([y, x]), Field(bundle.spec.patch_px, bundle.spec.field_um), SCALE
            )
            embeddings.append(
                network.encode_images(torch.tensor(patch).permute(2, 0, 1)[None].float() / 255).numpy()
            )
    cosine = match(np.concatenate(embeddings), bundle.embeddings, k + 1).cosine
    tied = cosine[:, k - 1] - cosine[:, k] < 1e-6  # two spots at the edge of k that rounding may swap
    assert tied.mean() < 0.2
    for size in (7, 64):
        for field in ("expression", "similarity", "spread"):
            one, other = (getattr(results[s], field)[~tied] for s in (1, size))
            np.testing.assert_allclose(one, other, atol=1e-5, err_msg=f"{field} in batches of {size}")


def test_the_last_digit_does_not_go_by_the_threads_of_linear_algebra(slide: Slide, bundle: Bundle) -> None:
    """They are not in the provenance, and other libraries change them for the whole process."""
    xy, found = scattered(slide, 49), []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            found.append(run(slide, bundle, xy))
    for other in found[1:]:
        np.testing.assert_array_equal(other.expression, found[0].expression)


def test_spots_do_not_depend_on_their_company_or_order(slide: Slide, bundle: Bundle) -> None:
    xy = scattered(slide, 20, seed=1)
    order = np.random.default_rng(2).permutation(20)
    together, mixed = run(slide, bundle, xy), run(slide, bundle, xy[order])
    np.testing.assert_allclose(mixed.expression, together.expression[order], atol=1e-4)
    alone = run(slide, bundle, xy[3:4])
    np.testing.assert_allclose(alone.expression, together.expression[3:4], atol=1e-4)


def test_progress_brings_every_spot_once_and_counts_up(slide: Slide, bundle: Bundle) -> None:
    xy = scattered(slide, 11)
    grid = given_grid(np.arange(11).astype(str), xy, (slide.width, slide.height), SCALE)
    seen, result = finish(predict(slide, bundle, grid, SCALE, batch_size=4, device="cpu"))
    done = [p.done for p in seen]
    assert done == sorted(done)
    assert done[-1] == 11
    assert all(p.total == 11 for p in seen)
    parts = [p for p in seen if p.rows is not None]
    assert [(p.rows.start, p.rows.stop) for p in parts] == [(0, 4), (4, 8), (8, 11)]
    np.testing.assert_array_equal(np.concatenate([p.expression for p in parts]), result.expression)
    assert parts[-1].seconds_left == 0


def test_predictions_lie_within_the_reference(slide: Slide, bundle: Bundle) -> None:
    result = run(slide, bundle, scattered(slide, 15), head="retrieval")
    assert (result.expression >= bundle.expression.min(0) - 1e-5).all()
    assert (result.expression <= bundle.expression.max(0) + 1e-5).all()
    assert (np.abs(result.similarity) <= 1 + 1e-5).all()
    assert (result.effective_k >= 1 - 1e-4).all()
    assert (result.effective_k <= bundle.spec.top_k + 1e-3).all()


def test_top_k_of_one_gives_a_reference_spot(slide: Slide, bundle: Bundle) -> None:
    result = run(slide, bundle, scattered(slide, 5), top_k=1, head="retrieval")
    for row in result.expression:
        assert np.abs(bundle.expression - row).max(axis=1).min() < 1e-5
    np.testing.assert_allclose(result.effective_k, 1)
    np.testing.assert_allclose(result.spread, 0, atol=1e-3)
    assert result.provenance.top_k == 1


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"top_k": 31}, BundleError, "30 reference spots"),
        ({"top_k": 0}, BundleError, "top-k is 0"),
        ({"top_k": -1}, BundleError, "top-k is -1"),
        ({"batch_size": 0}, DeviceError, "batch of 0"),
        ({"batch_size": -3}, DeviceError, "batch of -3"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    slide: Slide, bundle: Bundle, options: dict, error: type[MclstexpError], why: str
) -> None:
    with pytest.raises(error, match=why):
        run(slide, bundle, scattered(slide, 3), **options)


@pytest.mark.parametrize("options", [{"domains": 0}, {"domains": 31}, {"seed": -1}, {"seed": 2**32}], ids=str)
def test_what_is_wrong_from_the_start_is_said_before_the_work(
    slide: Slide, bundle: Bundle, options: dict
) -> None:
    seen = []
    steps = predict_and_label(slide, bundle, SCALE, device="cpu", **options)
    with pytest.raises(MclstexpError):
        seen += steps
    assert not [p for p in seen if p.rows is not None]


def test_a_field_in_um_needs_a_scale(slide: Slide, bundle: Bundle) -> None:
    with pytest.raises(ScaleError, match="Give um per pixel"):
        next(predict_and_label(slide, bundle, None))


def test_cancelling_stops_the_readers_and_the_next_run_works(slide: Slide, bundle: Bundle) -> None:
    before = set(threading.enumerate())
    grid = given_grid(np.arange(60).astype(str), scattered(slide, 60), (slide.width, slide.height), SCALE)
    steps = predict(slide, bundle, grid, SCALE, batch_size=2, device="cpu")
    for step in steps:
        if step.done >= 4:
            break
    steps.close()
    gc.collect()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("mclstexp")]
    assert len(run(slide, bundle, scattered(slide, 3)).grid) == 3


def stopped(
    steps: Generator[Progress, None, Result], at: Callable[[Progress], bool]
) -> tuple[list[Progress], Result]:
    """Say that it is enough at the first such step; the steps from there on, and the outcome."""
    for step in steps:
        if at(step):
            break
    else:
        pytest.fail("there was no such step")
    seen = []
    try:
        seen.append(steps.throw(Enough()))
        while True:
            seen.append(next(steps))
    except StopIteration as stop:
        return seen, stop.value


TOLD = ("expression", "similarity", "spread", "effective_k")


def seen_within(bundle: Bundle, context_um: float | None) -> Bundle:
    """Each spot is seen with those around it, or alone."""
    return dataclasses.replace(bundle, spec=dataclasses.replace(bundle.spec, context_um=context_um))


@pytest.mark.parametrize("context_um", [None, 100.0])
def test_a_prediction_that_was_stopped_is_one_of_the_spots_that_were_done(
    slide: Slide, bundle: Bundle, context_um: float | None
) -> None:
    before = set(threading.enumerate())
    bundle = seen_within(bundle, context_um)
    xy = scattered(slide, 40)
    grid = given_grid(np.arange(40).astype(str), xy, (slide.width, slide.height), SCALE)
    options = {"batch_size": 7, "device": "cpu", "domains": 3}
    seen, result = stopped(
        predict_and_label(slide, bundle, SCALE, grid=grid, **options), lambda step: step.done == 21
    )
    assert {step.stage for step in seen} >= {"Finishing", "Finding domains"}
    assert ("Looking around each spot" in {step.stage for step in seen}) == (context_um is not None)
    assert all(step.total == 21 for step in seen)
    gc.collect()
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("mclstexp")]
    assert result.provenance.partial == "21 of 40 spots; stopped by the user"
    assert result.grid.ids.tolist() == grid.ids[:21].tolist()
    np.testing.assert_array_equal(result.grid.centres_px, grid.centres_px[:21])

    alone = finish(predict_and_label(slide, bundle, SCALE, grid=grid.first(21), **options))[1]
    assert alone.provenance.partial == ""
    for name in TOLD:
        np.testing.assert_allclose(getattr(result, name), getattr(alone, name), atol=1e-5, err_msg=name)
    assert result.trust is not None
    assert alone.trust is not None
    for field in dataclasses.fields(result.trust):
        one, two = getattr(result.trust, field.name), getattr(alone.trust, field.name)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_allclose(one, two, atol=1e-5, err_msg=field.name)
    assert result.domains is not None
    assert alone.domains is not None
    np.testing.assert_array_equal(result.domains.labels, alone.domains.labels)
    if context_um:  # the spots that were left out would have made a difference
        whole = run(slide, bundle, xy, batch_size=7)
        assert np.abs(whole.expression[:21] - result.expression).max() > 1e-3


def test_a_prediction_that_was_stopped_is_kept_in_its_file(
    slide: Slide, bundle: Bundle, tmp_path: Path
) -> None:
    from napari_mclstexp.core.result_file import load_result, save_result

    steps = predict_and_label(slide, bundle, SCALE, grid="60", batch_size=5, device="cpu", domains=2)
    _, result = stopped(steps, lambda step: step.done == 10)
    loaded = load_result(save_result(result, tmp_path / "r.h5ad"))
    assert len(loaded.grid) == 10
    assert loaded.provenance.partial.startswith("10 of ")
    assert loaded.provenance == result.provenance


def test_enough_after_the_first_spots_of_all_or_later_changes_nothing(slide: Slide, bundle: Bundle) -> None:
    bundle, xy = seen_within(bundle, 100.0), scattered(slide, 12)
    grid = given_grid(np.arange(12).astype(str), xy, (slide.width, slide.height), SCALE)
    options = {"grid": grid, "batch_size": 6, "device": "cpu", "domains": 2}
    whole = finish(predict_and_label(slide, bundle, SCALE, **options))[1]
    for at in (
        lambda step: step.stage == "Predicting" and step.done == 12,
        lambda step: step.stage == "Looking around each spot",
        lambda step: step.stage == "Finishing",
        lambda step: step.stage == "Finding domains",
    ):
        _, result = stopped(predict_and_label(slide, bundle, SCALE, **options), at)
        assert result.provenance == whole.provenance
        assert result.domains is not None
        for name in TOLD:
            np.testing.assert_array_equal(getattr(result, name), getattr(whole, name))


@pytest.mark.parametrize("stage", ["Finding tissue", "Loading the model"])
def test_enough_before_any_spot_is_done_ends_it(slide: Slide, bundle: Bundle, stage: str) -> None:
    steps = predict_and_label(slide, bundle, SCALE, device="cpu")
    with pytest.raises(Enough):
        stopped(steps, lambda step: step.stage == stage)
    assert next(steps, None) is None


def test_a_network_that_gives_no_numbers_ends_the_prediction(slide: Slide, bundle: Bundle) -> None:
    weights = dict(bundle.weights)
    weights["image_projection.norm.weight"] = weights["image_projection.norm.weight"] * 3e38 * 1e38
    with pytest.raises(ModelError, match="not finite"):
        run(slide, dataclasses.replace(bundle, weights=weights), scattered(slide, 2))


def test_the_result_records_how_it_came_about(slide: Slide, bundle: Bundle) -> None:
    result = run(slide, bundle, scattered(slide, 3), batch_size=2, seed=17)
    about = result.provenance
    assert about.slide_fingerprint == slide.fingerprint
    assert (about.width, about.height) == (slide.width, slide.height)
    assert (about.mpp_x, about.mpp_y, about.mpp_source) == (0.5, 0.5, "test")
    assert (about.bundle_id, about.bundle_hash, about.mode) == (bundle.id, bundle.digest, "corrected")
    assert (about.batch_size, about.seed, about.layout) == (2, 17, "given")
    assert about.threads >= 1
    assert "torch" in about.backend
    assert about.normalisation == bundle.spec.normalisation
    assert max(result.hires.shape) <= 2000
    assert max(result.lowres.shape) <= 600


# --- domains ------------------------------------------------------------------


def test_domains_follow_the_expression(slide: Slide, bundle: Bundle) -> None:
    from sklearn.metrics import adjusted_rand_score

    from napari_mclstexp.core.domains import find_domains

    result = run(slide, bundle, scattered(slide, 30))
    truth = np.array([0] * 15 + [1] * 10 + [2] * 5)
    rng = np.random.default_rng(0)
    expression = (rng.normal(0, 0.1, result.expression.shape) + 3 * np.eye(12)[truth]).astype(np.float32)
    made = dataclasses.replace(result, expression=expression)
    domains = find_domains(made, 3, seed=0).domains
    assert domains is not None
    assert adjusted_rand_score(truth, domains.labels) == 1
    assert np.bincount(domains.labels)[1:].tolist() == [15, 10, 5]  # the largest is the first
    again = find_domains(made, 3, seed=0).domains
    assert again is not None
    np.testing.assert_array_equal(domains.labels, again.labels)
    assert domains.names.keys() == domains.colours.keys() == {1, 2, 3}
    assert len(set(domains.colours.values())) == 3


@pytest.mark.parametrize("alike", ["all", "two kinds"])
def test_fewer_kinds_of_spots_than_domains(slide: Slide, bundle: Bundle, alike: str) -> None:
    from napari_mclstexp.core.domains import find_domains

    result = run(slide, bundle, scattered(slide, 6))
    expression = np.ones_like(result.expression)
    if alike == "two kinds":
        expression[:2] = 5
    domains = find_domains(dataclasses.replace(result, expression=expression), 7).domains
    assert domains is not None
    assert set(domains.labels.tolist()) == set(domains.names) == ({1} if alike == "all" else {1, 2})


def test_one_spot_is_one_domain(slide: Slide, bundle: Bundle) -> None:
    from napari_mclstexp.core.domains import find_domains

    domains = find_domains(run(slide, bundle, scattered(slide, 1)), 7).domains
    assert domains is not None
    assert domains.labels.tolist() == [1]


@pytest.mark.parametrize("count", [0, -1, 31])
def test_an_impossible_number_of_domains(slide: Slide, bundle: Bundle, count: int) -> None:
    from napari_mclstexp.core.domains import find_domains

    with pytest.raises(GridError, match="Choose 1 to 30"):
        find_domains(run(slide, bundle, scattered(slide, 1)), count)
