"""OME-TIFF of domains: labels as a pyramid with um.

Format: OME-TIFF with SubIFDs (OME model 2016-06), as tifffile writes it.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mclstexp.core.atomic import write_file
from napari_mclstexp.core.export.label_image import label_image, pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mclstexp.core.result import Result

TILE = (256, 256)
NAMESPACE = uuid.UUID("0d7a2d3e-7f6b-4f0a-9c55-6d636c535447")


def write_ome_tiff(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write the labels of all domains; names, colours and provenance stand in the description as JSON.

    Raises
    ------
    ExportError
        There are no domains; see :func:`.atomic.write_file`.
    """
    import tifffile

    labels, about, domains = label_image(result), result.provenance, result.domains
    levels = pyramid(labels.values)  # type: ignore[arg-type]
    told = {
        "domains": {str(i): domains.names[i] for i in sorted(domains.names)} if domains else {},
        "colours": {str(i): domains.colours[i] for i in sorted(domains.colours)} if domains else {},
        "provenance": about.as_json(),
    }
    text = json.dumps(told)
    # Of the content: tifffile's own would tell when and on which network card's computer it was written.
    identity = uuid.uuid5(NAMESPACE, hashlib.sha256(text.encode() + levels[0].tobytes()).hexdigest())
    metadata: dict[str, Any] = {"axes": "YX", "Name": "Domains", "Description": text, "UUID": str(identity)}
    if math.isfinite(about.mpp_x):
        size = {
            "PhysicalSizeX": labels.step_px[1] * about.mpp_x,
            "PhysicalSizeY": labels.step_px[0] * about.mpp_y,
        }
        metadata |= size | {f"{key}Unit": "µm" for key in size}

    def write(target: Path) -> None:
        with tifffile.TiffWriter(target, ome=True, bigtiff=True) as tiff:
            how: dict[str, Any] = {"tile": TILE, "compression": "deflate", "photometric": "minisblack"}
            tiff.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **how)
            for level in levels[1:]:
                tiff.write(level, subfiletype=1, metadata=None, **how)

    def verify(written: Path) -> None:
        with tifffile.TiffFile(written) as tiff:
            read = [level.asarray() for level in tiff.series[0].levels]
        if not all(map(np.array_equal, read, levels)) or len(read) != len(levels):
            msg = "the labels do not read back as they were written"
            raise OSError(msg)

    return write_file(path, write, overwrite=overwrite, verify=verify)
