"""Edits of domains, undone and redone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_mclstexp.core.domain_edits import Assign, Merge, Recolour, Rename, Split
from napari_mclstexp.core.domain_history import History, applied, edit_as_dict, edit_from_dict
from napari_mclstexp.core.result import Domains
from napari_mclstexp.errors import DomainError

EDITS = (
    Rename(1, "Tumour"),
    Assign((0, 1, 2, 7), 2),
    Split((3, 4, 9), "Border", "#123456"),
    Recolour(2, "#ABCDEF"),
    Merge((2, 3)),
    Assign((5,), 0),
)


@pytest.fixture
def domains() -> Domains:
    labels = np.array([1, 1, 2, 2, 3, 3, 1, 2, 3, 0], np.int32)
    return Domains(labels, {i: f"Domain {i}" for i in (1, 2, 3)}, {1: "#000001", 2: "#000002", 3: "#000003"})


def same(a: Domains, b: Domains) -> bool:
    return np.array_equal(a.labels, b.labels) and a.names == b.names and a.colours == b.colours


def test_each_edit(domains: Domains) -> None:
    assert Rename(2, " Stroma ").apply(domains).names == {1: "Domain 1", 2: "Stroma", 3: "Domain 3"}
    assert Recolour(2, "#ABCDEF").apply(domains).colours[2] == "#abcdef"
    merged = Merge((3, 1)).apply(domains)
    assert merged.labels.tolist() == [3, 3, 2, 2, 3, 3, 3, 2, 3, 0]
    assert merged.names == {2: "Domain 2", 3: "Domain 3"}
    assert same(Merge((3, 1, 3)).apply(domains), merged), "the first stays, however often it is named"
    painted = Assign((0, 9), 2).apply(domains)
    assert painted.labels.tolist() == [2, 1, 2, 2, 3, 3, 1, 2, 3, 2]
    split = Split((0, 1), "New", "#123456").apply(domains)
    assert split.labels.tolist() == [4, 4, 2, 2, 3, 3, 1, 2, 3, 0]
    assert (split.names[4], split.colours[4]) == ("New", "#123456")
    assert domains.labels.tolist() == [1, 1, 2, 2, 3, 3, 1, 2, 3, 0], "the domains themselves never change"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (Rename(1, "Domain 2"), "has the name"),
        (Rename(1, "  "), "1 to 200 letters"),
        (Rename(1, "a\nb"), "one line"),
        (Rename(9, "x"), "no domain with the number 9"),
        (Recolour(1, "red"), "no colour"),
        (Merge((1,)), "two domains"),
        (Merge((1, 1)), "two domains"),
        (Merge((1, 9)), "number 9"),
        (Assign((0,), 9), "number 9"),
        (Assign((), 1), "one or more"),
        (Assign((10,), 1), "of this slide"),
        (Split((0,), "Domain 1", "#123456"), "has the name"),
    ],
)
def test_what_is_not_possible_changes_nothing(domains: Domains, edit, said: str) -> None:  # type: ignore[no-untyped-def]
    history = History(domains).do(Rename(3, "Fat"))
    with pytest.raises(DomainError, match=said):
        history.do(edit)
    assert history.count == 1
    assert history.domains.names[3] == "Fat"


def test_undo_and_redo_lead_through_the_same_states(domains: Domains) -> None:
    history, states = History(domains), [domains]
    for edit in EDITS:
        history = history.do(edit)
        states.append(history.domains)
    for state in states[-2::-1]:
        history = history.undo()
        assert same(history.domains, state)
    assert not history.can_undo
    for state in states[1:]:
        history = history.redo()
        assert same(history.domains, state)
    assert not history.can_redo
    assert history.undo().do(Rename(1, "Else")).undone == (), "a new edit takes what was undone away"


def test_edits_are_written_down_and_read_back(domains: Domains) -> None:
    written = json.loads(json.dumps([edit_as_dict(edit) for edit in EDITS]))
    assert same(applied(domains, tuple(map(edit_from_dict, written))), applied(domains, EDITS))
    many = Assign(tuple(range(5000)), 1)
    assert len(json.dumps(edit_as_dict(many))) < 100, "runs of spots are told by their ends"
    assert edit_from_dict(edit_as_dict(many)) == many
    for wrong in (
        {},
        {"kind": "explode"},
        {"kind": "rename"},
        {"kind": "rename", "label": 1, "name": 5},
        {"kind": "rename", "label": [1], "name": "a"},
        {"kind": "recolour", "label": 1, "colour": 3},
        {"kind": "merge", "labels": "12"},
        {"kind": "assign", "rows": 3, "label": 1},
        {"kind": "assign", "rows": [[0, 10**12]], "label": 1},
        {"kind": "assign", "rows": [[0, 10**30]], "label": 1},
    ):
        with pytest.raises(DomainError, match="no edit"):
            edit_from_dict(wrong)
