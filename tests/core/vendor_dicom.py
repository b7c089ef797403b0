"""Writer of a small DICOM whole-slide image of several levels, as OpenSlide demands it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid

from .vendor_tiff import LABEL, MACRO, TILE, halved, j2k, tiles

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

WSI_STORAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"


def write_dicom(path: Path, picture: np.ndarray, mpp: tuple[float, float], canary: str) -> Path:
    """DICOM slide of levels 1, 1/2 and 1/4, label and overview: PATH and its siblings.

    One file an image, all of one series; level 0 is PATH. Pixels are lossless JPEG 2000.
    """
    series = generate_uid(entropy_srcs=[path.name, canary])
    images = [
        ("ORIGINAL", "VOLUME", "NONE", picture, path),
        ("DERIVED", "VOLUME", "RESAMPLED", halved(picture), path.with_stem(path.stem + "-1")),
        ("DERIVED", "VOLUME", "RESAMPLED", halved(picture, 2), path.with_stem(path.stem + "-2")),
        ("ORIGINAL", "LABEL", "NONE", LABEL, path.with_stem(path.stem + "-label")),
        ("ORIGINAL", "OVERVIEW", "NONE", MACRO, path.with_stem(path.stem + "-overview")),
    ]
    for number, (origin, kind, derived, image, target) in enumerate(images):
        whole = kind != "VOLUME"
        height, width = image.shape[:2]
        frames = [j2k(image)] if whole else [j2k(tile) for tile in tiles(image)]
        data = _about(series, number, canary)
        data.ImageType = [origin, "PRIMARY", kind, derived]
        data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
        data.Columns, data.Rows = (width, height) if whole else (TILE, TILE)
        data.NumberOfFrames = len(frames)
        factor = picture.shape[1] / width
        measures = Dataset()
        measures.PixelSpacing = [f"{m * factor / 1000:.8f}" for m in reversed(mpp)]  # mm; rows first
        measures.SliceThickness = "0.001"
        shared = Dataset()
        shared.PixelMeasuresSequence = [measures]
        data.SharedFunctionalGroupsSequence = [shared]
        data.PixelData = encapsulate(frames)
        data["PixelData"].VR = "OB"
        data.save_as(target, enforce_file_format=True)
    return path


def _about(series: str, number: int, canary: str) -> Dataset:
    """What all images of the series say."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = WSI_STORAGE
    data.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.SeriesInstanceUID = series
    data.StudyInstanceUID = data.FrameOfReferenceUID = generate_uid(entropy_srcs=[series])
    data.Modality = "SM"
    data.PatientName = data.PatientID = data.ContainerIdentifier = data.BarcodeValue = canary
    data.OperatorsName = data.LabelText = data.SeriesDescription = canary
    data.InstanceNumber = number + 1
    data.SamplesPerPixel = 3
    data.PlanarConfiguration = data.PixelRepresentation = 0
    data.PhotometricInterpretation = "RGB"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.TotalPixelMatrixFocalPlanes = 1
    data.DimensionOrganizationType = "TILED_FULL"
    return data
