"""What an evaluation found out: plain values, from which report, bundle and tests read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_mclstexp.training.scores import (
    interval,
    replicate_correlations,
    resampled_over,
    whole_correlation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mclstexp.training.folds import Fold, LeaveOut
    from napari_mclstexp.training.scores import BlockSums

PANELS = ("all", "top50", "variable50", "spatial50")
"""All genes scored; the 50 of highest mean, of highest variance and of highest Moran's I, each chosen on the
sections that were trained on."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to predict that was scored.

    Attributes
    ----------
    key, label : str
        Short and readable name.
    kind : {"head", "ablation", "baseline", "check"}
        A head of the model; one without a part of it; what it is compared with; what must fail.
    plain_looks : bool
        Whether it is a colour-and-texture baseline in the plain sense: each patch alone.
    """

    key: str
    label: str
    kind: Literal["head", "ablation", "baseline", "check"]
    plain_looks: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SectionScore:
    """Agreement of one method with measurement on one held-out section.

    Attributes
    ----------
    sums : BlockSums
        From which correlations come, over the G genes scored; zeros where the model lacks a gene.
    mse, mae : float
        Mean squared and absolute error over spots and genes.
    mse_ratio, mae_ratio : float
        The same over that of the training mean.
    variance_ratio : float
        Median over genes of predicted over measured variance: below 1, over-smoothed.
    morans : float
        Correlation over genes of predicted with measured Moran's I.
    domains : mapping of str to tuple of float
        ARI and NMI by what was compared: clusterings of measured expression at several k, or labels.
    """

    sums: BlockSums
    mse: float
    mae: float
    mse_ratio: float
    mae_ratio: float
    variance_ratio: float
    morans: float
    domains: Mapping[str, tuple[float, float]]

    @property
    def pcc(self) -> NDArray[np.float64]:
        """(G,) Pearson correlation of each gene."""
        return whole_correlation(self.sums)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutSection:
    """A section in the fold that held it out.

    Attributes
    ----------
    name, patient : str
        The patient by pseudonym.
    fold : int
        Index of the fold.
    same_patient : bool
        Whether another section of the patient was trained on.
    spots, poor : int
        Spots scored, and those left out for their few counts.
    panels : mapping of str to numpy.ndarray
        Indices into the genes scored of each of `PANELS`.
    scores : mapping of str to SectionScore
        By a method's key.
    coverage : float
        Share of its values within the conformal intervals of the other folds; NaN where there are none.
    depth, looks : float
        Share of the prediction's variance that library size alone, and appearance alone, explain.
    head : str
        The head that did best on the other folds' sections: the one that is scored as ours here.
    """

    name: str
    patient: str
    fold: int
    same_patient: bool
    spots: int
    poor: int
    panels: Mapping[str, NDArray[np.intp]]
    scores: Mapping[str, SectionScore]
    coverage: float
    depth: float
    looks: float
    head: str


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The whole of it.

    Attributes
    ----------
    genes : tuple of str
        G genes scored.
    absent : tuple of str
        Those that the model lacks in some fold; they score 0 there.
    methods : tuple of Method
        In the order of the table.
    sections : tuple of HeldOutSection
        In order of the folds.
    leave_out : {"patient", "section"}
        What each fold held out.
    folds : tuple of Fold
        What was held out and trained on.
    seed : int
        Of training and bootstrap.
    head, head_reason : str
        The head that won over all held-out sections, and by what.
    width : numpy.ndarray
        (G,) half width of the conformal intervals, from all folds.
    similarity : numpy.ndarray
        (101,) percentiles of the similarity of held-out spots to their matches.
    risk : tuple of tuple of float
        Share of the most similar spots kept, and their mean absolute error over that of all spots.
    unlike : tuple of mapping
        What was told apart from held-out tissue: what, against, resampled, auroc, flagged, spots.
    history : tuple of list
        Loss and accuracy an epoch, a fold.
    seconds : tuple of float
        Training time of each fold.
    about : mapping
        Options, versions and the like, for the record.
    """

    genes: tuple[str, ...]
    absent: tuple[str, ...]
    methods: tuple[Method, ...]
    sections: tuple[HeldOutSection, ...]
    leave_out: LeaveOut
    folds: tuple[Fold, ...]
    seed: int
    head: str
    head_reason: str
    width: NDArray[np.float64]
    similarity: NDArray[np.float64]
    risk: tuple[tuple[float, float], ...]
    unlike: tuple[Mapping[str, Any], ...]
    history: tuple[list[dict[str, float]], ...]
    seconds: tuple[float, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def same_patient(self) -> bool:
        """Whether any figure is of a patient who was trained on, too."""
        return any(section.same_patient for section in self.sections)

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient of each held-out section."""
        return tuple(section.patient for section in self.sections)

    @property
    def resampled(self) -> str:
        """Over what intervals were bootstrapped."""
        return resampled_over(self.patients)

    def pcc(self, method: str) -> NDArray[np.float64]:
        """(S, G) correlation of each gene in each section."""
        return np.stack([section.scores[method].pcc for section in self.sections])

    def gene_table(self, method: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean correlation (G,) of each gene over the sections, and its 95 % interval."""
        low, high = interval(self._replicates(method))
        return self.pcc(method).mean(axis=0), low, high

    def panel_pcc(self, method: str, panel: str) -> tuple[float, float, float]:
        """Correlation per section per gene, averaged over a panel and the sections, and its 95 % interval."""
        means, draws = [], []
        for section in self.sections:
            genes = section.panels[panel]
            means.append(section.scores[method].pcc[genes].mean())
            draws.append(section.scores[method].sums.take(genes))
        low, high = interval(replicate_correlations(draws, self.patients, self.seed, panel_mean=True))
        return float(np.mean(means)), float(low), float(high)

    def _replicates(self, method: str) -> NDArray[np.float64]:
        sums = [section.scores[method].sums for section in self.sections]
        return replicate_correlations(sums, self.patients, self.seed)
