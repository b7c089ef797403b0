"""Whole programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def run_program(python: str, folder: Path, program: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the text of a program; napari's settings lie in the folder, and stay there for the next one."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(program), encoding="utf-8")
    return subprocess.run(
        [python, "-X", "faulthandler", str(script), *map(str, words)],
        env={**os.environ, "NAPARI_CONFIG": str(folder / "settings.yaml")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
