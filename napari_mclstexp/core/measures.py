"""What is measured of domains and annotations: area, spots, genes, neighbours, distance to a border.

All values of genes are predicted. Spots beside each other are alike, so that no p-value is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely

from napari_mclstexp.core.adjacency import adjacency
from napari_mclstexp.core.cells import domain_areas
from napari_mclstexp.core.genes import marker_effects
from napari_mclstexp.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

INTERVAL = (5.0, 95.0)
"""Percentiles of a gene over the spots of a domain."""
MARKERS = 5
PERMUTATIONS = 200
BINS = 12


def measure(result: Result, genes: Sequence[str] = (), markers: int = MARKERS) -> pd.DataFrame:
    """Table of a result's domains and annotations.

    Parameters
    ----------
    result : Result
        With domains.
    genes : sequence of str
        Whose values to tell.
    markers : int
        Genes named for each, by Cohen's d against all other spots, the greatest first.

    Returns
    -------
    pandas.DataFrame
        A row each: kind (domain or annotation), name, class, spots, area_mm2 (NaN where the scale is
        unknown), for each gene its mean over the spots with the 5th and 95th percentile, and the markers.
        A spot counts for an annotation whose area its centre lies in.

    Raises
    ------
    GeneError
        A gene is not among those predicted.
    """
    return _table(result, parts_of(result), genes, markers)


def _table(result: Result, parts: list[Part], genes: Sequence[str], markers: int) -> pd.DataFrame:
    values = {gene: result.gene_values(gene) for gene in genes}
    rows = []
    for part in parts:
        inside = part.inside
        row: dict[str, object] = {
            "kind": part.kind,
            "name": part.name,
            "class": part.of_class,
            "spots": int(inside.sum()),
            "area_mm2": part.area_mm2,
        }
        for gene, found in values.items():
            row[f"{gene} mean"] = float(found[inside].mean()) if inside.any() else math.nan
            low, high = np.percentile(found[inside], INTERVAL) if inside.any() else (math.nan, math.nan)
            row[f"{gene} 5%"], row[f"{gene} 95%"] = float(low), float(high)
        row["markers (Cohen's d)"] = ", ".join(
            f"{g} {d:.2f}" for g, d in top_markers(result, inside, markers)
        )
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A domain or an annotation.

    Attributes
    ----------
    kind : {"domain", "annotation"}
        Which.
    name, of_class : str
        A domain's class is its name.
    colour : str
        ``#rrggbb``.
    area : shapely.Geometry
        Full-resolution pixels (x, y).
    area_mm2 : float
        NaN where the scale is unknown.
    inside : numpy.ndarray
        (N,) bool, which spots.
    """

    kind: str
    name: str
    of_class: str
    colour: str
    area: shapely.Geometry
    area_mm2: float
    inside: NDArray[np.bool_]


def parts_of(result: Result) -> list[Part]:
    """Domains that have spots, then annotations."""
    domains = result.domains
    if domains is None:
        return []
    about, names, colours = result.provenance, domains.names, domains.colours
    mm2 = about.mpp_x * about.mpp_y / 1e6
    found = [
        Part("domain", names[i], names[i], colours[i], area, area.area * mm2, domains.labels == i)
        for i, area in domain_areas(result.grid, domains).items()
    ]
    centres = shapely.points(result.grid.centres_px[:, ::-1])
    for note in domains.annotations:
        area = note.area
        inside = np.asarray(shapely.covers(area, centres))
        place = area, area.area * mm2, inside
        found.append(Part("annotation", note.name, note.of_class, note.colour, *place))
    return found


def top_markers(result: Result, inside: NDArray[np.bool_], count: int) -> list[tuple[str, float]]:
    """Genes that set spots apart from all others, with Cohen's d, the greatest first; only positive ones."""
    effects = marker_effects(result.expression, inside.astype(np.int32), 1)
    best = np.argsort(-effects, kind="stable")[:count]
    return [(result.genes[i], float(effects[i])) for i in best if effects[i] > 0]


@dataclass(frozen=True, slots=True, eq=False)
class Enrichment:
    """How often spots of two domains lie beside each other, against chance.

    Attributes
    ----------
    names : tuple of str
        Of K domains.
    z : numpy.ndarray
        (K, K) float64 standard deviations from the mean over random labels; NaN where those never vary.
    """

    names: tuple[str, ...]
    z: NDArray[np.float64]


def enrichment(result: Result, seed: int = 0) -> Enrichment:
    """Neighbourhood enrichment of domains, by shuffling labels among spots.

    Source: the neighbourhood enrichment of squidpy (Palla et al., Nature Methods 2022).

    Raises
    ------
    DomainError
        There are fewer than two domains.
    """
    domains = result.domains
    labels = [] if domains is None else [i for i in sorted(domains.names) if (domains.labels == i).any()]
    if domains is None or len(labels) < 2:
        msg = "Neighbourhoods are compared between two domains or more."
        raise DomainError(msg)
    own = np.flatnonzero(np.isin(domains.labels, labels))
    codes = np.searchsorted(labels, domains.labels[own])
    pairs = adjacency(result.grid)[own][:, own].tocoo()
    found = _counts(codes, pairs.row, pairs.col, len(labels))
    random = np.random.default_rng(seed)
    chance = np.array(
        [_counts(random.permutation(codes), pairs.row, pairs.col, len(labels)) for _ in range(PERMUTATIONS)]
    )
    deviation = chance.std(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(deviation > 0, (found - chance.mean(axis=0)) / deviation, np.nan)
    return Enrichment(tuple(domains.names[i] for i in labels), z)


def _counts(codes: NDArray[np.intp], a: NDArray[np.intp], b: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    return np.bincount(codes[a] * k + codes[b], minlength=k * k).reshape(k, k).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class BorderProfile:
    """A gene by distance to the border of a domain or annotation.

    Attributes
    ----------
    distance_um : numpy.ndarray
        (B,) middle of each bin, um; below 0 inside.
    mean, low, high : numpy.ndarray
        (B,) of the gene's values: mean, 5th and 95th percentile.
    spots : numpy.ndarray
        (B,) int64 in each bin.
    """

    distance_um: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    spots: NDArray[np.int64]


def border_profile(result: Result, gene: str, area: shapely.Geometry) -> BorderProfile:
    """Values of a gene by distance of the spots' centres to the border of an area.

    Parameters
    ----------
    result : Result
        With a known scale.
    gene : str
        One of its genes.
    area : shapely.Geometry
        Full-resolution pixels (x, y).

    Raises
    ------
    DomainError
        The scale is unknown.
    GeneError
        The gene is not among those predicted.
    """
    about = result.provenance
    values = result.gene_values(gene).astype(np.float64)
    if not math.isfinite(about.mpp_x * about.mpp_y):
        msg = "Distances need the slide's scale, which is unknown."
        raise DomainError(msg)
    per_px = np.array([about.mpp_x, about.mpp_y])
    in_um = shapely.transform(area, lambda xy: xy * per_px)
    centres = shapely.points(result.grid.centres_px[:, ::-1] * per_px)
    distance = shapely.distance(shapely.boundary(in_um), centres)
    distance = np.where(shapely.covers(in_um, centres), -distance, distance)
    edges = np.linspace(distance.min(), distance.max() + 1e-9, BINS + 1)
    at = np.clip(np.digitize(distance, edges) - 1, 0, BINS - 1)
    rows = [(i, values[at == i]) for i in range(BINS) if (at == i).any()]
    middles = (edges[:-1] + edges[1:]) / 2
    return BorderProfile(
        np.array([middles[i] for i, _ in rows]),
        np.array([found.mean() for _, found in rows]),
        np.array([np.percentile(found, INTERVAL[0]) for _, found in rows]),
        np.array([np.percentile(found, INTERVAL[1]) for _, found in rows]),
        np.array([len(found) for _, found in rows]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """All that is measured of a result at once.

    Attributes
    ----------
    table : pandas.DataFrame
        See :func:`measure`.
    parts : tuple of str
        What has a border: names of the table's rows, in their order.
    neighbours : Enrichment or None
        None where there are fewer than two domains.
    border : BorderProfile or None
        Of the first gene across the border of one part; None where the scale is unknown.
    """

    table: pd.DataFrame
    parts: tuple[str, ...]
    neighbours: Enrichment | None
    border: BorderProfile | None


def measure_all(result: Result, genes: Sequence[str], part: int = 0) -> Measurements:
    """Measure domains and annotations, their neighbours, and the first gene across the border of a part.

    Parameters
    ----------
    result : Result
        With domains.
    genes : sequence of str
        At least one.
    part : int
        Row of the table whose border is meant; the first where there is no such row.

    Raises
    ------
    GeneError
        A gene is not among those predicted.
    DomainError
        There is nothing to measure.
    """
    parts = parts_of(result)
    if not parts:
        msg = "There is no domain and no annotation to measure."
        raise DomainError(msg)
    table = _table(result, parts, genes, MARKERS)
    known = math.isfinite(result.provenance.mpp_x * result.provenance.mpp_y)
    chosen = parts[part] if part < len(parts) else parts[0]
    domains = sum(each.kind == "domain" for each in parts)
    return Measurements(
        table,
        tuple(each.name or each.of_class or "Annotation" for each in parts),
        enrichment(result) if domains > 1 else None,
        border_profile(result, genes[0], chosen.area) if known else None,
    )
