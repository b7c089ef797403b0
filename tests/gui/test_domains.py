"""Step 4: how domains are found, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QScrollArea

from napari_mclstexp.core.domain_colours import profiles

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
