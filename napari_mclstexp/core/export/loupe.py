"""Domain of each spot as a category, as Loupe Browser imports it: ``Barcode,Domain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_mclstexp.core.export.csv import write_table
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result

NONE = "No domain"


def write_loupe(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write one row a spot, and ``NAME.provenance.json`` beside it.

    Raises
    ------
    ExportError
        There are no domains; see :func:`.atomic.write_files`.
    """
    domains = result.domains
    if domains is None:
        msg = "There are no domains to write. Find them first."
        raise ExportError(msg)
    names = {0: NONE, **domains.names}
    table = pd.DataFrame({"Barcode": result.grid.ids, "Domain": [names[int(i)] for i in domains.labels]})
    return write_table(result, table, path, float_format=None, overwrite=overwrite)
