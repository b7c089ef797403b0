"""Above the steps: the cohort that is paged through."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QFontMetrics, QPalette
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStyledItemDelegate,
    QToolButton,
    QVBoxLayout,
)
from superqt.utils import signals_blocked

if TYPE_CHECKING:
    from qtpy.QtCore import QModelIndex
    from qtpy.QtGui import QKeyEvent
    from qtpy.QtWidgets import QStyleOptionViewItem

    from napari_mclstexp.cohort.folder import Cohort, Entry, Record
    from napari_mclstexp.session import Session

NAME_LETTERS = 24
BUTTON_PX, ROW_PX = 34, 8
NOT_YET = "not predicted yet"
FAINT = Qt.ItemDataRole.UserRole
"""Role of whether a row is drawn faint."""
PAGES = {Qt.Key.Key_PageUp: -1, Qt.Key.Key_PageDown: 1}


class CohortBar(QFrame):
    """Which slide of how many is shown; goes to another one."""

    step_requested = Signal(int)
    slide_requested = Signal(int)
    colours_requested = Signal(bool)
    leave_requested = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._listed: Cohort | None = None
        self._records: tuple[Record | None, ...] = ()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.previous, self.next, self.close_button = QPushButton("◀"), QPushButton("▶"), QToolButton()
        self.previous.setToolTip("The slide before (Page Up)")
        self.next.setToolTip("The next slide (Page Down)")
        for button in (self.previous, self.next):
            button.setFixedWidth(BUTTON_PX)
        self.close_button.setText("✕")
        self.close_button.setToolTip("Leave the cohort; the slide stays open")
        self.place = QLabel()
        font = self.place.font()
        font.setBold(True)
        self.place.setFont(font)
        self.slides = QComboBox()
        self.slides.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.slides.setMinimumContentsLength(NAME_LETTERS)
        self.slides.setMaxVisibleItems(20)
        self.slides.setItemDelegate(_Rows(self.slides))
        self.about, self.note = QLabel(), QLabel()
        self.note.setWordWrap(True)
        for label in (self.about, self.note):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.same_colours = QCheckBox("Same colours")
        self.same_colours.setToolTip("A gene's colours mean the same on all slides of the cohort")
        self._lay_out()
        self.previous.clicked.connect(lambda: self.step_requested.emit(-1))
        self.next.clicked.connect(lambda: self.step_requested.emit(1))
        self.slides.activated.connect(self.slide_requested)
        self.same_colours.toggled.connect(self.colours_requested)
        self.close_button.clicked.connect(self.leave_requested)
        session.paging_changed.connect(self._show)
        session.job_changed.connect(self._show_ready)
        self._show()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.previous)
        row.addWidget(self.place)
        row.addWidget(self.next)
        row.addStretch(1)
        row.addWidget(self.same_colours)
        row.addSpacing(6)
        row.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(13, 6, 10, 6)
        layout.setSpacing(4)
        layout.addLayout(row)
        for part in (self.slides, self.about, self.note):
            layout.addWidget(part)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102 - Qt's name
        by = PAGES.get(event.key())
        if by is None:
            super().keyPressEvent(event)
        else:
            self.step_requested.emit(by)

    def _show(self) -> None:
        paging = self._session.paging
        self.setVisible(paging is not None)
        if paging is None:
            self._listed, self._records = None, ()
            self.slides.clear()
            return
        self._list(paging.cohort, paging.records)
        count = len(paging.cohort.entries)
        at = paging.at if paging.wanted is None else paging.wanted
        self.place.setText(f"{count:,} slides" if at is None else f"Slide {at + 1:,} of {count:,}")
        with signals_blocked(self.slides), signals_blocked(self.same_colours):
            self.slides.setCurrentIndex(-1 if at is None else at)
            self.same_colours.setChecked(paging.same_colours)
        entry = None if at is None else paging.cohort.entries[at]
        self.slides.setToolTip("" if entry is None else _tip(entry.name))
        told = _about(paging.cohort, entry)
        fits = QFontMetrics(self.about.font()).elidedText(told, Qt.TextElideMode.ElideRight, 320)
        self.about.setText(fits if paging.wanted is None else "Opening …")
        self.about.setToolTip(_tip(told))
        self.note.setText(paging.note if paging.wanted is None else "")
        self.note.setVisible(bool(self.note.text()))
        self._show_ready()

    def _show_ready(self) -> None:
        paging, busy = self._session.paging, self._session.job.busy
        if paging is None:
            return
        at = paging.at if paging.wanted is None else paging.wanted
        self.previous.setEnabled(not busy and at is not None and at > 0)
        self.next.setEnabled(not busy and (at is None or at + 1 < len(paging.cohort.entries)))
        self.slides.setEnabled(not busy)

    def _list(self, cohort: Cohort, records: tuple[Record | None, ...]) -> None:
        """Slides by name; those without a result grey, with how they ended."""
        with signals_blocked(self.slides):
            if cohort is not self._listed:
                self.slides.clear()
                self.slides.addItems([_short(entry.name) for entry in cohort.entries])
                self._listed, self._records = cohort, ()
            old = self._records or (False,) * len(records)
            for i, (entry, record) in enumerate(zip(cohort.entries, records, strict=True)):
                if record is not old[i]:
                    self._mark(i, entry, record)
            self._records = records

    def _mark(self, index: int, entry: Entry, record: Record | None) -> None:
        done = record is not None and record.done
        outcome = NOT_YET if record is None else record.outcome.partition(":")[0]
        why = "" if record is None or done else f"\n{record.outcome}. {record.reason}"
        self.slides.setItemText(index, _short(entry.name) + ("" if done else f"  ·  {outcome}"))
        self.slides.setItemData(index, not done, FAINT)
        self.slides.setItemData(index, _tip(f"{entry.name}{why}"), Qt.ItemDataRole.ToolTipRole)


class _Rows(QStyledItemDelegate):
    """Draws rows, faint ones in the theme's text at less strength."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        if index.data(FAINT):
            palette = QPalette(option.palette)
            colour = palette.color(QPalette.ColorRole.Text)
            colour.setAlphaF(0.6)
            for role in (QPalette.ColorRole.Text, QPalette.ColorRole.HighlightedText):
                palette.setColor(role, colour)
            option.palette = palette

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return super().sizeHint(option, index) + QSize(0, ROW_PX)


def _about(cohort: Cohort, entry: Entry | None) -> str:
    """Whose a slide is, as far as that is known; else which cohort this is."""
    told = (("Patient", entry.patient), ("Group", entry.group)) if entry is not None else ()
    known = "  ·  ".join(f"{what} {value}" for what, value in told if value)
    return known or f"Cohort {cohort.folder.name}"


def _tip(text: str) -> str:
    """Text of a tooltip that wraps, whatever signs it holds."""
    return f"<p>{'<br>'.join(map(escape, text.splitlines()))}</p>"


def _short(name: str) -> str:
    """Name with its middle left out where it is long: slides of a series differ at their ends."""
    if len(name) <= NAME_LETTERS:
        return name
    half = (NAME_LETTERS - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
