"""Importing torchvision into a process that may already draw through Mesa.

torchvision imports triton, which brings an LLVM of its own. Where Mesa has loaded another LLVM for its
software or AMD drivers (it has, once napari's canvas is shown), the two get mixed up and the process dies of
a segmentation fault. Binding triton to its own symbols first keeps them apart (``RTLD_DEEPBIND``, Linux).
"""

from __future__ import annotations

import importlib.util
import os
import sys

if sys.platform == "linux" and "triton" not in sys.modules and importlib.util.find_spec("triton"):
    _flags = sys.getdlopenflags()
    sys.setdlopenflags(_flags | os.RTLD_DEEPBIND)
    try:
        importlib.import_module("triton")
    finally:
        sys.setdlopenflags(_flags)

from torchvision.models import densenet121

__all__ = ["densenet121"]
