"""What a cohort is asked to be: which slides, by which model, how."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.core.backends import DENSE
from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.domains import DEFAULT_DOMAINS, check_domains
from napari_mclstexp.core.grid import parse_grid
from napari_mclstexp.core.scale import parse_mpp
from napari_mclstexp.errors import CohortError, ScaleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_mclstexp.core.heads import Head

SUFFIXES = (
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".dcm"),
    *(".tif", ".tiff", ".btf", ".jpg", ".jpeg", ".png", ".jp2", ".j2k", ".j2c"),
)
"""Of slides that are looked for in a folder; others are to be named."""
COLUMNS = ("slide", "mpp", "patient", "group")
MAX_TABLE_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A slide that is asked for.

    Attributes
    ----------
    path : pathlib.Path
        The slide.
    mpp : str
        um per px, ``M`` or ``MX,MY``; empty: as the slide says.
    patient, group : str
        Whose it is, and what it is compared with; may be empty.
    """

    path: Path
    mpp: str = ""
    patient: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How every slide is predicted.

    Attributes
    ----------
    grid : str
        As in :func:`.laying.lay_spots`.
    mpp : str
        um per px of slides for which nothing else is given; empty: as they say.
    domains : int
        Domains of the whole cohort.
    seed : int
        Of the domains.
    top_k, head, device, backend, batch_size
        As in :func:`.predict.predict`.
    genes : tuple of str
        Genes of the page; those predicted best where none are given.
    """

    grid: str = "visium"
    mpp: str = ""
    domains: int = DEFAULT_DOMAINS
    seed: int = 0
    top_k: int | None = None
    head: Head | None = None
    device: str = "auto"
    backend: str | None = None
    batch_size: int | None = None
    genes: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise a MclstexpError that says what cannot be."""
        check_domains(self.domains, self.seed)
        if self.grid != DENSE:
            parse_grid(self.grid)
        if self.mpp:
            parse_mpp(self.mpp)

    def key(self, fingerprint: str, bundle_hash: str, mpp: str) -> str:
        """Name, 32 hexadecimal digits, of a slide's prediction by all that its numbers come from."""
        how = (self.grid, mpp or self.mpp, self.top_k, self.head, self.backend)
        return hashlib.sha256(repr((fingerprint, bundle_hash, how)).encode()).hexdigest()[:32]

    def told(self) -> dict[str, object]:
        """Plain values by name."""
        return asdict(self)


def find_slides(sources: Sequence[str]) -> list[Asked]:
    """Slides of a cohort.

    Parameters
    ----------
    sources : sequence of str
        Files; folders, in which slides are looked for; globs such as ``study/**/*.svs``; or tables (.csv)
        with a column ``slide`` and, as far as they are known, ``mpp``, ``patient`` and ``group``, whose
        paths are taken from where the table lies.

    Returns
    -------
    list of Asked
        Each path once, as it is named first.

    Raises
    ------
    CohortError
        A source holds no slide, or a table cannot be read.
    """
    found: dict[Path, Asked] = {}
    for source in sources:
        asked = list(_of(source))
        if not asked:
            msg = f"There is no slide in {source}. Slides end in {', '.join(SUFFIXES)} or .zarr."
            raise CohortError(msg)
        for slide in asked:
            keep_private(slide.path, "slide")
            found.setdefault(slide.path, slide)
    if not found:
        msg = "No slides are given. Name files, folders, globs or a .csv with a column slide."
        raise CohortError(msg)
    return list(found.values())


def _of(source: str) -> Iterator[Asked]:
    path = Path(source)
    if path.suffix.lower() == ".csv":
        yield from read_table(path)
    elif path.is_dir():
        yield from (Asked(found) for found in _inside(path.resolve()))
    elif path.exists() or not glob.has_magic(source):
        yield Asked(path.resolve())  # that it is not there is told as that of any other slide
    else:
        named = sorted(Path(name).resolve() for name in glob.iglob(source, recursive=True))  # noqa: PTH207 - absolute, too
        yield from (Asked(found) for name in named for found in ([name] if name.is_file() else _inside(name)))


def _inside(folder: Path) -> Iterable[Path]:
    """Slides in a folder: a zarr or a DICOM series is one by itself."""
    if folder.suffix.lower() == ".zarr":
        return [folder]
    members = sorted(member for member in folder.iterdir() if not member.name.startswith("."))
    if any(member.suffix.lower() == ".dcm" for member in members):
        return [folder]
    found: list[Path] = []
    for member in members:
        if member.is_dir():
            found += _inside(member)
        elif member.suffix.lower() in SUFFIXES:
            found.append(member)
    return found


def read_table(path: Path) -> list[Asked]:
    """Read a table of slides; see :func:`find_slides`.

    Raises
    ------
    CohortError
        It cannot be read, lacks the column ``slide``, or a row has no slide or a scale that is none.
    """
    keep_private(path)
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            msg = f"{path.name} is larger than {MAX_TABLE_BYTES / 1e6:.0f} MB: that is no table of slides."
            raise CohortError(msg)
        text = path.read_text(encoding="utf-8-sig")
        head = text[: text.find("\n")]
        rows = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count), strict=True)
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
        if "slide" not in rows.fieldnames:
            msg = f"{path.name} has no column slide. Its first line should be {','.join(COLUMNS)}."
            raise CohortError(msg)
        return [_row(path, line, row) for line, row in enumerate(rows, 2) if any(row.values())]
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise CohortError(msg) from error
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{path.name} is no CSV in UTF-8. Save it as that."
        raise CohortError(msg) from error


def _row(table: Path, line: int, row: dict[str, str]) -> Asked:
    told = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if not told["slide"]:
        msg = f"{table.name}, line {line}, names no slide."
        raise CohortError(msg)
    if told["mpp"]:
        try:
            parse_mpp(told["mpp"])
        except ScaleError as error:
            msg = f"{table.name}, line {line}: {error}"
            raise CohortError(msg) from error
    path = (table.parent / told.pop("slide")).resolve()
    return Asked(path, **told)
