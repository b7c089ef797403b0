"""Reader and sample data that ``napari.yaml`` names (the dock is `gui.dock.MclstexpDock`).

Imports are lazy: napari loads this module when it looks for a reader.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Reader for a whole-slide image, None for what is none (npe2 reader contribution)."""
    from napari_mclstexp.core.slide import open_slide
    from napari_mclstexp.errors import MclstexpError, SectionError

    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    try:
        open_slide(path).close()
    except SectionError:
        return read_slide  # which says what is wrong, or adds it to the slide that is open
    except MclstexpError:
        return None
    return read_slide


def read_slide(path: str | list[str]) -> list[LayerData] | list[tuple[None]]:
    """Whole-slide image as a lazy multiscale RGB layer in um; the dock opens beside it. A measured section
    without a picture is added to the slide that is open.
    """
    from napari_mclstexp.core.slide import open_slide
    from napari_mclstexp.errors import SectionError
    from napari_mclstexp.gui.readers import add_to_open_slide, open_dock_soon
    from napari_mclstexp.gui.slides import layer_data

    path = path[0] if isinstance(path, list) else path
    try:
        slide = open_slide(path)
    except SectionError:
        if add_to_open_slide(Path(path)):
            return [(None,)]  # npe2's sign for a file that was read and brings no layer
        raise
    layer = layer_data(slide)
    open_dock_soon()
    return [layer]


def sample_slide() -> list[LayerData] | list[tuple[None]]:
    """Synthetic section that comes with the plugin (npe2 sample data contribution)."""
    from napari_mclstexp.samples import sample_measured_path

    return read_slide(str(sample_measured_path()))
