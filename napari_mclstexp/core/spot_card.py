"""One spot explained: what is predicted there, how far to believe it, and which reference spots say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.reach import pitch_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.result import Result

TOP_GENES = 6
NEAR = 0.5
"""Of the pitch: how far from a spot's centre it is still pointed at."""


class SpotFinder:
    """Finds the spot at a place of the slide.

    Parameters
    ----------
    grid : SpotGrid
        N spots.
    """

    def __init__(self, grid: SpotGrid) -> None:
        from scipy.spatial import cKDTree

        self._unit = np.array(pitch_px(grid))
        self._tree = cKDTree(grid.centres_px / self._unit)

    def at(self, y_px: float, x_px: float) -> int | None:
        """Row of the spot there; None where there is none."""
        distance, row = self._tree.query(np.array([y_px, x_px]) / self._unit)
        return int(row) if distance <= NEAR else None


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A reference spot that a prediction rests on.

    Attributes
    ----------
    weight : float
        Its share in the prediction, 0 to 1.
    section, patient : str
        Where it comes from; empty where the bundle is not at hand.
    thumbnail : numpy.ndarray or None
        (64, 64, 3) uint8 RGB of its patch, where the bundle holds it.
    """

    weight: float
    section: str = ""
    patient: str = ""
    thumbnail: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SpotCard:
    """What is told of one spot.

    Attributes
    ----------
    row : int
        Of the spot.
    spot_id : str
        Its name.
    domain : str
        Name of its domain; empty where it has none.
    above, below : tuple
        Genes with their difference from the slide's mean in standard deviations over the spots, the most
        striking first; genes called not predictable are left out.
    similarity : float
        To the matches, a cosine.
    percentile : float or None
        Of the similarity among held-out spots.
    effective_k : float
        Number of matches that carry the weight.
    patients : int or None
        Among the matches.
    unlike : bool or None
        Whether its tissue is unlike the reference; None where that cannot be told.
    matches : tuple of Match
        The heaviest first.
    """

    row: int
    spot_id: str
    domain: str
    above: tuple[tuple[str, float], ...]
    below: tuple[tuple[str, float], ...]
    similarity: float
    percentile: float | None
    effective_k: float
    patients: int | None
    unlike: bool | None
    matches: tuple[Match, ...]


def domain_of(result: Result, row: int) -> str:
    """Name of a spot's domain; empty where it has none."""
    domains = result.domains
    return "" if domains is None else domains.names.get(int(domains.labels[row]), "")


def interval(result: Result, row: int, gene: str) -> tuple[float, float] | None:
    """Conformal 90 % interval of one predicted value; None where the model was not evaluated."""
    if result.held_out is None:
        return None
    at = result.genes.index(gene)
    value, width = float(result.expression[row, at]), float(result.held_out.width[at])
    return value - width, value + width


def hover_text(result: Result, row: int, gene: str | None) -> str:
    """A few lines on a spot: the gene's value with its interval, and the domain."""
    lines = [f"Spot {result.grid.ids[row]}"]
    if result.unlike is not None and result.unlike[row]:
        lines.append("Tissue unlike the reference: not to be believed")
    if gene in result.genes:
        value = float(result.expression[row, result.genes.index(gene)])
        within = interval(result, row, gene)
        held = "" if within is None else f" (90 %: {within[0]:.2f} to {within[1]:.2f})"
        lines.append(f"{gene} {value:.2f}{held}")
    domain = domain_of(result, row)
    return "\n".join([*lines, domain] if domain else lines)


def explain(result: Result, row: int, bundle: Bundle | None = None) -> SpotCard:
    """Tell all that is known of one spot.

    Parameters
    ----------
    result : Result
        Of N spots.
    row : int
        Which of them.
    bundle : Bundle, optional
        The model that made it: names and pictures of the matches come from there.

    Returns
    -------
    SpotCard
        Matches without names where the bundle is absent or another one.
    """
    mean, sd = result.expression.mean(axis=0), result.expression.std(axis=0)
    differs = (result.expression[row] - mean) / np.where(sd > 0, sd, np.inf)
    if result.held_out is not None:
        differs = np.where(result.held_out.predictable(), differs, 0.0)
    order = np.argsort(-differs, kind="stable")
    told = [(result.genes[i], float(differs[i])) for i in order]
    trust = result.trust
    return SpotCard(
        row=row,
        spot_id=str(result.grid.ids[row]),
        domain=domain_of(result, row),
        above=tuple((g, z) for g, z in told[:TOP_GENES] if z > 0),
        below=tuple((g, z) for g, z in told[::-1][:TOP_GENES] if z < 0),
        similarity=float(result.similarity[row]),
        percentile=None if trust is None or trust.percentile is None else float(trust.percentile[row]),
        effective_k=float(result.effective_k[row]),
        patients=None if trust is None else int(trust.patients[row]),
        unlike=None if result.unlike is None else bool(result.unlike[row]),
        matches=_matches(result, row, bundle),
    )


def _matches(result: Result, row: int, bundle: Bundle | None) -> tuple[Match, ...]:
    if result.trust is None:
        return ()
    rows, weights = result.trust.rows[row], result.trust.weights[row]
    if bundle is None or bundle.digest != result.provenance.bundle_hash:
        return tuple(Match(float(w)) for w in weights)
    pictures = bundle.beside.thumbnails
    return tuple(
        Match(
            float(weight),
            str(bundle.section[at]),
            str(bundle.patient[at]),
            None if pictures is None else pictures[at],
        )
        for at, weight in zip(rows.tolist(), weights, strict=True)
    )
