"""What a prediction tells of each spot, filled in part by part."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core import trust
from napari_mclstexp.core.heads import predict_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.context import Seen
    from napari_mclstexp.core.how import How


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What is told of N spots.

    Attributes
    ----------
    expression : numpy.ndarray
        (N, G) float32.
    similarity, spread, effective_k : numpy.ndarray
        (N,) float32; see :class:`.result.Result`.
    patients : numpy.ndarray
        (N,) int32; see :class:`.trust.SpotTrust`, as of the next two.
    rows, weights : numpy.ndarray
        (N, S) int32 and float32 of the heaviest matches.
    """

    expression: NDArray[np.float32]
    similarity: NDArray[np.float32]
    spread: NDArray[np.float32]
    effective_k: NDArray[np.float32]
    patients: NDArray[np.int32]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def empty(cls, total: int, genes: int, shown: int) -> Told:
        """Of `total` spots of which nothing is known yet, with room for `shown` matches of each."""
        return cls(
            np.zeros((total, genes), np.float32),
            np.zeros(total, np.float32),
            np.zeros(total, np.float32),
            np.zeros(total, np.float32),
            np.zeros(total, np.int32),
            np.zeros((total, shown), np.int32),
            np.zeros((total, shown), np.float32),
        )

    def some(self, at: slice | NDArray[np.intp]) -> Told:
        """Copy of some spots, so that the room of the others is given back."""
        return Told(*(getattr(self, field.name)[at].copy() for field in fields(self)))

    def take(self, at: slice | NDArray[np.intp], seen: Seen, how: How) -> None:
        """Predict some spots."""
        ridge, patient = how.bundle.beside.ridge, how.bundle.patient
        self.expression[at], self.spread[at], matches = predict_by(how.head, seen, how.bank, ridge)
        self.similarity[at] = trust.similarity(matches)
        self.effective_k[at] = trust.effective_k(matches)
        self.patients[at] = trust.patients_among(matches, patient)
        self.rows[at], self.weights[at] = trust.heaviest(matches)

    def trust(self, looks: NDArray[np.float32], how: How) -> trust.SpotTrust:
        """How far the spots can be trusted, which look like `looks` (N, APPEARANCE)."""
        held_out, unlike = how.bundle.beside.held_out, how.bundle.beside.unlike
        return trust.SpotTrust(
            self.patients,
            held_out.percentile(self.similarity) if held_out is not None and how.usual else None,
            None if unlike is None else unlike.unlike(looks),
            self.rows,
            self.weights,
        )
