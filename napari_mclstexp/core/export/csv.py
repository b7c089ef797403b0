"""Spot table as CSV, one row a spot, and beside it its provenance as JSON.

Text that a spreadsheet would take for a formula gets a leading apostrophe; numbers never do.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pandas as pd

from napari_mclstexp.core.atomic import put_bytes, same_bytes, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.atomic import Step
    from napari_mclstexp.core.result import Result

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write ``spot_id,x_px,y_px,x_um,y_um,domain,<genes>``, and ``NAME.provenance.json`` beside it.

    um are empty where the scale is unknown, the domain where there is none.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_files`.
    """
    about = result.provenance
    y, x = result.grid.centres_px.T
    table = pd.DataFrame(
        {
            "spot_id": [safe_text(i) for i in result.grid.ids],
            "x_px": x.round(3),
            "y_px": y.round(3),
            "x_um": (x * about.mpp_x).round(3),
            "y_um": (y * about.mpp_y).round(3),
            "domain": _domains(result),
            **{gene: result.expression[:, i] for i, gene in enumerate(map(safe_text, result.genes))},
        }
    )
    return write_table(result, table, path, float_format="%.9g", overwrite=overwrite)


def write_table(
    result: Result, table: pd.DataFrame, path: Path, *, float_format: str | None, overwrite: bool
) -> Path:
    """Write a table, and ``NAME.provenance.json`` beside it, for a table has no room for it; both or none.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_files`.
    """
    text = json.dumps(result.provenance.as_json(), indent=1, allow_nan=False).encode()

    def write(part: Path) -> None:
        table.to_csv(part, index=False, float_format=float_format, encoding="utf-8")

    files: list[tuple[Path, Step, Step]] = [
        (path.with_suffix(".provenance.json"), lambda p: put_bytes(p, text), lambda p: same_bytes(p, text)),
        (path, write, lambda p: _verify(p, table)),
    ]
    write_files(files, overwrite=overwrite)
    return path


def _verify(path: Path, table: pd.DataFrame) -> None:
    """Raise OSError unless each row reads back."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        whole = next(rows, None) == list(table.columns) and all(
            len(row) == len(table.columns) for row in rows
        )
        if not whole or rows.line_num < len(table) + 1:
            msg = "the table does not read back as it was written"
            raise OSError(msg)


def _domains(result: Result) -> list[str]:
    if result.domains is None:
        return [""] * len(result.grid)
    names = {0: "", **{label: safe_text(name) for label, name in result.domains.names.items()}}
    return [names[int(label)] for label in result.domains.labels]


def safe_text(value: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    value = str(value)
    return f"'{value}" if value.startswith(FORMULA) else value
