"""Exports of a Result: one file a format, chosen by the longest known suffix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_mclstexp.core.export.csv import write_csv
from napari_mclstexp.core.export.geojson import write_geojson
from napari_mclstexp.core.export.picture import write_picture
from napari_mclstexp.core.result_file import save_result
from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from napari_mclstexp.core.result import Result

__all__ = ["FORMATS", "export_result"]


class Writer(Protocol):
    """Writes a Result to a path, whole or not at all."""

    def __call__(self, result: Result, path: Path, *, overwrite: bool) -> Path: ...


FORMATS: dict[str, tuple[str, Writer]] = {
    ".geojson": ("QuPath GeoJSON", write_geojson),
    ".h5ad": ("AnnData", save_result),
    ".csv": ("spot table", write_csv),
}
"""Suffix -> what it is and its writer."""

PICTURES = (".png",)


def export_result(
    result: Result,
    path: str | Path,
    *,
    overwrite: bool = False,
    gene: str | None = None,
    dpi: int = 150,
) -> Path:
    """Write a result in the format that the file's suffix names.

    Parameters
    ----------
    result : Result
        What to export.
    path : str or pathlib.Path
        Target.
    overwrite : bool
        Whether an existing target may be replaced.
    gene : str, optional
        The gene to show; pictures without one show the domains.
    dpi : int
        Dots per inch of pictures.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        Unknown suffix, existing target, or the file cannot be written.
    GeneError
        The gene is not among those predicted.
    """
    path = Path(path)
    name = path.name.lower()
    known = sorted((*FORMATS, *PICTURES), key=len, reverse=True)
    suffix = next((s for s in known if name.endswith(s) and name != s), None)
    if suffix is None:
        msg = f"{path.name} has no suffix that says what to write. Known are {', '.join(sorted(known))}."
        raise ExportError(msg)
    if suffix in PICTURES:
        return write_picture(result, path, gene=gene, dpi=dpi, overwrite=overwrite)
    return FORMATS[suffix][1](result, path, overwrite=overwrite)
