"""The window's one mutable object: what is open, and signals when it changes. It knows no Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mclstexp.core.domains import DEFAULT_DOMAINS
from napari_mclstexp.core.measured.on_slide import pair_spots

if TYPE_CHECKING:
    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.measured.on_slide import Measured, Pairing
    from napari_mclstexp.core.progress import Progress
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide


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
    """

    heatmap: bool = True
    source: str = "predicted"
    divider: float = 0.5
    one_scale: bool = False
    opacity: float = 0.8
    domains: str = "outlines"
    colour_managed: bool = False


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
        self.bundles: dict[str, Bundle] = {}

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
        """Genes that can be shown, sorted; by swipe, those that are both predicted and measured."""
        predicted = () if self._result is None else self._result.genes
        measured = () if self._measured is None else self._measured.genes
        if self.source == "swipe":
            return tuple(sorted(set(predicted).intersection(measured)))
        return tuple(sorted(predicted if self.source == "predicted" else measured))

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
        self._result = self._measured = self._pairing = None
        self._gene = None
        self.slide_changed.emit()
        self.scale_changed.emit()
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
        self._result = self._pairing = None
        self._settle_gene()
        self.scale_changed.emit()
        self.result_changed.emit()
        self.gene_changed.emit()

    def set_result(self, result: Result) -> None:
        """Show another result; the gene stays where the result has it, else the most variable is taken."""
        self._result = result
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
        if gene == self._gene or (self._result is None and self._measured is None):
            return
        measured = self._measured is not None and gene in self._measured.genes
        if not measured and self._result is not None:
            self._result.gene_values(gene)
        elif not measured and self._measured is not None:
            self._measured.gene_values(gene)
        self._gene = gene
        self.gene_changed.emit()

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
