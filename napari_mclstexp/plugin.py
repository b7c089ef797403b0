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
    from napari_mclstexp.errors import MclstexpError

    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    try:
        open_slide(path).close()
    except MclstexpError:
        return None
    return read_slide


def read_slide(path: str | list[str]) -> list[LayerData]:
    """Whole-slide image as a lazy multiscale RGB layer in um; the dock opens beside it."""
    from napari_mclstexp.core.slide import open_slide
    from napari_mclstexp.gui.readers import open_dock_soon
    from napari_mclstexp.gui.slides import layer_data

    layer = layer_data(open_slide(path[0] if isinstance(path, list) else path))
    open_dock_soon()
    return [layer]


def sample_slide() -> list[LayerData]:
    """Synthetic section that comes with the plugin (npe2 sample data contribution)."""
    from napari_mclstexp.samples import sample_slide_path

    return read_slide(str(Path(sample_slide_path())))
