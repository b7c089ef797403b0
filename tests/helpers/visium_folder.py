"""Small Space Ranger folders."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FACTOR = 0.25
PITCH_PX = 120


def write_visium(folder: Path, picture: np.ndarray, counts: np.ndarray, *, full: bool = True) -> pd.DataFrame:
    """A Space Ranger folder around a picture of 0.5 um a pixel; with or without the picture itself."""
    spatial = folder / "spatial"
    spatial.mkdir(parents=True)
    if full:
        tifffile.imwrite(folder / "HE_section.tif", picture, photometric="rgb", tile=(128, 128))
    height, width = (round(n * FACTOR) for n in picture.shape[:2])
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    small.save(spatial / "tissue_hires_image.png")
    (spatial / "scalefactors_json.json").write_text(json.dumps({"tissue_hires_scalef": FACTOR}))
    side = math.isqrt(len(counts))
    row, column = (a.ravel() for a in np.mgrid[:side, :side])
    table = pd.DataFrame(
        {
            "barcode": [f"SPOT{i}-1" for i in range(len(counts))],
            "in_tissue": 1,
            "array_row": row,
            "array_col": 2 * column + row % 2,
            "pxl_row_in_fullres": 200 + PITCH_PX * math.sqrt(0.75) * row,
            "pxl_col_in_fullres": 200 + PITCH_PX * (column + 0.5 * (row % 2)),
        }
    )
    table.to_csv(spatial / "tissue_positions.csv", index=False)
    matrix = sparse.csc_matrix(counts.T)
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
        group["shape"] = matrix.shape
        group["barcodes"] = table["barcode"].to_numpy(dtype="S")
        group["features/name"] = np.array([f"GENE{i}" for i in range(counts.shape[1])], dtype="S")
        group["features/id"] = np.array([f"ID{i}" for i in range(counts.shape[1])], dtype="S")
    return table


def in_matrix(change: Callable[[h5py.Group], object]) -> Callable[[Path], None]:
    """Change the counts' file of a folder."""

    def apply(folder: Path) -> None:
        with h5py.File(folder / "filtered_feature_bc_matrix.h5", "r+") as file:
            change(file["matrix"])

    return apply


def put(name: str, value: object) -> Callable[[h5py.Group], None]:
    """Another value in the place of a dataset."""

    def change(group: h5py.Group) -> None:
        del group[name]
        group[name] = value

    return change


def poke(name: str, at: int, value: int) -> Callable[[h5py.Group], None]:
    """Another number at one place of a dataset."""
    return lambda group: group[name].__setitem__(at, value)
