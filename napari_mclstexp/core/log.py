"""The log file in the user's folder: what happened, without paths and names, so that it is safe to send."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from napari_mclstexp.core.discreet import discreet
from napari_mclstexp.core.remembered import data_folder

if TYPE_CHECKING:
    from pathlib import Path

FILE = "log.txt"
BYTES, OLD = 1_000_000, 2
"""A file's size at most, and how many older ones are kept beside it."""
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


_MARKS = re.compile(r"\n[ ~^]+(?=\n)")
"""Lines of a traceback that point into the line above: they would crowd out other errors."""


class _Discreet(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return discreet(_MARKS.sub("", super().format(record)))


class _LogFile(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Go on: a log that cannot be written (disk full, read-only) is no reason to stop or to speak."""


def log_file() -> Path:
    """Where the log is written; it need not exist."""
    return data_folder() / FILE


def start_log() -> None:
    """Have what the package tells written to the log file, from now on; once for each file."""
    logger, path = logging.getLogger("napari_mclstexp"), log_file()
    for handler in logger.handlers:
        if isinstance(handler, _LogFile):
            if handler.baseFilename == str(path.absolute()):
                return
            logger.removeHandler(handler)
            handler.close()
    with suppress(OSError):  # then the file cannot be written either
        path.parent.mkdir(parents=True, exist_ok=True)
    file = _LogFile(path.absolute(), maxBytes=BYTES, backupCount=OLD, encoding="utf-8", delay=True)
    file.setFormatter(_Discreet(LINE))
    logger.addHandler(file)
    logger.setLevel(logging.INFO)


def last_lines(count: int) -> list[str]:
    """The last lines of the log, those of the file before included."""
    lines: list[str] = []
    for path in (log_file().with_name(f"{FILE}.1"), log_file()):
        with suppress(OSError):
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-count:]
