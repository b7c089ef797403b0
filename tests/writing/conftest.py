"""One warm process for all tests of this folder, and the library that breaks its calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.writing.child import Writers
from tests.writing.held import Held

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Library of faults.c; None where it cannot be built."""
    return build_shim(tmp_path_factory.mktemp("shim"))


def build_shim(folder: Path) -> Path | None:
    """Compile faults.c; None where there is no compiler, or no Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    target = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", target, source, "-ldl"], check=True)
    return target


@pytest.fixture(scope="session")
def writers(shim: Path | None) -> Iterator[Writers]:
    """The warm process."""
    if not sys.platform.startswith("linux"):
        pytest.skip("writers are forked, and killed by a handle, as Linux alone can")
    made = Writers(shim)
    yield made
    made.close()


@pytest.fixture(scope="session")
def breaking(writers: Writers, shim: Path | None) -> Writers:
    """The warm process, where its calls can be broken."""
    if shim is None:
        pytest.skip("no C compiler (cc), by which the library is made that lets system calls fail")
    return writers


@pytest.fixture(scope="session")
def held(writers: Writers, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """Older and newer of each format, as they are when nothing fails."""
    return Held(writers, tmp_path_factory.mktemp("held"))
