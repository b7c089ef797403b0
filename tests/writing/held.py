"""What must be there after a write that went wrong: the older or the newer, to the byte, and nothing else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_mclstexp.core.unfinished import repair
from tests.writing.formats import FORMATS, NEW, OLD, content_of, left_over

if TYPE_CHECKING:
    from pathlib import Path

    from tests.writing.child import Ending, Go, Writers

DAMAGED = "neither the older nor the newer"


class Held:
    """Each format as it is when nothing fails, and as its reader loads it.

    Parameters
    ----------
    writers : Writers
        Writes them.
    folder : pathlib.Path
        Where to keep the older ones.
    """

    def __init__(self, writers: Writers, folder: Path) -> None:
        self._writers, self._folder = writers, folder
        self._newer: dict[str, dict[str, bytes]] = {}

    def _older(self, name: str) -> Path:
        folder = self._folder / name
        if not folder.exists():
            folder.mkdir()
            if name != "cache-levels":  # of which there is no older
                ending = self._writers.write(name, folder, OLD)
                assert not ending.error, f"{ending.error}: {ending.said}"
                FORMATS[name].read(folder)
        return folder

    def learn(self, name: str, folder: Path, go: Go) -> Ending:
        """Let the newer be written over the older, and keep in mind what it is; returns how that went."""
        self.lay(name, folder)
        ending = go()
        assert not ending.error, f"{ending.error}: {ending.said}"
        FORMATS[name].read(folder)
        self._newer[name] = content_of(folder)
        assert self.state(name, folder) == NEW
        return ending

    def largest(self, name: str) -> int:
        """Bytes of the largest file of the newer."""
        return max(map(len, self._newer[name].values()))

    def lay(self, name: str, folder: Path) -> None:
        """Lay the older into a folder, which is emptied first."""
        older = self._older(name)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(older, folder)

    def state(self, name: str, folder: Path) -> int | str:
        """Which of the two a folder holds; `DAMAGED` where neither."""
        found = content_of(folder)
        if found == content_of(self._older(name)):
            return OLD
        return NEW if found == self._newer.get(name) else DAMAGED

    def after_start(self, name: str, folder: Path) -> int | str:
        """Which of the two a folder holds after the next start; or what is wrong there."""
        repair(folder / FORMATS[name].where)
        if left := left_over(folder):
            return f"left over: {left}"
        return self.state(name, folder)
