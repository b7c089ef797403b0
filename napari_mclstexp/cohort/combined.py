"""All spots of a cohort in one AnnData on disk: memory holds the expression of a chunk, or of one slide."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr

from napari_mclstexp.cohort.folder import COMBINED
from napari_mclstexp.core.atomic import write_folder
from napari_mclstexp.core.result import STATEMENT
from napari_mclstexp.core.result_file import load_result, to_anndata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_mclstexp.cohort.folder import Cohort, Entry, Record

ROWS, COLUMNS = 4096, 256
"""Spots and genes of a chunk."""
OBS = (
    *("in_tissue", "array_row", "array_col", "similarity", "spread", "effective_k", "patients"),
    *("similarity_percentile", "out_of_distribution"),
)


def write_combined(cohort: Cohort, done: Sequence[tuple[Entry, Record]]) -> Path:
    """Write ``cohort.zarr``; ``anndata.experimental.read_lazy`` opens it without loading it.

    Parameters
    ----------
    cohort : Cohort
        The slides.
    done : sequence of (Entry, Record)
        Those that are in it.

    Returns
    -------
    pathlib.Path
        The folder: X (N, G) float32; obs ``slide``, ``patient``, ``group``, ``domain`` and what a result
        has of each spot; ``obsm["spatial"]`` x, y in full-resolution px, ``obsm["spatial_um"]`` in um; var
        as a result's.

    Raises
    ------
    ResultError, ExportError
        A slide's result is damaged; the folder cannot be written.
    """
    total = sum(record.spots for _, record in done)

    def write(folder: Path) -> None:
        with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries' own formats
            _write(cohort, done, total, zarr.open_group(folder, mode="w", zarr_format=3))
            zarr.consolidate_metadata(folder)

    def verify(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = ad.experimental.read_lazy(folder)
        if read.shape[0] != total:
            msg = "the folder does not read back as it was written"
            raise OSError(msg)

    return write_folder(cohort.folder / COMBINED, write, overwrite=True, verify=verify)


def _write(cohort: Cohort, done: Sequence[tuple[Entry, Record]], total: int, group: zarr.Group) -> None:
    frames, pixels, microns, held, start = [], [], [], [], 0
    values: zarr.Array[Any] | None = None
    var = pd.DataFrame()
    for entry, _ in done:
        data = to_anndata(load_result(cohort.file(entry, ".h5ad"), pictures=False))
        if values is None:
            var = data.var
            chunks = min(ROWS, total), min(COLUMNS, data.n_vars)
            values = group.create_array("X", shape=(total, data.n_vars), chunks=chunks, dtype="float32")
            values.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        held.append(data.X)
        if entry is done[-1][0] or sum(map(len, held)) >= ROWS:  # a chunk is compressed anew at each writing
            rows = np.concatenate(held)
            values[start : start + len(rows)] = rows
            start += len(rows)
            held.clear()
        about = data.uns["mclstexp"]
        frame = data.obs[[name for name in OBS if name in data.obs]].copy()
        frame["domain"] = data.obs["domain"].astype(str)
        frame["slide"], frame["patient"], frame["group"] = entry.name, entry.patient, entry.group
        frame.index = pd.Index([f"{entry.name}-{spot}" for spot in data.obs_names], dtype=object, name="spot")
        frames.append(frame)
        pixels.append(data.obsm["spatial"])
        microns.append(data.obsm["spatial"] * (about["mpp_x"], about["mpp_y"]))
    obs = pd.concat(frames, join="inner")
    names = {
        "domain": list(cohort.domains),
        "slide": [entry.name for entry, _ in done],
        "patient": list(dict.fromkeys(entry.patient for entry, _ in done)),
        "group": list(dict.fromkeys(entry.group for entry, _ in done)),
    }
    for column, known in names.items():
        obs[column] = pd.Categorical(obs[column], categories=known)
    about = {
        "bundle_id": cohort.bundle_id,
        "bundle_hash": cohort.bundle_hash,
        "normalisation": cohort.unit,
        "statement": STATEMENT,
    }
    parts: dict[str, Any] = {
        "obs": obs,
        "var": var,
        "obsm": {"spatial": np.concatenate(pixels), "spatial_um": np.concatenate(microns)},
        "uns": {"mclstexp_cohort": about, "domain_colors": np.array(list(cohort.domains.values()))},
        **{name: {} for name in ("layers", "varm", "obsp", "varp")},
    }
    for name, part in parts.items():
        ad.io.write_elem(group, name, part)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
