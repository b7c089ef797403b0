"""What of a session is shown: the gene, a signature or a blend; its view; the spot that is explained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mclstexp.core.limits import colour_limits
from napari_mclstexp.core.maps import Blend, Map, blend, gene_map, value_map
from napari_mclstexp.core.remembered import Remembered
from napari_mclstexp.core.signatures import GeneSet, Score, score
from napari_mclstexp.session.values import Tool, View

if TYPE_CHECKING:
    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.drawing import Drawing
    from napari_mclstexp.core.maps import Colour
    from napari_mclstexp.core.measured.on_slide import Measured
    from napari_mclstexp.core.raster import Canvas
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.session.paging import Key, Paging

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
    paging_changed = Signal()

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
        self.paging: Paging | None = None

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
        before, view = self._view.colour, replace(self._view, **changes)
        if view != self._view:
            self._map = None
            self._view = view
            if view.colour.centred != before.centred:
                self._hold_colours()
            elif view.colour != before:
                self._note_limits()
            self.view_changed.emit()

    def set_paging(self, paging: Paging | None) -> None:
        """Page through a cohort, to another slide of it, or no longer."""
        self.paging = paging
        self.paging_changed.emit()

    def share_colours(self, wanted: bool) -> None:
        """Let a gene's colours mean the same on all slides of the cohort, or follow each slide."""
        if self.paging is not None and wanted != self.paging.same_colours:
            self.paging = replace(self.paging, same_colours=wanted)
            self._hold_colours()
            if not wanted:
                self._colour(by="percentiles")
            self.paging_changed.emit()
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
        self._hold_colours()
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
        self._hold_colours()
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
        self._hold_colours()
        self.gene_changed.emit()

    @property
    def predicted_map(self) -> Map | Blend | None:
        """What of the prediction is shown: the gene, the signature or the blend; None without any."""
        result, gene, view = self._result, self._gene, self._view
        if result is None or self._map is not None:
            return self._map
        if view.blend:
            held = {gene: limits for gene in view.blend if (limits := self._held((gene, False)))}
            self._map = blend(result, view.blend, view.colour.percentiles, held)
        elif self._signature is not None:
            genes, found = self._signature
            plain = replace(view.colour, centred=False)
            self._map = value_map(genes.name, found.values, SIGNATURE_UNIT, plain, found.values)
        elif gene in result.genes:
            centred = view.colour.centred and result.reference_mean is not None
            self._map = gene_map(result, gene, replace(view.colour, centred=centred))
        return self._map

    def colour_of(self, gene: str, *, centred: bool) -> Colour:
        """How a predicted gene is coloured, be it the one shown or not."""
        colour, held = replace(self._view.colour, centred=centred), self._held((gene, centred))
        return colour if held is None else replace(colour, by="numbers", numbers=held)

    def _held(self, key: Key) -> tuple[float, float] | None:
        """Limits that the slides of a cohort share; None where there are none."""
        paging = self.paging
        return None if paging is None or not paging.same_colours else paging.limits.get(key)

    def _key(self) -> Key | None:
        """What the limits of the prediction's colours belong to; None where there are none, or several."""
        result, gene = self._result, self._gene
        if result is None or self._view.blend:
            return None
        if self._signature is not None:
            return f"signature {self._signature[0].name}", False
        if gene is None or gene not in result.genes:
            return None
        return gene, self._view.colour.centred and result.reference_mean is not None

    def _hold_colours(self) -> None:
        """Colour what is shown within the limits that the slides of a cohort share; if it is the first slide
        on which this is shown, they are those that it has there.
        """
        key = self._key()
        if self.paging is None or not self.paging.same_colours or self._result is None:
            return
        if key is not None and self._held(key) is None:
            self._colour(by="percentiles")
        if key is None or self._held(key) is None:
            self._note_limits(anew=False)
        held = None if key is None else self._held(key)
        if held is not None:
            self._colour(by="numbers", numbers=held)

    def _note_limits(self, *, anew: bool = True) -> None:
        """Take the limits of what is shown for all slides of a cohort."""
        result, paging, key = self._result, self.paging, self._key()
        if result is None or paging is None or not paging.same_colours:
            return
        shown = self.predicted_map if key is not None else None
        if key is not None and isinstance(shown, Map):
            paging = paging.with_limits(key, shown.limits)
        for gene in self._view.blend:
            if anew or (gene, False) not in paging.limits:
                found = colour_limits(result.believable(gene), self._view.colour.percentiles)
                paging = paging.with_limits((gene, False), found)
        self.paging = paging
        if self._view.blend:
            self._map = None

    def _colour(self, **changes: Any) -> None:
        self._map = None
        self._view = replace(self._view, colour=replace(self._view.colour, **changes))

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
