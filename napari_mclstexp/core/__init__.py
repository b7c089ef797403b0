"""The computing core: free of Qt and of napari."""
