"""Processes of the tests' own."""

from __future__ import annotations

import subprocess
import sys


def ended_process() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
