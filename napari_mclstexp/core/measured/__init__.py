"""Measured expression: what Visium, legacy Spatial Transcriptomics and .h5ad files hold of it.

:func:`.reading.read_measured` reads any of them and lays its spots on a slide.
"""
