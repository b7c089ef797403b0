"""Every case of the corpus ends as it is pinned; the corpus is as large and varied as it is said to be."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.reliability.case import all_cases
from tests.reliability.rows import ELSEWHERE, ROWS
from tests.reliability.worker import Child, fits

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = all_cases()
MOST_OF_ONE_MUTATION = 10
LEAST = 300

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are those of POSIX")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """The child in which all cases run."""
    warm = Child()
    yield warm
    warm.close()


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_ends_as_it_is_pinned(child: Child, name: str) -> None:
    case = CASES[name]
    why = fits(case, child.run(case))
    assert not why, why


def test_the_corpus_is_large_and_no_mutation_makes_up_most_of_it() -> None:
    assert len(CASES) >= LEAST
    count = Counter((case.kind, case.mutation) for case in CASES.values())
    assert max(count.values()) <= MOST_OF_ONE_MUTATION, count.most_common(3)


def test_every_row_of_the_list_of_faults_has_its_cases_or_tests() -> None:
    of_cases = {case.row for case in CASES.values()}
    assert of_cases <= set(ROWS)
    assert set(ROWS) - of_cases <= set(ELSEWHERE)
