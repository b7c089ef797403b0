"""What the gene panel asks for: which gene, in which order, and what is drawn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.drawing import POINTS_AT_MOST, drawing_of
from napari_mclstexp.core.genes import find_genes, order_genes
from napari_mclstexp.core.remembered import recall, remember
from napari_mclstexp.core.signatures import parse_symbols, read_gmt
from napari_mclstexp.core.spot_card import explain
from napari_mclstexp.errors import MclstexpError
from napari_mclstexp.gui.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.core.bundle import Bundle
    from napari_mclstexp.core.remembered import Remembered
    from napari_mclstexp.core.signatures import GeneSet
    from napari_mclstexp.core.spot_card import SpotCard
    from napari_mclstexp.gui.jobs import Jobs
    from napari_mclstexp.session import Session


class GeneActions:
    """Turns the gene panel's intents into the session's state.

    Parameters
    ----------
    session : Session
        State of the window.
    jobs : Jobs
        Its background work.
    """

    def __init__(self, session: Session, jobs: Jobs) -> None:
        self._session, self._jobs = session, jobs
        self._drawn: tuple[object, bool] = (None, False)
        session.set_remembered(recall())
        session.view_changed.connect(self._draw)
        session.result_changed.connect(self._draw)
        session.result_changed.connect(self._warm)
        session.gene_changed.connect(self._note_recent)

    def disconnect(self) -> None:
        """Follow the session no longer."""
        self._session.view_changed.disconnect(self._draw)
        self._session.result_changed.disconnect(self._draw)
        self._session.result_changed.disconnect(self._warm)
        self._session.gene_changed.disconnect(self._note_recent)

    def show(self, gene: str) -> None:
        """Show one gene."""
        self._try(lambda: self._session.set_gene(gene))

    def step(self, by: int) -> None:
        """Show the gene so many places further down the list."""
        genes, gene = self._session.genes, self._session.gene
        if genes:
            at = genes.index(gene) + by if gene in genes else 0
            self.show(genes[at % len(genes)])

    def blend(self, genes: tuple[str, ...]) -> None:
        """Show two or three genes in one picture."""
        self._try(lambda: self._session.set_blend(genes))

    def paste(self, text: str) -> None:
        """Show the signature of pasted symbols."""
        self._try(lambda: self._session.set_signature(parse_symbols(text)))

    def signature(self, genes: GeneSet) -> None:
        """Show a gene set's signature."""
        self._try(lambda: self._session.set_signature(genes))

    def read_sets(self, path: Path, done: Callable[[tuple[GeneSet, ...]], None]) -> None:
        """Read a file of gene sets on a worker."""
        self._jobs.aside(lambda: read_gmt(path), done)

    def order(self, by: str, label: int | None) -> None:
        """List the genes in another order, found on a worker."""
        result, session = self._session.result, self._session
        if result is None:
            return

        def done(genes: tuple[str, ...]) -> None:
            if session.result is not None and session.result.grid is result.grid:
                session.list_genes((by, label), genes)

        self._jobs.aside(lambda: order_genes(result, by, label), done)

    def favour(self, gene: str, wanted: bool) -> None:
        """Make a gene a favourite, or no longer."""
        if gene:
            self._remember(self._session.remembered.with_favourite(gene, wanted=wanted))

    def card(self, row: int, bundle: Callable[[], Bundle | None], done: Callable[[SpotCard], None]) -> None:
        """Explain a spot on a worker; the model is loaded there, too."""
        result = self._session.result
        if result is not None:
            self._jobs.aside(lambda: explain(result, row, bundle()), done)

    def _warm(self) -> None:
        """Build the index of aliases on a worker: it takes a second, which the first keystroke must not."""
        genes = self._session.genes
        if self._session.result is not None:
            self._jobs.aside(lambda: find_genes("HER2", genes), lambda _: None)

    def _note_recent(self) -> None:
        gene, remembered = self._session.gene, self._session.remembered
        if gene is not None and self._session.result is not None and remembered.recent[:1] != (gene,):
            self._remember(remembered.with_recent(gene))

    def _remember(self, remembered: Remembered) -> None:
        self._session.set_remembered(remembered)
        self._jobs.aside(lambda: remember(remembered), lambda _: None)

    def _draw(self) -> None:
        """Make what drawing takes, on a worker, once for each grid and way of drawing."""
        session, result, smooth = self._session, self._session.result, self._session.view.colour.smooth
        if result is None:
            self._drawn = (None, False)
            return
        wanted, drawing = (result.grid, smooth), session.drawing
        smooth_now = drawing is not None and drawing.canvas is not None and drawing.canvas.smooth
        picture = len(result.grid) > POINTS_AT_MOST
        if (
            drawing is not None
            and smooth_now == smooth
            and (drawing.canvas is not None) == (smooth or picture)
        ):
            self._drawn = wanted
        elif self._drawn != wanted:
            self._drawn = wanted

            def done(found: object) -> None:
                if session.result is not None and (session.result.grid, session.view.colour.smooth) == wanted:
                    session.set_drawing(found)  # type: ignore[arg-type]

            self._jobs.aside(lambda: drawing_of(result.grid, smooth=smooth, tissue=result.tissue), done)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except MclstexpError as error:
            tell(error)
