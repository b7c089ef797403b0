"""Layers of a result are saved by napari's own File > Save; those of others as before."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import anndata
import geopandas
import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Image, Labels, Points
from PIL import Image as Picture
from qtpy.QtWidgets import QPushButton

from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer

    from tests.gui.conftest import Window

PLUGIN = "napari-mclstexp"
KIND = "mclSTExp domains and predictions"


@pytest.fixture
def predicted(window: Window, slide: Path, bundle: Path) -> Window:
    window.open(slide)
    window.set_bundle(bundle)
    window.predict()
    return window


def save(window: Window, layer: Layer, path: Path, plugin: str | None = None) -> list[str]:
    """Save one layer as a script does."""
    window.viewer.layers.selection = {layer}
    return window.viewer.layers.save(str(path), selected=True, plugin=plugin)


def test_domains_are_saved_as_they_are_now(predicted: Window, tmp_path: Path) -> None:
    """What is written is the result of the window with its edits, in the suffix's format."""
    window, result = predicted, predicted.dock.session.result
    domains = window.layer("Domains")
    path = tmp_path / "domains.geojson"
    assert save(window, domains, path) == [str(path)]
    drawn = geopandas.read_file(path)
    assert (drawn["objectType"] == "detection").sum() == len(result.grid)
    assert set(drawn[drawn["objectType"] == "annotation"]["name"]) == set(result.domains.names.values())
    assert drawn.geometry.is_valid.all()

    # Another number of domains and a name by hand: the file has them, and replaces the former one.
    count = window.dock.domain_panel.count
    window.type(count.lineEdit(), "3", enter=True)
    window.click(window.dock.domain_panel.find)
    window.wait_idle()
    window.rename_domain(0, "Tumour")
    now = window.dock.session.result
    assert len(now.domains.names) == 3
    assert "Tumour" in now.domains.names.values()
    assert save(window, window.layer("Domains"), path) == [str(path)]
    drawn = geopandas.read_file(path)
    assert set(drawn[drawn["objectType"] == "annotation"]["name"]) == set(now.domains.names.values())

    for name in ("all.h5ad", "all.zarr"):
        save(window, window.layer("Domains"), tmp_path / name)
        read = anndata.read_h5ad if name.endswith("h5ad") else anndata.read_zarr
        data = read(tmp_path / name)
        np.testing.assert_array_equal(data.X, now.expression)
        names = [now.domains.names[label] for label in now.domains.labels]
        assert data.obs["domain"].tolist() == names
    save(window, window.layer("Domains"), tmp_path / "categories.loupe.csv")
    assert pd.read_csv(tmp_path / "categories.loupe.csv").columns.tolist() == ["Barcode", "Domain"]
    for name in ("page.html", "page.pdf"):
        save(window, window.layer("Domains"), tmp_path / name)
    assert "mclSTExp report" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert window.notes() == []


def test_maps_are_saved_as_points_and_as_a_picture(predicted: Window, tmp_path: Path) -> None:
    window, session = predicted, predicted.dock.session
    window.pick_gene("DCN")
    heatmap = window.layer("Predicted gene")
    assert isinstance(heatmap, Points)
    assert save(window, heatmap, tmp_path / "all.h5ad")
    assert anndata.read_h5ad(tmp_path / "all.h5ad").n_vars == len(session.result.genes)

    # napari's own table of points is its default for .csv, ours is there by name.
    save(window, heatmap, tmp_path / "points.csv")
    assert pd.read_csv(tmp_path / "points.csv").columns[0] == "index"
    save(window, heatmap, tmp_path / "spots.csv", PLUGIN)
    table = pd.read_csv(tmp_path / "spots.csv")
    np.testing.assert_allclose(table["DCN"], session.result.gene_values("DCN"), rtol=1e-5)

    window.click(window.dock.gene_panel.colours.button)
    window.tick(window.dock.gene_panel.colour.smooth)
    window.qtbot.waitUntil(lambda: isinstance(window.layer("Predicted gene"), Image))
    smooth = window.layer("Predicted gene")
    assert save(window, smooth, tmp_path / "smooth.h5ad")
    assert anndata.read_h5ad(tmp_path / "smooth.h5ad").n_obs == len(session.result.grid)
    for name, layer in (("gene.png", smooth), ("domains.png", window.layer("Domains"))):
        save(window, layer, tmp_path / name, PLUGIN)
        with Picture.open(tmp_path / name) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 10
    assert (tmp_path / "gene.png").read_bytes() != (tmp_path / "domains.png").read_bytes()

    # Domains and map together are one result.
    window.viewer.layers.selection = {smooth, window.layer("Domains")}
    window.viewer.layers.save(str(tmp_path / "both.h5ad"), selected=True)
    assert "domain" in anndata.read_h5ad(tmp_path / "both.h5ad").obs
    assert window.notes() == []


def test_by_the_dialog(predicted: Window, tmp_path: Path) -> None:
    """File > Save Selected Layers: the kind of file is chosen, a name typed, Save clicked."""
    window, result = predicted, predicted.dock.session.result
    window.viewer.layers.selection = {window.layer("Domains")}
    entry = window.file_entry("Save Selected Layers...")
    window.answer_dialog(entry.trigger, tmp_path / "domains.geojson", KIND)
    text = json.loads((tmp_path / "domains.geojson").read_text(encoding="utf-8"))
    kinds = [feature["properties"]["objectType"] for feature in text["features"]]
    assert kinds.count("detection") == len(result.grid)

    # Every format of ours by its suffix, and without one the result's own.
    window.answer_dialog(entry.trigger, tmp_path / "domains.ome.tif", KIND)
    with tifffile.TiffFile(tmp_path / "domains.ome.tif") as tiff:
        assert set(np.unique(tiff.asarray())) == {0, *result.domains.names}
    window.answer_dialog(entry.trigger, tmp_path / "result", KIND)
    assert anndata.read_h5ad(tmp_path / "result.h5ad").n_obs == len(result.grid)
    assert window.notes() == []

    # A layer of the user's own: one error, in plain words, and no file.
    foreign = window.viewer.add_labels(np.eye(40, dtype=np.uint8), name="My cells", units=("um", "um"))
    window.viewer.layers.selection = {foreign}
    with window.qtbot.capture_exceptions() as raised:
        window.answer_dialog(entry.trigger, tmp_path / "cells.geojson", KIND)
    assert [kind for kind, _, _ in raised] == [ExportError]
    assert "My cells shows no domains or predictions of mclSTExp" in str(raised[0][1])
    raised.clear()  # tracebacks hold the viewer
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)
    assert not (tmp_path / "cells.geojson").exists()
    assert window.notes() == []


def test_layers_of_others_are_refused_or_saved_as_before(predicted: Window, tmp_path: Path) -> None:
    window = predicted
    cells = Labels(np.eye(40, dtype=np.uint8), name="My cells")
    seeds = Points(np.ones((3, 2)), name="My seeds")
    photo = Image(np.eye(40), name="My photo")
    for layer in (cells, seeds, photo):
        window.viewer.add_layer(layer)
        with pytest.raises(ExportError, match=f"The layer {layer.name} shows no"):
            save(window, layer, tmp_path / "mine.h5ad", PLUGIN)
    window.viewer.layers.selection = {seeds, window.layer("Domains")}
    with pytest.raises(ExportError, match="My seeds shows no"):
        window.viewer.layers.save(str(tmp_path / "mine.h5ad"), selected=True)
    with pytest.raises(ExportError, match="H&E shows no"):
        save(window, window.layer("H&E"), tmp_path / "mine.geojson")
    assert list(tmp_path.iterdir()) == []

    # napari's own writers have them as if the plugin were not there, with a suffix or without.
    for layer, name, written in (
        (cells, "cells.ome.tif", "cells.ome.tif"),
        (cells, "cells", "cells.tif"),
        (seeds, "seeds.csv", "seeds.csv"),
        (seeds, "seeds", "seeds.csv"),
        (photo, "photo.png", "photo.png"),
        (photo, "photo", "photo.tif"),
    ):
        assert save(window, layer, tmp_path / name) == [str(tmp_path / written)]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.ome.tif"), cells.data)


def test_what_is_no_longer_open_is_refused(predicted: Window, other_slide: Path, tmp_path: Path) -> None:
    """A layer outlives its slide or its dock; it is never written with the result of another."""
    window, viewer = predicted, predicted.viewer
    path = tmp_path / "old.h5ad"
    copy = Labels(**_copied(window.layer("Domains")))
    copy.name = "Domains copy"
    viewer.add_layer(copy)
    assert save(window, copy, path)
    path.unlink()
    window.open(other_slide)
    window.wait_idle()
    window.predict()
    with pytest.raises(ExportError, match="Domains copy shows is no longer open"):
        save(window, copy, path)
    left = window.layer("Predicted gene")
    assert save(window, left, path)
    path.unlink()
    window.press_predict()
    with pytest.raises(ExportError, match="not done yet"):
        save(window, left, path)
    window.wait_idle()
    left = window.layer("Predicted gene")
    window.click(window.dock.parent().findChild(QPushButton, "QTitleBarCloseButton"))
    window.settle(200)
    with pytest.raises(ExportError, match="no longer open"):
        save(window, left, path)
    assert not path.exists()


def _copied(layer: Layer) -> dict[str, object]:
    """What napari's Duplicate hands on."""
    data, about, _ = layer.as_layer_data_tuple()
    return {"data": data.copy(), **about}
