"""How far a job has come, as a value that it yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray

    from napari_mclstexp.core.drawing import Drawing
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
    drawing : Drawing or None
        What drawing these spots takes.
    note : str
        What is to be told besides.
    taken : int
        How many of the finished spots come from an interrupted run.
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
    drawing: Drawing | None = None
    note: str = ""
    taken: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to be told once each."""
        taken = (
            f"{self.taken:,} of {self.total:,} spots taken from the interrupted run." if self.taken else ""
        )
        return tuple(filter(None, (taken, self.note)))


class Enough(Exception):
    """Thrown into a running prediction, by ``steps.throw(Enough())``: end with what is done.

    After k spots it goes on with these k alone, whole to the end, and its result says so. Once all spots are
    encoded it changes nothing. Before any spot is done there is nothing to keep: it comes back out of the
    generator, which has then ended as if it had been closed.
    """


def heard(step: Progress) -> Generator[Progress, None, bool]:
    """Yield a step; for ``yield from``.

    Returns
    -------
    bool
        Whether :class:`Enough` was thrown at it.
    """
    try:
        yield step
    except Enough:
        return True
    return False
