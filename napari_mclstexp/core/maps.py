"""What is drawn over the spots: one gene, a signature, or three genes in one blend, with its colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.limits import PERCENTILES, centred_limits, colour_limits
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

SEQUENTIAL = ("viridis", "cividis", "inferno", "turbo", "gray")
"""Viridis first: it reads well over the pink and purple of H&E, and for the colour-blind."""
DIVERGING = "RdYlBu_r"
CHANNELS = ("red", "green", "blue")
"""Colours of the genes in a blend, in their order."""
DIFFERENCE = "difference from the reference mean"


@dataclass(frozen=True, slots=True)
class Colour:
    """How values become colours.

    Attributes
    ----------
    colormap : str
        One of `SEQUENTIAL`.
    by : {"percentiles", "numbers", "all genes"}
        What the limits follow.
    percentiles : tuple of float
        Lower and upper.
    numbers : tuple of float
        Lower and upper limit where they are given by number.
    centred : bool
        Whether values are shown as differences from the reference mean, in a diverging map.
    smooth : bool
        Whether the map runs smoothly from spot to spot.
    """

    colormap: str = "viridis"
    by: str = "percentiles"
    percentiles: tuple[float, float] = PERCENTILES
    numbers: tuple[float, float] = (0.0, 1.0)
    centred: bool = False
    smooth: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Values of spots with their colours.

    Attributes
    ----------
    name : str
        Of what is shown.
    values : numpy.ndarray
        (N,) float32; NaN is not drawn.
    limits : tuple of float
        Of the colour scale.
    colormap : str
        Its name.
    unit : str
        Of the values.
    """

    name: str
    values: NDArray[np.float32]
    limits: tuple[float, float]
    colormap: str
    unit: str

    @property
    def clipped(self) -> tuple[int, int]:
        """How many values lie below and above the limits."""
        low, high = self.limits
        return int((self.values < low).sum()), int((self.values > high).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Two or three genes in one picture.

    Attributes
    ----------
    genes : tuple of str
        In the order of `CHANNELS`.
    rgb : numpy.ndarray
        (N, 3) float32 from 0 to 1; NaN is not drawn.
    """

    genes: tuple[str, ...]
    rgb: NDArray[np.float32]

    @property
    def name(self) -> str:
        """Each gene with its colour."""
        return ", ".join(f"{gene} {colour}" for gene, colour in zip(self.genes, CHANNELS, strict=False))


def gene_map(result: Result, gene: str, colour: Colour) -> Map:
    """Map of one predicted gene.

    Raises
    ------
    GeneError
        The model does not predict it, or the reference mean is not known.
    """
    values, unit = result.believable(gene), result.provenance.normalisation
    if not colour.centred:
        return value_map(gene, values, unit, colour, result.expression)
    if result.reference_mean is None:
        msg = "This result does not tell the reference mean: predict again with this version."
        raise GeneError(msg)
    values = values - result.reference_mean[result.genes.index(gene)]
    everything = result.expression - result.reference_mean if colour.by == "all genes" else values
    return value_map(gene, values, f"{DIFFERENCE}, {unit}", colour, everything)


def value_map(
    name: str, values: NDArray[np.float32], unit: str, colour: Colour, everything: NDArray[np.floating]
) -> Map:
    """Map of values (N,) of any kind; `everything` is what a scale that is shared by all genes spans."""
    if colour.by == "numbers" and colour.numbers[1] > colour.numbers[0]:
        limits = colour.numbers
    else:
        spanned = everything if colour.by == "all genes" else values
        limits = (centred_limits if colour.centred else colour_limits)(spanned, colour.percentiles)
    return Map(name, values, limits, DIVERGING if colour.centred else colour.colormap, unit)


def blend(
    result: Result,
    genes: tuple[str, ...],
    percentiles: tuple[float, float] = PERCENTILES,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> Blend:
    """Two or three genes as red, green and blue, each from its lower to its upper percentile, or within
    `limits` where it has some there.

    Raises
    ------
    GeneError
        Fewer than two genes or more than three, or one that the model does not predict.
    """
    if not 2 <= len(genes) <= len(CHANNELS):
        msg = f"A blend shows two or three genes, not {len(genes)}."
        raise GeneError(msg)
    rgb = np.zeros((len(result.grid), 3), np.float32)
    for channel, gene in enumerate(genes):
        values = result.believable(gene)
        low, high = (limits or {}).get(gene) or colour_limits(values, percentiles)
        rgb[:, channel] = (values - low) / (high - low)
    rgb = rgb.clip(0, 1)
    rgb[np.isnan(rgb).any(axis=1)] = np.nan
    return Blend(genes, rgb)
