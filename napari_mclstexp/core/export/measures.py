"""Table of what is measured of domains and annotations, as CSV with its provenance beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_mclstexp.core.export.csv import safe_text, write_table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_mclstexp.core.result import Result


def write_measures(result: Result, table: pd.DataFrame, path: Path, *, overwrite: bool = False) -> Path:
    """Write a table that :func:`.measures.measure` made of a result; ``NAME.provenance.json`` beside it.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_files`.
    """
    texts = table.select_dtypes(exclude="number").columns
    told = table.assign(**{name: table[name].map(safe_text) for name in texts})
    return write_table(result, told, path, float_format="%.6g", overwrite=overwrite)
