"""The tables of an evaluation's report, for other programs: three CSV files and one of JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.held_out import COVERAGE, PREDICTABLE
from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.training.evaluation import PANELS
from napari_mclstexp.training.report_values import MEASURES, plain, section_pcc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_mclstexp.training.evaluation import Evaluation, HeldOutSection
    from napari_mclstexp.training.report_values import Findings

SCHEMA_VERSION = 1


def genes_csv(findings: Findings) -> str:
    """One row a gene, in the order of the evaluation; correlations by the chosen head."""
    evaluation = findings.evaluation
    by_section = evaluation.pcc(evaluation.head)
    absent = set(evaluation.absent)
    head = ["gene", "pcc", "low", "high", "predictable", "absent", "half_width", "baseline_pcc"]
    rows = (
        [
            gene,
            findings.pcc[i],
            findings.low[i],
            findings.high[i],
            bool(findings.predictable[i]),
            gene in absent,
            evaluation.width[i],
            findings.baseline_pcc[i],
            *by_section[:, i],
        ]
        for i, gene in enumerate(evaluation.genes)
    )
    return _csv([*head, *(f"pcc {section.name}" for section in evaluation.sections)], rows)


def methods_csv(findings: Findings) -> str:
    """One row a method, in full precision."""
    evaluation, domains = findings.evaluation, findings.domains
    head = ["method", "label", "kind", "chosen_head", "best_baseline"]
    for panel in PANELS:
        head += [f"pcc_{panel}", f"pcc_{panel}_low", f"pcc_{panel}_high"]
    head += [*MEASURES, *(f"{part} {name}" for name in domains for part in ("ari", "nmi"))]
    rows = (
        [
            method.key,
            method.label,
            method.kind,
            method.key == evaluation.head,
            method.key == findings.baseline,
            *(value for panel in PANELS for value in findings.panels[method.key][panel]),
            *(findings.means[method.key][name] for name in MEASURES),
            *(value for name in domains for value in findings.domain_means(method.key, name)),
        ]
        for method in evaluation.methods
    )
    return _csv(head, rows)


def sections_csv(findings: Findings) -> str:
    """One row a section and method; coverage and shares stand with the head that the other folds chose."""
    evaluation, domains = findings.evaluation, findings.domains
    nothing = (float("nan"),) * 2
    head = ["section", "patient", "fold", "same_patient", "spots", "spots_left_out", "method", "kind"]
    head += ["chosen_by_other_folds", *(f"pcc_{panel}" for panel in PANELS), *MEASURES]
    head += [*(f"{part} {name}" for name in domains for part in ("ari", "nmi")), "coverage", "depth", "looks"]
    rows = (
        [
            section.name,
            section.patient,
            section.fold + 1,
            section.same_patient,
            section.spots,
            section.poor,
            method.key,
            method.kind,
            method.key == section.head,
            *(section_pcc(section, method.key, panel) for panel in PANELS),
            *(getattr(section.scores[method.key], name) for name in MEASURES),
            *(v for name in domains for v in section.scores[method.key].domains.get(name, nothing)),
            *(_of_own_head(section) if method.key == section.head else nothing * 2)[:3],
        ]
        for section in evaluation.sections
        for method in evaluation.methods
    )
    return _csv(head, rows)


def evaluation_json(findings: Findings) -> str:
    """All that the tables and plots are drawn from; a number that is not finite is null."""
    evaluation = findings.evaluation
    content = {
        "schema_version": SCHEMA_VERSION,
        "statement": STATEMENT,
        "leave_out": evaluation.leave_out,
        "same_patient": evaluation.same_patient,
        "intervals_over": evaluation.resampled,
        "seed": evaluation.seed,
        "head": evaluation.head,
        "head_reason": evaluation.head_reason,
        "best_baseline": findings.baseline,
        "ratio": {panel: _figure(value) for panel, value in findings.ratios.items()},
        "methods": [
            {
                "method": method.key,
                "label": method.label,
                "kind": method.kind,
                "plain_looks": method.plain_looks,
                "pcc": {panel: _figure(findings.panels[method.key][panel]) for panel in PANELS},
                **findings.means[method.key],
                "domains": {name: findings.domain_means(method.key, name) for name in findings.domains},
            }
            for method in evaluation.methods
        ],
        "folds": [
            {
                "held_out": fold.held_out,
                "trained": fold.trained,
                "same_patient": fold.same_patient,
                "history": history,
            }
            for fold, history in zip(evaluation.folds, evaluation.history, strict=True)
        ],
        "sections": [_section(evaluation, section) for section in evaluation.sections],
        "rule": {"predictable_pcc": PREDICTABLE, "coverage": COVERAGE},
        "genes": {
            "gene": evaluation.genes,
            "absent": evaluation.absent,
            "pcc": findings.pcc,
            "low": findings.low,
            "high": findings.high,
            "predictable": findings.predictable,
            "half_width": evaluation.width,
            "baseline_pcc": findings.baseline_pcc,
        },
        "similarity_percentiles": evaluation.similarity,
        "risk": evaluation.risk,
        "unlike": evaluation.unlike,
        "about": evaluation.about,
    }
    return _json(content)


def timing_json(evaluation: Evaluation) -> str:
    """What differs from run to run: seconds of training a fold."""
    folds = [
        {"fold": number, "held_out": fold.held_out, "training_seconds": seconds}
        for number, (fold, seconds) in enumerate(
            zip(evaluation.folds, evaluation.seconds, strict=True), start=1
        )
    ]
    return _json({"schema_version": SCHEMA_VERSION, "folds": folds})


def _section(evaluation: Evaluation, section: HeldOutSection) -> dict[str, Any]:
    scores = {}
    for method in evaluation.methods:
        score = section.scores[method.key]
        scores[method.key] = {
            "pcc": {panel: section_pcc(section, method.key, panel) for panel in PANELS},
            **{name: getattr(score, name) for name in MEASURES},
            "domains": score.domains,
        }
    return {
        "section": section.name,
        "patient": section.patient,
        "fold": section.fold + 1,
        "same_patient": section.same_patient,
        "spots": section.spots,
        "spots_left_out": section.poor,
        "head_of_other_folds": section.head,
        **dict(zip(("coverage", "depth", "looks"), _of_own_head(section), strict=True)),
        "panels": {panel: section.panels[panel] for panel in PANELS if panel != "all"},
        "scores": scores,
        "gene_pcc": section.scores[evaluation.head].pcc,
    }


def _of_own_head(section: HeldOutSection) -> tuple[float, float, float]:
    return section.coverage, section.depth, section.looks


def _figure(figure: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), figure, strict=True))


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Yes and no in words, full precision of numbers, nothing for one that is not finite."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return repr(float(value)) if np.isfinite(value) else ""
    return value


def _json(content: dict[str, Any]) -> str:
    return json.dumps(plain(content), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
