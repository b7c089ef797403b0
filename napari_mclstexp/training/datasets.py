"""The public data sets that can be trained on: what they are, where they are, how they lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataSet:
    """A public data set of paired sections.

    Attributes
    ----------
    name, what : str
        Short name, and what it holds.
    size, licence, citation : str
        For people to read.
    get, layout : str
        How to get it, and how it has to lie to be read.
    """

    name: str
    what: str
    size: str
    licence: str
    citation: str
    get: str
    layout: str


DATA_SETS = (
    DataSet(
        "her2st",
        "HER2-positive breast tumours: 36 sections of 8 patients, by Spatial Transcriptomics (100-um spots, "
        "200 um apart). A section's letter, A to H, is its patient.",
        "about 5 MB a section, by the four that were at hand",
        "none is stated in the repository; see the record at Zenodo, doi:10.5281/zenodo.3957257",
        "Andersson et al., Spatial deconvolution of HER2-positive breast cancer delineates tumor-associated "
        "cell type interactions, Nature Communications 12, 6012 (2021), doi:10.1038/s41467-021-26271-2",
        "mclstexp data fetch her2st DIR [--sections B4,C2], from github.com/almaan/her2st",
        "DIR/B4, of DIR/B4.jpg, DIR/cnts/B4.tsv.gz and DIR/spots/B4_selection.tsv",
    ),
    DataSet(
        "cscc",
        "Cutaneous squamous cell carcinoma: 12 sections of 4 patients (P2, P5, P9, P10), by Spatial "
        "Transcriptomics.",
        "see GEO",
        "see GEO",
        "Ji et al., Multimodal analysis of composition and spatial architecture in human squamous cell "
        "carcinoma, Cell 182, 497-514 (2020), doi:10.1016/j.cell.2020.05.039",
        "not fetched: download GSE144240_RAW.tar from www.ncbi.nlm.nih.gov/geo (accession GSE144240), unpack "
        "it into DIR, and gunzip the images (*.jpg.gz)",
        "DIR/P2_ST_rep1, of DIR/GSM4284316_P2_ST_rep1.jpg, DIR/GSM4284316_P2_ST_rep1_stdata.tsv.gz and "
        "DIR/GSM4284316_spot_data-selection-P2_ST_rep1.tsv.gz; without GSM..._ and .gz, too",
    ),
    DataSet(
        "visium",
        "Any section of 10x Genomics Visium or Visium HD with its full-resolution image.",
        "0.1 to 10 GB a section",
        "mostly CC BY 4.0; see the page of each",
        "as the page of each says",
        "not fetched: download the filtered matrix, spatial.tar.gz and the image of a section from "
        "www.10xgenomics.com/datasets",
        "FOLDER=IMAGE; FOLDER holds filtered_feature_bc_matrix.h5 and spatial/",
    ),
)


def known_data_set(name: str) -> DataSet | None:
    """The data set of that name, if there is one."""
    return next((d for d in DATA_SETS if d.name == name), None)
