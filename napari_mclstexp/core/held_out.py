"""What an evaluation on held-out sections found out about a model: told beside each gene and each spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

PREDICTABLE = 0.1
"""A gene whose held-out correlation is lower, or whose interval reaches 0, is called not predictable."""

COVERAGE = 0.9
"""Share of held-out values that the conformal intervals are made to cover."""

ARRAYS = ("pcc", "low", "high", "width")


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Agreement of a model's recipe with measurement on sections that it was not trained on.

    Attributes
    ----------
    pcc, low, high : numpy.ndarray
        (G,) float32 mean Pearson correlation over the held-out sections, with its 95 % interval.
    width : numpy.ndarray
        (G,) float32 half width of the conformal interval that covers `COVERAGE` of held-out values.
    similarity : numpy.ndarray
        (101,) float32 percentiles 0 to 100 of the similarity of held-out spots to their matches.
    protocol : {"leave-patient-out", "leave-section-out"}
        What was held out.
    same_patient : bool
        Whether another section of a held-out section's patient was trained on.
    sections, patients : int
        How many were held out.
    intervals : str
        Over what the intervals were bootstrapped.
    """

    pcc: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    width: NDArray[np.float32]
    similarity: NDArray[np.float32]
    protocol: str
    same_patient: bool
    sections: int
    patients: int
    intervals: str

    def predictable(self) -> NDArray[np.bool_]:
        """Which genes a map may be read of, (G,) bool."""
        return (self.pcc >= PREDICTABLE) & (self.low > 0)

    def percentile(self, similarity: NDArray[np.floating]) -> NDArray[np.float32]:
        """Percentile of similarities (N,) among those of held-out spots, (N,) float32 from 0 to 100."""
        return np.interp(similarity, self.similarity, np.linspace(0, 100, 101)).astype(np.float32)

    def about(self, index: int) -> str:
        """One line on a gene: how well it was predicted where it was held out."""
        pcc, low, high = (float(a[index]) for a in (self.pcc, self.low, self.high))
        where = "same patient in training" if self.same_patient else "patients held out"
        line = f"PCC {pcc:.2f} ({low:.2f} to {high:.2f}), {where}"
        return line if self.predictable()[index] else f"Not predictable: {line}"

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Arrays as a bundle stores them."""
        return {name: getattr(self, name) for name in (*ARRAYS, "similarity")}

    def story(self) -> dict[str, str | int | bool]:
        """The rest, as a bundle and a result tell it in words."""
        return {
            "protocol": self.protocol,
            "same_patient": self.same_patient,
            "sections": self.sections,
            "patients": self.patients,
            "intervals": self.intervals,
        }

    @classmethod
    def from_stored(
        cls, stored: Mapping[str, NDArray[np.floating]], story: Mapping[str, object], genes: int
    ) -> HeldOut:
        """Of what a bundle or a result stores.

        Raises
        ------
        BundleError
            A part is missing, of the wrong kind or shape, or not finite.
        """
        try:
            arrays = {name: np.asarray(stored[name], dtype=np.float32) for name in (*ARRAYS, "similarity")}
            held = cls(
                **arrays,
                protocol=str(story["protocol"]),
                same_patient=bool(story["same_patient"]),
                sections=int(str(story["sections"])),
                patients=int(str(story["patients"])),
                intervals=str(story["intervals"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            msg = f"What is stored of the evaluation lacks a part, or has one of the wrong kind: {error}."
            raise BundleError(msg) from error
        shapes = [a.shape == ((101,) if n == "similarity" else (genes,)) for n, a in arrays.items()]
        if not all(shapes) or not all(np.isfinite(a).all() for a in arrays.values()):
            msg = "What is stored of the evaluation has the wrong shape, or numbers that are not finite."
            raise BundleError(msg)
        if (np.diff(held.similarity) < 0).any():
            msg = "The similarities stored of the evaluation do not ascend."
            raise BundleError(msg)
        return held
