"""The dock: builds and wires session, controller, layers and panels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_mclstexp.core.heaps import return_large_pieces
from napari_mclstexp.gui.autosave import Autosave
from napari_mclstexp.gui.canvas_legend import CanvasLegend
from napari_mclstexp.gui.cohort_actions import CohortActions
from napari_mclstexp.gui.controller import Controller
from napari_mclstexp.gui.domain_actions import DomainActions
from napari_mclstexp.gui.gene_actions import GeneActions
from napari_mclstexp.gui.jobs import Jobs
from napari_mclstexp.gui.layers import Layers
from napari_mclstexp.gui.measure_actions import MeasureActions
from napari_mclstexp.gui.own_opengl import OwnOpenGL
from napari_mclstexp.gui.painting import Painting
from napari_mclstexp.gui.panels.cohort import CohortBar
from napari_mclstexp.gui.panels.domain import DomainPanel
from napari_mclstexp.gui.panels.export import ExportPanel
from napari_mclstexp.gui.panels.gene import GenePanel
from napari_mclstexp.gui.panels.predict import PredictPanel
from napari_mclstexp.gui.panels.resume import ResumeBar
from napari_mclstexp.gui.panels.slide import SlidePanel
from napari_mclstexp.gui.place_actions import PlaceActions
from napari_mclstexp.gui.places import Places
from napari_mclstexp.gui.pointing import Pointing
from napari_mclstexp.gui.readers import DOCK, prefer_for_slides
from napari_mclstexp.gui.scale_actions import ScaleActions
from napari_mclstexp.gui.settings import Preferences
from napari_mclstexp.gui.shortcuts import Shortcuts
from napari_mclstexp.gui.side import Side
from napari_mclstexp.gui.smooth_panning import SmoothPanning
from napari_mclstexp.gui.telling import keep_log
from napari_mclstexp.gui.warming import warm_up
from napari_mclstexp.gui.work_actions import WorkActions
from napari_mclstexp.samples import demo_bundle_path, sample_measured_path
from napari_mclstexp.session import Session

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QCloseEvent, QShowEvent

    from napari_mclstexp.core.saved import State

WIDTH = 380


class MclstexpDock(QWidget):
    """Slide, predict, gene, domains, export: the steps from top to bottom.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The window that it belongs to.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName(DOCK)
        # By its menu napari gives a proxy that warns of what is private; the canvas has no public door.
        self._viewer = viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        keep_log()
        return_large_pieces()
        prefer_for_slides()
        self.session = Session()
        self.preferences = Preferences(self.session)  # first to hear of a slide
        self.jobs = Jobs(self.session)
        self.domains = DomainActions(self.session, self.jobs)
        self.controller = Controller(self.session, self.jobs, self.domains)
        self.scale = ScaleActions(self.session)
        self.layers = Layers(viewer, self.session)
        self.places = Places(viewer, self.session)
        self.genes = GeneActions(self.session, self.jobs)
        self.place = PlaceActions(self.session, self.jobs, self.places, self.controller)
        self.autosave = Autosave(viewer, self.session, self.jobs)
        self.work = WorkActions(viewer, self.session, self.jobs, self.autosave)
        self.cohort = CohortActions(
            viewer, self.session, self.jobs, self.autosave, self._model, self._take_model
        )
        self.pointing = Pointing(viewer, self.session)
        self.panning = SmoothPanning(viewer, self.session)
        self.side = Side(viewer, self.session, self.jobs)
        self.measuring = MeasureActions(self.session, self.jobs, self.side)
        self.shortcuts = Shortcuts(viewer, self.session, self.genes.step, self.side.next_domain)
        self.cohort_bar = CohortBar(self.session)
        self.resume_bar = ResumeBar(self.session)
        self.slide_panel = SlidePanel(self.session)
        self.predict_panel = PredictPanel(self.session, demo_bundle_path(), self.controller.needs_scale)
        self.preferences.came.connect(self.predict_panel.begin_with)
        self.gene_panel = GenePanel(self.session)
        self.domain_panel = DomainPanel(self.session)
        self.export_panel = ExportPanel(self.session)

        canvas = viewer.window._qt_window._qt_viewer.canvas.native
        self.opengl = OwnOpenGL(viewer.layers, canvas)
        self.legend = CanvasLegend(canvas, self.session)
        self.painting = Painting(
            viewer,
            self.session,
            self.layers,
            self.domains.edit,
            self.domain_panel.annotations.about,
        )
        self.shortcuts.bind_drawing(self.painting.close_outline, self.painting.give_up)

        self._inside = inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 2, 6, 2)
        column.setSpacing(4)
        panels = (
            self.slide_panel,
            self.predict_panel,
            self.gene_panel,
            self.domain_panel,
            self.export_panel,
        )
        for panel in panels:
            panel.layout().setContentsMargins(8, 4, 8, 6)
            panel.layout().setSpacing(4)
            column.addWidget(panel)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        self.slide_panel.name.setContentsMargins(14, 4, 6, 2)
        outside.addWidget(self.cohort_bar)
        outside.addWidget(self.slide_panel.name)  # above what scrolls: a mix-up of slides harms
        outside.addWidget(self.resume_bar)
        outside.addWidget(scroll)
        self.setMinimumWidth(WIDTH)

        self._shut = False
        self._window: QWidget | None = None
        self._wire()
        self._warm = False
        self.session.slide_changed.connect(self._warm_up)
        viewer.layers.events.inserted.connect(self._adopt)
        self._adopt()

    def _wire(self) -> None:
        act, session = self.controller, self.session
        self.slide_panel.open_requested.connect(act.open_slide)
        self.slide_panel.sample_requested.connect(lambda: act.open_slide(sample_measured_path()))
        self.slide_panel.navigator_requested.connect(self.side.show_navigator)
        self.slide_panel.mpp_requested.connect(self.scale.set_mpp)
        self.slide_panel.measured.section_chosen.connect(act.add_measured)
        self.slide_panel.plane_requested.connect(act.choose_plane)
        self.slide_panel.view_requested.connect(lambda changes: session.set_view(**changes))
        settling = self.slide_panel.settling
        settling.claim_chosen.connect(self.scale.take_claim)
        settling.measured_chosen.connect(self.scale.take_measured_scale)
        settling.spots_given.connect(self.scale.scale_by_spots)
        settling.line_requested.connect(self._draw_line)
        settling.length_given.connect(self._measure_line)
        self.predict_panel.predict_requested.connect(act.predict)
        self.predict_panel.expected.connect(self.layers.expect_result)
        self.predict_panel.cancel_requested.connect(act.cancel)
        self.predict_panel.keep_requested.connect(act.stop_here)
        self._wire_cohort()
        self._wire_place()
        self._wire_genes()
        self._wire_work()
        self._wire_domains()
        self.export_panel.export_requested.connect(lambda path, over: act.export(path, overwrite=over))

    def _wire_domains(self) -> None:
        act, session, panel = self.domains, self.session, self.domain_panel
        panel.domains_requested.connect(act.find)
        panel.numbers_requested.connect(act.compare_numbers)
        panel.choice_changed.connect(lambda changes: session.set_domain_choice(**changes))
        panel.undo_requested.connect(session.undo)
        panel.redo_requested.connect(session.redo)
        panel.measuring_requested.connect(self.measuring.open)
        for part in (panel, panel.annotations):
            part.edit_requested.connect(act.edit)
        for part in (panel, self.legend):
            part.view_requested.connect(lambda changes: session.set_view(**changes))
            part.visit_requested.connect(self.side.visit_domain)
        for part in (panel.tools, panel.annotations):
            part.tool_requested.connect(lambda changes: session.set_tool(**changes))
        panel.annotations.import_requested.connect(act.import_annotations)
        panel.annotations.visit_requested.connect(self.side.visit_annotation)

    def _wire_cohort(self) -> None:
        bar, cohort = self.cohort_bar, self.cohort
        self.slide_panel.cohort_requested.connect(cohort.open)
        bar.step_requested.connect(cohort.step)
        bar.slide_requested.connect(cohort.go)
        bar.colours_requested.connect(self.session.share_colours)
        bar.leave_requested.connect(cohort.leave)
        self.shortcuts.bind_paging(cohort.step)

    def _wire_place(self) -> None:
        form, place = self.predict_panel.place, self.place
        self.predict_panel.estimate_requested.connect(place.estimate)
        form.whole_requested.connect(place.whole)
        form.drawing_requested.connect(place.draw)
        form.regions_drawn.connect(place.take_drawn)
        form.file_chosen.connect(place.read)
        form.painting_requested.connect(place.paint)
        form.tissue_painted.connect(place.take_painted)
        form.tissue_dropped.connect(place.drop_painted)

    def _wire_genes(self) -> None:
        panel, genes, session = self.gene_panel, self.genes, self.session
        panel.gene_requested.connect(genes.show)
        panel.step_requested.connect(genes.step)
        panel.order_requested.connect(genes.order)
        panel.favourite_requested.connect(genes.favour)
        panel.compare_requested.connect(self.side.compare)
        panel.view_requested.connect(lambda changes: session.set_view(**changes))
        panel.blend.blend_requested.connect(genes.blend)
        panel.signature.pasted.connect(genes.paste)
        panel.signature.signature_requested.connect(genes.signature)
        panel.signature.file_chosen.connect(self._read_sets)
        session.spot_changed.connect(self._explain)
        session.domains_changed.connect(self._explain_again)

    def _wire_work(self) -> None:
        self.resume_bar.resume_requested.connect(self._resume)
        self.resume_bar.forget_requested.connect(self.work.forget)
        self.export_panel.figure_requested.connect(self.work.save_figure)
        self.export_panel.script_requested.connect(self.work.save_script)

    # Methods of this widget, for Qt would keep a lambda alive, and with it the viewer.

    def _model(self) -> Path:
        return Path(self.predict_panel.form.bundle.value)

    def _take_model(self, path: Path) -> None:
        self.predict_panel.form.bundle.value = path

    def _draw_line(self, wanted: bool) -> None:
        self.layers.draw_line(wanted)

    def _measure_line(self, length_um: float) -> None:
        self.scale.scale_by_line(self.layers.line.ends(), length_um)

    def _read_sets(self, path: Path) -> None:
        self.genes.read_sets(path, self.gene_panel.signature.set_sets)

    def _explain(self) -> None:
        row = self.session.spot
        if row is None:
            self.side.hide_spot()
        else:
            self.genes.card(row, self.controller.bundle_of_result, self.side.show_spot)

    def _explain_again(self) -> None:
        """The card that is seen names the spot's domain, which has changed."""
        if self.session.spot is not None and self.side.spot is not None and self.side.spot.isVisible():
            self._explain()

    def _resume(self) -> None:
        self.work.resume(self._resumed)

    def _resumed(self, state: State) -> None:
        if state.bundle:
            self._take_model(Path(state.bundle))

    def _adopt(self) -> None:
        """Take over a slide that was dropped onto the window or opened by its menu."""
        slide = self.layers.slide_in_viewer()
        if slide is not None:
            self.session.set_slide(slide)

    def _warm_up(self) -> None:
        """While a person looks at the first slide, load what the first prediction's layers need."""
        if self.session.slide is not None and not self._warm:
            self._warm = True
            self.jobs.aside(warm_up, lambda _: None)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102 - Qt's name
        super().showEvent(event)
        self._window = self.window()
        self._window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102 - Qt's name
        if event.type() == QEvent.Type.Close and watched is self.window():
            self.shut()
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:  # noqa: D102 - Qt's name
        # napari closes a dock by taking its widget out, without a close event.
        gone = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if gone and getattr(self, "_window", None) is not None:
            self.shut()
        elif event.type() == QEvent.Type.Paint:
            self.preferences.read_soon()
        return super().event(event)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102 - Qt's name
        self.shut()
        super().closeEvent(event)

    def shut(self) -> None:
        """Stop background work and let go of the viewer."""
        if self._shut:
            return
        self._shut = True
        if self._window is not None:
            self._window.removeEventFilter(self)
        self._viewer.layers.events.inserted.disconnect(self._adopt)
        parts = (self.autosave, self.work, self.genes, self.places, self.pointing, self.shortcuts)
        drawn = (self.cohort, self.legend, self.painting, self.measuring, self.domains)
        for part in (self.preferences, *parts, *drawn, self.panning, self.side, self.layers, self.opengl):
            part.disconnect()
        self.jobs.close()
        self.session.bundles = {}  # a model is large, and Qt may keep hold of the session
        # Its parts go now: at the program's end, PyQt could destroy them in an order that crashes.
        self._inside.deleteLater()
        QCoreApplication.sendPostedEvents(self._inside, QEvent.Type.DeferredDelete.value)
