"""AnnData as a Zarr folder, in the layout that scanpy reads as a Visium section."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np

from napari_mclstexp.core.atomic import write_folder
from napari_mclstexp.core.result_file import to_anndata

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result


def write_anndata_zarr(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write what :func:`.result_file.to_anndata` makes.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_folder`.
    """
    data = to_anndata(result)

    def write(folder: Path) -> None:
        with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries' own formats
            data.write_zarr(folder)

    def verify(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = ad.read_zarr(folder)
        if not (read.obs_names.equals(data.obs_names) and np.array_equal(read.X, data.X)):
            msg = "the folder does not read back as it was written"
            raise OSError(msg)

    return write_folder(path, write, overwrite=overwrite, verify=verify)
