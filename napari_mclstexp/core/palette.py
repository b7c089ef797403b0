"""Colours of domains: told apart from each other and from the pink and purple of H&E."""

from __future__ import annotations

import re

COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#f0e442", "#332288", "#44aa99",
    "#8a5a00", "#88ccee", "#117733", "#bbbbbb", "#6699cc", "#999933", "#004488", "#ddcc77",
)  # fmt: skip
"""After Okabe and Ito (2008) and Paul Tol's sets, without their pinks and purples."""


def domain_colour(label: int) -> str:
    """``#rrggbb`` of a domain label, from 1."""
    return COLOURS[(label - 1) % len(COLOURS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def is_colour(text: str) -> bool:
    """Whether a text is ``#rrggbb``."""
    return re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None
