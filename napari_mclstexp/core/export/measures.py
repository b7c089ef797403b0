"""Table of what is measured of domains and annotations, as CSV with its provenance beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.atomic import refuse_existing, write_file
from napari_mclstexp.core.export.csv import safe_text, write_provenance

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_mclstexp.core.result import Result


def write_measures(result: Result, table: pd.DataFrame, path: Path, *, overwrite: bool = False) -> Path:
    """Write a table that :func:`.measures.measure` made of a result; ``NAME.provenance.json`` beside it.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_file`.
    """
    texts = table.select_dtypes(exclude="number").columns
    told = table.assign(**{name: table[name].map(safe_text) for name in texts})
    refuse_existing(path, overwrite=overwrite)
    write_provenance(result, path, overwrite=overwrite)
    return write_file(
        path,
        lambda p: told.to_csv(p, index=False, float_format="%.6g", encoding="utf-8"),
        overwrite=overwrite,
    )
