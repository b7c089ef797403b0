"""The table of a cohort: read back by what others read tables with."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from small_cohort import DOMAINS, NASTY, REASON, small_cohort

from napari_mclstexp.cohort.table import COLUMNS, write_table

if TYPE_CHECKING:
    from pathlib import Path


def test_a_row_a_slide_in_the_order_given(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    path = write_table(cohort, records)
    assert path == tmp_path / "cohort.csv"
    table = pd.read_csv(path, keep_default_na=True)
    heads = [*(f"domain: {name}" for name in DOMAINS), "mean: ERBB2", "mean: HLA-A"]
    assert table.columns.tolist() == [*COLUMNS, *heads]
    assert table["slide"].tolist() == [entry.name for entry in cohort.entries]
    table = table.set_index("slide")
    plain = table.loc["plain"]
    assert (plain["outcome"], plain["patient"], plain["group"]) == ("done", "P1", "HER2+")
    assert plain[["spots", "tissue_mm2", "unlike_reference", "seconds"]].tolist() == [1200, 12.0, 0.02, 90.0]
    assert plain[heads].tolist() == [0.5, 0.25, 0.25, 1.5, 3.0]
    assert table.loc[NASTY, "result"] == f"slides/{NASTY}.h5ad"
    assert table.loc["no scale", "reason"] == REASON
    assert table.loc["later", "outcome"] == "not done yet"
    unknown = table.loc[["no scale", "cut off", "later"], ["spots", "tissue_mm2", "result", *heads]]
    assert unknown.isna().all(axis=None)
    assert pd.isna(table.loc["S 3", "tissue_mm2"])


def test_lines_end_as_rfc_4180_says(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    records["plain"] = replace(records["plain"], notes='two\nlines, "quoted"')
    raw = write_table(cohort, records).read_bytes()
    assert raw.endswith(b"\r\n")
    rows = list(csv.reader(raw.decode("utf-8").splitlines(keepends=True), strict=True))
    assert {len(row) for row in rows} == {len(COLUMNS) + 5}
    assert rows[1][COLUMNS.index("notes")] == 'two\nlines, "quoted"'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1"])
def test_no_text_runs_as_a_formula(text: str, tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    first = replace(cohort.entries[0], name=text, patient=text, group=text)
    record = replace(records["plain"], reason=text, notes=text, outcome=text)
    path = write_table(replace(cohort, entries=(first,)), {text: record})
    row = pd.read_csv(path, dtype=str).iloc[0]
    for column in ("slide", "patient", "group", "reason", "notes", "outcome"):
        assert row[column] == f"'{text}"


def test_numbers_below_zero_stay_numbers(tmp_path: Path) -> None:
    cohort, records = small_cohort(tmp_path, files=False)
    records["plain"] = replace(records["plain"], means={"ERBB2": -1.25, "HLA-A": 1e-12})
    table = pd.read_csv(write_table(cohort, records))
    assert table.loc[0, ["mean: ERBB2", "mean: HLA-A"]].tolist() == [-1.25, 1e-12]
