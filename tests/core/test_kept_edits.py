"""Edits of the domains of a prediction that lies elsewhere: kept by what it is, done again on it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from results import laid

from napari_mclstexp.core.domain_edits import Merge, Rename
from napari_mclstexp.core.domain_history import History
from napari_mclstexp.core.kept_edits import keep_edits, load_edits, mark_of
from napari_mclstexp.errors import ResultError

if TYPE_CHECKING:
    from pathlib import Path


def test_they_are_done_again(own_data: Path) -> None:
    made = laid("hexagonal")
    history = History(made.domains).do(Rename(1, "Tumour")).do(Merge((2, 3))).undo()
    assert load_edits(made, mark_of(made)) is None
    keep_edits(made, history)
    found = load_edits(made, mark_of(made))
    assert (found.done, found.undone) == (history.done, history.undone)
    assert found.domains.names == history.domains.names
    assert found.start is made.domains
    assert len(list((own_data / "edits").iterdir())) == 1


def test_not_on_another_prediction() -> None:
    made = laid("hexagonal")
    keep_edits(made, History(made.domains).do(Rename(1, "Tumour")))
    other = replace(made, expression=made.expression + 1)
    assert load_edits(other, mark_of(other)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema_version": 9}',
        '{"schema_version": 1, "done": [{"kind": "merge", "labels": [1, 77]}], "undone": []}',
        '{"schema_version": 1, "done": [7], "undone": []}',
        "[" * 100_000,
    ],
)
def test_damaged(own_data: Path, text: str) -> None:
    made = laid("hexagonal")
    keep_edits(made, History(made.domains))
    (file,) = (own_data / "edits").iterdir()
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ResultError, match="cannot be read"):
        load_edits(made, mark_of(made))
