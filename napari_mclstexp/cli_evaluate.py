"""``mclstexp evaluate``: how far a model can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_mclstexp import terminal
from napari_mclstexp.errors import BundleError, GridError

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def evaluate(
    sections: Annotated[
        list[str],
        typer.Argument(
            metavar="SECTION...",
            help="DIR/NAME (her2st layout), FOLDER=IMAGE (10x Visium) or FILE.h5ad[=IMAGE].",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.html, the tables and evaluation.json.")],
    leave_out: Annotated[str, typer.Option(help="patient or section: what each fold holds out.")] = "patient",
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle of these sections: its recipe is evaluated, and it is told."),
    ] = None,
    panel: Annotated[
        Path | None, typer.Option(help="File with the genes to score; those the model lacks score 0.")
    ] = None,
    genes: Annotated[
        str | None, typer.Option(help="How many to train on, or a file; the panel or 1000 by default.")
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(help="[WHAT=]SLIDE[@MPP] of another organ, to be told apart; may be given again."),
    ] = None,
    patient: Annotated[
        list[str] | None,
        typer.Option(help="SECTION=NAME, where its files do not tell the patient; may be given again."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over all spots.")] = 10,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 0,
    mode: Annotated[str, typer.Option(help="corrected or paper.")] = "corrected",
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing target.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folds' networks in OUT.networks, for another evaluation.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Spots a step.")] = None,
    patch_px: Annotated[int, typer.Option(help="Pixels a side of a patch (corrected).")] = 112,
    margin_px: Annotated[
        int, typer.Option(help="Pixels around it that it is read with, for dense maps: 0, 32, 64 ...")
    ] = 0,
    field_um: Annotated[
        float | None, typer.Option(help="um a side of a patch (corrected); by default 1.2 spot distances.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Reference spots that a prediction averages.")] = 200,
    min_counts: Annotated[int, typer.Option(help="Spots with fewer counts are left out.")] = 200,
) -> None:
    """Train and score on held-out sections, beside baselines; write a report.

    Interrupted, it goes on with the folds that are trained when it is started again.
    """
    from napari_mclstexp.core.atomic import remove_ours
    from napari_mclstexp.core.bundle import load_bundle
    from napari_mclstexp.training.evaluate import evaluate as run
    from napari_mclstexp.training.harmonise import harmonise
    from napari_mclstexp.training.held_out import options_of, refuse_other_sections, tell_bundle
    from napari_mclstexp.training.kept import NAME
    from napari_mclstexp.training.options import TrainingOptions
    from napari_mclstexp.training.report import refuse_target, summary, write_report
    from napari_mclstexp.training.sections import name_patients, read_section, tell_patients
    from napari_mclstexp.training.unlike_scores import OtherSlide

    refuse_target(out, overwrite=overwrite)
    for option, value, known in (
        ("--leave-out", leave_out, ("patient", "section")),
        ("--mode", mode, ("corrected", "paper")),
    ):
        if value not in known:
            msg = f"{value!r} is no {option}. Choose {' or '.join(known)}."
            raise GridError(msg)
    if bundle is not None and panel is not None:
        msg = "--bundle and --panel exclude each other: a bundle is told of its own genes."
        raise GridError(msg)
    if bundle is not None and not bundle.is_dir():
        msg = f"{bundle.name} is no bundle folder. Evaluate the folder, then zip it."
        raise BundleError(msg)
    wanted = genes or (str(panel) if panel else "1000")
    loaded = None if bundle is None else load_bundle(bundle)
    names = loaded.spec.genes if loaded is not None else str(panel) if panel else wanted
    read, symbols = harmonise(name_patients([read_section(t) for t in sections], patient or []), names)
    typer.echo(symbols.text())
    typer.echo(tell_patients(read))
    options = TrainingOptions(
        mode=mode,  # type: ignore[arg-type]
        epochs=epochs,
        seed=seed,
        genes=wanted,
        device=device,
        batch_size=batch_size,
        patch_px=patch_px,
        margin_px=margin_px,
        field_um=field_um,
        top_k=top_k,
        min_counts=min_counts,
    )
    if loaded is not None:
        options = options_of(loaded, device)
        refuse_other_sections(loaded, read)
    others = [OtherSlide.named(text) for text in unlike or ()]
    networks = out.resolve().with_name(f"{out.resolve().name}.networks")
    found = terminal.follow_evaluation(
        run(
            read,
            options,
            leave_out,  # type: ignore[arg-type]
            panel=None if panel is None else str(panel),
            others=others,
            networks=networks,
        )
    )
    write_report(found, out, overwrite=overwrite)
    typer.echo(summary(found))
    typer.echo(f"Wrote {out / 'report.html'}.")
    if bundle is not None:
        told = tell_bundle(bundle, found)
        typer.echo(f"{bundle} now predicts by {told.spec.head}: {told.spec.head_reason}.")
    if not keep:
        remove_ours(networks, NAME)
