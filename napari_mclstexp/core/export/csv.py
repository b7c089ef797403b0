"""Spot table as CSV, one row a spot, and beside it its provenance as JSON.

Text that a spreadsheet would take for a formula gets a leading apostrophe; numbers never do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from napari_mclstexp.core.atomic import refuse_existing, write_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write ``spot_id,x_px,y_px,x_um,y_um,domain,<genes>``, and ``NAME.provenance.json`` beside it.

    um are empty where the scale is unknown, the domain where there is none.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_file`.
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
    refuse_existing(path, overwrite=overwrite)
    write_provenance(result, path, overwrite=overwrite)
    return write_file(
        path,
        lambda p: table.to_csv(p, index=False, float_format="%.9g", encoding="utf-8"),
        overwrite=overwrite,
    )


def write_provenance(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write ``NAME.provenance.json`` beside a file that has no room for it.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_file`.
    """
    text = json.dumps(result.provenance.as_json(), indent=1, allow_nan=False)
    return write_file(path.with_suffix(".provenance.json"), lambda p: _write(p, text), overwrite=overwrite)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _domains(result: Result) -> list[str]:
    if result.domains is None:
        return [""] * len(result.grid)
    names = {0: "", **{label: safe_text(name) for label, name in result.domains.names.items()}}
    return [names[int(label)] for label in result.domains.labels]


def safe_text(value: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    value = str(value)
    return f"'{value}" if value.startswith(FORMULA) else value
