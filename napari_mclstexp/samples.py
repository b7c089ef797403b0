"""Where the sample data lies: a synthetic section, its measured expression and a demo bundle."""

from __future__ import annotations

from pathlib import Path

SLIDE, MEASURED, BUNDLE = "synthetic_slide.tif", "synthetic_slide.h5ad", "demo_bundle"


def sample_folder() -> Path:
    """Folder of the sample data, in an installed package or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "sample_data"
    return installed if installed.is_dir() else here.parent / "sample_data"


def sample_slide_path() -> Path:
    """Synthetic slide, a pyramidal TIFF."""
    return sample_folder() / SLIDE


def sample_measured_path() -> Path:
    """Expression "measured" on the synthetic slide, as a paired section."""
    return sample_folder() / MEASURED


def demo_bundle_path() -> Path:
    """Model bundle trained on other synthetic sections."""
    return sample_folder() / BUNDLE
