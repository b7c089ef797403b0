"""Training data in memory: patches, expression and positions of all spots of the training sections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import ScaleError, SectionError
from napari_mclstexp.training.preprocess import expression_of, rich_spots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.training.sections import Section

MARGIN = math.sqrt(2)
"""A patch is read this much wider, so that it can be turned by any angle."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Spots of the training sections, those with too few counts left out.

    Attributes
    ----------
    patches : numpy.ndarray
        (N, P, P, 3) uint8 RGB, P = ceil(patch_px * sqrt 2).
    expression : numpy.ndarray
        (N, G) float32 normalised.
    positions : numpy.ndarray
        (N, 2) float64 x, y: um, or array indices in mode ``paper``.
    section, patient : numpy.ndarray
        (N,) str.
    poor : int
        Number of spots that were left out for their few counts.
    """

    patches: NDArray[np.uint8]
    expression: NDArray[np.float32]
    positions: NDArray[np.float64]
    section: NDArray[np.str_]
    patient: NDArray[np.str_]
    poor: int


def load_training_data(
    sections: list[Section], genes: tuple[str, ...], field: Field, min_counts: int
) -> TrainingData:
    """Read patches and expression of every spot with enough counts.

    Parameters
    ----------
    sections : list of Section
        With distinct names.
    genes : tuple of str
        Genes to keep; normalisation takes the whole library.
    field : Field
        What a patch shows; native pixels where ``field_um`` is None.
    min_counts : int
        Spots with fewer counts are left out.

    Returns
    -------
    TrainingData
        In order of the sections, then of their spots.

    Raises
    ------
    SectionError
        A section's name comes twice, too few spots are left, or a spot lies off its image.
    ScaleError
        Neither the section nor its slide tells um per px.
    """
    names = [section.name for section in sections]
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        msg = f"Two sections are named {twice}. Give each its own name."
        raise SectionError(msg)
    pseudonyms = {p: f"P{i + 1}" for i, p in enumerate(dict.fromkeys(s.patient for s in sections))}
    wide_px = math.ceil(field.patch_px * MARGIN / 2) * 2
    wide_um = None if field.field_um is None else field.field_um * wide_px / field.patch_px
    patches, expression, positions, section_of, patient_of = [], [], [], [], []
    poor = 0
    for section in sections:
        keep = np.flatnonzero(rich_spots(section, min_counts))
        poor += len(section.ids) - len(keep)
        with open_slide(section.slide) as slide:
            slide.check_for_model()
            scale = section.scale or slide.scale
            if scale is None and field.field_um is not None:
                msg = f"The scale of section {section.name} is unknown: neither it nor its slide tells it."
                raise ScaleError(msg)
            xy = section.xy_px[keep]
            if ((xy < 0) | (xy >= (slide.width, slide.height))).any():
                msg = (
                    f"Section {section.name} has spots outside its image of {slide.width} x {slide.height} "
                    "px. Check that the image is the full-resolution one."
                )
                raise SectionError(msg)
            wide = Field(wide_px, wide_um)
            patches += [p for _, p in read_batches(slide, xy[:, ::-1], wide, scale, 64)]
        expression.append(expression_of(section, genes)[keep])
        um = np.array([scale.mpp_x, scale.mpp_y]) if scale is not None else np.ones(2)
        positions.append(section.array_xy[keep] if field.field_um is None else xy * um)
        section_of += [section.name] * len(keep)
        patient_of += [pseudonyms[section.patient]] * len(keep)
    if len(section_of) < 8:
        msg = (
            f"Only {len(section_of)} spots have {min_counts} counts or more; 8 are needed to train. Check "
            "the counts, or lower --min-counts."
        )
        raise SectionError(msg)
    return TrainingData(
        np.concatenate(patches),
        np.concatenate(expression),
        np.concatenate(positions),
        np.array(section_of),
        np.array(patient_of),
        poor,
    )
