"""The verbs of ``mclstexp`` that make and judge models: train and bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_mclstexp import cli_data, terminal
from napari_mclstexp.cli_evaluate import evaluate
from napari_mclstexp.errors import GridError

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

bundle_app = typer.Typer(help="Look at, verify and make model bundles.", no_args_is_help=True)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing target.")]


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command."""
    app.command()(train)
    app.command()(evaluate)
    app.add_typer(bundle_app, name="bundle")
    app.add_typer(cli_data.data_app, name="data")


def train(
    sections: Annotated[
        list[str],
        typer.Argument(
            metavar="SECTION...",
            help="DIR/NAME (her2st layout), FOLDER=IMAGE (10x Visium) or FILE.h5ad[=IMAGE].",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Bundle folder to make.")],
    epochs: Annotated[int, typer.Option(help="Passes over all spots.")] = 10,
    seed: Annotated[int, typer.Option(help="Same seed, same weights.")] = 0,
    mode: Annotated[str, typer.Option(help="corrected or paper.")] = "corrected",
    genes: Annotated[str, typer.Option(help="How many, or a file with a symbol a line.")] = "1000",
    device: Device = "auto",
    overwrite: Overwrite = False,
    batch_size: Annotated[int | None, typer.Option(help="Spots a step.")] = None,
    patch_px: Annotated[int, typer.Option(help="Pixels a side of a patch (corrected).")] = 112,
    margin_px: Annotated[
        int, typer.Option(help="Pixels around it that it is read with, for dense maps: 0, 32, 64 ...")
    ] = 0,
    field_um: Annotated[
        float | None, typer.Option(help="um a side of a patch (corrected); by default 1.2 spot distances.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Reference spots that a prediction averages.")] = 200,
    weighting: Annotated[str, typer.Option(help="inverse-square or softmax.")] = "inverse-square",
    min_counts: Annotated[int, typer.Option(help="Spots with fewer counts are left out.")] = 200,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Keep 64-px pictures of the patches: patients' tissue.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Licence to state in the bundle.")] = "unspecified",
    init: Annotated[
        str, typer.Option(help="Image encoder at the start: random, imagenet, or a file of densenet121.")
    ] = "random",
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Let --init imagenet fetch its weights.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an unfinished training, if there is one.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw an unfinished training away.")] = False,
) -> None:
    """Train a model bundle on paired sections; under torchrun, by several processes."""
    from napari_mclstexp.core.bundle import refuse_bundle_target, save_bundle
    from napari_mclstexp.training.checkpoint import Checkpoints
    from napari_mclstexp.training.distributed import started
    from napari_mclstexp.training.fit import train as fit
    from napari_mclstexp.training.fit import train_along
    from napari_mclstexp.training.harmonise import harmonise
    from napari_mclstexp.training.options import TrainingOptions
    from napari_mclstexp.training.sections import read_section

    with started(device) as processes:
        checkpoints = Checkpoints(out, resume=resume, restart=restart)
        refuse_bundle_target(out, overwrite=overwrite)
        checkpoints.refuse_unfinished()
        _one_of("--mode", mode, ("corrected", "paper"))
        _one_of("--weighting", weighting, ("inverse-square", "softmax"))
        if not 32 <= patch_px <= 1024 or not (field_um is None or 10 <= field_um <= 2000):
            msg = "--patch-px must lie in 32 to 1024 and --field-um in 10 to 2000."
            raise GridError(msg)
        read, symbols = harmonise([read_section(text) for text in sections], genes)
        if processes.first:
            typer.echo(symbols.text())
        options = TrainingOptions(
            mode=mode,  # type: ignore[arg-type]
            epochs=epochs,
            seed=seed,
            genes=genes,
            device=device,
            batch_size=batch_size,
            patch_px=patch_px,
            margin_px=margin_px,
            field_um=field_um,
            top_k=top_k,
            weighting=weighting,  # type: ignore[arg-type]
            min_counts=min_counts,
            thumbnails=thumbnails,
            initial=init,
            allow_download=allow_download,
            name=out.stem,
            licence=licence,
        )
        if not processes.first:
            terminal.follow_training(
                train_along(read, options, checkpoints=checkpoints, processes=processes), silent=True
            )
            return
        try:
            bundle, half = terminal.follow_training(
                fit(read, options, checkpoints=checkpoints, processes=processes)
            )
        except KeyboardInterrupt:
            if not checkpoints.epoch:
                raise
            typer.echo(
                f"Interrupted after epoch {checkpoints.epoch}, which is kept at {checkpoints.folder}: the "
                "same command with --resume goes on.",
                err=True,
            )
            raise SystemExit(INTERRUPTED) from None
        save_bundle(bundle, out, half=half, overwrite=overwrite)
        checkpoints.remove()
        typer.echo(f"Wrote {out}: {len(bundle.spec.genes)} genes, {len(bundle.expression)} reference spots.")
        poor = bundle.spec.training["spots_left_out"]
        if poor:
            typer.echo(f"{poor} spots with fewer than {min_counts} counts were left out.")
        terminal.disclose(bundle)


@bundle_app.command("show")
def bundle_show(bundle: Annotated[Path, typer.Argument(help="Bundle folder or zip.")]) -> None:
    """Tell what a bundle is and what it discloses."""
    from napari_mclstexp.core.bundle import load_bundle

    loaded = load_bundle(bundle)
    terminal.describe_bundle(loaded)
    terminal.disclose(loaded)


@bundle_app.command("verify")
def bundle_verify(bundle: Annotated[Path, typer.Argument(help="Bundle folder or zip.")]) -> None:
    """Check every hash, name, shape and number of a bundle."""
    from napari_mclstexp.core.bundle import load_bundle

    loaded = load_bundle(bundle)
    typer.echo(f"{loaded.id} is whole: hashes, names, shapes and numbers are as they should be.")


@bundle_app.command("import-upstream")
def bundle_import_upstream(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT.pt", help="Checkpoint of tensors.")],
    reference: Annotated[Path, typer.Option(help="Reference .h5ad: X, obs array_x and array_y.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to make.")],
    overwrite: Overwrite = False,
) -> None:
    """Make a bundle of a reference-implementation checkpoint."""
    from napari_mclstexp.core.bundle import refuse_bundle_target, save_bundle
    from napari_mclstexp.training.upstream import import_upstream

    refuse_bundle_target(out, overwrite=overwrite)
    imported = import_upstream(checkpoint, reference)
    save_bundle(imported, out, overwrite=overwrite)
    typer.echo(
        f"Wrote {out}: mode paper, {len(imported.spec.genes)} genes, {len(imported.expression)} "
        "reference spots. It reads native pixels (its mpp is null)."
    )
    terminal.disclose(imported)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f"{value!r} is no {option}. Choose {' or '.join(known)}."
        raise GridError(msg)
