"""Colours of domains that stay the same: like domains, by their marker profile, are coloured alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.palette import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

LIKE = 0.5
"""Correlation of two profiles from which domains are taken for alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """What sets the domains of a result apart.

    Attributes
    ----------
    genes : tuple of str
        G symbols.
    values : numpy.ndarray
        (K, G) float32: each gene's mean in a domain less its mean over all spots, in standard deviations.
    colours : tuple of str
        ``#rrggbb`` of the K domains.
    labels : tuple of int
        Theirs.
    """

    genes: tuple[str, ...]
    values: NDArray[np.float32]
    colours: tuple[str, ...]
    labels: tuple[int, ...]


def profiles(result: Result) -> Profiles:
    """Profiles of a result's domains, in the order of their labels; none without domains."""
    domains = result.domains
    if domains is None:
        return Profiles(result.genes, np.empty((0, len(result.genes)), np.float32), (), ())
    labels = [label for label in sorted(domains.names) if (domains.labels == label).any()]
    deviation = result.expression.std(axis=0)
    spread = np.where(deviation > 0, deviation, 1)
    mean = result.expression.mean(axis=0)
    values = [(result.expression[domains.labels == label].mean(axis=0) - mean) / spread for label in labels]
    return Profiles(
        result.genes,
        np.array(values, dtype=np.float32).reshape(len(labels), len(result.genes)),
        tuple(domains.colours[label] for label in labels),
        tuple(labels),
    )


def coloured(result: Result, colours: Mapping[int, str]) -> Result:
    """Result whose domains have these colours, ``#rrggbb`` by label; the others keep theirs."""
    if result.domains is None:
        return result
    known = {label: colours.get(label, own) for label, own in result.domains.colours.items()}
    return replace(result, domains=replace(result.domains, colours=known))


def coloured_like(result: Result, known: Profiles) -> Result:
    """Result whose domains have the colours of the known ones that they are like.

    Parameters
    ----------
    result : Result
        With domains; of this slide or another one.
    known : Profiles
        Of domains that have their colours. Genes that both have count.

    Returns
    -------
    Result
        Each domain takes the colour of its match (one to one, the greatest sum of correlations, each of at
        least `LIKE`); the others take colours that no domain has yet.
    """
    from scipy.optimize import linear_sum_assignment

    domains, own = result.domains, profiles(result)
    of = {gene: i for i, gene in enumerate(known.genes)}
    shared = [i for i, gene in enumerate(own.genes) if gene in of]
    if domains is None or len(shared) < 3 or not known.colours or not own.colours:
        return result
    alike = _correlation(own.values[:, shared], known.values[:, [of[own.genes[i]] for i in shared]])
    rows, columns = linear_sum_assignment(-alike)
    labels = [label for label in sorted(domains.names) if (domains.labels == label).any()]
    taken: dict[int, str] = {}
    for row, column in zip(rows, columns, strict=True):
        if alike[row, column] >= LIKE and known.colours[column] not in taken.values():
            taken[labels[row]] = known.colours[column]
    used = set(taken.values())
    colours = {}
    for label in sorted(domains.names):
        if label not in taken:
            spare = [colour for colour in (*COLOURS, domains.colours[label]) if colour not in used]
            fresh = [colour for colour in spare if colour not in known.colours]
            taken[label] = (fresh or spare or [domains.colours[label]])[0]
            used.add(taken[label])
        colours[label] = taken[label]
    return replace(result, domains=replace(domains, colours=colours))


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation (K, L) of the rows of two arrays; 0 for constant rows."""

    def unit(values: NDArray[np.floating]) -> NDArray[np.float64]:
        centred = values.astype(np.float64) - values.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return centred / np.where(length > 0, length, 1)

    return unit(a) @ unit(b).T
