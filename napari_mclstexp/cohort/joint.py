"""Domains that are the same over all slides of a cohort: spots of all are grouped together.

As on a single slide: k-means on principal components of the expression (see :mod:`.domain_methods`), of a
sample of the spots; every spot then belongs to the centre that is nearest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.cohort.folder import Shown
from napari_mclstexp.core.domain_methods import COMPONENTS
from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.core.palette import COLOURS
from napari_mclstexp.core.result import Domains, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_mclstexp.cohort.folder import Record
    from napari_mclstexp.core.held_out import HeldOut

SAMPLE_ROWS = 50_000
SAMPLE_VALUES = 200_000_000
"""Spots, and values of expression, that are sampled at most."""
SAME = 0.5
"""Share of the spots of both that two groupings' domains have in common, from which on they are one."""
GENES = 4
"""Genes of the page where none are chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Spots of all slides, each slide with its share.

    Attributes
    ----------
    genes : tuple of str
        G symbols.
    expression : numpy.ndarray
        (S, G) float32.
    unlike : numpy.ndarray
        (S,) bool: whose tissue is unlike the reference.
    former : tuple of str
        The domain that each had before; empty for those that had none.
    colours : mapping of str to str
        ``#rrggbb`` of those domains.
    held_out : HeldOut or None
        How well each gene was predicted where it was held out.
    reliability : mapping of str to str
        The same in words.
    """

    genes: tuple[str, ...]
    expression: NDArray[np.float32]
    unlike: NDArray[np.bool_]
    former: tuple[str, ...]
    colours: Mapping[str, str]
    held_out: HeldOut | None
    reliability: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Domains of a cohort.

    Attributes
    ----------
    key : str
        Of what they come from: all slides, their number, and the seed.
    mean : numpy.ndarray
        (G,) float64 that is taken from the expression.
    axes : numpy.ndarray
        (C, G) float64 principal axes.
    centres : numpy.ndarray
        (K, C) float64 of the domains.
    names, colours : tuple of str
        Of the K domains, the largest first.
    """

    key: str
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    centres: NDArray[np.float64]
    names: tuple[str, ...]
    colours: tuple[str, ...]

    def labels(self, expression: NDArray[np.float32]) -> NDArray[np.int32]:
        """Domains of spots (N, G), (N,) int32 from 1."""
        return _nearest((expression - self.mean) @ self.axes.T, self.centres) + 1

    def onto(self, result: Result) -> Result:
        """A result with these domains."""
        numbers = range(1, len(self.names) + 1)
        return result.with_domains(
            Domains(
                labels=self.labels(result.expression),
                names=dict(zip(numbers, self.names, strict=True)),
                colours=dict(zip(numbers, self.colours, strict=True)),
                annotations=() if result.domains is None else result.domains.annotations,
            )
        )


def joint_key(records: Sequence[Record], count: int, seed: int, genes: Sequence[str]) -> str:
    """Name of the domains of some slides, 32 hexadecimal digits."""
    told = (sorted(record.key for record in records), count, seed, tuple(genes))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def sample(results: Iterable[tuple[Record, Result]], total: int, seed: int) -> Sample | None:
    """Draw spots of the slides that are done: all, or as many of each as its share is.

    Parameters
    ----------
    results : iterable of (Record, Result)
        Slides to draw from; one is held at a time.
    total : int
        How many spots they have together.
    seed : int
        Same seed, same spots.

    Returns
    -------
    Sample or None
        Of at most `SAMPLE_ROWS` spots; None where there is no slide.
    """
    parts: list[NDArray[np.float32]] = []
    unlike: list[NDArray[np.bool_]] = []
    former: list[str] = []
    colours: dict[str, str] = {}
    last: Result | None = None
    for record, result in results:
        last, count = result, len(result.grid)
        share = min(1.0, SAMPLE_ROWS / total, SAMPLE_VALUES / (total * len(result.genes)))
        rng = np.random.default_rng([seed, int(record.key[:12], 16)])
        rows = np.sort(rng.permutation(count)[: max(1, round(share * count))])
        parts.append(result.expression[rows])
        unlike.append(np.zeros(len(rows), dtype=bool) if result.unlike is None else result.unlike[rows])
        if result.domains is None or not record.joint:
            former += [""] * len(rows)
        else:
            names = result.domains.names
            former += [names.get(int(label), "") for label in result.domains.labels[rows]]
            colours |= {names[label]: result.domains.colours[label] for label in names}
    if last is None:
        return None
    return Sample(
        genes=last.genes,
        expression=np.concatenate(parts),
        unlike=np.concatenate(unlike),
        former=tuple(former),
        colours=colours,
        held_out=last.held_out,
        reliability={gene: last.reliability(gene) for gene in last.genes},
    )


def find_joint(drawn: Sample, count: int, seed: int, key: str) -> Joint:
    """Find domains of a sample of all slides; those that were there before keep name and colour.

    Parameters
    ----------
    drawn : Sample
        S spots.
    count : int
        Number of domains; fewer where there are fewer distinct spots.
    seed : int
        Same seed, same domains.
    key : str
        See :func:`joint_key`.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    values = drawn.expression.astype(np.float64)
    components = min(COMPONENTS, *values.shape)
    if len(np.unique(values, axis=0)) < 2:
        mean, axes = values.mean(axis=0), np.eye(components, values.shape[1])
    else:
        found = PCA(components, svd_solver="full", random_state=seed).fit(values)
        mean, axes = found.mean_, found.components_
    placed = (values - mean) @ axes.T
    scale = np.abs(placed).max(initial=0) or 1.0
    count = min(count, len(np.unique(np.round(placed / scale, 9), axis=0)))
    centres = KMeans(count, n_init=10, random_state=seed).fit(placed).cluster_centers_
    labels = _nearest(placed, centres)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    rank = np.argsort(order)
    names, colours = _called(rank[labels], count, drawn)
    return Joint(key, mean, axes, centres[order], names, colours)


def shown_genes(drawn: Sample, chosen: Sequence[str]) -> tuple[Shown, ...]:
    """Genes of the page, with limits over all slides: those chosen, else predicted best, or most variable."""
    believed = drawn.expression[~drawn.unlike] if not drawn.unlike.all() else drawn.expression
    if chosen:
        genes = tuple(chosen)
    else:
        height = believed.std(axis=0) if drawn.held_out is None else drawn.held_out.pcc
        genes = tuple(drawn.genes[i] for i in np.argsort(-np.nan_to_num(height), kind="stable")[:GENES])
    return tuple(
        Shown(gene, *colour_limits(believed[:, drawn.genes.index(gene)]), drawn.reliability[gene])
        for gene in genes
    )


def _called(
    labels: NDArray[np.integer], count: int, drawn: Sample
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours of domains: of the former ones that are the same, else the next that are free."""
    from scipy.optimize import linear_sum_assignment

    former = np.array(drawn.former, dtype=object)
    known = sorted(set(drawn.former) - {""})
    names, colours = [""] * count, [""] * count
    if known:
        marked = former != ""
        both = np.array([[((labels == k) & (former == name)).sum() for name in known] for k in range(count)])
        either = np.array(
            [[((labels == k) & marked | (former == name)).sum() for name in known] for k in range(count)]
        )
        share = both / np.maximum(either, 1)
        for k, n in zip(*linear_sum_assignment(-share), strict=True):
            if share[k, n] >= SAME:
                names[k], colours[k] = known[n], drawn.colours[known[n]]
    for k in range(count):
        if not names[k]:
            names[k] = next(f"Domain {n}" for n in range(1, 100) if f"Domain {n}" not in {*names, *known})
        if not colours[k]:
            used = {*colours, *drawn.colours.values()}
            colours[k] = next((c for c in COLOURS if c not in used), COLOURS[k % len(COLOURS)])
    return tuple(names), tuple(colours)


def _nearest(values: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int32]:
    """Which of K centres is nearest to each of N places, (N,) int32."""
    far = (centres**2).sum(axis=1) - 2 * values @ centres.T
    return far.argmin(axis=1).astype(np.int32)
