"""Public doors of the package; each takes what a case makes, and tells of what comes of it in a line."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .goods import Goods


def warm(goods: Goods) -> None:
    """Load what the doors load: a library's tables are none of a case's memory."""
    import torch

    from napari_mclstexp.core import pipeline
    from napari_mclstexp.core.slide import open_slide

    torch.zeros(1)
    pipeline.load_bundle(goods.small_bundle)
    for kind in ("svs", "ome", "zarr", "png"):
        open_slide(goods.slide(kind)).close()


def told_of(slide: Any) -> str:
    """What a slide tells, and how its pixels are."""
    scale = slide.scale
    mpp = f"{scale.mpp_x:.4g} x {scale.mpp_y:.4g}" if scale else "none"
    region, holes = slide.read_around(0, 0, slide.width, slide.height)
    white = float((region == 255).all(axis=2).mean())
    for level, size in enumerate(slide.levels):
        slide.read_around(size.width // 2, size.height // 2, 20, 20, level)
    slide.overview(64)
    lost = sum(w * h for _, _, w, h in holes)
    traits = slide.traits
    return (
        f"{slide.format} {slide.width} x {slide.height}, {len(slide.levels)} levels, mpp {mpp}, "
        f"question: {traits.scale.question or 'none'}, planes {len(traits.planes)}, lost {lost} px, "
        f"white {white:.3f}, mean {region.mean():.1f}, notes: {'; '.join(slide.notes) or 'none'}, "
        f"model: {slide.not_for_model or 'fits'}"
    )


def open_slide(given: Any) -> str:
    """Open a slide and read it: all of the finest level, some of the others."""
    from napari_mclstexp.core.slide import open_slide

    path, plane = given if isinstance(given, tuple) else (given, None)
    with open_slide(path, plane) as slide:
        if slide.width * slide.height > 2**25:
            slide.read_around(slide.width // 2, slide.height // 2, 64, 64)
            slide.overview(64)
            return f"{slide.format} {slide.width} x {slide.height}"
        return told_of(slide)


def load_bundle(given: Any) -> str:
    """Load a bundle."""
    from napari_mclstexp.core.bundle import load_bundle

    bundle = load_bundle(given)
    return f"bundle of {len(bundle.spec.genes)} genes, {len(bundle.expression)} spots, {bundle.spec.name}"


def load_result(given: Any) -> str:
    """Load a result."""
    from napari_mclstexp.core.result_file import load_result

    result = load_result(given)
    return f"result of {len(result.grid)} spots, {len(result.genes)} genes"


def read_regions(given: Any) -> str:
    """Read regions of a GeoJSON."""
    from napari_mclstexp.core.regions import read_regions

    regions = read_regions(given)
    areas = [round(area.area) for area in regions.polygons]
    return f"{len(regions)} regions {areas[:6]}, valid {all(a.is_valid for a in regions.polygons)}"


def read_annotations(given: Any) -> str:
    """Read annotations of a GeoJSON."""
    from napari_mclstexp.core.annotations import read_annotations

    found = read_annotations(given)
    return f"{len(found)} annotations: {[(a.name, a.of_class, a.colour) for a in found[:3]]}"


def read_spots(given: Any) -> str:
    """Read spots of a CSV for a slide of 1,000 x 900 px."""
    from napari_mclstexp.core.grid import given_grid, read_spots

    grid = given_grid(*read_spots(given), (1000, 900), None)
    return f"{len(grid)} spots, first {grid.ids[0]} at {grid.centres_px[0].tolist()}"


def read_gmt(given: Any) -> str:
    """Read gene sets, and score by the first."""
    from napari_mclstexp.core.result_file import load_result
    from napari_mclstexp.core.signatures import read_gmt, score

    path, result = given
    sets = read_gmt(path)
    scored = score(load_result(result), sets[0])
    return f"{len(sets)} sets, used {scored.used}, absent {scored.absent}"


def read_section(given: Any) -> str:
    """Read a paired section for training."""
    from napari_mclstexp.training.sections import read_section

    section = read_section(str(given))
    return f"section of {len(section.ids)} spots, {len(section.genes)} genes"


def read_measured(given: Any) -> str:
    """Open a measured section with its picture."""
    from napari_mclstexp.core.measured.reading import read_measured
    from napari_mclstexp.core.slide import open_slide

    with open_slide(given) as slide:
        measured = read_measured(slide.companion.path, slide, slide.companion.factor)
        return f"measured {len(measured.grid)} spots, {len(measured.genes)} genes, on {slide.format}"


def recall(given: Any) -> str:
    """Recall what is remembered, then remember something else."""
    from napari_mclstexp.core.remembered import data_folder, recall, remember

    found = recall()
    remember(found.with_favourite("ACTB", wanted=True))
    kept = sorted(f.name for f in data_folder().iterdir())
    return f"favourites {found.favourites}, then {recall().favourites}, kept {kept}"


def load_work(given: Any) -> str:
    """Take up kept work."""
    from napari_mclstexp.core.saved import kept_work, load_work

    kept = kept_work(given)
    if kept is None:
        return "nothing is kept"
    work = load_work(given)
    return f"kept {len(work.result.grid)} spots, gene {work.state.gene}, {kept.edits} edits told"


def command(given: Any) -> str:
    """Run the command line in this process; its error is raised as it was."""
    from napari_mclstexp import cli
    from napari_mclstexp.errors import MclstexpError

    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main([str(word) for word in given])
    except SystemExit as end:
        if end.code in (0, None):
            return out.getvalue().strip().replace("\n", " | ")
        text = err.getvalue().strip().replace("\n", " ")
        if end.code == 2:
            raise MclstexpError(text) from end
        raise RuntimeError(f"exit {end.code}: {text}") from end
    return "no exit"


def predict(given: Any) -> str:
    """Predict a few given spots; see :func:`prediction`."""
    slide, bundle, xy, options, spoil = given
    return prediction(slide, bundle, np.asarray(xy, dtype=float), options, spoil)


def prediction(
    path: Path, bundle: Path, xy: np.ndarray, options: dict, spoil: Callable[[], object] | None
) -> str:
    """Predict spots x, y (N, 2) of a slide; `spoil` is called after the first batch."""
    from napari_mclstexp.core.bundle import load_bundle
    from napari_mclstexp.core.grid import given_grid
    from napari_mclstexp.core.predict import predict
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import open_slide

    scale = Scale(0.5, 0.5, "test")
    with open_slide(path) as slide:
        grid = given_grid(np.arange(len(xy)).astype(str), xy, (slide.width, slide.height), scale)
        given = {"device": "cpu", "batch_size": 4, "backend": "torch"} | options
        loaded = load_bundle(bundle)
        if "change" in given:
            loaded = given.pop("change")(loaded)
        _ = slide.fingerprint
        steps = predict(slide, loaded, grid, scale, **given)
        while True:
            try:
                step = next(steps)
                if spoil is not None and step.done:
                    spoil()
                    spoil = None
            except StopIteration as stop:
                result = stop.value
                finite = bool(np.isfinite(result.expression).all())
                return f"{len(result.grid)} spots, finite {finite}, notes: {result.provenance.slide_notes}"


DOORS = {
    "open_slide": open_slide,
    "load_bundle": load_bundle,
    "load_result": load_result,
    "read_regions": read_regions,
    "read_annotations": read_annotations,
    "read_spots": read_spots,
    "read_gmt": read_gmt,
    "read_section": read_section,
    "read_measured": read_measured,
    "recall": recall,
    "load_work": load_work,
    "mclstexp": command,
    "predict": predict,
}
