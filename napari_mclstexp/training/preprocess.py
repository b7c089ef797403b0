"""From raw counts to what the network learns: which spots, which genes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_mclstexp.core.measured.expression import MIN_COUNTS, normalise
from napari_mclstexp.errors import GeneError, SectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.training.sections import Section

def rich_spots(section: Section, min_counts: int = MIN_COUNTS) -> NDArray[np.bool_]:
    """Which spots have at least `min_counts` counts, (N,) bool."""
    return np.asarray(section.counts.sum(axis=1)).ravel() >= min_counts


def choose_genes(
    sections: list[Section], wanted: str | int = 1000, min_counts: int = MIN_COUNTS
) -> tuple[str, ...]:
    """Genes to learn: those of a file, or the most variable over the training sections.

    Parameters
    ----------
    sections : list of Section
        Training sections; a gene must be counted in each of them.
    wanted : str or int
        How many, or a text file with one symbol a line.
    min_counts : int
        Spots with fewer counts have no say.

    Returns
    -------
    tuple of str
        Gene symbols, sorted.

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
    if isinstance(wanted, str) and not wanted.isdigit():
        return _listed(Path(wanted), shared)
    count = int(wanted)
    if count < 1:
        msg = "At least one gene is needed."
        raise GeneError(msg)
    names = sorted(shared)
    parts = []
    for section in sections:
        columns = {gene: i for i, gene in enumerate(section.genes)}
        values = normalise(section.counts[np.flatnonzero(rich_spots(section, min_counts))])
        parts.append(values[:, [columns[gene] for gene in names]])
    values = sparse.vstack(parts).tocsr()
    if values.shape[0] == 0:
        msg = f"No spot has {min_counts} counts or more. Check the counts, or lower --min-counts."
        raise SectionError(msg)
    mean = np.asarray(values.mean(axis=0)).ravel()
    variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
    order = np.argsort(-variance, kind="stable")[:count]
    return tuple(sorted(names[i] for i in order))


def _listed(path: Path, shared: set[str]) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The gene list {path} cannot be read. Give a number, or a text file with a symbol a line."
        raise GeneError(msg) from error
    genes = tuple(dict.fromkeys(g for g in lines if g in shared))
    if not genes:
        msg = f"None of the genes in {path.name} is counted in every section."
        raise GeneError(msg)
    return genes


def expression_of(section: Section, genes: tuple[str, ...]) -> NDArray[np.float32]:
    """Normalised expression of these genes, (N, len(genes)) float32, in their order."""
    columns = {gene: i for i, gene in enumerate(section.genes)}
    picked = normalise(section.counts)[:, [columns[gene] for gene in genes]]
    return np.ascontiguousarray(picked.toarray(), dtype=np.float32)
