"""A window with up to four genes side by side, in views that move together and with the main one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.qt import QtViewer
from qtpy.QtCore import QCoreApplication, QEvent, Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_mclstexp.core.limits import centred_limits, colour_limits
from napari_mclstexp.core.maps import gene_map
from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.gui.gene_box import GeneBox
from napari_mclstexp.gui.gene_rows import Entry
from napari_mclstexp.gui.own_layer import change
from napari_mclstexp.gui.own_opengl import OwnOpenGL
from napari_mclstexp.gui.slides import layer_data, show_managed, spatial
from napari_mclstexp.gui.spot_map import SpotMap

if TYPE_CHECKING:
    import napari

    from napari_mclstexp.core.maps import Map
    from napari_mclstexp.session import Session

TITLE = "Genes side by side"
UNIT_END = " of the spot"
"""What follows tells the unit in full, which a cell has no room for."""
MOST = 4
SIZE = (1100, 800)


class CompareWindow(QWidget):
    """Up to four maps over the same slide.

    Parameters
    ----------
    viewer : napari.Viewer
        The main window's, whose view these follow, and which follows them.
    session : Session
        Whose result is shown.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        super().__init__(viewer.window._qt_window, Qt.WindowType.Window)  # a child of it has its theme
        self.setWindowTitle(TITLE)
        self.resize(*SIZE)
        self._main, self._session = viewer, session
        self._genes: tuple[str, ...] = ()
        self._maps: list[SpotMap] = []
        self._following = False
        self.model = ViewerModel(title=TITLE)
        self.views = QtViewer(self.model)
        self.boxes = [GeneBox() for _ in range(MOST)]
        self.one_scale = QCheckBox("One colour scale for all")
        self.one_scale.setToolTip("The same limits for all of them, so that colours can be compared")
        row = QHBoxLayout()
        for box in self.boxes:
            row.addWidget(box, 1)
            box.picked.connect(self._picked)
        row.addWidget(self.one_scale)
        layout = QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(self.views, 1)
        layout.addWidget(QLabel(STATEMENT))
        self.one_scale.toggled.connect(self._draw)
        self._cameras = ((viewer.scene.camera, self._to_views), (self.model.scene.camera, self._to_main))
        for camera, follow in self._cameras:
            for event in (camera.events.center, camera.events.zoom):
                event.connect(follow)
        self._resized = QTimer(self)  # not within the event: OpenGL then draws into one canvas alone
        self._resized.setSingleShot(True)
        self._resized.timeout.connect(self._to_views)
        self._canvases = (viewer.canvas, self.model.canvas)
        for canvas in self._canvases:
            canvas.events.size.connect(self._resize)
        self._opengl = OwnOpenGL(self.model.layers, self.views.canvas.native)
        session.result_changed.connect(self._result_changed)
        for signal in (session.view_changed, session.drawing_changed):
            signal.connect(self._draw)

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes shown."""
        return self._genes

    def set_genes(self, genes: tuple[str, ...]) -> None:
        """Show these genes, two to four."""
        self._genes = genes[:MOST]
        result = self._session.result
        known = () if result is None else tuple(sorted(result.genes))
        for i, box in enumerate(self.boxes):
            box.set_entries([Entry(gene) for gene in known], empty="" if i < 2 else "none")
            box.show_gene(self._genes[i] if i < len(self._genes) else "")
        self._lay_out()
        self._draw()
        self._to_views()

    def close_down(self) -> None:
        """Follow nothing any longer, and let go of the views."""
        for camera, follow in self._cameras:
            for event in (camera.events.center, camera.events.zoom):
                event.disconnect(follow)
        for canvas in self._canvases:
            canvas.events.size.disconnect(self._resize)
        self._resized.stop()
        self._session.result_changed.disconnect(self._result_changed)
        for signal in (self._session.view_changed, self._session.drawing_changed):
            signal.disconnect(self._draw)
        self.model.layers.clear()
        self._maps.clear()
        self._opengl.disconnect()
        self._cameras = self._canvases = ()
        self.views.close()
        self.close()
        self.deleteLater()
        QCoreApplication.sendPostedEvents(self, QEvent.Type.DeferredDelete.value)

    def _picked(self, gene: str) -> None:
        result, box = self._session.result, self.sender()
        if result is not None and (not gene or gene in result.genes):
            if gene in self._genes:  # both change places
                self.boxes[self._genes.index(gene)].show_gene(box.gene())
            box.show_gene(gene)
            self.set_genes(tuple(b.gene() for b in self.boxes if b.gene()))

    def _result_changed(self) -> None:
        """Follow another result; without one there is nothing to compare."""
        result = self._session.result
        self.model.layers.clear()
        self._maps.clear()
        if result is None:
            self._genes = ()
            self.hide()
            return
        self.set_genes(tuple(gene for gene in self._genes if gene in result.genes))

    def _lay_out(self) -> None:
        """One cell a gene: the slide, and its map over it."""
        slide, result = self._session.slide, self._session.result
        if slide is None or result is None or len(self._maps) == len(self._genes):
            return
        self._following = True  # what is added here moves these views, which must not move the main one
        self.model.layers.clear()
        self._maps = [SpotMap(self.model) for _ in self._genes]
        for drawn, shown in zip(self._maps, self._found(), strict=True):
            data, about, _ = layer_data(slide)
            about |= {"metadata": {}, **spatial(self._session.scale)}  # not the slide that is worked on
            self.model.add_layer(Image(data, **about))
            drawn.draw(result.grid, shown, self._session.scale, shown.name, self._session.canvas)
        grid = self.model.canvas.grid
        grid.stride = 2
        grid.shape = (1, len(self._genes)) if len(self._genes) < 3 else (2, 2)
        grid.enabled = True
        self._following = False

    def _found(self) -> list[Map]:
        """Maps of the genes, on one scale where that is asked for."""
        result, colour = self._session.result, self._session.view.colour
        if result is None:
            return []
        centred = colour.centred and result.reference_mean is not None
        maps = [gene_map(result, g, self._session.colour_of(g, centred=centred)) for g in self._genes]
        if self.one_scale.isChecked() and len({m.limits for m in maps}) > 1:
            spanning = centred_limits if centred else colour_limits
            limits = spanning(np.concatenate([m.values for m in maps]), colour.percentiles)
            maps = [replace(m, limits=limits) for m in maps]
        return maps

    def _draw(self) -> None:
        result = self._session.result
        if result is None:
            return
        found = self._found()
        for layer in self.model.layers:
            show_managed(layer, self._session.view.colour_managed)
        if found:
            self._tell(found[0].unit)
        if [drawn.layer.name for drawn in self._maps] != [shown.name for shown in found]:
            for i, drawn in enumerate(self._maps):
                drawn.layer.name = f"{i}"  # two that change names: napari would number the second of a name
        for drawn, shown in zip(self._maps, found, strict=True):
            drawn.draw(result.grid, shown, self._session.scale, shown.name, self._session.canvas)
            drawn.look(visible=True, opacity=self._session.view.opacity)
            drawn.layer.name_overlay.visible = True
            drawn.layer.name_overlay.position = "top_left"

    def _tell(self, unit: str) -> None:
        """Tell in each cell what the colours are; not beside the colour bar, which would be pushed aside."""
        overlay = self.model.canvas.overlays.text
        told = {
            "text": unit.partition(UNIT_END)[0],
            "gridded": True,
            "position": "bottom_left",
            "visible": True,
        }
        change(overlay, **told)

    def _resize(self) -> None:
        self._resized.start(0)

    def _to_views(self) -> None:
        self._follow(self._main.scene.camera, self.model.scene.camera, self._share())

    def _to_main(self) -> None:
        self._follow(self.model.scene.camera, self._main.scene.camera, 1 / self._share())

    def _share(self) -> float:
        """Size of a cell over that of the main canvas: what is seen there is seen here."""
        cell = np.array(self.model.canvas.size) / np.maximum(self.model.canvas.grid.shape, 1)
        return float((cell / self._main.canvas.size).min())

    def _follow(self, leader: Any, other: Any, zoomed: float) -> None:
        """Move one camera as the other; not back again."""
        if self._following:
            return
        self._following = True
        try:
            other.center = leader.center
            other.zoom = leader.zoom * zoomed
        finally:
            self._following = False
