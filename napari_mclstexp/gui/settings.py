"""What a person sets once in napari's Preferences."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings

from napari_mclstexp.core.cache import BOUND_VARIABLE
from napari_mclstexp.core.device import DEVICES
from napari_mclstexp.gui.readers import PLUGIN


@dataclass(frozen=True, slots=True)
class Settings:
    """The plugin's preferences.

    Attributes
    ----------
    bundle : pathlib.Path or None
        Model to begin with; None for the one that comes with the plugin.
    device : str
        Where the network runs.
    batch_size : int or None
        Patches a forward pass; None to find it from the patch size.
    """

    bundle: Path | None = None
    device: str = "auto"
    batch_size: int | None = None


def read_settings() -> Settings:
    """Read the preferences; the defaults where napari does not know the plugin yet.

    The size of the cache is handed on through its environment variable, which goes before it where it is set.
    """
    try:
        chosen = get_plugin_settings(PLUGIN).prediction
    except (KeyError, AttributeError):
        return Settings()
    os.environ.setdefault(BOUND_VARIABLE, f"{chosen.cache_gb:g}")
    return Settings(
        Path(chosen.bundle).expanduser() if chosen.bundle.strip() else None,
        chosen.device if chosen.device in DEVICES else "auto",
        chosen.batch_size or None,
    )
