"""napari-mclstexp: predicted spatial gene expression over whole-slide H&E images."""

__version__ = "0.1.0"
