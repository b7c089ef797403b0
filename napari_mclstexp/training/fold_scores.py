"""One fold: its trained network, every method on what it held out, and how each agrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from napari_mclstexp.core import trust
from napari_mclstexp.core.context import Neighbours
from napari_mclstexp.core.domains import cluster
from napari_mclstexp.training import baselines
from napari_mclstexp.training.evaluation import SectionScore
from napari_mclstexp.training.methods import HEAD_METHODS, Trained
from napari_mclstexp.training.options import field_side
from napari_mclstexp.training.preprocess import expression_of, rich_spots
from napari_mclstexp.training.reference import centre_crop, encode_data, reference_of
from napari_mclstexp.training.ridge import choose_penalty, solve
from napari_mclstexp.training.scores import BlockSums, morans_i, pearson, spatial_blocks
from napari_mclstexp.training.unlike_scores import score_unlike

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray
    from scipy import sparse

    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingOptions
    from napari_mclstexp.training.sections import Section

DOMAIN_COUNTS = (4, 7, 10)
PANEL = 50


@dataclass(frozen=True, slots=True, eq=False)
class SectionOutcome:
    """One held-out section: scores by method, and by head how much of the prediction depth explains."""

    name: str
    poor: int
    rows: slice
    scores: Mapping[str, SectionScore]
    depth: Mapping[str, float]
    looks: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class FoldOutcome:
    """What one fold found.

    Attributes
    ----------
    sections : tuple of SectionOutcome
        The held-out ones; their `rows` are those of `residuals` and `similarity`.
    residuals : mapping of str to numpy.ndarray
        (N, G) float32 absolute errors by head.
    similarity : numpy.ndarray
        (N,) of held-out spots to their matches.
    panels : mapping of str to numpy.ndarray
        Indices into the genes scored.
    absent : tuple of str
        Genes scored that this fold's model lacks.
    unlike : tuple of mapping
        See :func:`.unlike_scores.score_unlike`.
    """

    sections: tuple[SectionOutcome, ...]
    residuals: Mapping[str, NDArray[np.float32]]
    similarity: NDArray[np.float32]
    panels: Mapping[str, NDArray[np.intp]]
    absent: tuple[str, ...]
    unlike: tuple[Mapping[str, Any], ...]


def score_fold(
    model: MclSTExp,
    data: TrainingData,
    part: TrainingData,
    held: list[Section],
    own: tuple[str, ...],
    genes: tuple[str, ...],
    options: TrainingOptions,
    others: Mapping[str, NDArray[np.uint8]],
) -> FoldOutcome:
    """Score every method on the sections that a fold held out.

    Parameters
    ----------
    model : MclSTExp
        Trained on `part`.
    data, part : TrainingData
        Spots of all sections, and of those that were trained on.
    held : list of Section
        What was held out.
    own, genes : tuple of str
        Genes of the model, and the G genes scored.
    options : TrainingOptions
        The recipe.
    others : mapping of str to numpy.ndarray
        Patches of slides of another kind.
    """
    reference = reference_of(model, part, options)
    texture = baselines.texture(centre_crop(part.patches, field_side(options)))
    trained = Trained(
        reference.bank, part.expression, part.section, reference.alone, reference.seen, texture, options.seed
    )
    columns = np.array([own.index(g) if g in own else -1 for g in genes])
    panels = _panels(part, columns)
    sections, similarity, patches = [], [], []
    residuals: dict[str, list[NDArray[np.float32]]] = {head: [] for head in HEAD_METHODS}
    start = 0
    for section in held:
        rows = data.section == section.name
        alone, seen = encode_data(model, data, rows, reference.context_um, options)
        looks = baselines.texture(centre_crop(data.patches[rows], field_side(options)))
        keep = rich_spots(section, options.min_counts)
        measured = _measured(section, genes, keep)
        labels = None if section.labels is None else section.labels[keep]
        judge = _Judge(
            measured, data.positions[rows], part.expression.mean(axis=0), columns, labels, options.seed
        )
        by_head, matches = trained.heads(seen)
        scores = {}
        for key, predicted in (*by_head.items(), *trained.others(alone, seen, looks)):
            scores[key] = judge.score(predicted)
        library = np.log(np.asarray(section.counts[np.flatnonzero(keep)].sum(axis=1)).ravel())
        for head, predicted in by_head.items():
            residuals[head].append(judge.residuals(predicted))
        sections.append(
            SectionOutcome(
                section.name,
                int((~keep).sum()),
                slice(start, start + len(measured)),
                scores,
                {h: explained(library[:, None], p) for h, p in by_head.items()},
                {h: explained(np.hstack((alone.looks, looks)), p) for h, p in by_head.items()},
            )
        )
        similarity.append(trust.similarity(matches))
        patches.append(centre_crop(data.patches[rows], field_side(options)))
        start += len(measured)
    return FoldOutcome(
        tuple(sections),
        {head: np.concatenate(parts) for head, parts in residuals.items()},
        np.concatenate(similarity),
        panels,
        tuple(g for g, c in zip(genes, columns, strict=True) if c < 0),
        score_unlike(
            reference.alone.looks,
            part.section,
            np.concatenate(patches),
            ", ".join(s.name for s in held),
            others,
        ),
    )


class _Judge:
    """Scores predictions of one section."""

    def __init__(
        self,
        measured: NDArray[np.float32],
        positions: NDArray[np.float64],
        level: NDArray[np.float32],
        columns: NDArray[np.intp],
        labels: NDArray[np.str_] | None,
        seed: int,
    ) -> None:
        self.measured, self.columns, self.seed = measured, columns, seed
        self.known = columns >= 0
        self.level = np.broadcast_to(level[columns[self.known]], (len(measured), int(self.known.sum())))
        self.blocks = spatial_blocks(positions)
        self.near = _touching(positions)
        self.morans = morans_i(measured[:, self.known], self.near)
        counts = [k for k in DOMAIN_COUNTS if k < len(measured)]
        self.truth: dict[str, tuple[int, NDArray[np.generic]]] = {
            f"{k} clusters": (k, cluster(measured[:, self.known], k, seed).astype(str)) for k in counts
        }
        if labels is not None and 1 < len(np.unique(labels[labels != ""])) < len(measured):
            self.truth["regions"] = (len(np.unique(labels[labels != ""])), labels)

    def score(self, predicted: NDArray[np.floating]) -> SectionScore:
        """Score a prediction (N, genes of the model)."""
        truth = self.measured[:, self.known].astype(np.float64)
        guess = predicted[:, self.columns[self.known]].astype(np.float64)
        full = np.zeros(self.measured.shape)
        full[:, self.known] = guess
        error, base = guess - truth, self.level - truth
        mse, mae = float(np.square(error).mean()), float(np.abs(error).mean())
        spread = truth.var(axis=0)
        varies = spread > 1e-9
        domains = {}
        for what, (k, labels) in self.truth.items():
            mine, named = cluster(guess, k, self.seed), labels != ""
            domains[what] = (
                float(adjusted_rand_score(labels[named], mine[named])),
                float(normalized_mutual_info_score(labels[named], mine[named])),
            )
        return SectionScore(
            BlockSums.of(full, self.measured, self.blocks),
            mse,
            mae,
            mse / max(float(np.square(base).mean()), 1e-12),
            mae / max(float(np.abs(base).mean()), 1e-12),
            float(np.median(guess.var(axis=0)[varies] / spread[varies])) if varies.any() else float("nan"),
            float(pearson(morans_i(guess, self.near)[:, None], self.morans[:, None])[0]),
            domains,
        )

    def residuals(self, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Absolute errors (N, G); a gene that the model lacks is predicted as 0."""
        full = np.zeros(self.measured.shape, dtype=np.float32)
        full[:, self.known] = predicted[:, self.columns[self.known]]
        return np.abs(full - self.measured)


def explained(inputs: NDArray[np.floating], predicted: NDArray[np.float32]) -> float:
    """Share of a prediction's variance (N, G) that inputs (N, D) explain on the half they were not fitted on.

    Halves alternate from spot to spot; 0 where they explain nothing.
    """
    half = np.arange(len(predicted)) % 2 == 0
    error = total = 0.0
    for fit, test in ((half, ~half), (~half, half)):
        penalty = choose_penalty(inputs[fit], predicted[fit], np.full(int(fit.sum()), "all"))
        weight, bias = solve(inputs[fit], predicted[fit], penalty if inputs.shape[1] > 1 else 1e-9)
        error += float(np.square(inputs[test] @ weight + bias - predicted[test]).sum())
        total += float(np.square(predicted[fit].mean(axis=0) - predicted[test]).sum())
    return max(0.0, 1 - error / total) if total > 0 else 0.0


def _measured(section: Section, genes: tuple[str, ...], keep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measured expression (N, G); 0 for a gene that this section does not count, which then scores 0."""
    counted = tuple(g for g in genes if g in set(section.genes))
    full = np.zeros((int(keep.sum()), len(genes)), dtype=np.float32)
    full[:, [genes.index(g) for g in counted]] = expression_of(section, counted)[keep]
    return full


def _panels(part: TrainingData, columns: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
    """Panels of genes, chosen on the training spots; indices into the genes scored."""
    known = np.flatnonzero(columns >= 0)
    values = part.expression[:, columns[known]]
    weights, total = np.zeros(len(known)), 0
    for name in np.unique(part.section):
        rows = part.section == name
        weights += rows.sum() * morans_i(values[rows], _touching(part.positions[rows]))
        total += int(rows.sum())

    def best(measure: NDArray[np.floating]) -> NDArray[np.intp]:
        return np.sort(known[np.argsort(-measure, kind="stable")[:PANEL]])

    return {
        "all": np.arange(len(columns)),
        "top50": best(values.mean(axis=0)),
        "variable50": best(values.var(axis=0)),
        "spatial50": best(weights / max(total, 1)),
    }


def _touching(positions: NDArray[np.float64]) -> sparse.csr_matrix:
    """Weights (N, N) among spots that lie within 1.5 times the median distance, none its own neighbour."""
    from napari_mclstexp.training.reference import spot_distance

    near = Neighbours(positions, 1.5 * spot_distance(positions)).weights().tolil()
    near.setdiag(0)
    found = near.tocsr()
    found.eliminate_zeros()
    return found
