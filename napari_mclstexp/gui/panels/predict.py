"""Step 2: bundle, grid and device; predict, progress and cancel.

magicgui reads the form's annotations at run time, so they are not postponed here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui import magicgui
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout

from napari_mclstexp.core.device import DEVICES
from napari_mclstexp.gui.controller import MEASURED, PredictRequest

if TYPE_CHECKING:
    from napari_mclstexp.session import Session

GRIDS = [
    ("Visium: hexagonal, 100 µm", "visium"),
    ("ST: square, 200 µm", "st"),
    ("Hexagonal, another pitch", "pitch"),
    ("Spots from a CSV file", "spots"),
]
AT_MEASURED = ("The measured spots", MEASURED)


class PredictPanel(QGroupBox):
    """Form of a prediction, with its progress."""

    predict_requested = Signal(object)
    cancel_requested = Signal()

    def __init__(self, session: "Session", bundle: Path, needs_scale: Callable[[Path], bool]) -> None:
        super().__init__("2  Predict")
        self._session = session
        self._needs_scale = needs_scale

        @magicgui(
            call_button="Predict",
            labels=True,
            bundle={"mode": "d", "label": "Model", "tooltip": "A model bundle: a folder, or its zip"},
            grid={"choices": self._grids, "label": "Spots"},
            pitch_um={"label": "Pitch (µm)", "min": 5.0, "max": 5000.0, "step": 10.0, "visible": False},
            spots={"mode": "r", "filter": "*.csv", "label": "Spot file", "visible": False},
            device={"choices": list(DEVICES), "label": "Device"},
        )
        def form(
            bundle: Path = bundle,
            grid: str = "visium",
            pitch_um: float = 100.0,
            spots: Path = Path(),
            device: str = "auto",
        ) -> None:
            self.predict_requested.emit(
                PredictRequest(
                    bundle=bundle,
                    grid=f"{pitch_um:g}" if grid == "pitch" else grid,
                    spots=spots if grid == "spots" else None,
                    device=device,
                )
            )

        self.form = form
        self.why = QLabel()
        self.why.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.stage = QLabel()
        self.stage.setWordWrap(True)
        self.cancel_button = QPushButton("Cancel")
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.addWidget(form.native)
        layout.addWidget(self.why)
        layout.addLayout(row)
        layout.addWidget(self.stage)

        form.grid.changed.connect(self._show_grid)
        form.bundle.changed.connect(self._show)
        self.cancel_button.clicked.connect(self.cancel_requested)
        session.measured_changed.connect(self._offer_measured)
        session.slide_changed.connect(self._show)
        session.scale_changed.connect(self._show)
        session.job_changed.connect(self._show)
        self._show()

    def _grids(self, _: object = None) -> list[tuple[str, str]]:
        return GRIDS if self._session.measured is None else [AT_MEASURED, *GRIDS]

    def _offer_measured(self) -> None:
        """Offer the spots of a measured section that came, and choose them: there it can be compared."""
        self.form.grid.reset_choices()
        if self._session.measured is not None:
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

    def _show(self) -> None:
        job, why = self._session.job, self._waits_for()
        self.form.enabled = not job.running
        self.form.call_button.enabled = not job.running and not why
        self.why.setText(why)
        self.why.setVisible(bool(why) and not (job.running and job.asked_by == "predict"))
        self.bar.setVisible(job.running)
        self.cancel_button.setVisible(job.running)
        progress = job.progress
        if job.running and progress is not None:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
            left = "" if progress.seconds_left is None else f" · {_time(progress.seconds_left)} left"
            count = f" {progress.done:,} of {progress.total:,} {progress.unit}" if progress.total else " …"
            self.stage.setText(f"{progress.stage}{count}{left}")
        else:
            self.bar.setRange(0, 0)
            self.stage.setText("" if job.asked_by == "export" else job.message)
        self.stage.setVisible(bool(self.stage.text()))


def _time(seconds: float) -> str:
    if seconds >= 90:
        return f"{round(seconds / 60)} min"
    return f"{max(1, round(seconds))} s"
