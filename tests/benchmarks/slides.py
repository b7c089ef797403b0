"""Large slides for benchmarks, written in seconds: few distinct JPEG tiles, used over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TILE = 256
TISSUE_TILES = 16


def _tiles() -> list[bytes]:
    """Encoded tiles of a stained texture."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=(TILE * 4, TILE * 4)), 5, mode="wrap")
    shade = 90 * (field / field.std())[..., None] * np.array([0.5, 0.8, 0.4])
    picture = np.clip(np.array([185, 110, 175]) + shade + 10 * rng.normal(size=(*field.shape, 1)), 0, 255)
    blocks = picture.astype(np.uint8).reshape(4, TILE, 4, TILE, 3).swapaxes(1, 2).reshape(-1, TILE, TILE, 3)
    return [imagecodecs.jpeg8_encode(np.ascontiguousarray(b), level=85, colorspace="RGB") for b in blocks]


def write_large(path: Path, width: int, height: int, *, levels: int = 4, sparse: bool = False) -> Path:
    """Write a JPEG-tiled TIFF of 0.5 um a pixel.

    Parameters
    ----------
    path : pathlib.Path
        Where to.
    width, height : int
        Pixels.
    levels : int
        Levels, each a quarter as wide as the one before; 1 writes no pyramid.
    sparse : bool
        Whether only a disc of a tenth of the width holds tiles.
    """
    tiles = _tiles()
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level in range(levels):
            w, h = (max(1, n // 4**level) for n in (width, height))
            options = {"resolution": (2e4 / 4**level,) * 2, "resolutionunit": "CENTIMETER"}
            tiff.write(
                _stream(tiles, w, h, sparse),
                shape=(h, w, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=1 if level else 0,
                metadata=None,
                **options,
            )
    return path


def _stream(tiles: list[bytes], width: int, height: int, sparse: bool) -> Iterator[bytes]:
    rows, columns = -(-height // TILE), -(-width // TILE)
    for row in range(rows):
        for column in range(columns):
            off = np.hypot((row + 0.5) / rows - 0.5, (column + 0.5) / columns - 0.5)
            yield b"" if sparse and off > 0.1 else tiles[(row * 7 + column * 3) % TISSUE_TILES]
