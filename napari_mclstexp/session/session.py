"""Slide, scale, result and work of one window, and signals when they change. It knows no Qt."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_mclstexp.core.domain_history import History
from napari_mclstexp.core.measured.on_slide import pair_spots
from napari_mclstexp.core.signatures import score
from napari_mclstexp.errors import GeneError
from napari_mclstexp.session.shown import BY_NAME, Shown
from napari_mclstexp.session.values import NEW, DomainChoice, JobState

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.domain_edits import Edit
    from napari_mclstexp.core.drawing import Drawing
    from napari_mclstexp.core.measured.on_slide import Measured, Pairing
    from napari_mclstexp.core.regions import Regions
    from napari_mclstexp.core.result import Result
    from napari_mclstexp.core.saved import Kept
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide
    from napari_mclstexp.core.stability import Stability
    from napari_mclstexp.core.tissue import TissueMask


class Session(Shown):
    """Slide, scale, result and gene of one window.

    Attributes
    ----------
    generation : int
        Raised whenever the slide changes; what a job brings for an older one is dropped.
    shows_page : bool
        Whether the result is one that a cohort keeps, with its domains edited or not.
    """

    slide_changed = Signal()
    scale_changed = Signal()
    result_changed = Signal()
    measured_changed = Signal()
    job_changed = Signal()
    domains_changed = Signal()
    place_changed = Signal()
    estimate_changed = Signal()
    kept_changed = Signal()
    stability_changed = Signal()
    choice_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.generation = 0
        self._slide: Slide | None = None
        self._scale: Scale | None = None
        self._pairing: Pairing | None = None
        self._job = JobState()
        self.domain_choice = DomainChoice()
        self.stability: Stability | None = None
        self._retired: list[Slide] = []
        self._history: History | None = None
        self._tissue: TissueMask | None = None
        self._regions: Regions | None = None
        self.bundles: dict[str, Bundle] = {}
        self.bundle_path: Path | None = None
        self.spots_path: Path | None = None
        self.used_regions: Regions | None = None
        self.estimate = ""
        self.kept: Kept | None = None
        self.shows_page = False

    @property
    def slide(self) -> Slide | None:
        """The open slide."""
        return self._slide

    @property
    def opened(self) -> tuple[Path, ...]:
        """Files and folders that are open, the measured section with them; none of them is ever replaced."""
        slide = () if self._slide is None else self._slide.opened
        return slide if self._measured is None else (*slide, self._measured.path)

    @property
    def scale(self) -> Scale | None:
        """Um per px in force: the slide's own, or the user's."""
        return self._scale

    def set_estimate(self, text: str) -> None:
        """Tell how many spots a prediction would have, and how long it would take."""
        self.estimate = text
        self.estimate_changed.emit()

    def set_kept(self, kept: Kept | None) -> None:
        """Tell of work on this slide that was kept from before."""
        self.kept = kept
        self.kept_changed.emit()

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
    def job(self) -> JobState:
        """What runs in the background."""
        return self._job

    def set_domain_choice(self, **changes: Any) -> None:
        """Find domains otherwise from now on: `count`, `method`."""
        self.domain_choice = replace(self.domain_choice, **changes)
        self.choice_changed.emit()

    def set_stability(self, stability: Stability | None) -> None:
        """Tell how stable numbers of domains are, and take the best of them."""
        self.stability = stability
        if stability is not None:
            self.set_domain_choice(count=stability.best)
        self.stability_changed.emit()

    def set_slide(self, slide: Slide | None, scale: Scale | None = None) -> None:
        """Open another slide, at its own scale if no other is given; the result of the one before goes."""
        if slide is self._slide:
            return
        previous, self._slide = self._slide, slide
        self.generation += 1
        self._scale = scale or (slide.scale if slide else None)
        self._measured = self._tissue = self._regions = None
        self._gene = None
        self.estimate, self.kept = "", None
        self.bundle_path = self.spots_path = self.used_regions = None
        self._clear_result()
        self.set_stability(None)
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
        self.set_stability(None)
        self._settle_gene()
        self.scale_changed.emit()
        self.result_changed.emit()
        self.gene_changed.emit()

    def _clear_result(self) -> None:
        self._result = self._pairing = self._history = None
        self.shows_page = False
        self._drawing = self._signature = self._map = None
        self._listed, self._listed_by = (), BY_NAME
        self._view = replace(self._view, blend=(), hidden=frozenset())
        self.set_tool(kind="", target=NEW)
        self.set_spot(None)

    def set_result(
        self,
        result: Result,
        drawing: Drawing | None = None,
        history: History | None = None,
        *,
        gene: str | None = None,
        page: bool = False,
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
        gene : str, optional
            To be shown instead, where the result has it.
        page : bool
            Whether it is the result that the cohort keeps of the slide.
        """
        kept = self._result is not None and result.grid is self._result.grid
        chosen, held = self._view.blend, self._drawing
        signature = self._signature[0] if self._signature is not None else None
        spot = self._spot if kept else None
        listed = (self._listed_by, self._listed) if kept else None
        self._clear_result()
        if not kept:
            self.set_stability(None)
        self._result, self.shows_page = result, page
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
        self._gene = next((g for g in (gene, self._gene) if g in result.genes), None)
        self._settle_gene()
        self._hold_colours()
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
