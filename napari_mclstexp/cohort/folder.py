"""A cohort's folder: what lies where in it, and what is known of each slide.

::

    cohort.json          what was asked for, and the slides with their paths
    cohort.csv           a row a slide
    cohort.zarr          all spots of all slides, as AnnData
    index.html           the page
    slides/NAME.h5ad     prediction with the cohort's domains; also .geojson and .png
    slides/NAME.json     how the slide ended
    maps/NAME.GENE.png   a gene, on one scale over all slides
    unfinished/          spots of slides that are not done
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.atomic import write_text
from napari_mclstexp.errors import CohortError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
COHORT, TABLE, COMBINED, PAGE = "cohort.json", "cohort.csv", "cohort.zarr", "index.html"
SLIDES, MAPS, UNFINISHED, LOCK = "slides", "maps", "unfinished", ".lock"
MAX_BYTES, MAX_SLIDES = 50_000_000, 100_000
DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What comes of reading a file of ours that somebody else wrote."""
DONE = "done"


@dataclass(frozen=True, slots=True)
class Entry:
    """A slide of a cohort.

    Attributes
    ----------
    name : str
        Of its files in the folder; no two slides have the same.
    path : pathlib.Path
        The slide.
    fingerprint : str
        Of its content; empty where it cannot be read.
    mpp : str
        um per px, ``M`` or ``MX,MY``, where it was given; else empty.
    patient, group : str
        As given, or empty.
    """

    name: str
    path: Path
    fingerprint: str
    mpp: str = ""
    patient: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """How a slide ended.

    Attributes
    ----------
    key : str
        Of what its numbers come from: slide, model and settings.
    outcome : str
        ``done``, or ``refused: KIND`` or ``failed: KIND``.
    reason : str
        What was wrong, why, and what to do; empty where it is done.
    spots : int
        How many there are.
    tissue_mm2 : float
        Area of the tissue; NaN where it was not found.
    unlike : float
        Share of spots whose tissue is unlike the reference; NaN where that cannot be told.
    seconds : float
        That its prediction took.
    notes : str
        What is not as it should be with the slide.
    joint : str
        Of the domains that its files have; empty before there are any.
    domains : mapping of str to float
        Share of the spots in each.
    means : mapping of str to float
        Mean of each gene that the page shows.
    """

    key: str
    outcome: str
    reason: str = ""
    spots: int = 0
    tissue_mm2: float = math.nan
    unlike: float = math.nan
    seconds: float = 0.0
    notes: str = ""
    joint: str = ""
    domains: Mapping[str, float] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self.outcome == DONE


@dataclass(frozen=True, slots=True)
class Shown:
    """A gene of the page.

    Attributes
    ----------
    gene : str
        Symbol.
    low, high : float
        Ends of its colours, over all slides.
    reliability : str
        How well it was predicted where it was held out.
    """

    gene: str
    low: float
    high: float
    reliability: str = ""


@dataclass(frozen=True, slots=True)
class Cohort:
    """What ``cohort.json`` says.

    Attributes
    ----------
    folder : pathlib.Path
        Where it lies.
    entries : tuple of Entry
        The slides, in the order in which they were given.
    bundle : pathlib.Path
        Where the model lay; of earlier cohorts, the working folder.
    bundle_id, bundle_hash : str
        The model.
    unit : str
        Of the expression.
    settings : mapping
        By what is predicted, by the names of :class:`.request.Settings`.
    genes : tuple of Shown
        Genes of the page; none before all slides have ended.
    domains : mapping of str to str
        ``#rrggbb`` of each domain of the cohort.
    """

    folder: Path
    entries: tuple[Entry, ...]
    bundle: Path
    bundle_id: str
    bundle_hash: str
    unit: str
    settings: Mapping[str, Any]
    genes: tuple[Shown, ...] = ()
    domains: Mapping[str, str] = field(default_factory=dict)

    def file(self, entry: Entry, suffix: str) -> Path:
        """File of a slide: ``.h5ad``, ``.geojson``, ``.png`` or ``.json``."""
        return self.folder / SLIDES / f"{entry.name}{suffix}"

    def map(self, entry: Entry, gene: str) -> Path:
        """Picture of a gene on a slide."""
        return map_path(self.folder, entry.name, gene)

    def record(self, entry: Entry) -> Record | None:
        """How a slide ended; None where it has not, or what is kept of it is damaged."""
        try:
            told = json.loads(_read(self.file(entry, ".json")))
            return Record(
                key=str(told["key"]),
                outcome=str(told["outcome"]),
                reason=str(told["reason"]),
                spots=int(told["spots"]),
                tissue_mm2=_number(told["tissue_mm2"]),
                unlike=_number(told["unlike"]),
                seconds=_number(told["seconds"]),
                notes=str(told["notes"]),
                joint=str(told["joint"]),
                domains={str(name): _number(share) for name, share in told["domains"].items()},
                means={str(gene): _number(mean) for gene, mean in told["means"].items()},
            )
        except DAMAGED:
            return None

    def keep(self, entry: Entry, record: Record) -> None:
        """Write how a slide ended."""
        write_text(self.file(entry, ".json"), _json(asdict(record)), overwrite=True)

    def save(self) -> None:
        """Write ``cohort.json``."""
        told = {
            "schema_version": SCHEMA_VERSION,
            "bundle": self.bundle.as_posix(),
            "bundle_id": self.bundle_id,
            "bundle_hash": self.bundle_hash,
            "unit": self.unit,
            "settings": dict(self.settings),
            "genes": [asdict(shown) for shown in self.genes],
            "domains": dict(self.domains),
            "slides": [{**asdict(entry), "path": entry.path.as_posix()} for entry in self.entries],
        }
        write_text(self.folder / COHORT, _json(told), overwrite=True)


def load_cohort(path: Path) -> Cohort:
    """Read a cohort's folder.

    Parameters
    ----------
    path : pathlib.Path
        The folder, or the ``cohort.json`` in it.

    Returns
    -------
    Cohort
        What it says; whether slides, results and pictures are there is not looked at.

    Raises
    ------
    CohortError
        It is no cohort, damaged, or of a later version.
    """
    file = path / COHORT if path.is_dir() else path
    try:
        told = json.loads(_read(file))
        version = told["schema_version"]
        if version != SCHEMA_VERSION:
            msg = f"{file.name} is of version {version}, this program reads {SCHEMA_VERSION}. Update it."
            raise CohortError(msg)
        if len(told["slides"]) > MAX_SLIDES:
            msg = f"{file.name} names {len(told['slides']):,} slides; {MAX_SLIDES:,} are read at most."
            raise CohortError(msg)
        entries = tuple(_entry(slide) for slide in told["slides"])
        cohort = Cohort(
            file.parent,
            entries,
            Path(str(told.get("bundle", ""))),
            str(told["bundle_id"]),
            str(told["bundle_hash"]),
            str(told["unit"]),
            dict(told["settings"]),
            tuple(
                Shown(str(s["gene"]), _number(s["low"]), _number(s["high"]), str(s["reliability"]))
                for s in told["genes"]
            ),
            {str(name): str(colour) for name, colour in told["domains"].items()},
        )
    except DAMAGED as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        msg = f"{file} is no cohort that can be opened: {why}. A cohort comes from mclstexp cohort run."
        raise CohortError(msg) from error
    if len({entry.name for entry in entries}) != len(entries) or not all(_is_name(e.name) for e in entries):
        msg = f"{file} names files outside its folder, or one for two slides; it is not opened."
        raise CohortError(msg)
    return cohort


def map_path(folder: Path, name: str, gene: str) -> Path:
    """Picture of a gene on a slide of this name."""
    return folder / MAPS / f"{name}.{gene.replace('/', '_')}.png"


def _is_name(name: str) -> bool:
    return bool(name) and name == Path(name).name and not {"\\", "\0"} & set(name) and name not in (".", "..")


def _entry(told: Mapping[str, Any]) -> Entry:
    return Entry(
        str(told["name"]),
        Path(told["path"]),
        *(str(told[name]) for name in ("fingerprint", "mpp", "patient", "group")),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _json(told: Mapping[str, Any]) -> str:
    return json.dumps(_plain(told), indent=1, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """The same with None for NaN, which is no JSON."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return value.as_posix()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        msg = "too large"
        raise ValueError(msg)
    return path.read_text(encoding="utf-8")
