"""Part of step 3: how values become colours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QHBoxLayout, QLabel, QWidget
from superqt.utils import signals_blocked

from napari_mclstexp.core.maps import SEQUENTIAL, Map

if TYPE_CHECKING:
    from napari_mclstexp.core.maps import Colour
    from napari_mclstexp.session import Session

LIMITS = [
    ("By percentile", "percentiles"),
    ("By number, locked", "numbers"),
    ("One scale for all genes", "all genes"),
]


class ColourForm(QWidget):
    """Colour map, its limits, and whether the map is of points or runs smoothly."""

    colour_requested = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.colormap = QComboBox()
        self.colormap.addItems([name.capitalize() for name in SEQUENTIAL])
        self.limits = QComboBox()
        for text, by in LIMITS:
            self.limits.addItem(text, by)
        self.limits.setToolTip("Locked limits stay as they are when another gene is chosen")
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        self.centred = QCheckBox("Above and below the reference mean")
        self.smooth = QCheckBox("Smooth map, clipped to the tissue")
        self.clipped = QLabel()
        self.clipped.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.low)
        row.addWidget(QLabel("to"))
        row.addWidget(self.high)
        row.addStretch(1)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Colours", self.colormap)
        form.addRow("Limits", self.limits)
        form.addRow("", row)
        form.addRow(self.clipped)
        form.addRow(self.centred)
        form.addRow(self.smooth)
        self.colormap.activated.connect(lambda i: self._ask(colormap=SEQUENTIAL[i]))
        self.limits.activated.connect(self._limits_chosen)
        self.low.editingFinished.connect(self._limits_typed)
        self.high.editingFinished.connect(self._limits_typed)
        self.centred.toggled.connect(lambda on: self._ask(centred=on))
        self.smooth.toggled.connect(lambda on: self._ask(smooth=on))
        for signal in (session.result_changed, session.gene_changed, session.view_changed):
            signal.connect(self._show)
        self._show()

    def _ask(self, **changes: object) -> None:
        self.colour_requested.emit(replace(self._session.view.colour, **changes))

    def _limits_chosen(self) -> None:
        by = self.limits.currentData()
        shown = self._session.predicted_map
        if by == "numbers" and isinstance(shown, Map):  # they begin as what is seen
            self._ask(by=by, numbers=tuple(round(v, 4) for v in shown.limits))
        else:
            self._ask(by=by)

    def _limits_typed(self) -> None:
        low, high = self.low.value(), self.high.value()
        which = "numbers" if self._session.view.colour.by == "numbers" else "percentiles"
        if low < high and (low, high) != getattr(self._session.view.colour, which):
            self._ask(**{which: (low, high)})
        else:
            self._show()

    def _show(self) -> None:
        colour: Colour = self._session.view.colour
        result, shown = self._session.result, self._session.predicted_map
        numbers = colour.by == "numbers"
        parts = (self.colormap, self.limits, self.low, self.high, self.centred, self.smooth)
        for part in parts:
            part.setEnabled(result is not None)
        self.centred.setEnabled(result is not None and result.reference_mean is not None)
        self.colormap.setEnabled(result is not None and not colour.centred)
        with (
            signals_blocked(self.colormap),
            signals_blocked(self.limits),
            signals_blocked(self.low),
            signals_blocked(self.high),
            signals_blocked(self.centred),
            signals_blocked(self.smooth),
        ):
            self.colormap.setCurrentIndex(SEQUENTIAL.index(colour.colormap))
            self.limits.setCurrentIndex(self.limits.findData(colour.by))
            self.centred.setChecked(colour.centred)
            self.smooth.setChecked(colour.smooth)
            for spin, value in zip(
                (self.low, self.high), colour.numbers if numbers else colour.percentiles, strict=True
            ):
                spin.setRange(-1e6 if numbers else 0.0, 1e6 if numbers else 100.0)
                spin.setDecimals(3 if numbers else 1)
                spin.setSuffix("" if numbers else " %")
                spin.setValue(value)
        self.clipped.setText(_clipped(shown) if isinstance(shown, Map) else "")
        self.clipped.setVisible(bool(self.clipped.text()))


def _clipped(shown: Map) -> str:
    below, above = shown.clipped
    low, high = shown.limits
    return f"{low:.3g} to {high:.3g}: {below:,} spots lie below, {above:,} above." if below or above else ""
