"""A session as code: a script or a notebook that repeats it without a window, to the last digit."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pprint import pformat
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.atomic import write_text
from napari_mclstexp.core.domain_edits import Import
from napari_mclstexp.core.domain_history import edit_as_dict
from napari_mclstexp.core.grid import SQUARE, ST_PITCH_UM
from napari_mclstexp.core.regions import regions_of
from napari_mclstexp.core.tissue import packed
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_mclstexp.core.annotations import Annotation
    from napari_mclstexp.core.domain_edits import Edit
    from napari_mclstexp.core.result import Provenance, Result

SUFFIXES = (".py", ".ipynb")
EXPORTS = ("result.h5ad", "domains.geojson", "spots.csv")
PICTURE = "heatmap.png"
"""Written where a gene of the result was shown."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a session was made of.

    Attributes
    ----------
    slide, bundle : pathlib.Path
        As they were opened.
    plane : int or None
        Of a stack.
    about : Provenance
        Of the result: scale, model, grid, device, batch, threads and seed come from there.
    spots : pathlib.Path or None
        Of spots that a file gave.
    regions : mapping or None
        GeoJSON of the regions predicted.
    tissue : str or None
        Mask that a person has corrected, packed.
    domains : int
        How many were asked for.
    edits : tuple
        Of the domains, in their order.
    annotations : tuple of Annotation
        There before them.
    colours : mapping of int to str
        Of the domains before them.
    gene : str or None
        For the picture.
    """

    slide: Path
    bundle: Path
    about: Provenance
    plane: int | None = None
    spots: Path | None = None
    regions: Mapping[str, Any] | None = None
    tissue: str | None = None
    domains: int = 7
    edits: tuple[Edit, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    colours: Mapping[int, str] = field(default_factory=dict)
    gene: str | None = None


def recipe_of(result: Result, slide: Path, bundle: Path, *, domains: int, **more: Any) -> Recipe:
    """Recipe of a result; `more` as the attributes of :class:`Recipe`.

    Raises
    ------
    ExportError
        The run was stopped before its end, which no script can repeat; its spots came from neither a grid nor
        a file; or the regions, the tissue mask or the edits given are not those of the result.
    """
    if result.provenance.partial:
        msg = (
            "This prediction was stopped before its end, and where cannot be repeated by a script. Predict "
            "the part inside a region instead."
        )
        raise ExportError(msg)
    if result.provenance.layout == "given" and more.get("spots") is None:
        msg = (
            "The spots of this prediction are those of a measured section, which a script cannot lay. Export "
            "them as CSV, and predict at the spots of that file."
        )
        raise ExportError(msg)
    tissue = result.tissue
    mask = packed(tissue) if tissue is not None and tissue.edited_px else None
    recipe = Recipe(slide, bundle, result.provenance, domains=domains, tissue=mask, **more)
    _check_whole(recipe)
    return recipe


def _check_whole(recipe: Recipe) -> None:
    """Raise ExportError where the result was made of something that the recipe lacks, or the other way."""
    about = recipe.about
    told = about.regions.rpartition(" ")[2]
    given = "" if recipe.regions is None else regions_of(recipe.regions).digest
    wrong = {
        "regions": told != given,
        "changes of the tissue mask": bool(about.tissue_edits) != (recipe.tissue is not None),
        "edits of the domains": about.edits != len(recipe.edits),
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            msg = (
                f"The {what} at hand are not those of this prediction, so that a script would give another "
                "result. Predict again, and save the script then."
            )
            raise ExportError(msg)


def script(recipe: Recipe) -> str:
    """Python script; run as ``python FILE [FOLDER FOR THE OUTPUTS]``."""
    data, steps = _parts(recipe)
    return f'{_head(recipe)}\n\n{data}\n\n\n{steps}\n\n\nif __name__ == "__main__":\n    main()\n'


def notebook(recipe: Recipe) -> str:
    """Jupyter notebook (nbformat 4.5) of the same steps."""
    data, steps = _parts(recipe)
    about = [f"# {TITLE}", "", *_notice(recipe)]
    cells = [
        _cell("markdown", "\n".join(about)),
        _cell("code", f"{IMPORTS}\n\n{data}"),
        _cell("code", f"{steps}\n\n\nmain()"),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"step-{number}"
    told = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(told, indent=1) + "\n"


def save_script(recipe: Recipe, path: Path, *, overwrite: bool = False) -> Path:
    """Write a script (.py) or a notebook (.ipynb).

    Raises
    ------
    ExportError
        Another suffix, or it cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path.name} does not say which: end its name in {' or '.join(SUFFIXES)}."
        raise ExportError(msg)
    text = notebook(recipe) if path.suffix.lower() == ".ipynb" else script(recipe)
    return write_text(path, text, overwrite=overwrite)


TITLE = "A session of napari-mclstexp, repeated without its window"
IMPORTS = """import sys
from pathlib import Path

import torch

from napari_mclstexp.core import pipeline
from napari_mclstexp.core.domain_colours import coloured
from napari_mclstexp.core.domain_history import applied, edit_from_dict
from napari_mclstexp.core.scale import Scale
from napari_mclstexp.core.tissue import unpacked
from napari_mclstexp.errors import MclstexpError"""

STEPS = '''def repeat(out: Path) -> None:
    """Open, predict, find domains, edit them and export."""
    torch.set_num_threads(THREADS)
    there = [out / name for name in EXPORTS if (out / name).exists()]
    if there or (out.exists() and not out.is_dir()):
        raise SystemExit(f"{(there or [out])[0]} exists already. Name another folder for the outputs.")
    bundle = pipeline.load_bundle(BUNDLE)
    if bundle.digest != BUNDLE_HASH:
        raise SystemExit("The model is another one than the session's: " + str(BUNDLE))
    with pipeline.open_slide(SLIDE, PLANE) as slide:
        if slide.fingerprint != FINGERPRINT:
            raise SystemExit("The slide is another one than the session's: " + str(SLIDE))
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SystemExit(f"The folder {out} cannot be made: {error.strerror}.") from None
        steps = pipeline.predict_and_label(slide, bundle, SCALE, **SETTINGS)
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                result = end.value
                break
            print(f"\\r{progress.stage} {progress.done:,} of {progress.total:,}   ", end="", file=sys.stderr)
    print(file=sys.stderr)
    result = coloured(result, COLOURS)
    edits = tuple(edit_from_dict(edit) for edit in EDITS)
    result = result.with_domains(applied(result.domains, edits), COUNT)
    for name in EXPORTS:
        print(pipeline.export_result(result, out / name, gene=GENE))


def main() -> None:
    """Repeat the session; outputs go to the folder that is named."""
    named = [word for word in sys.argv[1:] if not word.startswith("-") and not word.endswith(".json")]
    try:
        repeat(Path(named[0] if named else "session_output"))
    except MclstexpError as error:
        raise SystemExit(f"Error: {error}") from None'''


def _head(recipe: Recipe) -> str:
    return "\n".join(['"""' + TITLE + ".", "", *_notice(recipe), '"""', "", IMPORTS])


def _notice(recipe: Recipe) -> list[str]:
    about = recipe.about
    return [
        f"Written by napari-mclstexp {_tame(about.version)}. {_tame(about.statement)}",
        "",
        "It holds the paths of the slide and of the model; the files that it exports do not.",
        f"Slide: fingerprint {_tame(about.slide_fingerprint)}. Model: {_tame(about.bundle_id)}.",
    ]


def _tame(text: str) -> str:
    """Text of a file, for a docstring: a stranger's model names itself, and its name is not to run."""
    return re.sub(r"[^\w .,:;&()+-]", "_", text)[:200]


def _parts(recipe: Recipe) -> tuple[str, str]:
    """Data and functions of the code."""
    about = recipe.about
    scale = "None"
    if math.isfinite(about.mpp_x):
        scale = f"Scale({about.mpp_x!r}, {about.mpp_y!r}, {about.mpp_source!r})"
    settings: dict[str, Any] = {
        "grid": _grid(about),
        "top_k": about.top_k,
        "head": about.head,
        "domains": recipe.domains,
        "domain_method": about.domain_method,
        "batch_size": about.batch_size,
        "device": about.device,
        "backend": about.backend.partition(" ")[0],
        "seed": about.seed,
    }
    lines = [
        f"SLIDE = Path({str(recipe.slide)!r})",
        f"PLANE = {recipe.plane!r}",
        f"FINGERPRINT = {about.slide_fingerprint!r}",
        f"BUNDLE = Path({str(recipe.bundle)!r})",
        f"BUNDLE_HASH = {about.bundle_hash!r}",
        f"SCALE = {scale}  # um per px in x and y",
        f"THREADS = {about.threads!r}  # as in the session: sums of numbers depend on their order",
        f"SETTINGS = {pformat(settings, width=100, sort_dicts=False)}",
    ]
    if recipe.spots is not None:
        lines.append(f'SETTINGS["spots"] = Path({str(recipe.spots)!r})')
    if recipe.tissue is not None:
        lines.append(f'SETTINGS["tissue"] = unpacked({recipe.tissue!r})')
    if recipe.regions is not None:
        lines.append(f"REGIONS = {pformat(recipe.regions, width=100, sort_dicts=False)}")
        lines.append('SETTINGS["regions"] = pipeline.regions_of(REGIONS)')
    kept = (Import(recipe.annotations),) if recipe.annotations else ()
    edits = [edit_as_dict(edit) for edit in (*kept, *recipe.edits)]
    lines += [
        f"COLOURS = {dict(recipe.colours)!r}",
        f"EDITS = {pformat(edits, width=100, sort_dicts=False)}",
        f"COUNT = {about.edits!r}  # edits by hand",
        f"GENE = {recipe.gene!r}",
        f"EXPORTS = {EXPORTS if recipe.gene is None else (*EXPORTS, PICTURE)!r}",
    ]
    return "\n".join(lines), STEPS


def _grid(about: Provenance) -> str:
    if about.layout == "square":
        return "st" if about.pitch_um == ST_PITCH_UM else f"{SQUARE}{about.pitch_um!r}"
    return f"{about.pitch_um!r}" if about.layout == "hexagonal" else "visium"


def _cell(kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
