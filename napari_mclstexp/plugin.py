"""Reader, writer, sample data and command that ``napari.yaml`` names (the dock is `gui.dock.MclstexpDock`).

Imports are lazy: napari loads this module when it looks for a reader.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_mclstexp.core.slide import Slide

LayerData = tuple[Any, dict[str, Any], str] | tuple[None]
"""Layer data of napari; of None alone where a file was read and brings no layer."""


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Reader for a whole-slide image or a cohort, None for what is neither (npe2 reader contribution)."""
    from napari_mclstexp.cohort.paging import is_cohort
    from napari_mclstexp.core.slide import open_slide
    from napari_mclstexp.errors import MclstexpError, SectionError

    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    if is_cohort(Path(path)):
        return _open_cohort
    try:
        slide = open_slide(path)
    except SectionError:
        return _add_section
    except MclstexpError:
        return None
    return lambda _: _show(slide)


def _show(slide: Slide) -> list[LayerData]:
    """Slide as a lazy multiscale RGB layer in um; the dock opens beside it."""
    from napari_mclstexp.gui.readers import open_dock_soon
    from napari_mclstexp.gui.slides import layer_data

    layer = layer_data(slide)
    open_dock_soon()
    return [layer]


def _add_section(path: str | list[str]) -> list[LayerData]:
    """Add a measured section without a picture to the slide that is open, or say what is wrong."""
    from napari_mclstexp.core.slide import open_slide
    from napari_mclstexp.gui.readers import add_to_open_slide

    path = path[0] if isinstance(path, list) else path
    if not add_to_open_slide(Path(path)):
        open_slide(path)
    return [(None,)]


def _open_cohort(path: str | list[str]) -> list[LayerData]:
    """Open a cohort in the dock, which says what is wrong with it."""
    from napari_mclstexp.gui.readers import open_cohort

    open_cohort(Path(path[0] if isinstance(path, list) else path))
    return [(None,)]


def write_result(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write the result that layers show, in the format of the path's suffix (npe2 writer contribution)."""
    from napari_mclstexp.gui.writers import write_layers

    return write_layers(path, layers)


def copy_report() -> None:
    """Put the report for support on the clipboard (npe2 command)."""
    from napari_mclstexp.gui.telling import copy_report

    copy_report()


def sample_slide() -> list[LayerData]:
    """Synthetic section that comes with the plugin (npe2 sample data contribution)."""
    from napari_mclstexp.core.slide import open_slide
    from napari_mclstexp.samples import sample_measured_path

    return _show(open_slide(sample_measured_path()))
