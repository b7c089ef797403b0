"""Any bytes, given to a reader: a result or a typed error, nothing else. For hypothesis and for fuzzing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari_mclstexp.core.annotations import read_annotations
from napari_mclstexp.core.bundle import load_bundle
from napari_mclstexp.core.bundle_spec import parse_spec
from napari_mclstexp.core.grid import given_grid, read_spots
from napari_mclstexp.core.regions import read_regions
from napari_mclstexp.core.result_file import load_result
from napari_mclstexp.core.signatures import read_gmt
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.errors import MclstexpError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _slide(path: Path) -> None:
    with open_slide(path) as slide:
        slide.read_around(slide.width // 2, slide.height // 2, 32, 32)
        if slide.width * slide.height < 2**22:
            slide.overview(64)


def _spots(path: Path) -> None:
    given_grid(*read_spots(path), (1000, 900), None)


def _bundle_folder(path: Path) -> None:
    """The bytes as a bundle's specification."""
    parse_spec(path.read_bytes())


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "slide": ("a.svs", _slide),
    "bundle": ("b.zip", load_bundle),
    "specification": ("bundle.json", _bundle_folder),
    "result": ("r.h5ad", load_result),
    "regions": ("r.geojson", read_regions),
    "annotations": ("r.geojson", read_annotations),
    "spots": ("s.csv", _spots),
    "gene sets": ("s.gmt", read_gmt),
}
"""Name of the file, and its reader."""


def give(reader: str, content: bytes, folder: Path) -> None:
    """Give a reader a file of this content; a typed error is as good as a result."""
    name, read = READERS[reader]
    path = folder / name
    path.write_bytes(content)
    with suppress(MclstexpError):
        read(path)
