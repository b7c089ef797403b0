"""The genes of a model found by what is typed, and put in an order that helps to choose one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Result

ORDERS: Mapping[str, str] = {
    "name": "By name",
    "pcc": "By held-out PCC",
    "spatial": "By spatial variability",
    "markers": "By a domain's markers",
}
"""Orders that :func:`order_genes` knows, in words."""

NEIGHBOURS: Mapping[str, int] = {"hexagonal": 6, "square": 4, "given": 6}
"""At most so many neighbours has a spot, by the layout of its grid."""

REACH = 1.5
"""Farther apart than so many pitches, spots are no neighbours."""

CHUNK = 4_000_000
"""Numbers that are taken into float64 at a time: 32 MB."""

LAST = "\U0010ffff"
"""Sorts behind whatever may follow the beginning of a name."""


@dataclass(frozen=True, slots=True)
class Found:
    """A gene that was searched for.

    Attributes
    ----------
    gene : str
        Its symbol as the model has it.
    by : str
        Other name by which it was found, such as ``HER2`` for ERBB2; empty where by its symbol.
    """

    gene: str
    by: str


def find_genes(text: str, genes: Sequence[str]) -> tuple[Found, ...]:
    """Search genes by what has been typed so far, in letters of either case.

    Parameters
    ----------
    text : str
        Part of a symbol, or an alias or its beginning; empty for all genes.
    genes : sequence of str
        Distinct gene symbols; a tuple that is searched again is indexed already.

    Returns
    -------
    tuple of Found
        First the gene of that symbol, then those of which it is another name (what HGNC takes for one gene
        alone before what several genes share), then those whose symbol begins with the text, whose symbol
        contains it, and of which another name begins with it; each rank in the order of `genes`. But for
        "contains", hyphens and spaces do not count. Human genes alone have other names.
    """
    index, typed, bare = _index(tuple(genes)), text.strip().casefold(), _bare(text)
    if not bare:
        return tuple(index.by_symbol)
    folded, places, others, own = index.folded, index.places, index.others, index.own
    begun, named = _beginning(index.symbols, bare), _beginning(index.names, bare)
    whole = sorted((folded[at] != typed, at) for word, at in begun if word == bare)
    rows = [row for word, row in named if word == bare]
    same = sorted((not own[row], places[row], others[row].by.casefold() != typed, row) for row in rows)
    found = {at: index.by_symbol[at] for _, at in whole}  # in the order of ranks; a gene stays in its first
    for _, at, _, row in same:
        found.setdefault(at, others[row])
    for at in sorted(at for _, at in begun):
        found.setdefault(at, index.by_symbol[at])
    for at in [at for at, symbol in enumerate(folded) if typed in symbol]:
        found.setdefault(at, index.by_symbol[at])
    for at, row in sorted((places[row], row) for _, row in named if places[row] not in found):
        found.setdefault(at, others[row])
    return tuple(found.values())


def morans_i(grid: SpotGrid, expression: NDArray[np.floating]) -> NDArray[np.float32]:
    """Spatial variability of genes: Moran's I (Biometrika 37, 17, 1950), row-standardised.

    Parameters
    ----------
    grid : SpotGrid
        N spots; the nearest 6 (square layout: 4) within 1.5 pitches are neighbours of a spot.
    expression : numpy.ndarray
        (N, G) values.

    Returns
    -------
    numpy.ndarray
        (G,) float32: near 1 where neighbours are alike, about 0 where they are not, negative where they
        differ; 0 for genes that are constant, and for all where no spot has a neighbour. A spot without
        neighbours counts in the mean and the variance alone.
    """
    found = np.zeros(expression.shape[1], dtype=np.float32)
    weights = _neighbours(grid)
    total = 0.0 if weights is None else float(weights.sum())
    if weights is None or total == 0:
        return found
    for genes in _chunks(*expression.shape):
        values = expression[:, genes].astype(np.float64)
        varies = np.ptp(values, axis=0) > 0  # the variance of a constant may be rounded to above 0
        values -= values.mean(axis=0)
        along = np.einsum("ng,ng->g", values, weights @ values) * (len(grid) / total)
        square = np.einsum("ng,ng->g", values, values)
        found[genes] = np.divide(along, square, out=np.zeros_like(along), where=varies & (square > 0))
    return found


def marker_effects(
    expression: NDArray[np.floating], labels: NDArray[np.integer], label: int
) -> NDArray[np.float32]:
    """How far genes set a domain apart from the other spots: Cohen's d.

    Parameters
    ----------
    expression : numpy.ndarray
        (N, G) values.
    labels : numpy.ndarray
        (N,) domain of each spot.
    label : int
        The domain.

    Returns
    -------
    numpy.ndarray
        (G,) float32 difference of the means in pooled standard deviations (Cohen, Statistical Power Analysis,
        1988), positive where the domain has more. 0 for constant genes, and for all where no spot or every
        spot is of the domain; infinite where both sides are constant, but differ.
    """
    inside = np.asarray(labels) == label
    found = np.zeros(expression.shape[1], dtype=np.float32)
    if inside.all() or not inside.any():
        return found
    freedom = max(len(inside) - 2, 1)
    for genes in _chunks(*expression.shape):
        values = expression[:, genes].astype(np.float64)
        (mean, square), (other, rest) = _moments(values[inside]), _moments(values[~inside])
        difference, deviation = mean - other, np.sqrt((square + rest) / freedom)
        effect = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
        found[genes] = np.divide(difference, deviation, out=effect, where=deviation > 0)
    return found


def order_genes(result: Result, by: str, label: int | None = None) -> tuple[str, ...]:
    """Genes of a result in another order; spots unlike the reference have no say in it.

    Parameters
    ----------
    result : Result
        A prediction of N spots.
    by : {"name", "pcc", "spatial", "markers"}
        One of `ORDERS`; but for names, the highest first.
    label : int or None
        Domain whose markers come first; for "markers" alone.

    Returns
    -------
    tuple of str
        All genes; equals by name.

    Raises
    ------
    GeneError
        There is no such order, the model was not evaluated, there are no domains, or the domain has no spot
        that is like the reference.
    """
    if by not in ORDERS:
        msg = f"Genes cannot be put in the order {by!r}. Choose {', '.join(ORDERS)}."
        raise GeneError(msg)
    if by == "name":
        return tuple(sorted(result.genes))
    height = _held_out(result) if by == "pcc" else _found(result, by, label)
    ranked = sorted(zip(result.genes, height.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return tuple(gene for gene, _ in ranked)


def _held_out(result: Result) -> NDArray[np.float32]:
    """(G,) correlation of each gene where it was held out."""
    if result.held_out is None:
        msg = "This model was not evaluated: its genes have no held-out PCC. Choose another order."
        raise GeneError(msg)
    return result.held_out.pcc


def _found(result: Result, by: str, label: int | None) -> NDArray[np.float32]:
    """(G,) spatial variability or effect in a domain, over the spots that are like the reference."""
    kept = np.arange(len(result.grid)) if result.unlike is None else np.flatnonzero(~result.unlike)
    expression = result.expression if len(kept) == len(result.grid) else result.expression[kept]
    if by == "spatial":
        return morans_i(result.grid.take(kept), expression)
    if result.domains is None:
        msg = (
            "The genes cannot be ordered by a domain's markers, for there are no domains. Find domains first."
        )
        raise GeneError(msg)
    labels = result.domains.labels[kept]
    if label is None or label not in labels:
        which = "named" if label is None else f"{label} with a spot whose tissue is like the reference"
        msg = f"The genes cannot be ordered by markers: there is no domain {which}. Choose another domain."
        raise GeneError(msg)
    return marker_effects(expression, labels, label)


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and summed squares of the deviations; these exactly 0 where values (n, g) are constant."""
    mean = np.where(np.ptp(values, axis=0) > 0, values.mean(axis=0), values[0])
    return mean, np.square(values - mean).sum(axis=0)


def _chunks(spots: int, genes: int) -> Iterator[slice]:
    step = max(1, CHUNK // max(spots, 1))
    return (slice(start, start + step) for start in range(0, genes, step))


def _neighbours(grid: SpotGrid) -> csr_matrix | None:
    """(N, N) weights of which each row with neighbours sums to 1; None where pitch or spots allow none."""
    pitch = np.asarray(grid.pitch_px, dtype=np.float64)
    if len(grid) < 2 or not (pitch > 0).all():  # NaN is not
        return None
    from scipy.sparse import csr_matrix  # with the tree a fifth of a second, which only this order spends
    from scipy.spatial import cKDTree

    count, places = NEIGHBOURS[grid.layout], grid.centres_px / pitch
    _, near = cKDTree(places).query(places, k=count + 1, distance_upper_bound=REACH)
    real = (near < len(grid)) & (near != np.arange(len(grid))[:, None])  # beyond the reach it says N
    rows, columns = np.nonzero(real)[0], near[real]
    share = 1.0 / np.maximum(real.sum(axis=1), 1)
    return csr_matrix((share[rows], (rows, columns)), shape=(len(grid), len(grid)))


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """What a search looks up.

    `symbols` are sorted (bare text, place of the gene), `names` are sorted (bare text, row): at that row,
    `places` has the gene's place, `others` what is found, `own` whether HGNC takes it for that gene alone.
    """

    by_symbol: list[Found]
    folded: list[str]
    symbols: list[tuple[str, int]]
    names: list[tuple[str, int]]
    places: list[int]
    others: list[Found]
    own: list[bool]


@lru_cache(maxsize=4)
def _index(genes: tuple[str, ...]) -> _Index:
    from napari_mclstexp.core.measured.symbols import approved, looks_human, names_of

    others, places, own = [], [], []
    for at, gene in enumerate(genes if looks_human(genes) else ()):
        today = approved(gene)
        for name in (today, *names_of(today)):
            if name != gene:
                others.append(Found(gene, name))
                places.append(at)
                own.append(approved(name) == today)
    return _Index(
        by_symbol=[Found(gene, "") for gene in genes],
        folded=[gene.casefold() for gene in genes],
        symbols=sorted((_bare(gene), at) for at, gene in enumerate(genes)),
        names=sorted((_bare(found.by), row) for row, found in enumerate(others)),
        places=places,
        others=others,
        own=own,
    )


def _beginning(among: list[tuple[str, int]], bare: str) -> list[tuple[str, int]]:
    """Those that begin with a text."""
    return among[bisect_left(among, (bare,)) : bisect_right(among, (bare + LAST,))]


def _bare(text: str) -> str:
    """Text without what spellings of a name differ in: case, hyphens and spaces."""
    return "".join(text.casefold().replace("-", "").split())
