"""Keys of the window, and the sheet that tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

    from napari_mclstexp.session import Session

OPACITY_STEP = 0.1
KEYS = {
    "next": ".",
    "previous": ",",
    "peek": "H",
    "more": "Shift-O",
    "less": "O",
    "domain": "D",
    "page back": "PageUp",
    "page on": "PageDown",
    "help": "F1",
    "undo": "Control-Z",
    "redo": "Control-Shift-Z",
    "close": "Enter",
    "leave": "Escape",
}
HELP = (
    (". and ,", "next and previous gene of the list"),
    ("H, held", "hides map and domains: the tissue alone"),
    ("O, Shift+O", "map less and more opaque"),
    ("D", "next domain, brought to the middle"),
    ("Ctrl+Z, Ctrl+Shift+Z", "undo and redo an edit of the domains"),
    ("Page Up, Page Down", "previous and next slide of the cohort"),
    ("Click on a spot", "explains it"),
    ("Space, held", "pans while something is drawn or painted"),
    ("Enter, Escape", "ends an outline; gives it, or the tool, up"),
    ("F1", "this sheet"),
)


class Shortcuts:
    """Binds the keys in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they work: while its canvas or its list of layers has the keyboard.
    session : Session
        What they change.
    step_gene, next_domain : callable
        What the controller and the dock do.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        step_gene: Callable[[int], None],
        next_domain: Callable[[], None],
    ) -> None:
        self._viewer, self._session = viewer, session
        self._acts: dict[str, Callable] = {  # type: ignore[type-arg]
            "next": lambda _: step_gene(1),
            "previous": lambda _: step_gene(-1),
            "peek": self._peek,
            "more": lambda _: self._fade(OPACITY_STEP),
            "less": lambda _: self._fade(-OPACITY_STEP),
            "domain": lambda _: next_domain(),
            "help": lambda _: self.show_help(),
            "undo": lambda _: session.undo(),
            "redo": lambda _: session.redo(),
        }
        for name, act in self._acts.items():
            viewer.bind_key(KEYS[name], act, overwrite=True)
        self._sheet: HelpSheet | None = None

    def bind_drawing(self, close: Callable[[], None], leave: Callable[[], None]) -> None:
        """Let keys end or give up what is drawn."""
        self._bind("close", close)
        self._bind("leave", leave)

    def bind_paging(self, step: Callable[[int], None]) -> None:
        """Let keys go to other slides of a cohort."""
        self._bind("page back", lambda: step(-1))
        self._bind("page on", lambda: step(1))

    def _bind(self, name: str, act: Callable[[], None]) -> None:
        self._acts[name] = lambda _: act()
        self._viewer.bind_key(KEYS[name], self._acts[name], overwrite=True)

    def disconnect(self) -> None:
        """Give the keys back."""
        for name in self._acts:
            self._viewer.bind_key(KEYS[name], None, overwrite=True)
        if self._sheet is not None:
            self._sheet.close()
            self._sheet.deleteLater()

    def show_help(self) -> None:
        """Show the sheet of keys."""
        if self._sheet is None:
            self._sheet = HelpSheet(self._viewer.window._qt_window)
        self._sheet.show()
        self._sheet.raise_()

    def _peek(self, _: napari.Viewer) -> Generator[None, None, None]:
        """Hide what lies over the tissue while the key is held."""
        view = self._session.view
        self._session.set_view(heatmap=False, domains="hidden")
        yield
        self._session.set_view(heatmap=view.heatmap, domains=view.domains)

    def _fade(self, by: float) -> None:
        opacity = min(1.0, max(0.0, round(self._session.view.opacity + by, 2)))
        self._session.set_view(opacity=opacity)


class HelpSheet(QDialog):
    """The keys and what they do."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of Spatial expression")
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(6)
        for row, (key, does) in enumerate(HELP):
            name = QLabel(key)
            font = name.font()
            font.setBold(True)
            name.setFont(font)
            grid.addWidget(name, row, 0)
            grid.addWidget(QLabel(does), row, 1)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(QLabel("The keys work while the picture has the keyboard: click on it first."))
        layout.addWidget(close, alignment=Qt.AlignmentFlag.AlignRight)
