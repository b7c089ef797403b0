"""The ``mclstexp`` command: thin verbs over core and training."""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_mclstexp import __version__, cli_cohort, cli_domains, cli_training, terminal
from napari_mclstexp.core.log import FILE, start_log
from napari_mclstexp.errors import DeviceMemoryError, GridError, MclstexpError

log = logging.getLogger(__name__)

INTERRUPTED = "Interrupted; nothing unfinished was kept."
EXIT_DEFECT, EXIT_USER, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="mclstexp",
    help="Predict spatial gene expression over whole-slide H&E images. Research use only.\n\n"
    "Every verb takes --debug, which shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli_training.add_to(app)
cli_domains.add_to(app)
cli_cohort.add_to(app)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Plane = Annotated[int | None, typer.Option(help="Which plane of a stack, from 1; see mclstexp info.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing target.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit 0, 2 (user's mistake), 3 (not all slides of a cohort), 1 (our defect) or 130."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    _say_on_stderr(debug=debug)
    start_log()
    log.info("mclstexp %s, %s", __version__, next((word for word in given if word in _verbs()), "no verb"))
    if not debug:  # what it says of a damaged file, our error says in one line
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        code = app(given, standalone_mode=False) or 0
        if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this code
            typer.echo(INTERRUPTED, err=True)
    except typer.TyperException as error:
        text = error.format_message()
        bare = text.startswith("Usage:")  # a verb without any argument: its help
        typer.echo(text if bare else f"Error: {text.rstrip('.')}. See mclstexp --help.", err=True)
        code = EXIT_USER
    except (KeyboardInterrupt, typer.Abort):
        typer.echo(INTERRUPTED, err=True)
        code = EXIT_INTERRUPTED
    except MclstexpError as error:
        log.info("Refused", exc_info=True)
        if debug:
            traceback.print_exc()
        typer.echo(f"Error: {error}{_remedy(error)}", err=True)
        code = EXIT_USER
    except Exception as error:
        log.error("A defect", exc_info=True)
        if debug:
            raise
        typer.echo(
            f"A defect of mclstexp, not of your input: {type(error).__name__}: {error}\n"
            f"Its traceback is at the end of {FILE}, in the folder that mclstexp report names; --debug shows "
            "it. Report it with what mclstexp report prints: that is without paths and names.",
            err=True,
        )
        code = EXIT_DEFECT
    sys.exit(code)


def _remedy(error: MclstexpError) -> str:
    """What of the command can be changed, where the error itself cannot know."""
    helps = isinstance(error, DeviceMemoryError) and error.device != "cpu"
    return " Add --device cpu to the command." if helps else ""


def _say_on_stderr(*, debug: bool) -> None:
    """Have warnings printed, with --debug all; what this module logs it prints in its own words."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO if debug else logging.WARNING)
    handler.addFilter(lambda record: record.name != __name__)
    logging.basicConfig(level=handler.level, handlers=[handler])


def _verbs() -> set[str]:
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures and exports.")] = Path("demo_output"),
    no_window: Annotated[bool, typer.Option("--no-window", help="Exit when the pictures are made.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Open the synthetic sample in napari, predict it and show a gene and the domains."""
    from napari_mclstexp.demo import run_demo

    raise typer.Exit(run_demo(out, keep_open=not no_window, overwrite=overwrite, say=typer.echo))


@app.command()
def info(
    slide: Annotated[Path, typer.Argument(help="Slide file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plane: Plane = None,
) -> None:
    """Tell a slide's format, size, scale and levels."""
    from napari_mclstexp.core.slide import open_slide

    with open_slide(slide, None if plane is None else plane - 1) as opened:
        if not as_json:
            terminal.describe_slide(opened)
            return
        scale = opened.scale
        facts: dict[str, Any] = {
            "format": opened.format,
            "width": opened.width,
            "height": opened.height,
            "mpp_x": scale.mpp_x if scale else None,
            "mpp_y": scale.mpp_y if scale else None,
            "mpp_source": scale.source if scale else "unknown",
            "scale_question": opened.traits.scale.question,
            "planes": list(opened.traits.planes),
            "notes": list(opened.notes),
            "not_for_model": opened.not_for_model,
            "levels": [
                {"width": lv.width, "height": lv.height, "downsample": lv.downsample} for lv in opened.levels
            ],
            "fingerprint": opened.fingerprint,
        }
    typer.echo(json.dumps(facts, indent=1))


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove the copies.")] = False,
) -> None:
    """Tell where the copies of decoded slides lie, and how much they hold."""
    from napari_mclstexp.core import cache as copies

    folder = copies.cache_folder()
    if clear:
        typer.echo(f"Freed {copies.clear() / 1e6:,.0f} MB.")
        return
    held = sum(f.stat().st_size for f in folder.iterdir()) if folder.is_dir() else 0
    typer.echo(f"{folder}: {held / 1e6:,.0f} of at most {copies.bound_bytes() / 1e6:,.0f} MB.")


@app.command()
def report() -> None:
    """Print what helps to find a fault: versions, machine, the end of the log; no paths, no names."""
    from napari_mclstexp.core.log import log_file
    from napari_mclstexp.core.support import support_report

    typer.echo(f"From {log_file()}:", err=True)
    typer.echo(support_report(), nl=False)


@app.command()
def predict(
    slide: Annotated[Path, typer.Argument(help="Slide file.")],
    bundle: Annotated[Path, typer.Option(help="Model bundle, folder or zip.")],
    out: Annotated[Path, typer.Option(help="RESULT.h5ad to write.")],
    mpp: Annotated[str | None, typer.Option(help="um per px, M or MX,MY; overrides the file's.")] = None,
    grid: Annotated[
        str | None, typer.Option(help="visium (default), st, dense, a pitch in um, or square:UM.")
    ] = None,
    spots: Annotated[Path | None, typer.Option(help="CSV with spot_id,x_px,y_px instead of a grid.")] = None,
    region: Annotated[Path | None, typer.Option(help="GeoJSON of areas (QuPath); only spots inside.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Reference spots to average.")] = None,
    head: Annotated[
        str | None, typer.Option(help="retrieval, retrieval-softmax, ridge or mean; the bundle's by default.")
    ] = None,
    domains: Annotated[int, typer.Option(help="Number of tissue domains.")] = 7,
    domain_method: Annotated[
        str, typer.Option(help="kmeans, leiden or fused; see mclstexp domains.")
    ] = "kmeans",
    batch_size: Annotated[int | None, typer.Option(help="Patches a forward pass.")] = None,
    device: Device = "auto",
    backend: Annotated[
        str | None,
        typer.Option(help="torch, fused, onnxruntime, half or graphs (GPU), dense; by default the fastest."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same domains.")] = 0,
    plane: Plane = None,
    overwrite: Overwrite = False,
) -> None:
    """Predict expression and domains of a slide."""
    from napari_mclstexp.core import pipeline
    from napari_mclstexp.core.atomic import refuse_existing
    from napari_mclstexp.core.scale import parse_mpp
    from napari_mclstexp.core.slide.fingerprint import refuse_slide
    from napari_mclstexp.core.unread import unread_in

    if grid is not None and spots is not None:
        msg = "--grid and --spots exclude each other: spots are either laid or given."
        raise GridError(msg)
    if out.suffix.lower() != ".h5ad":
        msg = f"{out.name} should end in .h5ad; other formats come from mclstexp export."
        raise GridError(msg)
    refuse_existing(out, overwrite=overwrite)
    regions = None if region is None else pipeline.read_regions(region)
    with pipeline.open_slide(slide, None if plane is None else plane - 1) as opened:
        refuse_slide(out, opened.fingerprint, *opened.opened)
        opened.check_for_model()
        known = parse_mpp(mpp) if mpp is not None else pipeline.known_scale(opened)
        scale = known or terminal.ask_mpp(opened, grid, spots, bundle)
        result = terminal.follow_prediction(
            pipeline.predict_and_label(
                opened,
                pipeline.load_bundle(bundle),
                scale,
                grid=grid or "visium",
                spots=spots,
                regions=regions,
                top_k=top_k,
                head=head,  # type: ignore[arg-type]
                domains=domains,
                domain_method=domain_method,
                batch_size=batch_size,
                device=device,
                backend=backend,
                seed=seed,
                resumable=True,
            )
        )
        pipeline.save_result(result, out, overwrite=overwrite)
    found = len(result.domains.names) if result.domains else 0
    typer.echo(f"Wrote {out}: {len(result.grid)} spots, {len(result.genes)} genes, {found} domains.")
    if unread := unread_in(result.provenance.slide_notes):
        typer.echo(f"The slide is damaged: {unread}.")
    if regions is not None:
        inside, _, _ = result.provenance.regions.partition(", sha256")
        typer.echo(f"Predicted {inside} alone.")
    if math.isnan(result.provenance.field_um):
        typer.echo(
            "The bundle reads native pixels (its mpp is null): the slide's scale is not corrected for."
        )
    typer.echo(result.provenance.statement)


@app.command()
def export(
    result: Annotated[Path, typer.Argument(help="RESULT.h5ad.")],
    to: Annotated[Path, typer.Option(help="File or folder; its suffix says the format, see below.")],
    overwrite: Overwrite = False,
    gene: Annotated[str | None, typer.Option(help="Gene to show in a picture.")] = None,
    dpi: Annotated[int, typer.Option(help="Dots per inch of a picture.", min=36, max=1200)] = 150,
) -> None:
    """Write a result for another tool.

    By suffix: .geojson (QuPath) .csv .loupe.csv .h5ad .zarr (AnnData) .spatialdata.zarr .ome.zarr .ome.tif
    .png .svg .figure.pdf (picture) .html .pdf (report).
    """
    from napari_mclstexp.core.pipeline import export_result, load_result

    loaded = load_result(result)
    if gene is not None:
        loaded.gene_values(gene)
    export_result(loaded, to, overwrite=overwrite, gene=gene, dpi=dpi)
    typer.echo(f"Wrote {to}.")


if __name__ == "__main__":
    main()
