"""What of a session is shown: the gene, a signature or a blend; its view; the spot that is explained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mclstexp.core.maps import Blend, Map, blend, gene_map, value_map
from napari_mclstexp.core.remembered import Remembered
from napari_mclstexp.core.signatures import GeneSet, Score, score
from napari_mclstexp.session.values import Tool, View

if TYPE_CHECKING:
    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.drawing import Drawing
    from napari_mclstexp.core.measured.on_slide import Measured
    from napari_mclstexp.core.raster import Canvas
    from napari_mclstexp.core.result import Result

BY_NAME = ("name", None)
SIGNATURE_UNIT = "mean z-score over the spots"


class Shown:
    """The part of a session that says what is drawn of its result; see :class:`.Session`."""

    gene_changed = Signal()
    view_changed = Signal()
    spot_changed = Signal()
    drawing_changed = Signal()
    listing_changed = Signal()
    tool_changed = Signal()

    def __init__(self) -> None:
        self._result: Result | None = None
        self._measured: Measured | None = None
        self._gene: str | None = None
        self._view = View()
        self._signature: tuple[GeneSet, Score] | None = None
        self._map: Map | Blend | None = None
        self._drawing: Drawing | None = None
        self._spot: int | None = None
        self._listed: tuple[str, ...] = ()
        self._listed_by: tuple[str, int | None] = BY_NAME
        self.remembered = Remembered()
        self.tool = Tool()

    @property
    def result(self) -> Result | None:
        """The prediction shown."""
        return self._result

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """Annotations of the slide."""
        domains = None if self._result is None else self._result.domains
        return () if domains is None else domains.annotations

    @property
    def measured(self) -> Measured | None:
        """The measured section that was laid on the slide."""
        return self._measured

    @property
    def source(self) -> str:
        """Which values are shown: those that the view asks for, where there is a choice."""
        if self._measured is None:
            return "predicted"
        return "measured" if self._result is None else self._view.source

    @property
    def genes(self) -> tuple[str, ...]:
        """Genes that can be shown, in the order asked for, else by name; by swipe, those that are both
        predicted and measured.
        """
        predicted = () if self._result is None else self._result.genes
        measured = () if self._measured is None else self._measured.genes
        if self.source == "swipe":
            return tuple(sorted(set(predicted).intersection(measured)))
        if self.source == "predicted":
            return self._listed or tuple(sorted(predicted))
        return tuple(sorted(measured))

    @property
    def listed_by(self) -> tuple[str, int | None]:
        """By what genes are listed, and the label of the domain where it is by its markers."""
        return self._listed_by

    def list_genes(self, by: tuple[str, int | None], genes: tuple[str, ...]) -> None:
        """List the predicted genes in another order."""
        self._listed_by, self._listed = by, genes
        self.listing_changed.emit()

    def set_remembered(self, remembered: Remembered) -> None:
        """Take other favourites and recent genes; of the latter nobody is told: each gene would be one."""
        favourites = self.remembered.favourites
        self.remembered = remembered
        if favourites != remembered.favourites:
            self.listing_changed.emit()

    @property
    def gene(self) -> str | None:
        """The gene shown."""
        return self._gene

    @property
    def view(self) -> View:
        """How the result is drawn."""
        return self._view

    def set_view(self, **changes: Any) -> None:
        """Draw the result otherwise."""
        view = replace(self._view, **changes)
        if view != self._view:
            self._map = None
            self._view = view
            self.view_changed.emit()

    def set_gene(self, gene: str) -> None:
        """Show another gene.

        Raises
        ------
        GeneError
            Neither the result nor the measured section has it.
        """
        if self._result is None and self._measured is None:
            return
        if gene == self._gene and self._signature is None and not self._view.blend:
            return
        measured = self._measured is not None and gene in self._measured.genes
        if not measured and self._result is not None:
            self._result.gene_values(gene)
        elif not measured and self._measured is not None:
            self._measured.gene_values(gene)
        self._gene = gene
        self._signature = self._map = None
        self._view = replace(self._view, blend=())
        self.gene_changed.emit()

    @property
    def signature(self) -> tuple[GeneSet, Score] | None:
        """Gene set that is shown instead of the gene, with its score."""
        return self._signature

    def set_signature(self, genes: GeneSet | None) -> None:
        """Show a gene set's score instead of the gene, or the gene again.

        Raises
        ------
        GeneError
            The model predicts none of its genes.
        """
        if self._result is None:
            return
        self._signature = None if genes is None else (genes, score(self._result, genes))
        self._map = None
        self._view = replace(self._view, blend=())
        self.gene_changed.emit()

    def set_blend(self, genes: tuple[str, ...]) -> None:
        """Show two or three genes in one picture, or with none the gene again.

        Raises
        ------
        GeneError
            The model does not predict one of them, or it is another number of genes.
        """
        if self._result is None:
            return
        if genes:
            blend(self._result, genes)
        self._signature = self._map = None
        self._view = replace(self._view, blend=genes)
        self.gene_changed.emit()

    @property
    def predicted_map(self) -> Map | Blend | None:
        """What of the prediction is shown: the gene, the signature or the blend; None without any."""
        result, gene, view = self._result, self._gene, self._view
        if result is None or self._map is not None:
            return self._map
        if view.blend:
            self._map = blend(result, view.blend, view.colour.percentiles)
        elif self._signature is not None:
            genes, found = self._signature
            plain = replace(view.colour, centred=False)
            self._map = value_map(genes.name, found.values, SIGNATURE_UNIT, plain, found.values)
        elif gene in result.genes:
            centred = view.colour.centred and result.reference_mean is not None
            self._map = gene_map(result, gene, replace(view.colour, centred=centred))
        return self._map

    @property
    def drawing(self) -> Drawing | None:
        """What drawing the result's spots takes, once it is made."""
        return self._drawing

    @property
    def canvas(self) -> Canvas | None:
        """For maps that are drawn as a picture; None where they are drawn as points."""
        return None if self._drawing is None else self._drawing.canvas

    def set_drawing(self, drawing: Drawing) -> None:
        """Draw the result otherwise."""
        self._drawing = drawing
        self.drawing_changed.emit()

    @property
    def spot(self) -> int | None:
        """Row of the spot that is explained."""
        return self._spot

    def set_spot(self, row: int | None) -> None:
        """Explain a spot, or none; one asked for again is told again, for its card may have been closed."""
        if row is not None or self._spot is not None:
            self._spot = row
            self.spot_changed.emit()

    def set_tool(self, **changes: Any) -> None:
        """Take another tool, or change what it does."""
        tool = replace(self.tool, **changes)
        if tool != self.tool:
            self.tool = tool
            self.tool_changed.emit()
