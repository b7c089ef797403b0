"""The plots of an evaluation's report, as SVG that lies in the page itself."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from napari_mclstexp.core.held_out import COVERAGE, PREDICTABLE
from napari_mclstexp.core.palette import COLOURS
from napari_mclstexp.training.report_values import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.axes import Axes

    from napari_mclstexp.training.report_values import Findings

STYLE: Any = {
    "svg.hashsalt": "mclstexp",  # the same plot, the same names within it
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa0a6",
    "axes.labelcolor": "#30343a",
    "text.color": "#1c1f23",
    "xtick.color": "#30343a",
    "ytick.color": "#30343a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
OURS, OTHERS = COLOURS[0], COLOURS[1]
KINDS = {"head": COLOURS[0], "ablation": COLOURS[3], "baseline": "#8a9097", "check": "#c3c7cc"}
LINE = 38
"""Letters in a line of a label; two lines at most."""
FOLD_COLOURS = tuple(COLOURS[i] for i in (0, 1, 2, 4, 6, 7, 8, 10))
FOLDS_NAMED = 8


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of the report.

    Attributes
    ----------
    name : str
        Short, of letters only.
    caption : str
        What it shows and how to read it.
    size : tuple of float
        Width and height in inches; 10 is the width of the page.
    axes : int
        How many, side by side.
    draw : callable
        Draws it on these axes.
    """

    name: str
    caption: str
    size: tuple[float, float]
    axes: int
    draw: Callable[..., None]

    @property
    def width(self) -> str:
        """How much of the page's width it takes: "full" or "half"."""
        return "half" if self.size[0] < 6 else "full"


def plots(findings: Findings) -> Iterator[tuple[Plot, str]]:
    """Each plot that there are figures for, and its SVG element."""
    for plot in _wanted(findings):
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            figure = Figure(figsize=plot.size, layout=ConstrainedLayoutEngine(wspace=0.06))
            plot.draw(findings, *np.ravel(figure.subplots(1, plot.axes)))
            drawn = _svg(figure, plot.name)
        yield plot, drawn


def _wanted(findings: Findings) -> Iterator[Plot]:
    evaluation = findings.evaluation
    height = 1.1 + 0.31 * len(evaluation.methods)
    caption = "Each method with its 95 % interval. Blue: ours; light blue: ours without a part; grey: others."
    yield Plot("methods", caption, (10, height), 2, _methods)
    caption = (
        "Left: how many genes reach which correlation. Right: each gene by the chosen head against the best "
        "colour-and-texture baseline; above the line, the head does better."
    )
    yield Plot("genes", caption, (10, 3.9), 2, _genes)
    if any(evaluation.history):
        caption = (
            "Training, fold by fold: the loss, and the share of patches in a batch whose own spot was the "
            "nearest."
        )
        yield Plot("training", caption, (10, 3.2), 2, _training)
    if any(np.isfinite(error) for _, error in evaluation.risk):
        caption = (
            "Error of the spots that are kept when only those most similar to the reference are, over that "
            "of all spots. Falling to the left: similarity tells where a prediction can be believed."
        )
        yield Plot("risk", caption, (4.9, 3.6), 1, _risk)
    if any(np.isfinite(section.coverage) for section in evaluation.sections):
        caption = (
            "Share of a section’s measured values within the intervals made from the other folds to cover "
            f"{percent(COVERAGE)}; left of the line, they are too narrow there."
        )
        height = max(3.6, 1.0 + 0.26 * len(evaluation.sections))
        yield Plot("coverage", caption, (4.9, height), 1, _coverage)


def _methods(findings: Findings, left: Axes, right: Axes) -> None:
    methods = findings.evaluation.methods
    rows = np.arange(len(methods))
    for axes, panel, title in ((left, "all", "All genes"), (right, "top50", "50 most expressed genes")):
        value, low, high = np.array([findings.panels[m.key][panel] for m in methods]).T
        reach = np.maximum([value - low, high - value], 0)
        axes.barh(rows, value, height=0.66, color=[KINDS[m.kind] for m in methods])
        axes.errorbar(value, rows, xerr=reach, fmt="none", ecolor="#1c1f23", elinewidth=1.1, capsize=2.5)
        axes.axvline(0, color="#5f656c", linewidth=0.9)
        axes.set(title=title, xlabel="Pearson correlation (PCC)", ylim=(len(methods) - 0.4, -0.6))
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(axis="y", length=0)
    marks = {findings.evaluation.head: " (chosen)", findings.baseline: " (best)"}
    left.set_yticks(rows, [_lines(m.label + marks.get(m.key, "")) for m in methods])
    right.set_yticks(rows, [""] * len(methods))


def _genes(findings: Findings, left: Axes, right: Axes) -> None:
    ours, theirs = findings.pcc, findings.baseline_pcc
    finite = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[finite], theirs[finite]
    everything = np.concatenate((ours, theirs, [0.0, PREDICTABLE]))
    low, high = np.floor(everything.min() * 20) / 20, np.ceil(everything.max() * 20) / 20
    bins = np.linspace(low, high, round((high - low) / 0.025) + 1).tolist()
    labels = ("Chosen head", "Best colour and texture")
    for values, colour, label in zip((theirs, ours), (OTHERS, OURS), labels[::-1], strict=True):
        left.hist(values, bins, histtype="stepfilled", color=colour, alpha=0.22)
        left.hist(values, bins, histtype="step", color=colour, linewidth=1.6, label=label)
        if len(values):
            left.axvline(values.mean(), color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
    left.set(title="Genes by correlation (dashed: mean)", xlabel="PCC of a gene", ylabel="Genes")
    left.legend(loc="upper right", reverse=True, frameon=True, facecolor="white", edgecolor="none")
    left.set_ylim(0, left.get_ylim()[1] * 1.22)  # room for the legend
    right.axline((0, 0), slope=1, color="#5f656c", linewidth=0.9)
    right.axhline(PREDICTABLE, color=COLOURS[4], linewidth=0.9, linestyle=(0, (4, 2)))
    right.scatter(theirs, ours, s=14, color=OURS, alpha=0.55, linewidths=0)
    right.set(
        title=f"Gene by gene (dashed: {PREDICTABLE:g}, the least to be called predictable)",
        xlabel=labels[1],
        ylabel=labels[0],
        xlim=(low - 0.02, high),
        ylim=(low - 0.02, high),
    )


def _training(findings: Findings, left: Axes, right: Axes) -> None:
    history = findings.evaluation.history
    for axes, name, title in ((left, "loss", "Loss"), (right, "accuracy", "In-batch retrieval accuracy")):
        for number, epochs in enumerate(history):
            values = [epoch.get(name, np.nan) for epoch in epochs]
            axes.plot(
                range(1, len(values) + 1),
                values,
                color=FOLD_COLOURS[number % len(FOLD_COLOURS)],
                marker="o",
                markersize=3.2,
                linewidth=1.5,
                label=f"Fold {number + 1}",
            )
        axes.set(title=title, xlabel="Epoch", xlim=(0.5, max(map(len, history)) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    right.set_ylim(bottom=0)
    if len(history) <= FOLDS_NAMED:
        right.legend(loc="upper left", ncols=1 + len(history) // 5)
        right.set_ylim(top=max(right.get_ylim()[1] * 1.25, 1e-6))


def _risk(findings: Findings, axes: Axes) -> None:
    share, error = np.array(findings.evaluation.risk).T
    axes.axhline(1, color="#5f656c", linewidth=0.9)
    axes.plot(100 * share, error, color=OURS, marker="o", markersize=4, linewidth=1.6)
    axes.set(title="Risk and coverage", xlabel="Spots kept, %", ylabel="Error (all spots = 1)", xlim=(0, 104))
    least, most = axes.get_ylim()
    axes.set_ylim(min(least, 0.95), max(most, 1.02))


def _coverage(findings: Findings, axes: Axes) -> None:
    sections = findings.evaluation.sections
    rows = np.arange(len(sections))
    values = 100 * np.array([section.coverage for section in sections])
    axes.axvline(100 * COVERAGE, color=COLOURS[4], linewidth=1.2, linestyle=(0, (4, 2)))
    axes.scatter(values, rows, s=34, color=OURS, zorder=3)
    axes.set_yticks(rows, [_short(section.name, 22) for section in sections])
    least = np.nanmin(np.append(values, 100 * COVERAGE))
    axes.set(
        title="Coverage of the intervals",
        xlabel="Values within, %",
        ylim=(len(sections) - 0.4, -0.6),
        xlim=(max(0.0, 5 * np.floor(least / 5) - 5), 101),
    )


def _short(text: str, longest: int) -> str:
    clean = "".join(c if c.isprintable() else "�" for c in text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def _lines(text: str) -> str:
    return "\n".join(textwrap.wrap(_short(text, 2 * LINE), LINE, max_lines=2, placeholder="…"))


def _svg(figure: Figure, name: str) -> str:
    """The figure as an element of a page: no namespaces, no style of its own, names of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"(\bid=\"|href=\"#|url\(#)", rf"\g<1>{name}-", text)
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', '<svg aria-hidden="true"', text, count=1)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
