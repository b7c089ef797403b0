"""One page on a result, as HTML or PDF: overview, domains, markers, genes, trust and provenance."""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mclstexp.core.atomic import refuse_existing, write_bytes, write_text
from napari_mclstexp.core.export.picture import draw_png
from napari_mclstexp.core.genes import order_genes
from napari_mclstexp.core.measures import parts_of, top_markers
from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_mclstexp.core.result import Result

GENES = 3
"""Maps shown where none are chosen."""
MARKERS = 8
DPI = 110
HEADS = ("Domain or annotation", "Spots", "Area, mm²", "Genes that set it apart (Cohen's d)")
CAUTION = (
    "Markers are genes of higher predicted expression inside than elsewhere; no p-values are given, for "
    "spots beside each other are alike and values are predicted."
)
STYLE = """
body{font:14px/1.5 system-ui,sans-serif;color:#222;max-width:1000px;margin:2em auto}
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .4em;border-bottom:1px solid #ccc}
.statement{background:#fff3cd;border:1px solid #e0c060;padding:.5em .8em;margin:.8em 0}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25em .6em;border-bottom:1px solid #ddd;vertical-align:top}
td.number{text-align:right;white-space:nowrap}
.swatch{display:inline-block;width:.9em;height:.9em;margin-right:.4em;border:1px solid #555}
.maps{display:flex;flex-wrap:wrap;gap:1em}.maps figure{width:31%;min-width:260px;margin:0}
img{max-width:100%}figcaption{font-size:.85em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;font-size:.85em}dt{color:#666}dd{margin:0;
overflow-wrap:anywhere}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A domain or annotation in the table."""

    colour: str
    name: str
    spots: int
    area_mm2: float
    markers: str

    def cells(self) -> tuple[str, str, str, str]:
        """Texts below `HEADS`."""
        area = "unknown" if math.isnan(self.area_mm2) else f"{self.area_mm2:.3f}"
        return self.name, f"{self.spots:,}", area, self.markers or "none"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the page says.

    Attributes
    ----------
    overview : bytes
        PNG of the slide with its domains.
    rows : tuple of Row
        Domains, then annotations.
    maps : tuple of (str, str, bytes)
        Gene, how well it was predicted where held out, and PNG of its map.
    trust : tuple of str
        How far to believe the spots.
    facts : tuple of (str, str)
        Provenance.
    """

    overview: bytes
    rows: tuple[Row, ...]
    maps: tuple[tuple[str, str, bytes], ...]
    trust: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def write_report(result: Result, path: Path, *, genes: Sequence[str] = (), overwrite: bool = False) -> Path:
    """Write the page; ``.html`` is one file that needs no other, ``.pdf`` one A4 page.

    Parameters
    ----------
    result : Result
        What to tell of.
    path : pathlib.Path
        Target; its suffix is the format.
    genes : sequence of str
        To show; those predicted best, or else the most variable ones, where none are given.
    overwrite : bool
        Whether an existing target may be replaced.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError, GeneError
        The target cannot be written; a gene is not predicted.
    """
    refuse_existing(path, overwrite=overwrite)
    report = gather(result, genes)
    if path.suffix.lower() == ".html":
        return write_text(path, as_html(report), overwrite=overwrite)
    from napari_mclstexp.core.export.report_pdf import draw_page

    return write_bytes(path, draw_page(report), overwrite=overwrite)


def gather(result: Result, genes: Sequence[str] = ()) -> Report:
    """What the page of a result says.

    Raises
    ------
    GeneError
        A gene is not predicted.
    """
    for gene in genes:
        result.gene_values(gene)
    if not genes:
        by = "pcc" if result.held_out is not None else "spatial"
        genes = order_genes(result, by)[:GENES]
    rows = tuple(
        Row(
            part.colour,
            part.name or part.of_class or "Annotation",
            int(part.inside.sum()),
            part.area_mm2,
            ", ".join(f"{g} {d:.2f}" for g, d in top_markers(result, part.inside, MARKERS)),
        )
        for part in parts_of(result)
    )
    maps = tuple((gene, result.reliability(gene), draw_png(result, gene, DPI)) for gene in genes)
    facts = tuple((key.replace("_", " "), str(value)) for key, value in result.provenance.as_dict().items())
    return Report(draw_png(result, None, DPI), rows, maps, _trust(result), facts)


def as_html(report: Report) -> str:
    """The page as one HTML document."""
    say = html.escape
    head = "".join(f"<th>{say(text)}</th>" for text in HEADS)
    body = "".join(
        "<tr><td><span class=swatch style='background:{}'></span>{}</td><td class=number>{}</td>"
        "<td class=number>{}</td><td>{}</td></tr>".format(row.colour, *map(say, row.cells()))
        for row in report.rows
    )
    maps = "".join(
        f"<figure><img alt='{say(gene)}' src='{_inline(png)}'><figcaption>{say(gene)}: {say(about)}"
        "</figcaption></figure>"
        for gene, about, png in report.maps
    )
    facts = "".join(f"<dt>{say(key)}</dt><dd>{say(value)}</dd>" for key, value in report.facts)
    trust = "".join(f"<p>{say(line)}</p>" for line in report.trust)
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>mclSTExp report</title>"
        f"<style>{STYLE}</style></head><body><h1>Predicted spatial expression</h1>"
        f"<p class=statement>{say(STATEMENT)}</p><h2>Slide and domains</h2><img alt='Domains' "
        f"src='{_inline(report.overview)}'><table><tr>{head}</tr>{body}</table><p>{say(CAUTION)}</p>"
        f"<h2>Genes</h2><div class=maps>{maps}</div><h2>How far to believe it</h2>{trust}"
        f"<h2>Provenance</h2><dl>{facts}</dl></body></html>"
    )


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _trust(result: Result) -> tuple[str, ...]:
    lines = []
    if result.held_out is None:
        lines.append("This model was not evaluated on held-out tissue: nobody knows how well it predicts.")
    else:
        sure = int(result.held_out.predictable().sum())
        lines.append(
            f"{sure:,} of {len(result.genes):,} genes were predicted better than chance on held-out tissue."
        )
    if result.unlike is not None:
        count = int(result.unlike.sum())
        lines.append(
            f"{count:,} of {len(result.grid):,} spots are unlike the reference tissue; their values are not "
            "to be believed, and they are left out of the maps."
        )
    else:
        lines.append("Whether spots are unlike the reference tissue cannot be told with this model.")
    return tuple(lines)
