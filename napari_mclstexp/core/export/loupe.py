"""Domain of each spot as a category, as Loupe Browser imports it: ``Barcode,Domain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_mclstexp.core.atomic import refuse_existing, write_file
from napari_mclstexp.core.export.csv import write_provenance
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
        There are no domains; see :func:`.atomic.write_file`.
    """
    domains = result.domains
    if domains is None:
        msg = "There are no domains to write. Find them first."
        raise ExportError(msg)
    names = {0: NONE, **domains.names}
    table = pd.DataFrame({"Barcode": result.grid.ids, "Domain": [names[int(i)] for i in domains.labels]})
    refuse_existing(path, overwrite=overwrite)
    write_provenance(result, path, overwrite=overwrite)
    return write_file(path, lambda p: table.to_csv(p, index=False, encoding="utf-8"), overwrite=overwrite)
