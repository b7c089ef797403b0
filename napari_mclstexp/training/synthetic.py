"""Synthetic sections: an H&E-like pyramidal slide and the expression of spots on it.

No specimen, no patient and no measurement is behind any of this. The picture and the counts come
from one seeded generator and share one layout, so that there is something true to learn from the
picture, and noise that cannot be learned. It serves the demo and the tests, and it is called
synthetic in every file that it writes.

``python -m napari_mclstexp.training.synthetic OUT [--training OUT2]`` writes the demo section.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tifffile

from napari_mclstexp.core.atomic import write_file

from .synthetic_render import render
from .synthetic_spots import express, place_spots
from .synthetic_tissue import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NOTE", "main", "make_section"]

logger = logging.getLogger(__name__)

NOTE = "Synthetic section: picture and counts are drawn by a random generator, not measured."
_TILE = 512
_SMALLEST_LEVEL = 1100


def make_section(
    out_dir: Path,
    name: str,
    *,
    seed: int,
    width_px: int,
    height_px: int,
    mpp: float = 0.5,
    pitch_um: float = 100.0,
    layout: str = "visium",
    patient: str = "synthetic-1",
    jpeg_quality: int = 68,
) -> Path:
    """Write one synthetic section: ``NAME.tif`` and ``NAME.h5ad``.

    Parameters
    ----------
    out_dir
        Folder to write into; made where it is missing.
    name
        Stem of both files, and the section's name.
    seed
        The same seed and sizes give the same pixels and counts.
    width_px, height_px
        Size of the slide at full resolution.
    mpp
        Micrometres per pixel.
    pitch_um
        Distance between the centres of neighbouring spots.
    layout
        ``"visium"`` (hexagonal) or ``"square"``.
    patient
        Name of the synthetic patient.
    jpeg_quality
        Quality of the slide's JPEG tiles.

    Returns
    -------
    Path
        The ``.h5ad`` file.

    Raises
    ------
    ValueError
        For a layout of another name, or a section without room for a spot.
    """
    if layout not in {"visium", "square"}:
        msg = f"layout must be 'visium' or 'square', not {layout!r}"
        raise ValueError(msg)
    out_dir.mkdir(parents=True, exist_ok=True)
    tissue = lay_out(np.random.default_rng([seed, 0]), (height_px, width_px), mpp)
    spots = place_spots(tissue, pitch_um, layout == "visium")
    if not len(spots.points):
        msg = f"no spot fits on the tissue of a {width_px} x {height_px} px section"
        raise ValueError(msg)
    data = express(np.random.default_rng([seed, 2]), tissue, spots)
    picture = render(np.random.default_rng([seed, 1]), tissue)
    write_file(
        out_dir / f"{name}.tif",
        lambda part: _write_pyramid(part, picture, mpp, jpeg_quality, name),
        overwrite=True,
    )
    data.uns["synthetic"] = NOTE
    data.uns["mclstexp_section"] = {
        "slide": f"{name}.tif",
        "mpp": mpp,
        "section": name,
        "patient": patient,
    }
    path = out_dir / f"{name}.h5ad"
    write_file(path, lambda part: data.write_h5ad(part, compression="gzip"), overwrite=True)
    logger.info("wrote synthetic section %s: %d spots, %d genes", path, *data.shape)
    return path


def _write_pyramid(path: Path, picture: npt.NDArray[np.uint8], mpp: float, quality: int, name: str) -> None:
    """Write a tiled JPEG pyramid that OpenSlide reads, levels as pages reduced by 2."""
    with tifffile.TiffWriter(path) as tiff:
        level, factor = picture, 1
        while True:
            per_cm = 1e4 / (mpp * factor)
            tiff.write(
                level,
                photometric="rgb",
                tile=(_TILE, _TILE),
                compression="jpeg",
                compressionargs={"level": quality},
                subsampling=(2, 2),
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=1 if factor > 1 else 0,
                description=f"{name}: {NOTE}" if factor == 1 else None,
                metadata=None,
                software="napari-mclstexp synthetic section",
            )
            if max(level.shape[:2]) <= _SMALLEST_LEVEL:
                return
            rows, cols = (n // 2 * 2 for n in level.shape[:2])
            blocks = level[:rows, :cols].reshape(rows // 2, 2, cols // 2, 2, 3)
            level = ((blocks.astype(np.uint16).sum((1, 3)) + 2) // 4).astype(np.uint8)
            factor *= 2


def main(argv: Sequence[str] | None = None) -> None:
    """Write the synthetic demo section and, when asked for, the training sections."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for the demo section")
    parser.add_argument("--training", type=Path, help="folder for the training sections")
    options = parser.parse_args(argv)
    jobs = [(options.out, "synthetic_slide", 7, "synthetic-0")]
    if options.training is not None:
        jobs += [(options.training, f"synthetic_train_{i}", 100 + i, f"synthetic-{i}") for i in (1, 2, 3)]
    for folder, name, seed, patient in jobs:
        path = make_section(folder, name, seed=seed, width_px=8704, height_px=6656, patient=patient)
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
