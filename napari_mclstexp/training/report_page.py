"""The page of an evaluation's report: one HTML file that needs no other."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.held_out import COVERAGE
from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.training.report_parts import (
    badge,
    domains,
    genes,
    how_made,
    mark,
    paragraph,
    shuffled,
    table,
    unlike,
)
from napari_mclstexp.training.report_plots import plots
from napari_mclstexp.training.report_values import MEASURES, percent, section_pcc, shown, span

if TYPE_CHECKING:
    from napari_mclstexp.training.evaluation import Evaluation, Method
    from napari_mclstexp.training.report_values import Findings

KINDS = {
    "head": "Our heads",
    "ablation": "Ours without a part",
    "baseline": "Baselines",
    "check": "Checks",
}
METHOD_COLUMNS = (
    "Method",
    "PCC, all genes",
    "PCC, top 50",
    "PCC, variable 50",
    "PCC, spatial 50",
    "MSE",
    "MAE",
    "MSE, relative",
    "MAE, relative",
    "Variance ratio",
    "Moran’s I agreement",
)


SECTION_COLUMNS = (
    "Section",
    "Patient",
    "Spots (left out)",
    "Head, all",
    "Head, top 50",
    "Colour and texture, all",
    "Colour and texture, top 50",
    "Coverage",
    "Depth share",
    "Looks share",
)

GENES = {
    "given": "The genes were given by a list.",
    "fold": "The genes were chosen in each fold by its training sections; those of every fold are scored.",
    "bundle": "The genes are the bundle's, which may have been chosen on all sections.",
}
"""How the genes came to be scored."""


def page(findings: Findings) -> str:
    """The whole page, the same to the byte for the same evaluation."""
    evaluation = findings.evaluation
    title = f"Evaluation on held-out {'patients' if evaluation.leave_out == 'patient' else 'sections'}"
    style = files("napari_mclstexp.training").joinpath("report.css").read_text(encoding="utf-8")
    parts = (
        f"<h1>{title}</h1>",
        _held_out(evaluation),
        _headline(findings),
        _methods(findings),
        _sections(findings),
        _plots(findings),
        domains(findings),
        unlike(evaluation),
        genes(findings),
        shuffled(findings),
        how_made(evaluation),
    )
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _held_out(evaluation: Evaluation) -> str:
    """What was held out, and how much of it there is."""
    sections, folds = evaluation.sections, len(evaluation.folds)
    same = sum(section.same_patient for section in sections)
    if evaluation.leave_out == "patient":
        what = "the sections of each patient were held out once: trained anew on those of all other patients"
    else:
        what = "each section was held out once: trained anew on all others"
    chosen = str(evaluation.about.get("genes_chosen", "given"))
    text = (
        f"In {folds} folds, {what}, the model predicted what was held out from its H&E alone. Nothing of a "
        "held-out section was trained on, retrieved from, or used to choose levels or penalties. "
        f"{GENES[chosen]}"
    )
    if same:
        which = "every section" if same == len(sections) else f"{same} of {len(sections)} sections"
        text += (
            f" But for {which}, another section of the patient was in training: expect less on a patient who "
            "is new."
        )
    facts = [
        ("Sections", f"{len(sections):,}"),
        ("Patients", f"{len(set(evaluation.patients)):,}"),
        ("Spots scored", f"{sum(s.spots for s in sections):,}"),
        ("Spots left out", f"{sum(s.poor for s in sections):,}"),
        ("Genes scored", f"{len(evaluation.genes):,}"),
        ("Genes absent", f"{len(evaluation.absent):,}"),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    notes = "Spots are left out for their few counts. "
    if evaluation.absent:
        some = ", ".join(evaluation.absent[:30])
        more = f" and {len(evaluation.absent) - 30:,} more" if len(evaluation.absent) > 30 else ""
        notes += f"Absent genes are not known to the model in some fold and score 0 there: {some}{more}."
    return f'<p>{badge(evaluation)}</p>\n{paragraph(text)}\n<dl class="facts">{cells}</dl>\n' + paragraph(
        notes, "small"
    )


def _headline(findings: Findings) -> str:
    """Our head against what plain colour and texture achieve."""
    evaluation = findings.evaluation
    head, baseline = findings.method(evaluation.head), findings.method(findings.baseline)
    rows = []
    for panel, name in (("all", "All genes"), ("top50", "50 most expressed genes")):
        ours, theirs = (findings.panels[key][panel] for key in (head.key, baseline.key))
        rows.append([name, _figure(ours), _figure(theirs), _figure(findings.ratios[panel], 2)])
    heads = ("PCC", head.label, baseline.label, "Ratio")
    chosen = sum(section.head == head.key for section in evaluation.sections)
    why = (
        f"Chosen head: {head.label}. Why: {evaluation.head_reason}. It was chosen on these same sections; "
        f"with each section’s head chosen by the other folds alone, PCC over all genes is "
        f"{shown(findings.own_mean())} (the same head in {chosen} of {len(evaluation.sections)} sections)."
    )
    notes = (
        "PCC: Pearson correlation of predicted with measured expression, per section and gene, then "
        f"averaged. Small: 95 % intervals, bootstrapped over {evaluation.resampled}; those of the ratio by "
        "the same draws for both."
    )
    return "\n".join(
        (
            "<h2>In short</h2>",
            paragraph(STATEMENT, "statement"),
            table([escape(name) for name in heads], rows, "headline"),
            paragraph(_verdict(findings)),
            paragraph(why),
            paragraph(notes, "small"),
        )
    )


def _verdict(findings: Findings) -> str:
    """The comparisons in words, whichever way they go."""
    every, top = (_compared(findings.ratios[panel]) for panel in ("all", "top50"))
    rest = "the same holds" if top == every else f"it is {top} it"
    text = (
        f"Over all genes, the chosen head is {every} the best colour-and-texture baseline; over the 50 most "
        f"expressed, {rest}."
    )
    values = {key: findings.panels[key]["all"][0] for key in findings.panels}
    best = findings.best("baseline")
    ours = values[findings.evaluation.head]
    if best != findings.baseline:
        text += (
            f" The best of all baselines is “{findings.method(best).label}” with {shown(values[best])} over "
            f"all genes; the chosen head {'is above it' if ours > values[best] else 'does not beat it'}."
        )
    if {"retrieval", "ridge"} <= values.keys():
        beats = "does better" if values["retrieval"] > values["ridge"] else "does not do better"
        text += (
            f" Retrieval, the paper’s way, {beats} than a ridge regression on the same encoder "
            f"({shown(values['retrieval'])} and {shown(values['ridge'])})."
        )
    return text


def _compared(ratio: tuple[float, float, float]) -> str:
    _, low, high = ratio
    return "better than" if low > 1 else "worse than" if high < 1 else "not clearly better than"


def _methods(findings: Findings) -> str:
    """The table in the paper's layout."""
    rows: list[list[str]] = []
    classes: list[str] = []
    for kind, methods in groupby(findings.evaluation.methods, key=lambda method: method.kind):
        rows.append([KINDS[kind]])
        classes.append("kind")
        for method in methods:
            panels, means = findings.panels[method.key], findings.means[method.key]
            rows.append(
                [
                    _label(findings, method),
                    *(_figure(panels[panel]) for panel in ("all", "top50")),
                    *(shown(panels[panel][0]) for panel in ("variable50", "spatial50")),
                    *(shown(means[name], 2 if name == "variance_ratio" else 3) for name in MEASURES),
                ]
            )
            classes.append(_class(findings, method.key))
    notes = (
        "Panels of 50 genes (highest mean, variance, Moran’s I) are chosen on the training sections. "
        "Relative errors: over those of the training mean, below 1 is better. Variance ratio: predicted over "
        "measured, below 1 is over-smoothed. Moran’s I agreement: correlation of predicted with measured "
        "spatial autocorrelation over genes. Each figure is the mean over sections."
    )
    listed = table(METHOD_COLUMNS, rows, "methods", classes)
    return f"<h2>All methods</h2>\n{listed}\n{paragraph(notes, 'small')}"


def _sections(findings: Findings) -> str:
    """The same, section by section."""
    evaluation = findings.evaluation
    rows = []
    for section in evaluation.sections:
        note = f" {mark('same patient', 'same')}" if section.same_patient else ""
        pcc = [
            section_pcc(section, key, panel)
            for key in (evaluation.head, findings.baseline)
            for panel in ("all", "top50")
        ]
        rows.append(
            [
                escape(section.name) + note,
                escape(section.patient),
                f"{section.spots:,} ({section.poor:,})",
                *(shown(value) for value in pcc),
                *(percent(share) for share in (section.coverage, section.depth, section.looks)),
            ]
        )
    notes = (
        "Head: the chosen one; colour and texture: the best such baseline. Coverage: share of measured "
        f"values within the intervals that the other folds’ sections give (meant: {percent(COVERAGE)}). "
        "Depth and looks share: how much of the prediction’s variance library size alone, and colour and "
        "texture alone, explain. These three are of the head that the other folds chose. Patients are named "
        "by pseudonym."
    )
    listed = table(SECTION_COLUMNS, rows, "names short")
    return f"<h2>Section by section</h2>\n{listed}\n{paragraph(notes, 'small')}"


def _plots(findings: Findings) -> str:
    drawn = "\n".join(
        f'<figure class="{plot.width}">\n{svg}\n<figcaption>{escape(plot.caption)}</figcaption>\n</figure>'
        for plot, svg in plots(findings)
    )
    return f'<h2>Plots</h2>\n<div class="plots">\n{drawn}\n</div>'


def _figure(figure: tuple[float, float, float], decimals: int = 3) -> str:
    small = "" if not np.isfinite(figure[1:]).all() else f"<small>{span(figure, decimals)}</small>"
    return shown(figure[0], decimals) + small


def _label(findings: Findings, method: Method) -> str:
    marks = {
        findings.evaluation.head: mark("chosen head"),
        findings.baseline: mark("best baseline", "other"),
    }
    return " ".join((escape(method.label), marks.get(method.key, ""))).strip()


def _class(findings: Findings, key: str) -> str:
    return {findings.evaluation.head: "ours", findings.baseline: "best"}.get(key, "")
