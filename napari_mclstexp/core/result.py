"""The outcome of a prediction: one frozen value that everything shown or exported comes from."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.held_out import HeldOut
    from napari_mclstexp.core.tissue import TissueMask
    from napari_mclstexp.core.trust import SpotTrust

STATEMENT = "Predicted from H&E, not measured. For research use only."


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a result came about; written into every export.

    The slide is named by its fingerprint alone. Unknown scales are NaN.

    Attributes
    ----------
    regions : str
        Which regions the spots were kept to: spots, number, area and digest; empty for the whole tissue.
    tissue_edits : str
        How far a person has changed the tissue mask; empty where the program found it.
    edits : int
        Edits of the domains by hand.
    domain_count : int
        How many domains were asked for.
    domain_method : str
        How they were found; see :mod:`.domain_methods`.
    partial : str
        How many spots of how many, where the prediction was stopped before its end; else empty.
    """

    slide_fingerprint: str
    width: int
    height: int
    mpp_x: float
    mpp_y: float
    mpp_source: str
    layout: str
    pitch_um: float
    bundle_id: str
    bundle_hash: str
    mode: str
    normalisation: str
    field_um: float
    patch_px: int
    top_k: int
    weighting: str
    backend: str
    device: str
    batch_size: int
    threads: int
    seed: int
    version: str
    slide_notes: str = ""
    head: str = "retrieval"
    regions: str = ""
    tissue_edits: str = ""
    edits: int = 0
    domain_count: int = 0
    domain_method: str = "kmeans"
    partial: str = ""
    statement: str = STATEMENT

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)

    def as_json(self) -> dict[str, Any]:
        """Plain values by name, None for NaN, which is no JSON."""
        return {name: None if value != value else value for name, value in self.as_dict().items()}


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """Tissue domains of spots.

    Attributes
    ----------
    labels : numpy.ndarray
        (N,) int32 from 1; 0 is no domain.
    names : mapping of int to str
        Name of each label.
    colours : mapping of int to str
        ``#rrggbb`` of each label.
    locked : frozenset of int
        Labels whose spots stay as they are.
    annotations : tuple of Annotation
        Areas that are no cluster, drawn or imported.
    """

    labels: NDArray[np.int32]
    names: Mapping[int, str]
    colours: Mapping[int, str]
    locked: frozenset[int] = frozenset()
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Predicted expression of the spots of one slide.

    Attributes
    ----------
    grid : SpotGrid
        The N spots.
    genes : tuple of str
        G gene symbols.
    expression : numpy.ndarray
        (N, G) float32, in the unit ``provenance.normalisation``.
    similarity, spread, effective_k : numpy.ndarray
        (N,) float32; see :mod:`.trust` and :func:`.retrieval.gather`.
    provenance : Provenance
        How it came about.
    hires, lowres : numpy.ndarray
        (h, w, 3) uint8 RGB of the slide without its label, at most 2,000 and 600 px.
    domains : Domains or None
        Tissue domains once found.
    trust : SpotTrust or None
        How far to believe each spot; None in results of former versions.
    held_out : HeldOut or None
        How well each gene was predicted on held-out sections; None where the model was not evaluated.
    reference_mean : numpy.ndarray or None
        (G,) float32 mean of each gene over the reference spots, in the unit of `expression`; None in results
        of former versions.
    tissue : TissueMask or None
        By which the spots were laid; None for spots that were given, and in results of former versions.
    image : numpy.ndarray or None
        (N, C) float32, at most 20 principal components of the spots' image embeddings; None in results of
        former versions.
    """

    grid: SpotGrid
    genes: tuple[str, ...]
    expression: NDArray[np.float32]
    similarity: NDArray[np.float32]
    spread: NDArray[np.float32]
    effective_k: NDArray[np.float32]
    provenance: Provenance
    hires: NDArray[np.uint8]
    lowres: NDArray[np.uint8]
    domains: Domains | None = None
    trust: SpotTrust | None = None
    held_out: HeldOut | None = None
    reference_mean: NDArray[np.float32] | None = None
    tissue: TissueMask | None = None
    image: NDArray[np.float32] | None = None

    def gene_values(self, gene: str) -> NDArray[np.float32]:
        """Predicted values of one gene, (N,) float32.

        Raises
        ------
        GeneError
            The model does not predict this gene.
        """
        try:
            return self.expression[:, self.genes.index(gene)]
        except ValueError as error:
            near = difflib.get_close_matches(gene.upper(), self.genes, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            msg = f"The model does not predict the gene {gene!r}; it has {len(self.genes)} others.{hint}"
            raise GeneError(msg) from error

    @property
    def unlike(self) -> NDArray[np.bool_] | None:
        """Which spots' tissue is unlike the reference, (N,) bool; None where that cannot be told."""
        return None if self.trust is None else self.trust.unlike

    def believable(self, gene: str) -> NDArray[np.float32]:
        """Predicted values of one gene, (N,) float32; NaN where the tissue is unlike the reference.

        Raises
        ------
        GeneError
            The model does not predict this gene.
        """
        values = self.gene_values(gene)
        if self.unlike is None or not self.unlike.any():
            return values
        return np.where(self.unlike, np.float32(np.nan), values)

    def reliability(self, gene: str) -> str:
        """One line on how well a gene was predicted where it was held out."""
        if self.held_out is None:
            return "Not evaluated: nobody knows how well this model predicts it."
        return self.held_out.about(self.genes.index(gene))

    def with_domains(self, domains: Domains, edits: int = 0) -> Result:
        """Copy with these domains, which so many edits by hand have led to."""
        return replace(self, domains=domains, provenance=replace(self.provenance, edits=edits))
