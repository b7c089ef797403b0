"""Signatures: sets of genes shown as one score a spot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.errors import GeneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_mclstexp.core.result import Result

MAX_BYTES = 20 * 10**6
"""Larger files of gene sets are refused."""

EXAMPLES, SHOWN = 3, 30
"""So many symbols are named in a message, each cut to so many letters."""

BETWEEN = re.compile(r"[,;\s]+")
OPEN_FRAME = re.compile(r"(C[0-9XY]+)ORF")
"""Symbols such as C1orf112 alone have small letters."""


@dataclass(frozen=True, slots=True)
class GeneSet:
    """Genes that tell of one thing together.

    Attributes
    ----------
    name : str
        Of what.
    genes : tuple of str
        Distinct symbols as they were given.
    """

    name: str
    genes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A gene set's score.

    Attributes
    ----------
    values : numpy.ndarray
        (N,) float32 mean z-score of the genes used; NaN at spots whose tissue is unlike the reference.
    used : tuple of str
        Genes of the model that are scored, as the model calls them.
    absent : tuple of str
        Symbols of the set that the model does not predict, as the set calls them.
    doubtful : tuple of str
        Genes used that the evaluation calls not predictable; none where the model was not evaluated.
    """

    values: NDArray[np.float32]
    used: tuple[str, ...]
    absent: tuple[str, ...]
    doubtful: tuple[str, ...]


def parse_symbols(text: str, name: str = "Signature") -> GeneSet:
    """Gene set of symbols that were typed or pasted.

    Parameters
    ----------
    text : str
        Symbols with commas, semicolons, spaces, tabs or line ends between them; repeated ones count once.
    name : str
        What to call the set.

    Returns
    -------
    GeneSet
        The symbols as they stand, whatever they look like.

    Raises
    ------
    GeneError
        The text holds no symbol.
    """
    genes = _distinct(BETWEEN.split(text))
    if not genes:
        msg = "No gene symbols were given. Type some with commas or spaces between, such as CD3D, CD8A."
        raise GeneError(msg)
    return GeneSet(name, genes)


def read_gmt(path: Path) -> tuple[GeneSet, ...]:
    """Read gene sets from a GMT file, as MSigDB has them.

    Format: one set a line, ``name TAB description TAB symbol TAB symbol ...``, UTF-8 (Broad Institute, GSEA
    "Data formats"). Empty lines are skipped, repeated symbols of a set count once.

    Parameters
    ----------
    path : pathlib.Path
        File of at most 20 MB.

    Returns
    -------
    tuple of GeneSet
        In the order of the file.

    Raises
    ------
    GeneError
        The file is not there, cannot be read, is too large, is not UTF-8, has a line of another form, or no
        set at all.
    """
    sets = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        genes = _distinct(rest[1:])
        if not name.strip() or not genes:
            msg = (
                f"Line {number} of {path.name} is no gene set. Each line of a GMT file has a name, a "
                "description and one gene or more, with tabs between them."
            )
            raise GeneError(msg)
        sets.append(GeneSet(name.strip(), genes))
    if not sets:
        msg = f"{path.name} holds no gene sets. Choose a GMT file with one set a line."
        raise GeneError(msg)
    return tuple(sets)


def score(result: Result, gene_set: GeneSet) -> Score:
    """Score spots by a gene set: the mean of the z-scores of its genes.

    Mean and population standard deviation of each gene are taken over the spots that are not unlike the
    reference; a gene that is constant there counts as 0. Symbols are looked for among the model's genes as
    they stand, then in letters of either case, then by what HGNC calls them today. Symbols of one gene count
    once.

    Parameters
    ----------
    result : Result
        A prediction of N spots.
    gene_set : GeneSet
        The symbols.

    Returns
    -------
    Score
        Its genes in the order of the set.

    Raises
    ------
    GeneError
        The model predicts none of the genes.
    """
    of = _matched(gene_set.genes, result.genes)
    used = tuple(dict.fromkeys(of.values()))
    if not used:
        some = ", ".join(symbol[:SHOWN] for symbol in gene_set.genes[:EXAMPLES])
        more = ", and others" if len(gene_set.genes) > EXAMPLES else ""
        msg = (
            f"The model predicts none of the genes of {gene_set.name[:SHOWN]!r} ({some}{more}). Check that "
            "these are gene symbols of its species, or choose another set."
        )
        raise GeneError(msg)
    known = np.ones(len(result.grid), dtype=bool) if result.unlike is None else ~result.unlike
    at = {gene: column for column, gene in enumerate(result.genes)}
    total = np.zeros(int(known.sum()))
    for gene in used:
        total += _z_scores(result.expression[known, at[gene]])
    values = np.full(len(known), np.nan, dtype=np.float32)
    values[known] = total / len(used)
    absent = tuple(symbol for symbol in gene_set.genes if symbol not in of)
    predictable = None if result.held_out is None else result.held_out.predictable()
    doubtful = () if predictable is None else tuple(gene for gene in used if not predictable[at[gene]])
    return Score(values, used, absent, doubtful)


def _text(path: Path) -> str:
    """What a file of gene sets says, with line ends of one kind."""
    keep_private(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        msg = f"There is no file of gene sets at {path}."
        raise GeneError(msg) from error
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}. Choose a GMT file that you may read."
        raise GeneError(msg) from error
    if len(data) > MAX_BYTES:
        msg = f"{path.name} is larger than {MAX_BYTES // 10**6} MB. Choose a file with fewer gene sets."
        raise GeneError(msg)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not text in UTF-8. Choose a GMT file, or save it as UTF-8."
        raise GeneError(msg) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _matched(symbols: Sequence[str], genes: Sequence[str]) -> dict[str, str]:
    """The model's gene for each symbol that it has one for."""
    from napari_mclstexp.core.measured.symbols import approved, looks_human

    exact = set(genes)
    folded = {gene.casefold(): gene for gene in reversed(genes)}
    found = {s: s if s in exact else folded.get(s.casefold(), "") for s in symbols}
    if not all(found.values()) and looks_human(genes):  # the table is read only where it is needed
        today = {approved(gene): gene for gene in reversed(genes)}
        found = {s: gene or _renamed(s, today) for s, gene in found.items()}
    return {symbol: gene for symbol, gene in found.items() if gene}


def _renamed(symbol: str, today: dict[str, str]) -> str:
    """The gene that a symbol of former days, or an alias, stands for; empty where that is none or unclear."""
    from napari_mclstexp.core.measured.symbols import stands_for

    capital = symbol.upper()
    spellings = (symbol, capital, OPEN_FRAME.sub(r"\1orf", capital))
    among = next(filter(None, map(stands_for, spellings)), ())
    return today.get(among[0], "") if len(among) == 1 else ""


def _distinct(symbols: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (symbol.strip() for symbol in symbols))))


def _z_scores(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standardised values (n,); 0 where they are constant."""
    wide = values.astype(np.float64)
    if not len(wide) or np.ptp(wide) == 0:
        return np.zeros(len(wide))
    return (wide - wide.mean()) / wide.std()
