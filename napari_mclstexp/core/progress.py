"""How far a job has come, as a value that it yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_mclstexp.core.grid import SpotGrid


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a job has come.

    Attributes
    ----------
    stage : str
        What is being done, in plain words.
    done, total : int
        Spots finished, and of how many.
    seconds_left : float or None
        Estimate, once there is one.
    rows : slice or None
        Spots that were finished since the last value.
    expression : numpy.ndarray or None
        (B, G) float32 of those spots.
    grid : SpotGrid or None
        All spots, once they are laid.
    genes : tuple of str
        The G gene symbols.
    unit : str
        What is counted.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    rows: slice | None = None
    expression: NDArray[np.float32] | None = None
    grid: SpotGrid | None = None
    genes: tuple[str, ...] = ()
    unit: str = "spots"
