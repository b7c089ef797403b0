"""The window's one mutable object: what is open, and signals when it changes. It knows no Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mclstexp.core.domains import DEFAULT_DOMAINS

if TYPE_CHECKING:
    from napari_mclstexp.core.bundle import Bundle
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
    opacity : float
        Of the heatmap, 0 to 1.
    domains : {"outlines", "filled", "hidden"}
        How domains are shown.
    colour_managed : bool
        Whether the slide is shown by its ICC profile.
    """

    heatmap: bool = True
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
    gene_changed = Signal()
    job_changed = Signal()
    view_changed = Signal()

    def __init__(self) -> None:
        self.generation = 0
        self._slide: Slide | None = None
        self._scale: Scale | None = None
        self._result: Result | None = None
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
        self._result = None
        self._gene = None
        self.slide_changed.emit()
        self.scale_changed.emit()
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
        self._result = None
        self.scale_changed.emit()
        self.result_changed.emit()
        self.gene_changed.emit()

    def set_result(self, result: Result) -> None:
        """Show another result; the gene stays where the result has it, else the most variable is taken."""
        self._result = result
        if self._gene not in result.genes:
            self._gene = result.genes[int(result.expression.std(axis=0).argmax())]
        self.result_changed.emit()
        self.gene_changed.emit()

    def set_gene(self, gene: str) -> None:
        """Show another gene.

        Raises
        ------
        GeneError
            The result does not have it.
        """
        if self._result is None or gene == self._gene:
            return
        self._result.gene_values(gene)
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
