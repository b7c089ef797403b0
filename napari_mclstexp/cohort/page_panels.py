"""The pictures of a cohort's page: one gene on all slides, and the domains of all slides."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from napari_mclstexp.cohort.page_plots import stacked
from napari_mclstexp.cohort.page_values import by_group, colours_of, counted, figures, link, percent
from napari_mclstexp.cohort.pictures import bar_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_mclstexp.cohort.folder import Cohort, Shown
    from napari_mclstexp.cohort.page_values import Slide

STOPS = 17
"""Colours of the colour bar, evenly spaced."""
ABSENT = "-"
"""Where a slide has no picture of a gene, among the addresses of those that it has."""


def genes(cohort: Cohort, slides: Sequence[Slide]) -> str:
    """Section of one gene on all slides, which a list changes; empty where there is none."""
    done = [slide for slide in slides if slide.result]
    if not done or not cohort.genes:
        return ""
    options = "".join(
        f'<option value="{i}">{escape(shown.gene)}</option>' for i, shown in enumerate(cohort.genes)
    )
    scales = "".join(_scale(shown, cohort.unit, i) for i, shown in enumerate(cohort.genes))

    def panel(slide: Slide) -> str:
        files = [link(cohort, cohort.map(slide.entry, shown.gene)) for shown in cohort.genes]
        told = f"{cohort.genes[0].gene} on {slide.entry.name}"
        more = f' data-maps="{escape(" ".join(file or ABSENT for file in files))}"'
        return _picture(files[0], told, f'{more} data-slide="{escape(slide.entry.name)}"') + _caption(slide)

    return (
        '<section id="genes"><h2>One gene on all slides</h2>'
        f'<div class="bar"><label>Gene <select id="gene" disabled>{options}</select></label>{scales}</div>'
        f"{_gallery(done, panel, 'gene')}</section>"
    )


def _scale(shown: Shown, unit: str, place: int) -> str:
    """One colour bar for all slides, and how well the gene was predicted where it was held out."""
    colours = ",".join(bar_colours(STOPS))
    held = f'<p class="held">{escape(shown.reliability)}</p>' if shown.reliability else ""
    return (
        f'<div class="scale" data-gene="{place}"{" hidden" if place else ""}>'
        f"<span>{figures(shown.low)}</span>"
        f'<i class="colours" role="img" aria-label="Colour bar from {figures(shown.low)} to '
        f'{figures(shown.high)}" style="background:linear-gradient(90deg,{colours})"></i>'
        f"<span>{figures(shown.high)}</span><span>{escape(unit)}</span>"
        '<span class="key"><i class="unlike"></i>unlike the reference: not shown</span>'
        f"{held}</div>"
    )


def domains(cohort: Cohort, slides: Sequence[Slide]) -> str:
    """Section of the domains of all slides; empty where there are none."""
    done = [slide for slide in slides if slide.result]
    if not done or not cohort.domains:
        return ""
    legend = "".join(
        f'<li><i class="swatch" style="background:{colour}"></i>{escape(name)}</li>'
        for name, colour in colours_of(cohort).items()
    )

    def panel(slide: Slide) -> str:
        shares = slide.result.domains if slide.result else {}
        shares = {name: shares[name] for name in cohort.domains if name in shares}
        told = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
        bar = (
            f'<div class="stack" aria-hidden="true">{stacked(shares, colours_of(cohort))}</div>'
            if told
            else ""
        )
        alt = f"Domains on {slide.entry.name}" + (f": {told}" if told else "")
        files = downloads(cohort, slide)
        return (
            _picture(link(cohort, cohort.file(slide.entry, ".png")), alt)
            + bar
            + _caption(slide, f'<span class="files">{files}</span>' if files else "")
        )

    return (
        '<section id="domains"><h2>Domains of all slides</h2>'
        f'<ul class="legend bar">{legend}</ul>{_gallery(done, panel, "domain")}'
        '<p class="small">The bar below a picture: shares of its spots. A domain has one colour '
        "on all slides.</p></section>"
    )


def downloads(cohort: Cohort, slide: Slide) -> str:
    """Links to the files of a slide that are there."""
    kinds = ((".h5ad", "Result .h5ad"), (".geojson", "Domains .geojson"))
    links = ((link(cohort, cohort.file(slide.entry, suffix)), name) for suffix, name in kinds)
    return "".join(f'<a href="{file}" download>{name}</a>' for file, name in links if file)


def _gallery(done: Sequence[Slide], panel: Callable[[Slide], str], mark: str) -> str:
    """Panels, each with its mark to be found by, below the names of their groups where there are several."""
    groups = by_group(done)
    parts = []
    for name, members in groups.items():
        head = f"<h3>{escape(name)} <small>{counted(len(members), 'slide')}</small></h3>"
        panels = "".join(f'<figure id="{mark}{slide.number}">{panel(slide)}</figure>' for slide in members)
        head = head if len(groups) > 1 else ""
        parts.append(f'<div class="group">{head}<div class="panels">{panels}</div></div>')
    return f'<div class="gallery">{"".join(parts)}</div>'


def _picture(file: str, alt: str, more: str = "") -> str:
    """Picture in its frame; where there is none yet, the frame says so."""
    source = f'src="{file}"' if file else "hidden"
    return (
        f'<div class="frame"><img {source} loading="lazy" decoding="async" alt="{escape(alt)}"{more}>'
        f'<span class="none"{" hidden" if file else ""}>No picture yet</span></div>'
    )


def _caption(slide: Slide, more: str = "") -> str:
    """Name of the slide, patient, group, and how much of it is unlike the reference."""
    entry, record = slide.entry, slide.result
    patient = f"Patient {entry.patient}" if entry.patient else ""
    of = " · ".join(escape(text) for text in (patient, entry.group) if text)
    told = f"<span>{counted(record.spots, 'spot')}</span>" if record else ""
    if record and record.unlike == record.unlike:
        style = ' class="mark"' if slide.suspect else ""
        told += f"<span{style}>{percent(record.unlike)} unlike the reference</span>"
    return (
        f'<figcaption><b title="{escape(entry.name)}">{escape(entry.name)}</b>'
        f"{f'<span>{of}</span>' if of else ''}{told}{more}</figcaption>"
    )
