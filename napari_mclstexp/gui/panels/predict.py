"""Step 2: bundle, grid and device; predict, progress and cancel.

magicgui reads the form's annotations at run time, so they are not postponed here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui import magicgui
from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtGui import QEnterEvent
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_mclstexp.core.device import DEVICES
from napari_mclstexp.gui.controller import DENSE, MEASURED, PredictRequest
from napari_mclstexp.gui.panels.place import PlaceForm

if TYPE_CHECKING:
    from napari_mclstexp.gui.settings import Settings
    from napari_mclstexp.session import Session

GRIDS = [
    ("Visium: hexagonal, 100 µm", "visium"),
    ("ST: square, 200 µm", "st"),
    ("Hexagonal, another pitch", "pitch"),
    ("Dense map: 32 µm or less", DENSE),
    ("Spots from a CSV file", "spots"),
]
AT_MEASURED = ("The measured spots", MEASURED)


class PredictPanel(QGroupBox):
    """Form of a prediction, with its progress."""

    predict_requested = Signal(object)
    cancel_requested = Signal()
    keep_requested = Signal()
    estimate_requested = Signal(object)
    expected = Signal()
    """The pointer is at the form or its button, so that a prediction may follow."""

    def __init__(
        self,
        session: "Session",
        bundle: Path,
        needs_scale: Callable[[Path], bool],
    ) -> None:
        super().__init__("2  Predict")
        self._session = session
        self._needs_scale = needs_scale
        self._bundle = bundle
        self._batch_size: int | None = None

        @magicgui(
            call_button=False,
            labels=True,
            bundle={"mode": "d", "label": "Model", "tooltip": "A model bundle: a folder, or its zip"},
            grid={"choices": GRIDS, "label": "Spots"},
            pitch_um={"label": "Pitch (µm)", "min": 5.0, "max": 5000.0, "step": 10.0, "visible": False},
            spots={"mode": "r", "filter": "*.csv", "label": "Spot file", "visible": False},
            device={"choices": list(DEVICES), "label": "Device"},
        )
        def form(
            bundle: Path = bundle,
            grid: str = "visium",
            pitch_um: float = 100.0,
            spots: Path = Path(),
            device: str = DEVICES[0],
        ) -> None:
            """Only a form: the button that asks for it stands below what it depends on."""

        self.form = form
        self.predict_button = QPushButton("Predict")
        self.place = PlaceForm(session)
        self.estimate = QLabel()
        self.estimate.setWordWrap(True)
        self.why = QLabel()
        self.why.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.stage = QLabel()
        self.stage.setWordWrap(True)
        self.cancel_button = QPushButton("Cancel")
        self.keep_button = QPushButton("Stop, keep")
        self.keep_button.setToolTip("End the prediction now and keep the spots that are done")
        self.question = _Question()
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.keep_button)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.place)
        layout.insertWidget(0, form.native)
        layout.addWidget(self.estimate)
        layout.addWidget(self.predict_button)
        layout.addWidget(self.why)
        layout.addWidget(self.question)
        layout.addLayout(row)
        layout.addWidget(self.stage)

        form.grid.changed.connect(self._show_grid)
        for part in (form.bundle, form.grid, form.pitch_um, form.spots, form.device):
            part.changed.connect(self._ask_estimate)
        form.bundle.changed.connect(self._show)
        self.predict_button.clicked.connect(self._pressed)
        self.keep_button.clicked.connect(self.keep_requested)
        self.question.yes.clicked.connect(self._confirmed)
        self.question.no.clicked.connect(self.question.drop)
        session.place_changed.connect(self._ask_estimate)
        session.result_changed.connect(self.question.drop)
        self.cancel_button.clicked.connect(self.cancel_requested)
        session.measured_changed.connect(self._offer_measured)
        session.slide_changed.connect(self._show)
        session.scale_changed.connect(self._show)
        session.scale_changed.connect(self._ask_estimate)
        session.job_changed.connect(self._show)
        session.job_changed.connect(self._offer_cpu)
        session.estimate_changed.connect(self._show)
        self.predict_button.installEventFilter(self)
        self._show()

    def begin_with(self, settings: "Settings") -> None:
        """Take what was set in the preferences, but for what was chosen here meanwhile."""
        self._batch_size = settings.batch_size
        if settings.bundle is not None and self.form.bundle.value == self._bundle:
            self.form.bundle.value = settings.bundle
        if self.form.device.value == DEVICES[0]:
            self.form.device.value = settings.device

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: D102 - Qt's name
        super().enterEvent(event)
        self._expect()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102 - Qt's name
        if event.type() in (QEvent.Type.Enter, QEvent.Type.FocusIn):
            self._expect()
        return super().eventFilter(watched, event)

    def _expect(self) -> None:
        if self.predict_button.isEnabled():
            self.expected.emit()

    def request(self) -> PredictRequest:
        """What the form asks for."""
        form = self.form
        grid = form.grid.value
        return PredictRequest(
            bundle=form.bundle.value,
            grid=f"{form.pitch_um.value:g}" if grid == "pitch" else grid,
            spots=form.spots.value if grid == "spots" else None,
            device=form.device.value,
            batch_size=self._batch_size,
        )

    def _pressed(self) -> None:
        """Predict; where that would replace a prediction, ask first."""
        session = self._session
        if session.result is None:
            self.predict_requested.emit(self.request())
            return
        edits = 0 if session.history is None else session.history.count
        lost = f" and {edits} edit{'s' * (edits > 1)} of its domains" if edits else ""
        self.question.ask(f"This replaces the prediction shown{lost}.", "Replace it")

    def _confirmed(self) -> None:
        self.question.drop()
        if self._session.job.no_room:
            self.form.device.value = "cpu"
        self.predict_requested.emit(self.request())

    def _ask_estimate(self) -> None:
        if self._session.slide is not None and not self._waits_for():
            self.estimate_requested.emit(self.request())

    def _offer_measured(self) -> None:
        """Offer the spots of a measured section that came, and choose them: there it can be compared."""
        measured = self._session.measured is not None
        self.form.grid.choices = [AT_MEASURED, *GRIDS] if measured else GRIDS
        if measured:
            self.form.grid.value = MEASURED

    def _show_grid(self, grid: str) -> None:
        self.form.pitch_um.visible = grid == "pitch"
        self.form.spots.visible = grid == "spots"
        self._show()

    def _waits_for(self) -> str:
        if self._session.slide is None:
            return "Waits for a slide: open one above."
        if self._session.slide.not_for_model:
            return self._session.slide.not_for_model
        given = self.form.grid.value in ("spots", MEASURED)
        if self._session.scale is None and (not given or self._needs_scale(self.form.bundle.value)):
            return "Waits for the scale: type µm per pixel above, or choose another way there."
        return ""

    def _offer_cpu(self) -> None:
        """Where the device had too little memory: nothing goes on without consent, for it takes longer."""
        if self._session.job.no_room:
            self.question.ask("The CPU can do it; it takes longer.", "Predict on the CPU instead")

    def _show(self) -> None:
        job, why = self._session.job, self._waits_for()
        self.form.enabled = not job.busy
        ready = not job.running and not why
        came = ready and not self.predict_button.isEnabled()
        self.predict_button.setEnabled(ready)
        if came and self.underMouse():
            self._expect()
        self.why.setText(why)
        self.why.setVisible(bool(why) and not job.predicting)
        self.place.setEnabled(not job.running)
        estimate = "" if why or job.running else self._session.estimate
        self.estimate.setText(estimate)
        self.estimate.setVisible(bool(estimate))
        self.bar.setVisible(job.running)
        self.cancel_button.setVisible(job.running)
        progress = job.progress
        self.keep_button.setVisible(
            job.predicting and progress is not None and progress.grid is not None and progress.done > 0
        )
        if job.running and progress is not None:
            self.bar.setUpdatesEnabled(False)  # a bar that rises draws the whole window there and then
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
            self.bar.setUpdatesEnabled(True)
            left = "" if progress.seconds_left is None else f" · {_time(progress.seconds_left)} left"
            count = f" {progress.done:,} of {progress.total:,} {progress.unit}" if progress.total else " …"
            self.stage.setText("\n".join((f"{progress.stage}{count}{left}", *progress.notes)))
        else:
            self.bar.setRange(0, 0)
            self.stage.setText("" if job.asked_by == "export" else job.message)
        self.stage.setVisible(bool(self.stage.text()))


class _Question(QWidget):
    """A question with two answers, in the dock rather than over it."""

    def __init__(self) -> None:
        super().__init__()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self.yes, self.no = QPushButton(), QPushButton("Leave it")
        row = QHBoxLayout()
        row.addWidget(self.yes, 1)
        row.addWidget(self.no, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._text)
        layout.addLayout(row)
        self.hide()

    def ask(self, text: str, yes: str) -> None:
        """Show the question."""
        self._text.setText(text)
        self.yes.setText(yes)
        self.show()

    def drop(self) -> None:
        """Take the question back."""
        self.hide()


def _time(seconds: float) -> str:
    if seconds >= 90:
        return f"{round(seconds / 60)} min"
    return f"{max(1, round(seconds))} s"
