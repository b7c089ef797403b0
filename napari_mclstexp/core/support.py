"""The report that a person copies for whoever helps: versions, machine, settings, the end of the log."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import TYPE_CHECKING

import psutil

from napari_mclstexp import __version__
from napari_mclstexp.core.cache import BOUND_VARIABLE, FOLDER_VARIABLE, bound_bytes
from napari_mclstexp.core.discreet import discreet
from napari_mclstexp.core.log import FILE, last_lines
from napari_mclstexp.core.remembered import FOLDER_VARIABLE as DATA_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

LINES = 200
LIBRARIES = (
    "napari", "PyQt6", "PyQt6-Qt6", "PySide6", "torch", "onnxruntime", "openslide-bin", "openslide-python",
    "tifffile", "zarr", "anndata", "numpy",
)  # fmt: skip
VARIABLES = (
    DATA_VARIABLE,
    FOLDER_VARIABLE,
    BOUND_VARIABLE,
    "QT_API",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)


def support_report(settings: Mapping[str, object] | None = None) -> str:
    """Tell what helps to find a fault, and nothing that tells who met it or on which slide.

    Parameters
    ----------
    settings : mapping of str, optional
        What was chosen in the window, by name.

    Returns
    -------
    str
        Text of some lines, then the last 200 of the log.
    """
    chosen = {**(settings or {}), "cache": f"at most {bound_bytes() / 1e9:g} GB"}
    given = [name for name in VARIABLES if name in os.environ]
    memory = psutil.virtual_memory()
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    lines = [
        f"napari-mclstexp {__version__}",
        *(f"{name} {version}" for name, version in _versions().items()),
        f"Python {platform.python_version()} on {system}",
        f"processors {os.cpu_count()}, memory {memory.total / 2**30:.1f} GiB, "
        f"{memory.available / 2**30:.1f} GiB of it free",
        f"GPU {_gpu()}",
        *(f"{name}: {value}" for name, value in chosen.items()),
        f"variables set: {', '.join(given) or 'none'}",
        "",
        f"The end of {FILE}:",
        *last_lines(LINES),
    ]
    return discreet("\n".join(lines)) + "\n"


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> str:
    import torch  # takes seconds

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
    return "of Apple (mps)" if torch.backends.mps.is_available() else "none that torch can use"
