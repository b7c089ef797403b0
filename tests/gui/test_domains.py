"""Step 4: how domains are found, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QContextMenuEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QColorDialog, QLineEdit, QScrollArea
from scipy.optimize import linear_sum_assignment

from napari_mclstexp.core.domain_colours import LIKE, profiles

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gui.conftest import Window


def test_by_another_way_in_a_stable_number(window: Window, slide: Path, bundle: Path) -> None:
    window.open(slide)
    window.set_bundle(bundle)
    first = window.predict()
    panel, session = window.dock.domain_panel, window.dock.session
    window.choose(panel.method, "Expression, image, space")
    window.click(panel.suggest)
    window.qtbot.waitUntil(lambda: session.stability is not None, timeout=60_000)
    window.wait_idle()
    curve = session.stability
    assert panel.curve.isVisible()
    assert panel.count.value() == curve.best
    best = max(curve.mean)
    assert curve.mean[curve.counts.index(curve.best)] >= best - 0.02
    window.shot("domains_1_stable")
    for area in window.dock.findChildren(QScrollArea):
        if area.isVisible() and area.widget() is not None and area.isAncestorOf(panel):
            assert area.widget().width() <= area.viewport().width(), "the dock is cut off at its side"

    window.click(panel.find)
    window.wait_idle()
    result = session.result
    assert result.provenance.domain_method == "fused"
    assert panel.legend.topLevelItemCount() == len(result.domains.names) == curve.best
    assert panel.curve.isVisible(), "the curve stays with its prediction"
    window.shot("domains_2_fused")

    # Those like the former ones have their colours.
    alike = np.corrcoef(profiles(result).values, profiles(first).values)[: curve.best, curve.best :]
    label, former = np.unravel_index(alike.argmax(), alike.shape)
    assert alike[label, former] > 0.8
    own = result.domains.colours[sorted(result.domains.names)[label]]
    assert own == first.domains.colours[sorted(first.domains.names)[former]]

    # The next prediction goes by what is chosen.
    again = window.predict()
    assert (again.provenance.domain_method, again.provenance.domain_count) == ("fused", curve.best)
    assert not panel.curve.isVisible(), "it belonged to the prediction before"
    assert window.notes() == []


def ask(window: Window, row: int, wanted: str) -> None:
    """Open the menu of a domain by the right button, and take an entry by the keys."""
    legend = window.dock.domain_panel.legend
    at = legend.visualItemRect(legend.topLevelItem(row)).center()
    view = legend.viewport()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, view.mapToGlobal(at))
    QApplication.sendEvent(view, event)
    window.settle()
    menu = window.dock.domain_panel.menu
    texts = [action.text() for action in menu.actions()]
    for _ in range(texts.index(wanted) + 1):
        QTest.keyClick(menu, Qt.Key.Key_Down)
    QTest.keyClick(menu, Qt.Key.Key_Return)
    window.settle()


def test_renamed_and_coloured_as_on_the_slide_before(
    window: Window, slide: Path, other_slide: Path, bundle: Path
) -> None:
    session = window.dock.session
    window.open(slide)
    window.set_bundle(bundle)
    window.predict()

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QColorDialog):
            line = dialog.findChild(QLineEdit)
            line.selectAll()
            QTest.keyClicks(line, "#aa3377")
            QTest.keyClick(line, Qt.Key.Key_Return)
            if dialog.isVisible():
                QTest.keyClick(dialog, Qt.Key.Key_Return)

    timer = QTimer()
    timer.setInterval(300)
    timer.timeout.connect(answer)
    timer.start()
    ask(window, 0, "Colour …")
    timer.stop()
    assert session.result.domains.colours[1] == "#aa3377"
    assert window.layer("Domains").colormap.color_dict[1][0] == pytest.approx(0xAA / 255, abs=0.01)
    ask(window, 1, "Hide")
    assert session.view.hidden == {2}
    ask(window, 1, "Show")
    assert session.view.hidden == frozenset()
    ask(window, 2, "Lock")
    assert session.result.domains.locked == {3}

    # Its name, typed.
    window.rename_domain(0, "Tumour")
    assert session.result.domains.names[1] == "Tumour"
    former = profiles(session.result)
    window.shot("domains_3_own")

    window.open(other_slide)
    second = window.predict()
    own = profiles(second)
    alike = np.corrcoef(own.values, former.values)[: len(own.labels), len(own.labels) :]
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-alike), strict=True) if alike[i, j] >= LIKE]
    assert pairs
    for i, j in pairs:
        assert second.domains.colours[own.labels[i]] == former.colours[j]
    assert window.notes() == []
