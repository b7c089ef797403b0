"""Exports of a Result: one file a format, chosen by the longest known suffix."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_mclstexp.core.result import Result

__all__ = ["FORMATS", "export_result"]


FORMATS = {
    ".geojson": ("QuPath GeoJSON", "export.geojson:write_geojson"),
    ".h5ad": ("AnnData", "result_file:save_result"),
    ".csv": ("spot table", "export.csv:write_csv"),
    ".loupe.csv": ("Loupe category", "export.loupe:write_loupe"),
    ".zarr": ("AnnData Zarr", "export.anndata_zarr:write_anndata_zarr"),
    ".spatialdata.zarr": ("SpatialData", "export.spatial:write_spatialdata"),
    ".ome.zarr": ("OME-Zarr labels", "export.ome_zarr:write_ome_zarr"),
    ".ome.tif": ("OME-TIFF labels", "export.ome_tiff:write_ome_tiff"),
}
"""Suffix -> what it is and its writer, which is imported when it is needed."""

PICTURES = (".png", ".svg", ".figure.pdf")
REPORTS = (".html", ".pdf")


def export_result(
    result: Result,
    path: str | Path,
    *,
    overwrite: bool = False,
    gene: str | None = None,
    dpi: int = 150,
    opened: Iterable[Path] = (),
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
        The gene to show; pictures without one show the domains, reports without one three genes.
    dpi : int
        Dots per inch of pictures, 36 to 1,200.
    opened : iterable of pathlib.Path
        What is open beside the result, and is never replaced, as the slide is not.

    Returns
    -------
    pathlib.Path
        The target.

    Raises
    ------
    ExportError
        Unknown suffix, dots out of range, existing target, the target is the slide or open beside it, or the
        file cannot be written.
    GeneError
        The gene is not among those predicted.
    """
    from napari_mclstexp.core.slide.fingerprint import refuse_slide

    path = Path(path)
    name = path.name.lower()
    known = sorted((*FORMATS, *PICTURES, *REPORTS), key=len, reverse=True)
    suffix = next((s for s in known if name.endswith(s) and name != s), None)
    if suffix is None:
        msg = f"{path.name} has no suffix that says what to write. Known are {', '.join(sorted(known))}."
        raise ExportError(msg)
    refuse_slide(path, result.provenance.slide_fingerprint, *opened)
    if suffix in REPORTS:
        from napari_mclstexp.core.export.report import write_report

        return write_report(result, path, genes=() if gene is None else (gene,), overwrite=overwrite)
    if suffix in PICTURES:
        from napari_mclstexp.core.export.picture import write_picture

        return write_picture(result, path, gene=gene, dpi=dpi, overwrite=overwrite)
    module, function = FORMATS[suffix][1].split(":")
    writer = getattr(import_module(f"napari_mclstexp.core.{module}"), function)
    return writer(result, path, overwrite=overwrite)
