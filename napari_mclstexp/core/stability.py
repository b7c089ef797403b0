"""How many domains there are: the number that comes out again when spots are drawn anew.

Source: clustering stability by resampling (Ben-Hur, Elisseeff and Guyon, Pacific Symposium on Biocomputing
2002), with the overlap of each cluster as agreement (Hennig, Computational Statistics & Data Analysis 2007):
a small domain that comes and goes counts as much as a large one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.domain_methods import check_method, describe, grouped
from napari_mclstexp.core.progress import Progress
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

LEAST, MOST = 2, 12
DRAWS = 8
SHARE = 0.8
"""Of the spots, in each draw."""
SPOTS = 5000
"""In a draw at most."""
TOLERANCE = 0.02
"""Of the best agreement: among numbers that are so close to it, the largest is taken."""


@dataclass(frozen=True, slots=True)
class Stability:
    """Agreement between domains of several draws of spots, by their number.

    Attributes
    ----------
    counts : tuple of int
        Numbers of domains.
    mean, low, high : tuple of float
        Agreement of two draws on the spots that they share: mean, least and greatest; 1 is equal. It is the
        mean over domains of the greatest Jaccard index with a domain of the other draw.
    """

    counts: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def best(self) -> int:
        """The largest number whose agreement is as good as the best, within `TOLERANCE`."""
        top = max(self.mean)
        return max(
            count for count, mean in zip(self.counts, self.mean, strict=True) if mean >= top - TOLERANCE
        )


def stability(
    result: Result,
    method: str = "kmeans",
    seed: int = 0,
    counts: tuple[int, ...] = tuple(range(LEAST, MOST + 1)),
) -> Generator[Progress, None, Stability]:
    """Find domains in draws of the spots, for several numbers of them.

    Parameters
    ----------
    result : Result
        Of N spots.
    method : str
        See :mod:`.domain_methods`.
    seed : int
        Same seed, same draws.
    counts : tuple of int
        Numbers of domains to try; those that are too many for a draw are left out.

    Yields
    ------
    Progress
        After each number.

    Returns
    -------
    Stability
        The curve.

    Raises
    ------
    DomainError
        There are too few spots, or no such method.
    """
    values = describe(result, check_method(method), seed)
    drawn = min(SPOTS, round(SHARE * len(values)))
    counts = tuple(count for count in counts if 2 <= count <= drawn // 3)
    if not counts:
        msg = f"{len(values)} spots are too few to compare numbers of domains. Choose one."
        raise DomainError(msg)
    random = np.random.default_rng(seed)
    draws = [np.sort(random.choice(len(values), drawn, replace=False)) for _ in range(DRAWS)]
    found = []
    for done, count in enumerate(counts):
        yield Progress("Comparing numbers of domains", done, len(counts), unit="numbers")
        labels = [grouped(method, result.grid.take(rows), values[rows], count, seed) for rows in draws]
        found.append(_agreements(draws, labels))
    curves = np.array(found)
    return Stability(
        counts,
        tuple(curves.mean(axis=1).tolist()),
        tuple(curves.min(axis=1).tolist()),
        tuple(curves.max(axis=1).tolist()),
    )


def _agreements(draws: list[NDArray[np.intp]], labels: list[NDArray[np.int32]]) -> list[float]:
    """Agreement of every two draws on the spots that both have."""
    found = []
    for a, b in combinations(range(len(draws)), 2):
        _, of_a, of_b = np.intersect1d(draws[a], draws[b], assume_unique=True, return_indices=True)
        if len(of_a):
            found.append(_overlap(labels[a][of_a], labels[b][of_b]))
    return found


def _overlap(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    """Mean over the labels of both of the greatest Jaccard index with a label of the other."""
    both = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(both, (a, b), 1)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0)[None] - both
    share = both / np.maximum(either, 1)
    in_a, in_b = both.sum(axis=1) > 0, both.sum(axis=0) > 0
    return float(np.concatenate([share.max(axis=1)[in_a], share.max(axis=0)[in_b]]).mean())
