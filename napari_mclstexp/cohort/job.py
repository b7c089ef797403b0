"""A slide to predict, as it goes to a worker, and its spots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.cohort.folder import SLIDES, UNFINISHED, map_path

if TYPE_CHECKING:
    from napari_mclstexp.cohort.request import Settings
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.tissue import TissueMask


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """A slide to predict; it shows its fingerprint alone, as in the logs of a scheduler.

    Attributes
    ----------
    key : str
        See :meth:`.request.Settings.key`.
    fingerprint : str
        The slide's.
    slide, bundle, folder : str
        Paths of slide, model and cohort.
    name : str
        Of the slide's files.
    mpp : str
        As given for this slide.
    bundle_hash : str
        That the model must have.
    settings : Settings
        How it is predicted.
    backend : str
        How the network runs; see :data:`.backends.BACKENDS`.
    tile : int
        Spots that are encoded in one task at most.
    threads : int
        For the network to compute on; 0: as many as there are.
    """

    key: str
    fingerprint: str
    slide: str
    bundle: str
    folder: str
    name: str
    mpp: str
    bundle_hash: str
    settings: Settings
    backend: str
    tile: int
    threads: int = 0

    def __repr__(self) -> str:
        return f"<slide {self.fingerprint[:12]}>"

    @property
    def unfinished(self) -> Path:
        """Folder of the spots that are encoded."""
        return Path(self.folder) / UNFINISHED / self.key

    @property
    def result(self) -> Path:
        """RESULT.h5ad of this slide."""
        return Path(self.folder) / SLIDES / f"{self.name}.h5ad"

    def map(self, gene: str) -> Path:
        """Picture of a gene."""
        return map_path(Path(self.folder), self.name, gene)

    def part(self, start: int) -> Path:
        """File of the tile that begins with this spot."""
        return self.unfinished / f"{start:09}.safetensors"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Laid:
    """Spots of a slide.

    Attributes
    ----------
    grid : SpotGrid
        The N spots.
    tissue : TissueMask or None
        By which they were laid.
    scale : Scale or None
        um per px of the slide.
    """

    grid: SpotGrid
    tissue: TissueMask | None
    scale: Scale | None

    def __repr__(self) -> str:
        return f"<{len(self.grid)} spots>"
