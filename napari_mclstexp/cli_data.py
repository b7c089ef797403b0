"""The verbs of ``mclstexp data``: public data sets and gene symbols."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_mclstexp import terminal
from napari_mclstexp.errors import FetchError

if TYPE_CHECKING:
    from napari_mclstexp.training.fetch import FetchProgress

data_app = typer.Typer(help="Get public data sets; check gene symbols.", no_args_is_help=True)

EXIT_INTERRUPTED = 130


@data_app.command("list")
def data_list() -> None:
    """Tell which public data sets are known, how to get them and how to cite them."""
    from napari_mclstexp.training.datasets import DATA_SETS

    for known in DATA_SETS:
        typer.echo(f"{known.name}: {known.what}")
        typer.echo(f"  size      {known.size}")
        typer.echo(f"  licence   {known.licence}")
        typer.echo(f"  cite      {known.citation}")
        typer.echo(f"  get       {known.get}")
        typer.echo(f"  train on  {known.layout}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="her2st", help="Data set; see mclstexp data list.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for its files.")],
    sections: Annotated[str | None, typer.Option(help="Such as B4,C2; by default all 36, A1 to H3.")] = None,
) -> None:
    """Fetch a public data set, so that mclstexp train can read it.

    Contacts api.github.com for the list of files and raw.githubusercontent.com for the files, and nobody
    else. About 5 MB a section, for all 36 some 170 MB; how much exactly is said first. Every file is checked
    by its hash. Stopped with Ctrl-C or by the network, it goes on where it was when run again.
    """
    from napari_mclstexp.training.datasets import known_data_set
    from napari_mclstexp.training.fetch import fetch, plan_her2st

    known = known_data_set(name)
    if name != "her2st" or known is None:
        why = f"{name} is {known.get}." if known else f"There is no data set {name}."
        msg = f"{why} See mclstexp data list."
        raise FetchError(msg)
    plan = plan_her2st(folder, tuple(s.strip() for s in sections.split(",") if s.strip()) if sections else ())
    missing = sum(not file.here for file in plan.files)
    typer.echo(
        f"{len(plan.files)} files; {len(plan.files) - missing} are here and verified, {missing} to fetch "
        f"({plan.bytes_to_fetch / 1e6:,.1f} MB)."
    )
    if plan.note:
        typer.echo(plan.note)
    try:
        _follow(fetch(plan))
    except KeyboardInterrupt:
        typer.echo("Interrupted. What has arrived is kept: run the command again to go on.", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    names = sorted({file.target.name.split("_")[0].split(".")[0] for file in plan.files})
    typer.echo(f"All are in {folder}, each checked by its hash: {', '.join(names)}.")
    typer.echo(f"Patients: {', '.join(sorted({n[0] for n in names}))} (a section's letter).")
    typer.echo(f"Licence: {known.licence}.\nCite: {known.citation}.")
    typer.echo(f"Next: mclstexp train {folder / names[0]} --out BUNDLE")


@data_app.command("genes")
def data_genes(
    sections: Annotated[list[str], typer.Argument(metavar="SECTION...", help="As for mclstexp train.")],
    csv: Annotated[Path | None, typer.Option(help="File for the whole list.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Tell which gene symbols HGNC approves, and which are of former days, ambiguous or unknown."""
    from napari_mclstexp.core.atomic import refuse_existing
    from napari_mclstexp.core.measured.symbols import joined, to_hgnc
    from napari_mclstexp.training.sections import read_section

    if csv is not None:
        refuse_existing(csv, overwrite=overwrite)
    reports = []
    for text in sections:
        section = read_section(text)
        reports.append(to_hgnc(section.genes, section.name))
        typer.echo(f"{section.name}\n{reports[-1].text()}")
    if csv is not None:
        joined(reports).write_csv(csv, overwrite=overwrite)
        typer.echo(f"Wrote {csv}.")


def _follow(steps: Generator[FetchProgress, None, int]) -> None:
    """Show a bar where there is a terminal, else a line a file."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Starting", total=None)
        for step in terminal.Interruptible(steps):
            bar.update(task, description=step.file.name, completed=step.done, total=step.total)
            if step.whole and not console.is_terminal:
                typer.echo(f"{step.file.name}  {step.file.size / 1e6:,.2f} MB  verified")
