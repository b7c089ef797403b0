"""A small cohort: slides with a scale, and what goes wrong with others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from napari_mclstexp.cohort.engine import Engine, local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def study(
    tmp_path_factory: pytest.TempPathFactory,
    make_slide: Callable[..., Path],
    picture: Callable[[int, int, int], object],
) -> Path:
    """Slides: two of one name, a larger one, the same again, one that is cut off, one without a scale."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("north", "south"):
        (folder / name).mkdir()
    make_slide(folder / "north" / "CANARY Jane.tif", picture(11, 1100, 1000))
    make_slide(folder / "south" / "CANARY Jane.tif", picture(12, 1000, 1100))
    make_slide(folder / "large.tif", picture(13, 2000, 1800))
    shutil.copy(folder / "large.tif", folder / "south" / "copy.tif")
    make_slide(folder / "unscaled.tif", picture(14, 800, 800), None)
    whole = (folder / "large.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Two workers, each a process with one thread."""
    with local(2) as workers:
        yield workers
