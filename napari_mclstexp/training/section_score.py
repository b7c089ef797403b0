"""Scoring a bundle on one section that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.grid import given_grid
from napari_mclstexp.core.measured.expression import MIN_COUNTS
from napari_mclstexp.core.predict import predict
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import SectionError
from napari_mclstexp.training.preprocess import expression_of, rich_spots
from napari_mclstexp.training.scores import pearson

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.training.sections import Section


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Agreement of prediction and measurement on one section.

    Attributes
    ----------
    genes : tuple of str
        Genes that are both predicted and measured.
    pcc : numpy.ndarray
        (G,) Pearson correlation over spots; 0 where a gene does not vary.
    mean_measured : numpy.ndarray
        (G,) mean measured expression.
    spots : int
        Number of spots scored.
    """

    genes: tuple[str, ...]
    pcc: NDArray[np.float64]
    mean_measured: NDArray[np.float64]
    spots: int


def score_section(
    section: Section, bundle: Bundle, *, min_counts: int = MIN_COUNTS, device: str = "auto"
) -> Generator[Progress, None, Score]:
    """Predict a measured section at its own spots and correlate, gene by gene.

    Parameters
    ----------
    section : Section
        Measured section; must not be among the bundle's training sections.
    bundle : Bundle
        The model.
    min_counts : int
        Spots with fewer counts are not scored.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the network runs.

    Yields
    ------
    Progress
        Of the prediction.

    Returns
    -------
    Score
        Correlations per gene.

    Raises
    ------
    SectionError
        The section was trained on, or shares no gene with the bundle.
    """
    if section.name in {s.get("section") for s in bundle.spec.sections}:
        msg = f"The model was trained on section {section.name}; scored on it, it would flatter itself."
        raise SectionError(msg)
    genes = tuple(g for g in bundle.spec.genes if g in set(section.genes))
    if not genes:
        msg = f"Section {section.name} measures none of the model's genes."
        raise SectionError(msg)
    keep = np.flatnonzero(rich_spots(section, min_counts))
    with open_slide(section.slide) as slide:
        scale = section.scale or slide.scale
        grid = given_grid(section.ids[keep], section.xy_px[keep], (slide.width, slide.height), scale)
        result = yield from predict(slide, bundle, grid, scale, device=device)
    columns = [bundle.spec.genes.index(g) for g in genes]
    measured = expression_of(section, genes)[keep]
    return Score(
        genes,
        pearson(result.expression[:, columns], measured),
        measured.mean(axis=0, dtype=np.float64),
        len(keep),
    )
