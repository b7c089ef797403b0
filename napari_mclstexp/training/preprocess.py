"""From raw counts to what the network learns: which spots, which genes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from napari_mclstexp.core.measured.expression import MIN_COUNTS, normalise
from napari_mclstexp.errors import GeneError, SectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.training.sections import Section

Wanted = str | int | tuple[str, ...]
"""How many genes, a text file with a symbol a line, or the symbols."""


def rich_spots(section: Section, min_counts: int = MIN_COUNTS) -> NDArray[np.bool_]:
    """Which spots have at least `min_counts` counts, (N,) bool."""
    return np.asarray(section.counts.sum(axis=1)).ravel() >= min_counts


def choose_genes(
    sections: list[Section], wanted: Wanted = 1000, min_counts: int = MIN_COUNTS
) -> tuple[str, ...]:
    """Genes to learn: those of a file, or the most variable over the training sections, by scanpy.

    Parameters
    ----------
    sections : list of Section
        Training sections; a gene must be counted in each of them.
    wanted : str, int or tuple of str
        How many, or a text file with one symbol a line, or the symbols.
    min_counts : int
        Spots with fewer counts have no say.

    Returns
    -------
    tuple of str
        Gene symbols: sorted, or in the file's order. All there are, where fewer than wanted; genes that no
        spot has are taken only then.

    Raises
    ------
    GeneError
        The file cannot be read, or none of its genes are there.
    SectionError
        The sections have no gene in common.
    """
    shared = set(sections[0].genes).intersection(*(s.genes for s in sections[1:]))
    if not shared:
        msg = "The sections have no gene in common. Check that all use the same gene symbols."
        raise SectionError(msg)
    if listed := listed_genes(wanted):
        genes = tuple(gene for gene in listed if gene in shared)
        if not genes:
            where = Path(wanted).name if isinstance(wanted, str) else "the list"
            msg = f"None of the genes in {where} is counted in every section."
            raise GeneError(msg)
        return genes
    count = int(str(wanted))
    if count < 1:
        msg = "At least one gene is needed."
        raise GeneError(msg)
    names = sorted(shared)
    counts, batches = _stacked(sections, names, min_counts)
    if counts.shape[0] == 0:
        msg = f"No spot has {min_counts} counts or more. Check the counts, or lower --min-counts."
        raise SectionError(msg)
    seen = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel() > 0)
    order = [int(seen[i]) for i in _by_variability(counts[:, seen], batches, count)]
    if len(order) < count:  # too few: those that no spot has come last
        order += sorted(set(range(len(names))) - set(order))
    return tuple(sorted(names[i] for i in order[:count]))


def _stacked(
    sections: list[Section], names: list[str], min_counts: int
) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    """Counts (N, len(names)) of the rich spots, and the section of each, (N,) int64."""
    parts = []
    for section in sorted(sections, key=lambda section: section.name):
        columns = {gene: i for i, gene in enumerate(section.genes)}
        rich = section.counts[np.flatnonzero(rich_spots(section, min_counts))]
        parts.append(rich[:, [columns[gene] for gene in names]])
    batches = np.repeat(np.arange(len(parts)), [part.shape[0] for part in parts])
    return sparse.vstack(parts).tocsr(), batches


def _by_variability(counts: sparse.csr_matrix, batches: NDArray[np.int64], count: int) -> list[int]:
    """Columns, the most variable first: by the variance of their Pearson residuals, section by section.

    scanpy's choice by analytic Pearson residuals (Lause, Berens and Kobak, Genome Biology 2021). Its choice
    by dispersion fits deeper counts: on her2st, it takes hardly detected genes and leaves ERBB2 out.
    """
    genes = counts.shape[1]
    if genes <= count:
        return list(range(genes))
    import anndata as ad  # here, because scanpy takes seconds to load
    import scanpy as sc

    data = ad.AnnData(counts)
    keys = ["highly_variable_rank"]
    if several := len(np.unique(batches)) > 1:
        data.obs["section"] = pd.Categorical(batches.astype(str))
        keys = ["highly_variable_nbatches", *keys]
    found = sc.experimental.pp.highly_variable_genes(
        data,
        n_top_genes=count,
        batch_key="section" if several else None,
        check_values=False,  # a section's counts are checked already
        inplace=False,
    ).reset_index(drop=True)
    ranked = found.sort_values(keys, ascending=[key != keys[-1] for key in keys], kind="stable")
    return ranked.index[ranked["highly_variable"]].tolist()[:count]


def listed_genes(wanted: Wanted) -> tuple[str, ...]:
    """Distinct gene symbols of a file, in its order, or as given; none where `wanted` is a number.

    Raises
    ------
    GeneError
        The file cannot be read, or is empty.
    """
    if isinstance(wanted, tuple):
        return wanted
    if isinstance(wanted, int) or wanted.isdigit():
        return ()
    path = Path(wanted)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The gene list {path} cannot be read. Give a number, or a text file with a symbol a line."
        raise GeneError(msg) from error
    genes = tuple(dict.fromkeys(filter(None, lines)))
    if not genes:
        msg = f"The gene list {path} is empty. Give a number, or a text file with a symbol a line."
        raise GeneError(msg)
    return genes


def expression_of(section: Section, genes: tuple[str, ...]) -> NDArray[np.float32]:
    """Normalised expression of these genes, (N, len(genes)) float32, in their order."""
    columns = {gene: i for i, gene in enumerate(section.genes)}
    picked = normalise(section.counts)[:, [columns[gene] for gene in genes]]
    return np.ascontiguousarray(picked.toarray(), dtype=np.float32)
