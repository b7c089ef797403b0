"""What is remembered from one start to the next: favourite and recent genes, and how fast this machine is."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from platformdirs import user_data_path

from napari_mclstexp.core.atomic import make_folder, write_text
from napari_mclstexp.core.unfinished import repair

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "MCLSTEXP_DATA"
"""Environment variable that names another folder."""

FILE, DAMAGED = "remembered.json", "remembered.damaged.json"
RECENT = 6
RATES = 50
MAX_BYTES = 1_000_000


def data_folder() -> Path:
    """The user's folder of this program; it need not exist."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else user_data_path("napari-mclstexp")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered.

    Attributes
    ----------
    favourites : tuple of str
        Genes, in the order in which they were made so.
    recent : tuple of str
        Genes that were shown last, the last first.
    spots_a_second : dict of str to float
        By model and device, of the last whole prediction.
    """

    favourites: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    spots_a_second: dict[str, float] = field(default_factory=dict)

    def with_favourite(self, gene: str, *, wanted: bool) -> Remembered:
        """Copy in which a gene is a favourite, or none."""
        others = tuple(g for g in self.favourites if g != gene)
        return replace(self, favourites=(*others, gene) if wanted else others)

    def with_recent(self, gene: str) -> Remembered:
        """Copy in which a gene is the one shown last."""
        others = tuple(g for g in self.recent if g != gene)
        return replace(self, recent=(gene, *others)[:RECENT])

    def with_rate(self, key: str, spots_a_second: float) -> Remembered:
        """Copy that knows how fast a model runs on a device."""
        others = {k: v for k, v in self.spots_a_second.items() if k != key}
        kept = dict(list(others.items())[1 - RATES :])
        return replace(self, spots_a_second={**kept, key: spots_a_second})


def recall() -> Remembered:
    """Read what is remembered; nothing where there is no such file. One that cannot be read is put aside.

    What was being written to the user's folder when a process died is cleared up first.
    """
    folder = data_folder()
    for each in (folder, folder / "edits", *folder.glob("slides/*/")):
        repair(each)
    path = folder / FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = "too large"
            raise ValueError(msg)
        told = json.loads(path.read_text(encoding="utf-8"))
        return Remembered(
            tuple(map(str, told["favourites"])),
            tuple(map(str, told["recent"]))[:RECENT],
            {str(k): float(v) for k, v in told["spots_a_second"].items() if float(v) > 0},
        )
    except FileNotFoundError:
        return Remembered()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        _put_aside(path)
        return Remembered()


def _put_aside(path: Path) -> None:
    """Keep what cannot be read under another name: a person may want it, and the next start is anew."""
    try:
        path.replace(path.with_name(DAMAGED))
    except OSError as error:
        log.warning("What is remembered cannot be read, nor be put aside (%s)", error.strerror)
    else:
        log.warning("What is remembered could not be read, and was put aside as %s", DAMAGED)


def remember(what: Remembered) -> None:
    """Write it to the user's folder.

    Raises
    ------
    ExportError
        It cannot be written.
    """
    write_text(make_folder(data_folder()) / FILE, json.dumps(asdict(what), indent=1), overwrite=True)
