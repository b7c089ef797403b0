"""How well tissue that the reference does not know is told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_mclstexp.training.data import TrainingData
    from napari_mclstexp.training.options import TrainingOptions


@dataclass(frozen=True, slots=True)
class OtherSlide:
    """A slide of another kind.

    Attributes
    ----------
    path : pathlib.Path
        The image.
    mpp : float or None
        um per px where the file does not tell it.
    """

    path: Path
    mpp: float | None = None


def score_unlike(
    part: TrainingData,
    held: NDArray[np.uint8],
    names: tuple[str, ...],
    options: TrainingOptions,
    others: Sequence[OtherSlide],
) -> tuple[Mapping[str, Any], ...]:
    """To be filled."""
    return ()
