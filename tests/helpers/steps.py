"""Generators of progress, run to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

Step = TypeVar("Step")
Outcome = TypeVar("Outcome")


def finish(steps: Generator[Step, None, Outcome]) -> tuple[list[Step], Outcome]:
    """Run all steps; returns what was yielded, and what was returned."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value
