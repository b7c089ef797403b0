"""The light half of the door: what opening a slide takes, without the model and its libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

MISSING_MPP = (
    "The scale of this slide is unknown: the file does not say how many um a pixel is. Give um per pixel, "
    "such as 0.5 (20x scans have about 0.5, 40x about 0.25)."
)


TILES_A_STEP = 16


def known_scale(slide: Slide) -> Scale | None:
    """Um per px by the slide's own fields, else by the measured section that was opened with it."""
    if slide.scale is not None or slide.companion is None or slide.traits.scale.question:
        return slide.scale
    from napari_mclstexp.core.measured.reading import read_measured

    return read_measured(slide.companion.path, slide, slide.companion.factor).scale


def scale_question(slide: Slide) -> str:
    """What a person has to settle about a slide whose scale is not known."""
    return slide.traits.scale.question or MISSING_MPP


def preparing(slide: Slide) -> Generator[Progress, None, None]:
    """Make what the slide's file lacks, where anything does; see :meth:`.Slide.prepare`."""
    for done, total in slide.prepare():
        if done % TILES_A_STEP == 0:
            yield Progress("Preparing the slide", done, total, unit="tiles")
