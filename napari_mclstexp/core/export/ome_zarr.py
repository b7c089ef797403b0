"""OME-Zarr of the slide's overview with the domains as labels.

Format: OME-NGFF 0.5 (https://ngff.openmicroscopy.org/0.5), Zarr 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from napari_mclstexp.core.atomic import write_folder
from napari_mclstexp.core.export.label_image import SMALLEST, half, label_image
from napari_mclstexp.core.palette import rgb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

VERSION = "0.5"
LABELS = "domains"
CHUNK = 512


def write_ome_zarr(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write the overview (c, y, x) and ``labels/domains`` (y, x), both over the whole slide in um.

    In pixels where the scale is unknown. Provenance stands in the root's attributes under ``mclstexp``.

    Raises
    ------
    ExportError
        There are no domains; see :func:`.atomic.write_folder`.
    """
    labels = label_image(result)
    about, domains = result.provenance, result.domains
    known = math.isfinite(about.mpp_x)
    per_px = np.array([about.mpp_y, about.mpp_x] if known else [1.0, 1.0])
    unit = "micrometer" if known else None
    pictures, masks = _levels(result.hires, labels.values)  # type: ignore[arg-type]
    picture_step = np.array([about.height, about.width]) / pictures[0].shape[1:] * per_px

    def write(folder: Path) -> None:
        import zarr

        root = zarr.open_group(folder, mode="w", zarr_format=3)
        _multiscale(root, "H&E", pictures, picture_step, unit)
        root.attrs["mclstexp"] = about.as_json()
        _multiscale(
            group := root.create_group(f"labels/{LABELS}"),
            LABELS,
            masks,
            np.array(labels.step_px) * per_px,
            unit,
        )
        root["labels"].attrs["ome"] = {"version": VERSION, "labels": [LABELS]}
        names = {} if domains is None else domains.names
        colours = {} if domains is None else domains.colours
        group.attrs["ome"] = {
            **dict(group.attrs["ome"]),  # type: ignore[arg-type]
            "image-label": {
                "colors": [{"label-value": i, "rgba": [*rgb(colours[i]), 255]} for i in sorted(colours)],
                "properties": [{"label-value": i, "name": names[i]} for i in sorted(names)],
                "source": {"image": "../../"},
            },
        }

    def verify(folder: Path) -> None:
        import zarr

        root = zarr.open_group(folder, mode="r")
        for where, levels in (("", pictures), (f"labels/{LABELS}/", masks)):
            for i, level in enumerate(levels):
                if not np.array_equal(np.asarray(root[f"{where}{i}"][...]), level):  # type: ignore[index]
                    msg = "a level does not read back as it was written"
                    raise OSError(msg)

    return write_folder(path, write, overwrite=overwrite, verify=verify)


def _levels(
    picture: NDArray[np.uint8], labels: NDArray[np.unsignedinteger]
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.unsignedinteger]]]:
    """Levels (c, y, x) of a picture and (y, x) of its labels: as many of both, which the format asks for."""
    pictures, masks = [picture], [labels]
    while max(*pictures[-1].shape[:2], *masks[-1].shape) > SMALLEST:
        pictures.append(np.asarray(Image.fromarray(pictures[-1]).reduce(2)))
        masks.append(half(masks[-1]))
    return [np.ascontiguousarray(level.transpose(2, 0, 1)) for level in pictures], masks


def _multiscale(
    group: zarr.Group, name: str, levels: Sequence[NDArray[Any]], step: NDArray[np.float64], unit: str | None
) -> None:
    """Write levels, each half of the one before, from the slide's corner on."""
    channels = levels[0].ndim == 3
    axes = ["c", "y", "x"] if channels else ["y", "x"]
    datasets = []
    for i, level in enumerate(levels):
        chunks = (*level.shape[:-2], *(min(CHUNK, n) for n in level.shape[-2:]))
        array = group.create_array(
            str(i), shape=level.shape, dtype=level.dtype, chunks=chunks, dimension_names=axes
        )
        array[...] = level
        size = step * 2**i
        # Of a picture's pixels the mean is taken, of labels every second one: all begin with the same one.
        shift = (size if channels else step) / 2
        datasets.append(
            {
                "path": str(i),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * channels + size.tolist()},
                    {"type": "translation", "translation": [0.0] * channels + shift.tolist()},
                ],
            }
        )
    space = {"type": "space"} | ({"unit": unit} if unit else {})
    told: list[Any] = [{"name": a, "type": "channel"} if a == "c" else {"name": a, **space} for a in axes]
    group.attrs["ome"] = {
        "version": VERSION,
        "multiscales": cast("Any", [{"name": name, "axes": told, "datasets": datasets}]),
    }
