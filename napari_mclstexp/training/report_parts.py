"""Parts of the page of an evaluation's report that stand below the plots, and what all parts are made of."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.held_out import COVERAGE, PREDICTABLE
from napari_mclstexp.training.report_values import percent, plain, shown, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_mclstexp.training.evaluation import Evaluation
    from napari_mclstexp.training.report_values import Findings

BEST_GENES = 20
NEAR_CHANCE = 0.1
"""Share of the chosen head's correlation under which shuffled pairs are called close to chance."""
FILES = (
    ("genes.csv", "every gene, with its interval and its correlation in each section"),
    ("methods.csv", "the table of methods in full precision"),
    ("sections.csv", "every method on every section"),
    ("evaluation.json", "all that the tables and plots are drawn from"),
    ("timing.json", "how long training took"),
)


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def badge(evaluation: Evaluation) -> str:
    """What was held out, in a word that cannot be missed."""
    if evaluation.same_patient:
        return '<span class="badge same">Same patient: the patient is also in training</span>'
    return '<span class="badge">Patients held out</span>'


def mark(text: str, kind: str = "") -> str:
    """A small label beside a name."""
    return f'<span class="{f"mark {kind}".strip()}">{escape(text)}</span>'


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "", classes: Sequence[str] = ()
) -> str:
    """A table of cells that are HTML already; a row of one cell runs over all columns."""
    lines = []
    for number, cells in enumerate(rows):
        across = f' colspan="{len(heads)}"' if len(cells) == 1 < len(heads) else ""
        row = "".join(f"<td{across}>{cell}</td>" for cell in cells)
        lines.append(f"<tr{_class(classes[number] if classes else '')}>{row}</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "\n".join(lines)
    inner = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="wide"><table{_class(kind)}>\n{inner}\n</table></div>'


def domains(findings: Findings) -> str:
    """How tissue domains agree."""
    if not findings.domains:
        return ""
    keys = (findings.evaluation.head, findings.baseline)
    rows = [
        [escape(name), *(shown(value, 2) for key in keys for value in findings.domain_means(key, name))]
        for name in findings.domains
    ]
    heads = ["Compared in", "Head, ARI", "Head, NMI", "Colour and texture, ARI", "Colour and texture, NMI"]
    text = (
        "Domains of the predicted against those of the measured expression, mean over sections: adjusted "
        "Rand index (ARI) and normalised mutual information (NMI); 1 is the same, 0 is chance (ARI)."
    )
    return f"<h3>Tissue domains</h3>\n{paragraph(text)}\n{table(heads, rows, 'narrow')}"


def unlike(evaluation: Evaluation) -> str:
    """How well tissue that the reference does not know is told apart."""
    if not evaluation.unlike:
        return ""
    rows = [
        [
            escape(_words(row.get("what"))),
            escape(_words(row.get("against"))),
            escape(_words(row.get("resampled"))),
            escape(_words(row.get("spots"))),
            _number(row.get("auroc"), share=False),
            _number(row.get("flagged"), share=True),
        ]
        for row in evaluation.unlike
    ]
    heads = ["What", "Told apart from", "Resampled", "Spots", "AUROC", "Flagged"]
    text = (
        "How well spots that the model should not be believed on are told from held-out tissue by their "
        "similarity to the reference. AUROC: 1 is always, 0.5 is by chance. Flagged: share that is greyed."
    )
    return f"<h3>Tissue unlike the reference</h3>\n{paragraph(text)}\n{table(heads, rows, 'names')}"


def genes(findings: Findings) -> str:
    """The best genes, and how many a map may be read of."""
    evaluation = findings.evaluation
    count = int(findings.predictable.sum())
    text = (
        f"{count:,} of {len(evaluation.genes):,} genes are called predictable: PCC of at least "
        f"{PREDICTABLE:g}, with an interval above 0, by the chosen head. For the others, a map should not be "
        "read. All genes are in genes.csv."
    )
    rows = [
        [
            escape(evaluation.genes[i]),
            shown(findings.pcc[i]),
            span((findings.pcc[i], findings.low[i], findings.high[i])),
            "yes" if findings.predictable[i] else "no",
            f"± {shown(evaluation.width[i], 2)}",
            shown(findings.baseline_pcc[i]),
        ]
        for i in findings.order[:BEST_GENES]
    ]
    within = f"{percent(COVERAGE)} of values within"
    heads = ["Gene", "PCC", "95 % interval", "Predictable", within, "Colour and texture"]
    title = f"<h3>The {len(rows)} best predicted</h3>"
    return f"<h2>Genes</h2>\n{paragraph(text)}\n{title}\n{table(heads, rows, 'narrow')}"


def shuffled(findings: Findings) -> str:
    """What must fail, and whether it does."""
    checks = [method for method in findings.evaluation.methods if method.kind == "check"]
    ours = findings.panels[findings.evaluation.head]["all"][0]
    lines = []
    for method in checks:
        value, low, high = figure = findings.panels[method.key]["all"]
        if low <= 0 <= high:
            verdict = "the interval holds 0: at chance, as it must be."
        elif abs(value) < NEAR_CHANCE * ours:
            verdict = "close to chance: under a tenth of the chosen head’s."
        else:
            verdict = "NOT at chance. Look for the reason before the figures above are believed."
        said = f"{method.label}: PCC over all genes {shown(value)} ({span(figure)}); {verdict}"
        lines.append(paragraph(said))
    text = (
        "With the expression dealt out anew among the spots of each training section, nothing about tissue "
        "can be learned; what such a model scores is what chance scores."
    )
    return "\n".join(("<h2>Check: shuffled pairs</h2>", paragraph(text), *lines)) if checks else ""


def how_made(evaluation: Evaluation) -> str:
    """Options, versions and folds."""
    options = {"leave out": evaluation.leave_out, "seed": evaluation.seed, **evaluation.about}
    rows = [[escape(str(key)), escape(_words(value))] for key, value in options.items()]
    folds = [
        [
            str(number),
            escape(", ".join(fold.held_out)),
            escape(", ".join(fold.trained)),
            "yes" if fold.same_patient else "no",
        ]
        for number, fold in enumerate(evaluation.folds, start=1)
    ]
    heads = ["Fold", "Held out", "Trained on", "Patient also in training"]
    listed = "".join(f"<li><b>{name}</b>: {what}</li>" for name, what in FILES)
    return "\n".join(
        (
            "<h2>How this was made</h2>",
            table(["Option", "Value"], rows, "texts narrow"),
            "<h3>Folds</h3>",
            table(heads, folds, "texts"),
            f"<h3>Beside this page</h3>\n<ul>{listed}</ul>",
        )
    )


def _words(value: Any) -> str:
    value = plain(value)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_words(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(part)}" for key, part in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any, *, share: bool) -> str:
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(_words(value))
    return percent(float(value)) if share else shown(float(value), 2)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
