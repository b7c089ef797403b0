"""SpatialData: overview, domains as labels and shapes, spots as shapes, and their table.

Format: SpatialData Zarr, written by the spatialdata library, which an extra brings.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from napari_mclstexp.core.atomic import write_folder
from napari_mclstexp.core.cells import domain_areas
from napari_mclstexp.core.export.label_image import label_image
from napari_mclstexp.core.reach import pitch_px
from napari_mclstexp.core.result_file import SPOT_TO_PITCH, to_anndata
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result

SPOTS, DOMAINS, NOTES, PICTURE, TABLE = "spots", "domains", "annotations", "overview", "table"
LABELS, NAMES = "domains_labels", "domains_table"
SYSTEM = "global"
"""Coordinate system: full-resolution pixels of the slide."""


def write_spatialdata(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write a SpatialData folder; all of it lies in full-resolution pixels, the scale stands in the table.

    Raises
    ------
    ExportError
        The library is not installed; see :func:`.atomic.write_folder`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries' own parts and formats
            import spatialdata
    except ImportError as error:
        msg = (
            "SpatialData files need the spatialdata library. Install it by: "
            'pip install "napari-mclstexp[spatialdata]"'
        )
        raise ExportError(msg) from error
    parts = _elements(result)

    def write(folder: Path) -> None:
        data = spatialdata.SpatialData.init_from_elements(parts)
        data.attrs["mclstexp"] = result.provenance.as_json()
        folder.rmdir()  # the library makes it
        with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries' own parts and formats
            data.write(folder)

    def verify(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = spatialdata.read_zarr(folder)
        if {name for _, name, _ in read.gen_elements()} != parts.keys() or not np.array_equal(
            read.tables[TABLE].X, result.expression
        ):
            msg = "the folder does not read back as it was written"
            raise OSError(msg)

    return write_folder(path, write, overwrite=overwrite, verify=verify)


def _elements(result: Result) -> dict[str, Any]:
    """Images, labels, shapes and table by name."""
    import geopandas as gpd
    from spatialdata.models import Image2DModel, Labels2DModel, ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    about, grid, domains = result.provenance, result.grid, result.domains
    own = {SYSTEM: Identity()}
    height, width = result.hires.shape[:2]
    to_slide = Scale([about.height / height, about.width / width], axes=("y", "x"))
    radius = SPOT_TO_PITCH[grid.layout] * math.sqrt(math.prod(pitch_px(grid))) / 2
    found: dict[str, Any] = {
        PICTURE: Image2DModel.parse(
            result.hires.transpose(2, 0, 1), dims=("c", "y", "x"), transformations={SYSTEM: to_slide}
        ),
        SPOTS: ShapesModel.parse(
            grid.centres_px[:, ::-1].copy(),
            geometry=0,
            radius=radius,
            index=pd.Index(grid.ids.astype(object)),
            transformations=own,
        ),
    }
    if domains is not None:
        labels = label_image(result)
        found[LABELS] = Labels2DModel.parse(
            labels.values,
            dims=("y", "x"),
            transformations={SYSTEM: Scale(list(labels.step_px), axes=("y", "x"))},
        )
        areas = domain_areas(grid, domains)
        frame = gpd.GeoDataFrame(
            {
                "label": list(areas),
                "name": [domains.names[i] for i in areas],
                "colour": [domains.colours[i] for i in areas],
            },
            geometry=list(areas.values()),
            index=pd.Index([str(i) for i in areas]),
        )
        if len(frame):
            found[DOMAINS] = ShapesModel.parse(frame.explode(ignore_index=True), transformations=own)
            found[NAMES] = TableModel.parse(
                _names(frame), region=LABELS, region_key="region", instance_key="instance"
            )
        if domains.annotations:
            notes = gpd.GeoDataFrame(
                {
                    key: [getattr(note, key) for note in domains.annotations]
                    for key in ("name", "of_class", "note", "author", "colour")
                },
                geometry=[note.area for note in domains.annotations],
            )
            found[NOTES] = ShapesModel.parse(notes.explode(ignore_index=True), transformations=own)
    table = to_anndata(result)
    table.uns.pop("spatial")  # the picture is an element of its own here
    table.obs["region"] = pd.Categorical([SPOTS] * len(grid))
    table.obs["instance"] = np.asarray(table.obs_names, dtype=object)
    found[TABLE] = TableModel.parse(table, region=SPOTS, region_key="region", instance_key="instance")
    return found


def _names(domains: pd.DataFrame) -> ad.AnnData:
    """Table of what the labels are called, and of the colours in which spatialdata-plot shows them."""
    called = domains["name"].tolist()
    told = pd.DataFrame(
        {
            "domain": pd.Categorical(called, categories=called),
            "region": pd.Categorical([LABELS] * len(called)),
            "instance": domains["label"].to_numpy(),
        },
        index=domains["label"].astype(str).tolist(),
    )
    return ad.AnnData(obs=told, uns={"domain_colors": domains["colour"].tolist()})
