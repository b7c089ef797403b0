"""Tissue domains: groups of spots with like predicted expression.

Source: the domains of mclSTExp (arXiv 2407.08216): PCA with 9 components, then k-means.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_mclstexp.core.domain_methods import components, describe, group, grouped
from napari_mclstexp.core.palette import domain_colour
from napari_mclstexp.core.result import Domains, Result
from napari_mclstexp.errors import GridError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_DOMAINS = 7
MAX_DOMAINS = 30


def check_domains(count: int, seed: int) -> None:
    """Raise GridError unless so many domains can be asked for, with such a seed."""
    if not 1 <= count <= MAX_DOMAINS:
        msg = f"{count} domains cannot be found. Choose 1 to {MAX_DOMAINS}."
        raise GridError(msg)
    if not 0 <= seed < 2**32:
        msg = f"The seed {seed} is out of range. Choose 0 to {2**32 - 1}."
        raise GridError(msg)


def find_domains(
    result: Result, count: int = DEFAULT_DOMAINS, seed: int = 0, method: str = "kmeans"
) -> Result:
    """Label each spot with a domain, the largest first.

    Parameters
    ----------
    result : Result
        A prediction of N spots.
    count : int
        Number of domains, 1 to 30; fewer where there are fewer spots.
    seed : int
        Same seed, same domains.
    method : {"kmeans", "leiden", "fused"}
        What they go by; see :mod:`.domain_methods`.

    Returns
    -------
    Result
        With domains; annotations that were there stay.

    Raises
    ------
    GridError
        `count` is out of range.
    DomainError
        No such method, or the result lacks what it needs.
    """
    check_domains(count, seed)
    values = describe(result, method, seed)
    labels = grouped(method, result.grid, values, count, seed)
    found = range(1, int(labels.max()) + 1)
    labelled = result.with_domains(
        Domains(
            labels=labels,
            names={i: f"Domain {i}" for i in found},
            colours={i: domain_colour(i) for i in found},
            annotations=() if result.domains is None else result.domains.annotations,
        )
    )
    about = replace(labelled.provenance, domain_count=count, domain_method=method)
    return replace(labelled, provenance=about)


def cluster(expression: NDArray[np.floating], count: int, seed: int) -> NDArray[np.int32]:
    """Label spots by k-means on the principal components of their expression, as ``kmeans`` does.

    Parameters
    ----------
    expression : numpy.ndarray
        (N, G).
    count : int
        Number of labels; fewer where there are fewer distinct spots.
    seed : int
        Same seed, same labels.

    Returns
    -------
    numpy.ndarray
        (N,) int32 from 1, the most frequent first.
    """
    return group(components(expression, seed), count, seed)
