"""What an import brings with it, and what the manifest promises to napari."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import npe2
import pytest

import napari_mclstexp

PACKAGE = Path(napari_mclstexp.__file__).parent
TOP = PACKAGE.parent
WINDOW = ("qtpy", "napari", "magicgui", "superqt", "PyQt6", "PySide6", "PyQt5")


def loaded_by(statement: str, unwanted: tuple[str, ...]) -> str:
    """Names among `unwanted` that a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys\nprint(*[m for m in {unwanted!r} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return ended.stdout.strip()


def test_core_and_training_load_no_window() -> None:
    modules = (
        "core.pipeline", "core.export", "core.encode", "training.fit", "training.evaluate",
        "training.section_score", "session",
    )  # fmt: skip
    names = ", ".join(f"napari_mclstexp.{module}" for module in modules)
    assert loaded_by(f"import {names}", WINDOW) == ""


def test_the_bare_package_loads_nothing_heavy() -> None:
    heavy = (*WINDOW, "torch", "anndata", "numpy", "openslide", "typer")
    assert loaded_by("import napari_mclstexp", heavy) == ""


def test_the_command_loads_no_model_for_its_help() -> None:
    assert loaded_by("import napari_mclstexp.cli", (*WINDOW, "torch", "anndata")) == ""


def test_the_plugin_module_loads_no_model() -> None:
    assert loaded_by("import napari_mclstexp.plugin", ("torch", "anndata", "qtpy", "napari")) == ""


def test_the_two_manifests_are_one() -> None:
    if not (TOP / "pyproject.toml").is_file():
        pytest.skip("only a checkout has the manifest at its top")
    top, inside = TOP / "napari.yaml", PACKAGE / "napari.yaml"
    assert not top.is_symlink()
    assert not inside.is_symlink()
    assert top.read_bytes() == inside.read_bytes()


def test_the_manifest_loads_and_its_commands_lead_somewhere() -> None:
    manifest = npe2.PluginManifest.from_distribution("napari-mclstexp")
    assert manifest.name == "napari-mclstexp"
    commands = manifest.contributions.commands or []
    assert {c.id for c in commands} >= {
        *(r.command for r in manifest.contributions.readers or []),
        *(s.command for s in manifest.contributions.sample_data or []),
        *(w.command for w in manifest.contributions.widgets or []),
    }
    for command in commands:
        assert command.python_name is not None
        module, _, name = command.python_name.partition(":")
        path = PACKAGE.parent.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
        if ".gui" not in module:  # those need a Qt binding: tests/gui imports them
            assert callable(getattr(importlib.import_module(module), name))


def test_the_reader_takes_slides_and_leaves_the_rest(slide_path: Path, tmp_path: Path) -> None:
    from napari_mclstexp.plugin import get_reader

    assert callable(get_reader(str(slide_path)))
    assert callable(get_reader([str(slide_path)]))
    assert get_reader([str(slide_path)] * 2) is None
    (tmp_path / "x.tif").write_text("no slide")
    assert get_reader(str(tmp_path / "x.tif")) is None
    assert get_reader(str(tmp_path / "absent.tif")) is None
    assert get_reader(str(tmp_path)) is None


def test_the_window_opens_without_the_libraries_of_the_model() -> None:
    """They take seconds to load, which the first picture of a slide would wait for."""
    code = (
        "import sys, napari_mclstexp.gui.dock, napari_mclstexp.plugin;"
        "print(sorted({'torch', 'torchvision', 'sklearn', 'anndata'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
