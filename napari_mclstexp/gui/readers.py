"""Which reader napari takes for slides: ours, where the user has not chosen another."""

from __future__ import annotations

from napari.settings import get_settings

PLUGIN = "napari-mclstexp"
SLIDE_PATTERNS = ("*.svs", "*.ndpi", "*.mrxs", "*.scn", "*.bif", "*.dcm", "*.jp2", "*.btf")
"""Files that are slides and nothing else. Others, such as ``*.tif``, napari asks about once."""


def prefer_for_slides() -> None:
    """Have napari open slides by this plugin without asking, as its own reader takes every file."""
    plugins = get_settings().plugins
    chosen = plugins.extension2reader
    missing = {pattern: PLUGIN for pattern in SLIDE_PATTERNS if pattern not in chosen}
    if missing:
        plugins.extension2reader = {**chosen, **missing}
