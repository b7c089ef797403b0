"""Above the steps: work on this slide that was kept from before, to be taken up or let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

if TYPE_CHECKING:
    from napari_mclstexp.core.saved import Kept
    from napari_mclstexp.session import Session


class ResumeBar(QFrame):
    """Offers to take up what was kept."""

    resume_requested = Signal()
    forget_requested = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.resume, self.forget = QPushButton("Resume"), QPushButton("Start anew")
        self.forget.setToolTip("What was kept of this slide is deleted")
        row = QHBoxLayout()
        row.addWidget(self.resume, 1)
        row.addWidget(self.forget, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.resume.clicked.connect(self.resume_requested)
        self.forget.clicked.connect(self.forget_requested)
        for signal in (session.slide_changed, session.result_changed, session.job_changed):
            signal.connect(self._show)
        session.kept_changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        kept: Kept | None = self._session.kept
        for button in (self.resume, self.forget):
            button.setEnabled(not self._session.job.running)
        if kept is not None:
            when = f"{kept.when:%d %B, %H:%M}"
            edits = f" and {kept.edits} edits of its domains" if kept.edits > 1 else ""
            edits = " and an edit of its domains" if kept.edits == 1 else edits
            spots = f" of {kept.spots:,} spots" if kept.spots else ""
            beside = ", beside the cohort's" if self._session.shows_page else ""
            self.text.setText(f"A prediction{spots}{edits} was kept from {when}{beside}.")
        bare = self._session.result is None or self._session.shows_page
        self.setVisible(kept is not None and bare)  # with its text, for its height
