"""Genes of sections of different vintages under one name each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_mclstexp.core.measured.symbols import SymbolReport, joined, to_hgnc
from napari_mclstexp.training.preprocess import Wanted, listed_genes

if TYPE_CHECKING:
    from napari_mclstexp.training.sections import Section


def harmonise(sections: list[Section], wanted: Wanted) -> tuple[list[Section], SymbolReport]:
    """Rename genes of each section so that the same gene has the same name in all of them.

    Parameters
    ----------
    sections : list of Section
        Sections; they are left as they are.
    wanted : str or int
        As for :func:`choose_genes`. With a number, genes get the symbols that HGNC approves; with a file, its
        own symbols stay, and genes of the sections that are the same by HGNC get them.

    Returns
    -------
    list of Section
        Copies with the same counts and other gene names; a gene of unknown or ambiguous symbol keeps it.
    SymbolReport
        What became of each symbol.

    Raises
    ------
    GeneError
        The file cannot be read.
    """
    listed = listed_genes(wanted)
    reports = [to_hgnc(section.genes, section.name, listed) for section in sections]
    renamed = [replace(s, genes=report.names) for s, report in zip(sections, reports, strict=True)]
    return renamed, joined(reports)
