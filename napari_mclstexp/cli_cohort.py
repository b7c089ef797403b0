"""The verb ``mclstexp cohort``: many slides, on this computer or on a Dask cluster."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from napari_mclstexp import terminal
from napari_mclstexp.errors import CohortError

EXIT_SOME_FAILED = 3

app = typer.Typer(help="Predict many slides into one folder.", no_args_is_help=True, rich_markup_mode=None)


def add_to(parent: typer.Typer) -> None:
    """Add the verb."""
    parent.add_typer(app, name="cohort")


@app.callback()
def _cohort() -> None:
    """Predict many slides into one folder."""


@app.command()
def run(
    slides: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs, or a .csv with slide, mpp, patient, group."),
    ],
    bundle: Annotated[Path, typer.Option(help="Model bundle, folder or zip.")],
    out: Annotated[Path, typer.Option(help="Folder of the cohort; an earlier run in it is gone on with.")],
    mpp: Annotated[str, typer.Option(help="um per px, M or MX,MY, of all slides but those of a .csv.")] = "",
    grid: Annotated[str, typer.Option(help="visium, st, dense, a pitch in um, or square:UM.")] = "visium",
    domains: Annotated[int, typer.Option(help="Number of tissue domains over all slides.")] = 7,
    genes: Annotated[str, typer.Option(help="Genes of the page, with commas; the best predicted.")] = "",
    top_k: Annotated[int | None, typer.Option(help="Reference spots to average.")] = None,
    head: Annotated[
        str | None, typer.Option(help="retrieval, retrieval-softmax, ridge or mean; the bundle's by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this computer; one a GPU, else one for four cores.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask cluster instead, tls://HOST:PORT.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow an address other than tls://, such as tcp://.")
    ] = False,
    tile: Annotated[int, typer.Option(help="Spots a task at most.", min=1)] = 2048,
    batch_size: Annotated[int | None, typer.Option(help="Patches a forward pass.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    backend: Annotated[
        str | None,
        typer.Option(help="torch, fused, onnxruntime, half or graphs (GPU), dense; by default the fastest."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same domains.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a cohort by another model or other settings.")
    ] = False,
) -> None:
    """Predict slides and find domains over all of them; table, AnnData and page in one folder.

    Run again, it goes on where it stopped; slides that are done are not done again. Exit code 0: all slides
    are done; 3: some are not, the table and the page say why; 2: nothing can be run as asked for.
    """
    from napari_mclstexp.cohort.engine import local, remote
    from napari_mclstexp.cohort.folder import PAGE
    from napari_mclstexp.cohort.plan import cohort_folder
    from napari_mclstexp.cohort.request import Settings, find_slides
    from napari_mclstexp.cohort.run import run_cohort

    if scheduler is not None and workers is not None:
        msg = "--scheduler and --workers exclude each other: a cluster has its own workers."
        raise CohortError(msg)
    settings = Settings(
        grid=grid,
        mpp=mpp,
        domains=domains,
        seed=seed,
        top_k=top_k,
        head=head,  # type: ignore[arg-type]
        device=device,
        backend=backend,
        batch_size=batch_size,
        genes=tuple(gene.strip() for gene in genes.split(",") if gene.strip()),
    )
    settings.check()
    asked = find_slides(slides)
    with cohort_folder(out):
        engine = local(workers) if scheduler is None else remote(scheduler, insecure=insecure)
        steps = run_cohort(out, asked, bundle, settings, engine, overwrite=overwrite, tile=tile)
        ended = terminal.follow_cohort(steps)
    records = list(ended.records.values())
    for outcome, count in sorted(Counter(record.outcome for record in records).items()):
        typer.echo(f"{count:>6} {outcome}")
    spots = sum(record.spots for record in records if record.done)
    typer.echo(f"Wrote {out}: {spots:,} spots of {sum(r.done for r in records)} slides. Open {out / PAGE}.")
    if not ended.all_done:
        raise typer.Exit(EXIT_SOME_FAILED)
