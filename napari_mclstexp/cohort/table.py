"""The table of a cohort: a row a slide, for a spreadsheet or for statistics."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from napari_mclstexp.cohort.folder import TABLE
from napari_mclstexp.cohort.page_values import NOT_DONE
from napari_mclstexp.core.atomic import write_text
from napari_mclstexp.core.export.csv import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_mclstexp.cohort.folder import Cohort, Entry, Record

COLUMNS = (
    "slide", "patient", "group", "outcome", "reason", "spots", "tissue_mm2", "unlike_reference", "seconds",
    "notes", "result",
)  # fmt: skip


def write_table(cohort: Cohort, records: Mapping[str, Record]) -> Path:
    """Write ``cohort.csv`` into the cohort's folder, as RFC 4180 in UTF-8.

    After `COLUMNS` come one column a domain, ``domain: NAME``, with its share of the spots, and one a gene of
    the page, ``mean: GENE``. What is not known is empty; no text begins as a formula.

    Parameters
    ----------
    cohort : Cohort
        Its slides, genes and domains.
    records : mapping of str to Record
        How slides ended, by their names; those without one are told as not done yet.

    Returns
    -------
    pathlib.Path
        The table.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text)
    means = [shown.gene for shown in cohort.genes]
    heads = [*(f"domain: {name}" for name in cohort.domains), *(f"mean: {gene}" for gene in means)]
    rows.writerow([*COLUMNS, *heads])
    for entry in cohort.entries:
        record = records.get(entry.name)
        known = [_number(record.domains.get(name, math.nan)) if record else "" for name in cohort.domains]
        known += [_number(record.means.get(gene, math.nan)) if record else "" for gene in means]
        rows.writerow([*_row(cohort, entry, record), *known])
    return write_text(cohort.folder / TABLE, text.getvalue(), overwrite=True)


def _row(cohort: Cohort, entry: Entry, record: Record | None) -> list[str]:
    """What stands below `COLUMNS`."""
    of = [safe_text(text) for text in (entry.name, entry.patient, entry.group)]
    if record is None:
        return [*of, NOT_DONE, *[""] * (len(COLUMNS) - len(of) - 1)]
    result = cohort.file(entry, ".h5ad").relative_to(cohort.folder).as_posix() if record.done else ""
    return [
        *of,
        safe_text(record.outcome),
        safe_text(record.reason),
        str(record.spots) if record.done or record.spots else "",
        *(_number(value) for value in (record.tissue_mm2, record.unlike, record.seconds)),
        safe_text(record.notes),
        result,
    ]


def _number(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""
