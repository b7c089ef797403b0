"""A session as code, run as a stranger would: in another process, in another folder."""

from __future__ import annotations

import ast
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest
import shapely
import torch
from PIL import Image
from steps import finish

from napari_mclstexp.core import pipeline
from napari_mclstexp.core.domain_edits import Merge, Rename
from napari_mclstexp.core.domain_history import History
from napari_mclstexp.core.replay import notebook, recipe_of, save_script, script
from napari_mclstexp.core.tissue import edited, find_tissue
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.replay import Recipe
    from napari_mclstexp.core.result import Result

EDITS = (Rename(1, "Tumour"), Merge((2, 3)))


@pytest.fixture(scope="module")
def session(
    slide_path: Path, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Recipe]:
    """A prediction inside a region, on a tissue mask corrected by hand, with edited domains."""
    area = {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.box(100, 100, 1300, 1100))}
    path = tmp_path_factory.mktemp("regions") / "regions.geojson"
    path.write_text(json.dumps(area), encoding="utf-8")
    regions = pipeline.read_regions(path)
    with pipeline.open_slide(slide_path) as slide:
        found = find_tissue(slide, slide.scale)
        painted = found.mask.copy()
        painted[: len(painted) // 3] = False
        steps = pipeline.predict_and_label(
            slide, pipeline.load_bundle(bundle_path), slide.scale, grid="60", domains=4, device="cpu",
            tissue=edited(found, painted), regions=regions,
        )  # fmt: skip
        _, result = finish(steps)
    history = History(result.domains)
    for edit in EDITS:
        history = history.do(edit)
    result = result.with_domains(history.domains, history.count)
    recipe = recipe_of(
        result, slide_path, bundle_path, domains=4, regions=regions.as_geojson(), edits=EDITS, gene="ERBB2"
    )
    return result, recipe


def run(file: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(file), str(out)], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize("kind", ["script", "notebook"])
def test_it_gives_the_same_to_the_last_digit(
    session: tuple[Result, Recipe], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, recipe = session
    if kind == "script":
        file = save_script(recipe, tmp_path / "again.py")
    else:
        told = json.loads(save_script(recipe, tmp_path / "again.ipynb").read_text(encoding="utf-8"))
        assert (told["nbformat"], told["nbformat_minor"]) == (4, 5)
        cells = ["".join(c["source"]) for c in told["cells"] if c["cell_type"] == "code"]
        file = tmp_path / "cells.py"
        file.write_text("\n\n".join(cells), encoding="utf-8")
    done = run(file, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    theirs = anndata.read_h5ad(tmp_path / "out" / "result.h5ad")
    pipeline.save_result(result, tmp_path / "ours.h5ad")
    ours = anndata.read_h5ad(tmp_path / "ours.h5ad")
    assert np.asarray(theirs.X).tobytes() == np.asarray(ours.X).tobytes()
    assert theirs.uns["domain_colors"].tolist() == ours.uns["domain_colors"].tolist()
    assert theirs.obs.equals(ours.obs)
    about = {key: value for key, value in ours.uns["mclstexp"].items() if key != "evaluation"}
    for key, value in about.items():
        assert str(theirs.uns["mclstexp"][key]) == str(value), key
    for theirs_name, ours_name in (("spots.csv", "ours.csv"), ("domains.geojson", "ours.geojson")):
        pipeline.export_result(result, tmp_path / ours_name)
        assert (tmp_path / "out" / theirs_name).read_bytes() == (tmp_path / ours_name).read_bytes()
    pipeline.export_result(result, tmp_path / "ours.png", gene="ERBB2")
    with (
        Image.open(tmp_path / "out" / "heatmap.png") as theirs_picture,
        Image.open(tmp_path / "ours.png") as own,
    ):
        assert theirs_picture.tobytes() == own.tobytes()
    again = refusal(file, tmp_path / "out", monkeypatch)
    assert "exists already" in again, "what is there is not overwritten"
    assert "exists already" in refusal(file, tmp_path / "ours.csv", monkeypatch)


def refusal(file: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a script says that ends before it predicts; in this process, for torch takes long to load."""
    monkeypatch.setattr(sys, "argv", [str(file), str(out)])
    threads = torch.get_num_threads()
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(file), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    return str(end.value.code)


def test_another_slide_is_refused(
    session: tuple[Result, Recipe], other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, recipe = session
    text = script(recipe).replace(str(recipe.slide), str(other))
    (tmp_path / "again.py").write_text(text, encoding="utf-8")
    said = refusal(tmp_path / "again.py", tmp_path / "out", monkeypatch)
    assert "The slide is another one" in said


@pytest.fixture
def other(tmp_path: Path, make_slide, picture) -> Path:  # type: ignore[no-untyped-def]
    return make_slide(tmp_path / "other.tif", picture(9, 900, 900))


def test_what_cannot_be_repeated_is_said(session: tuple[Result, Recipe], tmp_path: Path) -> None:
    result, recipe = session
    stopped = replace(result, provenance=replace(result.provenance, partial="3 of 9 spots"))
    with pytest.raises(ExportError, match="stopped before its end"):
        recipe_of(stopped, recipe.slide, recipe.bundle, domains=4)
    given = replace(result, provenance=replace(result.provenance, layout="given"))
    with pytest.raises(ExportError, match="measured section"):
        recipe_of(given, recipe.slide, recipe.bundle, domains=4)
    for lacking in (
        {"edits": EDITS},
        {"regions": recipe.regions},
        {"regions": recipe.regions, "edits": EDITS[:1]},
    ):
        with pytest.raises(ExportError, match="not those of this prediction"):
            recipe_of(result, recipe.slide, recipe.bundle, domains=4, **lacking)
    with pytest.raises(ExportError, match=r"\.py or \.ipynb"):
        save_script(recipe, tmp_path / "again.txt")
    assert "not measured" in script(recipe)
    assert "not measured" in notebook(recipe)


@pytest.mark.parametrize(
    "name", ['a"""\nimport os\nos.abort()\n"""', "C:\\new\\Users", 'quoted"', "end\\", "<b>x</b>"]
)
def test_the_name_of_a_strangers_model_is_told_and_not_run(session: tuple[Result, Recipe], name: str) -> None:
    _, recipe = session
    named = replace(recipe, about=replace(recipe.about, bundle_id=name))
    body = ast.parse(script(named)).body
    assert [type(step) for step in body] == [type(step) for step in ast.parse(script(recipe)).body]
    assert "<b>" not in notebook(named)
