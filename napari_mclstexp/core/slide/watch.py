"""Whether a slide that is being read is still there, and still the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from napari_mclstexp.core.slide.fingerprint import fingerprint
from napari_mclstexp.errors import SlideError

if TYPE_CHECKING:
    from napari_mclstexp.core.slide.base import Slide


def check_there(slide: Slide) -> None:
    """Refuse to go on with a slide whose files are gone, as those of a drive that was taken away are.

    Raises
    ------
    SlideError
        One of them is gone.
    """
    if not all(file.exists() for file in slide.files):
        msg = f"{slide.path.name} is no longer there. Connect its drive again, and open it again."
        raise SlideError(msg)


class Watch:
    """Remembers a slide's files as they are now.

    Parameters
    ----------
    slide : Slide
        Open.
    """

    def __init__(self, slide: Slide) -> None:
        self._slide, self._before, self._mark = slide, slide.fingerprint, self._marked(slide)

    def check(self) -> None:
        """Refuse a slide whose files are others by now.

        Raises
        ------
        SlideError
            They are gone, or have another content.
        """
        check_there(self._slide)
        if self._marked(self._slide) != self._mark and fingerprint(*self._slide.files) != self._before:
            msg = f"{self._slide.path.name} was replaced meanwhile by another file. Open it again."
            raise SlideError(msg)

    @staticmethod
    def _marked(slide: Slide) -> str:
        """Sizes and times of change of all files: told without reading any of them."""
        told = []
        for path in slide.files:
            inside = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
            told += [f"{s.st_size} {s.st_mtime_ns} {s.st_ino}" for s in (f.stat() for f in inside)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()
