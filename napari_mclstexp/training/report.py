"""The report of an evaluation: a page to read, tables for other programs, a few lines for the terminal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_mclstexp.core.atomic import put_bytes, refuse_existing, same_bytes, write_folder
from napari_mclstexp.errors import ExportError
from napari_mclstexp.training.report_page import page
from napari_mclstexp.training.report_tables import (
    evaluation_json,
    genes_csv,
    methods_csv,
    sections_csv,
    timing_json,
)
from napari_mclstexp.training.report_values import Findings, best_baseline, shown, span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_mclstexp.training.evaluation import Evaluation

__all__ = ["FILES", "best_baseline", "refuse_target", "summary", "write_report"]

FILES = ("report.html", "genes.csv", "methods.csv", "sections.csv", "evaluation.json", "timing.json")


def write_report(evaluation: Evaluation, out: Path, *, overwrite: bool = False) -> Path:
    """Write the folder of the report whole or not at all.

    The same evaluation gives the same files to the byte; only ``timing.json`` tells of the run.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.
    out : pathlib.Path
        The folder to make.
    overwrite : bool
        Whether an earlier report may be replaced.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ExportError
        See :func:`refuse_target`; or it cannot be written, and what was there is untouched.
    ModelError
        See :func:`best_baseline`.
    """
    refuse_target(out, overwrite=overwrite)
    findings = Findings.of(evaluation)
    texts = [
        page(findings),
        genes_csv(findings),
        methods_csv(findings),
        sections_csv(findings),
        evaluation_json(findings),
        timing_json(evaluation),
    ]
    contents = dict(zip(FILES, (text.encode("utf-8", errors="replace") for text in texts), strict=True))

    def each(do: Callable[[Path, bytes], None], folder: Path) -> None:
        for name, content in contents.items():
            do(folder / name, content)

    return write_folder(out, partial(each, put_bytes), overwrite=overwrite, verify=partial(each, same_bytes))


def refuse_target(out: Path, *, overwrite: bool) -> None:
    """Refuse a target that may not be replaced, or that holds anything but a report.

    Raises
    ------
    ExportError
        It exists and may not be replaced; it is no folder, or one with files of another kind, which would
        be lost with it.
    """
    refuse_existing(out, overwrite=overwrite)
    if not out.exists():
        return
    if not out.is_dir():
        msg = f"{out.name} is a file. Give the name of a folder for the report."
        raise ExportError(msg)
    others = sorted(file.name for file in out.iterdir() if file.name not in FILES)
    if others:
        msg = (
            f"{out.name} holds other things than a report ({', '.join(others[:3])}), which would be lost. "
            "Choose another folder, or move them away."
        )
        raise ExportError(msg)


def summary(evaluation: Evaluation) -> str:
    """A small table for the terminal: each method over all genes and over the 50 most expressed."""
    baseline = best_baseline(evaluation)
    marks = {evaluation.head: "*", baseline: "+"}
    width = max(len(method.label) for method in evaluation.methods) + 2
    lines = [f"{'':{width}}  {'PCC, all genes':26}  PCC, top 50"]
    for method in evaluation.methods:
        every, top = (evaluation.panel_pcc(method.key, panel) for panel in ("all", "top50"))
        label = f"{marks.get(method.key, ' ')} {method.label}"
        interval = f"{shown(every[0])} ({span(every)})"
        lines.append(f"{label:{width}}  {interval:26}  {shown(top[0])}")
    held = "Same patient in training." if evaluation.same_patient else "Patients held out."
    lines.append(f"* chosen head, + best colour-and-texture baseline. {held}")
    lines.append(f"95 % intervals over {evaluation.resampled}.")
    return "\n".join(lines)
