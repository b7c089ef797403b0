"""Favourites, recent genes and speed, from one start to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_mclstexp.core.remembered import FILE, RECENT, Remembered, recall, remember

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_remembered_is_recalled(own_data: Path) -> None:
    assert recall() == Remembered()
    what = Remembered().with_favourite("ERBB2", wanted=True).with_favourite("CD3D", wanted=True)
    what = what.with_favourite("ERBB2", wanted=False).with_recent("A").with_recent("B").with_recent("A")
    what = what.with_rate("tiny cpu", 4.5)
    remember(what)
    assert recall() == what == Remembered(("CD3D",), ("A", "B"), {"tiny cpu": 4.5})
    assert [f.name for f in own_data.iterdir()] == [FILE]


def test_recent_genes_are_few() -> None:
    what = Remembered()
    for i in range(20):
        what = what.with_recent(f"G{i}")
    assert what.recent == tuple(f"G{i}" for i in range(19, 19 - RECENT, -1))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"favourites": 3}', "\x00", "[" * 50_000, "1" * 2_000_000]
)
def test_a_damaged_file_is_as_none(own_data: Path, content: str) -> None:
    (own_data / FILE).write_text(content)
    assert recall() == Remembered()
    remember(Remembered(("A",)))
    assert recall().favourites == ("A",)
