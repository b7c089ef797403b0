"""The window's one mutable object: what is open, and signals when it changes. It knows no Qt."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mclstexp.core.domain_edits import History
from napari_mclstexp.core.domains import DEFAULT_DOMAINS
from napari_mclstexp.core.maps import Blend, Colour, Map, blend, gene_map, value_map
from napari_mclstexp.core.measured.on_slide import pair_spots
from napari_mclstexp.core.remembered import Remembered
from napari_mclstexp.core.signatures import GeneSet, Score, score
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.domain_edits import Edit
    from napari_mclstexp.core.drawing import Drawing
    from napari_mclstexp.core.measured.on_slide import Measured, Pairing
    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.core.raster import Canvas
    from napari_mclstexp.core.regions import Regions
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.saved import Kept
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.core.tissue import TissueMask


BY_NAME = ("name", None)
SIGNATURE_UNIT = "mean z-score over the spots"


@dataclass(frozen=True, slots=True)
class JobState:
    """What runs in the background, and how the last job ended.

    Attributes
    ----------
    running : bool
        Whether a job runs.
    progress : Progress or None
        How far it has come.
    message : str
        How the last one ended, in plain words.
    asked_by : str
        Which step asked for it: slide, predict, domains or export.
    """

    running: bool = False
    progress: Progress | None = None
    message: str = ""
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """How the result is drawn over the slide.

    Attributes
    ----------
    heatmap : bool
        Whether the gene's heatmap is shown.
    source : {"predicted", "measured", "swipe"}
        Which values of the gene; by swipe, predicted ones left of a line and measured ones right of it.
    divider : float
        Where that line is, 0 to 1 of the slide's width.
    one_scale : bool
        Whether predicted and measured values share the limits of their colours.
    opacity : float
        Of the heatmap, 0 to 1.
    domains : {"outlines", "filled", "hidden"}
        How domains are shown.
    colour_managed : bool
        Whether the slide is shown by its ICC profile.
    colour : Colour
        How values become colours.
    blend : tuple of str
        Two or three genes shown in one picture instead of the one gene; else empty.
    """

    heatmap: bool = True
    source: str = "predicted"
    divider: float = 0.5
    one_scale: bool = False
    opacity: float = 0.8
    domains: str = "outlines"
    colour_managed: bool = False
    colour: Colour = field(default_factory=Colour)
    blend: tuple[str, ...] = ()


class Session:
    """Slide, scale, result and gene of one window.

    Attributes
    ----------
    generation : int
        Raised whenever the slide changes; what a job brings for an older one is dropped.
    """

    slide_changed = Signal()
    scale_changed = Signal()
    result_changed = Signal()
    measured_changed = Signal()
    gene_changed = Signal()
    job_changed = Signal()
    view_changed = Signal()
    domains_changed = Signal()
    place_changed = Signal()
    spot_changed = Signal()
    drawing_changed = Signal()
    listing_changed = Signal()
    estimate_changed = Signal()
    kept_changed = Signal()

    def __init__(self) -> None:
        self.generation = 0
        self._slide: Slide | None = None
        self._scale: Scale | None = None
        self._result: Result | None = None
        self._measured: Measured | None = None
        self._pairing: Pairing | None = None
        self._gene: str | None = None
        self._job = JobState()
        self._view = View()
        self._domain_count = DEFAULT_DOMAINS
        self._retired: list[Slide] = []
        self._history: History | None = None
        self._signature: tuple[GeneSet, Score] | None = None
        self._map: Map | Blend | None = None
        self._drawing: Drawing | None = None
        self._tissue: TissueMask | None = None
        self._regions: Regions | None = None
        self._spot: int | None = None
        self.bundles: dict[str, Bundle] = {}
        self.bundle_path: Path | None = None
        self.spots_path: Path | None = None
        self.used_regions: Regions | None = None
        self.remembered = Remembered()
        self.estimate = ""
        self.kept: Kept | None = None
        self._listed: tuple[str, ...] = ()
        self._listed_by: tuple[str, int | None] = BY_NAME

    @property
    def slide(self) -> Slide | None:
        """The open slide."""
        return self._slide

    @property
    def scale(self) -> Scale | None:
        """Um per px in force: the slide's own, or the user's."""
        return self._scale

    @property
    def result(self) -> Result | None:
        """The prediction shown."""
        return self._result

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

    def set_estimate(self, text: str) -> None:
        """Tell how many spots a prediction would have, and how long it would take."""
        self.estimate = text
        self.estimate_changed.emit()

    def set_kept(self, kept: Kept | None) -> None:
        """Tell of work on this slide that was kept from before."""
        self.kept = kept
        self.kept_changed.emit()

    def set_remembered(self, remembered: Remembered) -> None:
        """Take other favourites and recent genes; of the latter nobody is told: each gene would be one."""
        favourites = self.remembered.favourites
        self.remembered = remembered
        if favourites != remembered.favourites:
            self.listing_changed.emit()

    @property
    def pairing(self) -> Pairing | None:
        """Spots by which prediction and measurement are compared, once there are both."""
        return self._pairing

    @property
    def pcc(self) -> float:
        """Correlation of prediction and measurement for the gene shown; NaN where there is none."""
        if self._pairing is None or self._measured is None or self._result is None or self._gene is None:
            return math.nan
        return self._pairing.pcc(self._measured, self._result, self._gene)

    @property
    def gene(self) -> str | None:
        """The gene shown."""
        return self._gene

    @property
    def job(self) -> JobState:
        """What runs in the background."""
        return self._job

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

    @property
    def domain_count(self) -> int:
        """How many domains to find."""
        return self._domain_count

    def set_domain_count(self, count: int) -> None:
        """Find so many domains from now on."""
        self._domain_count = count

    def set_slide(self, slide: Slide | None) -> None:
        """Open another slide; its predecessor's result goes with it."""
        if slide is self._slide:
            return
        previous, self._slide = self._slide, slide
        self.generation += 1
        self._scale = slide.scale if slide else None
        self._measured = self._tissue = self._regions = None
        self._gene = None
        self.estimate, self.kept = "", None
        self._clear_result()
        self.slide_changed.emit()
        self.scale_changed.emit()
        self.place_changed.emit()
        self.measured_changed.emit()
        self.result_changed.emit()
        self.gene_changed.emit()
        if previous is not None:
            self._retired.append(previous)
            self._close_retired()

    def set_scale(self, scale: Scale | None) -> None:
        """Take another scale; a prediction made with the former one goes."""
        if scale == self._scale:
            return
        self._scale = scale
        self._clear_result()
        self._settle_gene()
        self.scale_changed.emit()
        self.result_changed.emit()
        self.gene_changed.emit()

    def _clear_result(self) -> None:
        self._result = self._pairing = self._history = None
        self._drawing = self._signature = self._map = None
        self._listed, self._listed_by = (), BY_NAME
        self._view = replace(self._view, blend=())
        self.set_spot(None)

    def set_result(
        self, result: Result, drawing: Drawing | None = None, history: History | None = None
    ) -> None:
        """Show another result; the gene stays where the result has it, else the most variable is taken.

        Parameters
        ----------
        result : Result
            A prediction.
        drawing : Drawing, optional
            Of its grid; the former one stays where the grid does.
        history : History, optional
            Of its domains' edits; a new one by default.
        """
        kept = self._result is not None and result.grid is self._result.grid
        chosen, held = self._view.blend, self._drawing
        signature = self._signature[0] if self._signature is not None else None
        spot = self._spot if kept else None
        listed = (self._listed_by, self._listed) if kept else None
        self._clear_result()
        self._result = result
        self._drawing = held if kept and drawing is None else drawing
        self._history = history or (None if result.domains is None else History(result.domains))
        if set(chosen) <= set(result.genes):
            self._view = replace(self._view, blend=chosen)
        if signature is not None:
            with suppress(GeneError):  # the other model can lack all of its genes
                self._signature = signature, score(result, signature)
        if listed is not None and listed[0][0] != "markers":
            self._listed_by, self._listed = listed
        self.set_spot(spot)
        self._pair()
        if self._gene not in result.genes:
            self._gene = None
        self._settle_gene()
        self.result_changed.emit()
        self.gene_changed.emit()

    def set_measured(self, measured: Measured | None) -> None:
        """Lay a measured section on the slide, or take it away. The slide's scale comes from it where nothing
        else tells it, provided that no prediction would be lost by that.
        """
        previous, self._measured = self._measured, measured
        told = None if measured is None else measured.scale
        lacking = self._scale is None or (previous is not None and self._scale is previous.scale)
        if told is not None and lacking and self._result is None:
            self.set_scale(told)
        self._pair()
        if measured is not None and self._slide is not None:  # the line begins amid the spots
            middle = float(measured.grid.centres_px[:, 1].mean())
            self.set_view(divider=middle / self._slide.width)
        if self._result is None:
            self._gene = None
        self._settle_gene()
        self.measured_changed.emit()
        self.gene_changed.emit()

    def _settle_gene(self) -> None:
        """Keep the gene where there is a map of it, else take the one that varies most."""
        result, measured = self._result, self._measured
        if self._gene in (*(result.genes if result else ()), *(measured.genes if measured else ())):
            return
        if result is not None:
            self._gene = result.genes[int(result.expression.std(axis=0).argmax())]
        else:
            self._gene = None if measured is None else measured.top_gene

    def _pair(self) -> None:
        both = self._measured is not None and self._result is not None
        self._pairing = pair_spots(self._measured, self._result) if both else None  # type: ignore[arg-type]

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
    def history(self) -> History | None:
        """Edits of the domains."""
        return self._history

    def edit_domains(self, edit: Edit) -> None:
        """Change the domains; it can be undone.

        Raises
        ------
        MclstexpError
            The edit is not possible; nothing has changed.
        """
        if self._history is not None:
            self._take(self._history.do(edit))

    def undo(self) -> None:
        """Take the last edit of the domains back."""
        if self._history is not None and self._history.can_undo:
            self._take(self._history.undo())

    def redo(self) -> None:
        """Do again what was taken back."""
        if self._history is not None and self._history.can_redo:
            self._take(self._history.redo())

    def _take(self, history: History) -> None:
        if self._result is not None:
            self._history = history
            self._result = self._result.with_domains(history.domains, history.count)
            self.domains_changed.emit()

    @property
    def tissue(self) -> TissueMask | None:
        """Mask of the tissue as a person has painted it; None where it is found by the program."""
        return self._tissue

    @property
    def regions(self) -> Regions | None:
        """Where to predict; None for the whole tissue."""
        return self._regions

    def set_place(self, **changes: TissueMask | Regions | None) -> None:
        """Predict elsewhere from now on: `tissue`, `regions`."""
        self._tissue = changes.get("tissue", self._tissue)  # type: ignore[assignment]
        self._regions = changes.get("regions", self._regions)  # type: ignore[assignment]
        self.place_changed.emit()

    @property
    def spot(self) -> int | None:
        """Row of the spot that is explained."""
        return self._spot

    def set_spot(self, row: int | None) -> None:
        """Explain a spot, or none."""
        if row != self._spot:
            self._spot = row
            self.spot_changed.emit()

    def set_job(self, **changes: Any) -> None:
        """Replace the job's state."""
        self._job = JobState(**changes)
        self._close_retired()
        self.job_changed.emit()

    def _close_retired(self) -> None:
        """Close slides that were left, once no job can be reading from them."""
        if not self._job.running:
            for slide in self._retired:
                slide.close()
            self._retired.clear()
