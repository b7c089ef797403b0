"""The verbs ``mclstexp domains``, which finds the domains of a result anew, and ``mclstexp measure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_mclstexp import terminal
from napari_mclstexp.errors import DomainError, ExportError

AUTO = "auto"


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(domains)
    app.command()(measure)


def domains(
    result: Annotated[Path, typer.Argument(help="RESULT.h5ad.")],
    out: Annotated[Path, typer.Option(help="RESULT.h5ad to write.")],
    method: Annotated[
        str, typer.Option(help="kmeans (expression), leiden (and space), fused (and image).")
    ] = "kmeans",
    count: Annotated[str, typer.Option(help="Number of domains, or auto: the one that is stable.")] = "7",
    like: Annotated[Path | None, typer.Option(help="RESULT.h5ad with the colours of like domains.")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="GeoJSON whose annotations are added, such as QuPath's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same domains.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing target.")] = False,
) -> None:
    """Find the tissue domains of a result anew; annotations stay, edits of domains by hand do not."""
    from napari_mclstexp.core.annotations import read_annotations
    from napari_mclstexp.core.atomic import refuse_existing
    from napari_mclstexp.core.domain_colours import coloured_like, profiles
    from napari_mclstexp.core.domain_edits import Import
    from napari_mclstexp.core.domain_methods import check_method
    from napari_mclstexp.core.pipeline import find_domains, load_result, save_result
    from napari_mclstexp.core.stability import stability

    check_method(method)
    number = _number(count)
    refuse_existing(out, overwrite=overwrite)
    loaded = load_result(result)
    notes = [] if annotations is None else read_annotations(annotations)
    known = None if like is None else profiles(load_result(like))
    if number is None:
        curve = terminal.follow_prediction(stability(loaded, method, seed))
        for tried, mean, low, high in zip(curve.counts, curve.mean, curve.low, curve.high, strict=True):
            typer.echo(f"{tried:>3} domains: agreement {mean:.3f} ({low:.3f} to {high:.3f})")
        number = curve.best
    found = find_domains(loaded, number, seed, method)
    if known is not None:
        found = coloured_like(found, known)
    if notes and found.domains is not None:
        found = found.with_domains(Import(tuple(notes)).apply(found.domains))
    save_result(found, out, overwrite=overwrite)
    typer.echo(f"Wrote {out}: {len(found.domains.names) if found.domains else 0} domains ({method}).")


def measure(
    result: Annotated[Path, typer.Argument(help="RESULT.h5ad.")],
    out: Annotated[Path, typer.Option(help="Table to write, .csv.")],
    genes: Annotated[str, typer.Option(help="Symbols, separated by commas.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing target.")] = False,
) -> None:
    """Measure domains and annotations: area, spots, genes with their 5th and 95th percentile, markers."""
    from napari_mclstexp.core import measures
    from napari_mclstexp.core.atomic import refuse_existing
    from napari_mclstexp.core.export.measures import write_measures
    from napari_mclstexp.core.pipeline import load_result

    if out.suffix.lower() != ".csv":
        msg = f"The table is written as CSV. Name it {out.with_suffix('.csv').name}."
        raise ExportError(msg)
    refuse_existing(out, overwrite=overwrite)
    loaded = load_result(result)
    symbols = [symbol.strip() for symbol in genes.split(",") if symbol.strip()]
    table = measures.measure(loaded, symbols)
    if len(table) == 0:
        msg = "This result has no domains and no annotations. Find them first: mclstexp domains."
        raise DomainError(msg)
    write_measures(loaded, table, out, overwrite=overwrite)
    typer.echo(f"Wrote {out}: {len(table)} rows.")


def _number(count: str) -> int | None:
    """How many; None for auto."""
    if count == AUTO:
        return None
    try:
        return int(count)
    except ValueError:
        msg = f"{count!r} is no number of domains. Give one, or {AUTO}."
        raise DomainError(msg) from None
