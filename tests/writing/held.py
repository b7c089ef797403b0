"""What must be there after a write that went wrong: the older or the newer, to the byte, and nothing else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_mclstexp.core.unfinished import repair
from tests.writing.formats import FORMATS, NEW, OLD, content_of, left_over

if TYPE_CHECKING:
    from pathlib import Path

    from tests.writing.child import Writers

DAMAGED = "neither the older nor the newer"


class Held:
    """Each format as it is when nothing fails, made when it is first asked for, and loaded by its reader.

    Parameters
    ----------
    writers : Writers
        Writes them.
    folder : pathlib.Path
        Where to keep them.
    """

    def __init__(self, writers: Writers, folder: Path) -> None:
        self._writers, self._folder = writers, folder
        self._contents: dict[str, tuple[dict[str, bytes], dict[str, bytes]]] = {}

    def contents(self, name: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Older and newer."""
        if name not in self._contents:
            read, folders = FORMATS[name].read, []
            for which in (OLD, NEW):
                folder = self._folder / f"{name}-{which}"
                folder.mkdir()
                if (name, which) != ("cache-levels", OLD):
                    ending = self._writers.write(name, folder, which)
                    assert not ending.error, f"{ending.error}: {ending.said}"
                    read(folder)
                folders.append(folder)
            older, newer = (content_of(folder) for folder in folders)
            assert older != newer
            self._contents[name] = older, newer
        return self._contents[name]

    def lay(self, name: str, folder: Path) -> None:
        """Lay the older into a folder, which is emptied first."""
        self.contents(name)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folder / f"{name}-{OLD}", folder)

    def state(self, name: str, folder: Path) -> int | str:
        """Which of the two a folder holds; `DAMAGED` where neither."""
        older, newer = self.contents(name)
        found = content_of(folder)
        return OLD if found == older else NEW if found == newer else DAMAGED

    def after_start(self, name: str, folder: Path) -> int | str:
        """Which of the two a folder holds after the next start; or what is wrong there."""
        repair(folder / FORMATS[name].where)
        if left := left_over(folder):
            return f"left over: {left}"
        return self.state(name, folder)
