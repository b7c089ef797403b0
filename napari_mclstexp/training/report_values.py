"""The figures of an evaluation's report, each taken from the evaluation once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.errors import ModelError
from napari_mclstexp.training.evaluation import PANELS
from napari_mclstexp.training.held_out import held_out_of
from napari_mclstexp.training.scores import interval, replicate_correlations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_mclstexp.training.evaluation import Evaluation, HeldOutSection, Method

    Figure = tuple[float, float, float]
    """A value and its 95 % interval."""

MEASURES = ("mse", "mae", "mse_ratio", "mae_ratio", "variance_ratio", "morans")
"""Figures that a section has once for all genes; see :class:`.evaluation.SectionScore`."""

NONE = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What the report says, before it is laid out.

    Attributes
    ----------
    evaluation : Evaluation
        Where it comes from.
    baseline : str
        Key of the best colour-and-texture baseline.
    panels : mapping of str to mapping of str to tuple of float
        Correlation and its interval, by a method's key and by one of `PANELS`.
    means : mapping of str to mapping of str to float
        Mean over the sections of each of `MEASURES`, by a method's key; NaN where no section has it.
    ratios : mapping of str to tuple of float
        Chosen head over `baseline`, over all genes and the top 50, with the interval of the paired ratio.
    pcc, low, high : numpy.ndarray
        (G,) mean correlation of each gene by the chosen head, and its interval.
    baseline_pcc : numpy.ndarray
        (G,) the same by `baseline`.
    predictable : numpy.ndarray
        (G,) bool: see :meth:`.HeldOut.predictable`.
    """

    evaluation: Evaluation
    baseline: str
    panels: Mapping[str, Mapping[str, Figure]]
    means: Mapping[str, Mapping[str, float]]
    ratios: Mapping[str, Figure]
    pcc: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    baseline_pcc: NDArray[np.float64]
    predictable: NDArray[np.bool_]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Findings:
        """Of an evaluation."""
        baseline = best_baseline(evaluation)
        keys = [method.key for method in evaluation.methods]
        pcc, low, high = evaluation.gene_table(evaluation.head)
        return cls(
            evaluation=evaluation,
            baseline=baseline,
            panels={key: {panel: evaluation.panel_pcc(key, panel) for panel in PANELS} for key in keys},
            means={key: {name: _mean(evaluation, key, name) for name in MEASURES} for key in keys},
            ratios={panel: ratio(evaluation, evaluation.head, baseline, panel) for panel in ("all", "top50")},
            pcc=pcc,
            low=low,
            high=high,
            baseline_pcc=evaluation.pcc(baseline).mean(axis=0),
            predictable=held_out_of(evaluation, evaluation.genes).predictable(),
        )

    @property
    def order(self) -> NDArray[np.intp]:
        """(G,) genes from the best predicted to the worst."""
        return np.argsort(-self.pcc, kind="stable")

    @property
    def domains(self) -> tuple[str, ...]:
        """What domains were compared in, in the order in which it first comes."""
        found = (s.scores[m.key].domains for s in self.evaluation.sections for m in self.evaluation.methods)
        return tuple(dict.fromkeys(name for domains in found for name in domains))

    def method(self, key: str) -> Method:
        """The method of a key."""
        return next(method for method in self.evaluation.methods if method.key == key)

    def best(self, kind: str) -> str:
        """Key of the method of a kind with the highest correlation over all genes."""
        of_kind = [method.key for method in self.evaluation.methods if method.kind == kind]
        return max(of_kind, key=lambda key: _or_least(self.panels[key]["all"][0]))

    def domain_means(self, key: str, name: str) -> tuple[float, float]:
        """ARI and NMI of a method, averaged over the sections that were compared in this."""
        found = [s.scores[key].domains.get(name, (NONE, NONE)) for s in self.evaluation.sections]
        return _finite_mean(ari for ari, _ in found), _finite_mean(nmi for _, nmi in found)

    def own_mean(self) -> float:
        """Correlation over all genes where each section's head is the one that the other folds chose."""
        return float(np.mean([section_pcc(s, s.head, "all") for s in self.evaluation.sections]))


def best_baseline(evaluation: Evaluation) -> str:
    """Key of the colour-and-texture baseline with the highest correlation over all genes.

    Raises
    ------
    ModelError
        None was scored.
    """
    plain = [method.key for method in evaluation.methods if method.plain_looks]
    if not plain:
        msg = "No colour-and-texture baseline was scored: there is nothing to compare the model with."
        raise ModelError(msg)
    return max(plain, key=lambda key: _or_least(float(evaluation.pcc(key).mean())))


def section_pcc(section: HeldOutSection, key: str, panel: str) -> float:
    """Correlation of a method on one section, averaged over the genes of a panel."""
    return float(section.scores[key].pcc[section.panels[panel]].mean())


def ratio(evaluation: Evaluation, key: str, other: str, panel: str) -> Figure:
    """One method's correlation over another's, and its 95 % interval, both on the same draws.

    NaN where the other's is not above 0, or in the interval where it is not in every draw.
    """
    drawn = []
    for name in (key, other):
        sums = [s.scores[name].sums.take(s.panels[panel]) for s in evaluation.sections]
        drawn.append(replicate_correlations(sums, evaluation.patients, evaluation.seed, panel_mean=True))
    ours, theirs = (
        float(np.mean([section_pcc(section, name, panel) for section in evaluation.sections]))
        for name in (key, other)
    )
    if not theirs > 0:
        return NONE, NONE, NONE
    if not (drawn[1] > 0).all():
        return ours / theirs, NONE, NONE
    low, high = interval(drawn[0] / drawn[1])
    return ours / theirs, float(low), float(high)


def shown(value: float, decimals: int = 3) -> str:
    """A number as the report shows it; an en dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def span(figure: Figure, decimals: int = 3) -> str:
    """An interval as the report shows it; an en dash where there is none."""
    low, high = (shown(value, decimals) for value in figure[1:])
    return "–" if "–" in (low, high) else f"{low} to {high}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return "–" if not np.isfinite(value) else f"{100 * value:.0f} %"


def plain(value: Any) -> Any:
    """A value as JSON can hold it: no numpy, no NaN, no folders of files."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.name if isinstance(value, PurePath) else str(value)


def _mean(evaluation: Evaluation, key: str, measure: str) -> float:
    return _finite_mean(getattr(section.scores[key], measure) for section in evaluation.sections)


def _finite_mean(values: Iterable[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else NONE


def _or_least(value: float) -> float:
    return value if np.isfinite(value) else -np.inf
