"""Spots whose expression was measured, as their files hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.errors import SectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from napari_mclstexp.core.scale import Scale


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSpots:
    """Spots that have both expression and a position.

    Attributes
    ----------
    name, patient : str
        Section and patient, as the source names them.
    scale : Scale or None
        um per full-resolution px, by the spots' known distance or as the file tells it.
    ids : numpy.ndarray
        (N,) str spot ids or barcodes.
    xy_px : numpy.ndarray
        (N, 2) float64 x, y of spot centres in full-resolution px.
    array_xy : numpy.ndarray
        (N, 2) float64 array column, row.
    genes : tuple of str
        All G gene symbols measured.
    values : scipy.sparse.csr_matrix
        (N, G) float64: raw counts in most files.
    """

    name: str
    patient: str
    scale: Scale | None
    ids: NDArray[np.str_]
    xy_px: NDArray[np.float64]
    array_xy: NDArray[np.float64]
    genes: tuple[str, ...]
    values: sparse.csr_matrix

    def __post_init__(self) -> None:
        spots = len(self.ids)
        if self.xy_px.shape != (spots, 2) or not np.isfinite(self.xy_px).all():
            msg = f"Section {self.name} has spot positions that are no numbers: x and y of each are needed."
            raise SectionError(msg)
        if not self.genes or self.values.shape != (spots, len(self.genes)):
            held = " x ".join(map(str, self.values.shape))
            msg = f"Section {self.name} holds {held} values for {spots} spots and {len(self.genes)} genes."
            raise SectionError(msg)

    @property
    def are_counts(self) -> bool:
        """Whether the values are counts: finite whole numbers from 0."""
        values = self.values.data
        return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all())
