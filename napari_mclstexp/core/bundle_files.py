"""Reading a bundle's files from its folder or zip, bounded and without leaving it."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from napari_mclstexp.core.unfinished import repair
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

MAX_MEMBER_BYTES = 4 * 2**30
"""Bound on what one file of a bundle may be, packed or unpacked."""
MAX_ENTRIES = 1000
"""Of a zip: beside a bundle's own files there may be what an operating system adds."""


def read_members(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Read the named files, and only them.

    Parameters
    ----------
    path : pathlib.Path
        Bundle folder or zip.
    names : tuple of str
        Members to read.

    Returns
    -------
    dict of str to bytes
        Content by name.

    Raises
    ------
    BundleError
        A member is missing, a link, twice in the zip, or too large.
    """
    if not path.exists():
        repair(path.parent)  # it was being replaced when that process died
    if path.is_dir():
        found = {}
        for name in names:
            file = path / name
            if file.is_symlink():
                msg = f"{name} in {path.name} is a link; a bundle holds its own files."
                raise BundleError(msg)
            if not file.is_file():
                msg = f"{path.name} is no model bundle: it lacks {name}."
                raise BundleError(msg)
            if file.stat().st_size > MAX_MEMBER_BYTES:
                msg = f"{name} in {path.name} is larger than {MAX_MEMBER_BYTES >> 30} GiB."
                raise BundleError(msg)
            found[name] = file.read_bytes()
        return found
    if not path.exists():
        msg = f"There is no model bundle at {path}."
        raise BundleError(msg)
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_ENTRIES:
                msg = (
                    f"{path.name} holds {len(archive.infolist()):,} entries, and a bundle has four files. "
                    "Zip the bundle's folder alone."
                )
                raise BundleError(msg)
            _refuse_paths_outside(archive)
            root = _root(archive)
            return {name: _read_zipped(archive, name, root) for name in names}
    except (
        zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError,
        struct.error,
    ) as error:  # fmt: skip
        msg = f"{path.name} is no model bundle: neither a folder nor a readable zip."
        raise BundleError(msg) from error


def _refuse_paths_outside(archive: zipfile.ZipFile) -> None:
    for name in archive.namelist():
        windows = PureWindowsPath(name)
        if ".." in PurePosixPath(name).parts or ".." in windows.parts or windows.anchor:
            msg = f"The zipped bundle names a file outside itself ({name!r}); refused."
            raise BundleError(msg)


def _read_zipped(archive: zipfile.ZipFile, name: str, root: str) -> bytes:
    entries = [e for e in archive.infolist() if e.filename in (name, f"{root}{name}")]
    if len(entries) != 1:
        msg = f"The zipped bundle holds {name} {len(entries)} times; once is right."
        raise BundleError(msg)
    if entries[0].file_size > MAX_MEMBER_BYTES:
        msg = f"{name} in the zipped bundle would unpack to over {MAX_MEMBER_BYTES >> 30} GiB; refused."
        raise BundleError(msg)
    with archive.open(entries[0]) as file:
        content = file.read(entries[0].file_size + 1)
    if len(content) != entries[0].file_size:
        msg = f"{name} in the zipped bundle has another size than declared; refused."
        raise BundleError(msg)
    return content


def _root(archive: zipfile.ZipFile) -> str:
    """Name with slash of the one folder that a zip may wrap its files in."""
    tops = {name.split("/", 1)[0] for name in archive.namelist()}
    return f"{tops.pop()}/" if len(tops) == 1 else ""


def reads_native_pixels(path: Path) -> bool:
    """Whether a bundle reads native pixels and so needs no scale; False where it cannot be read."""
    return _glance(path).get("mpp", 1.0) is None


def makes_dense_maps(path: Path) -> bool:
    """Whether a bundle has the margin that a dense map needs; False where it cannot be read."""
    return bool(_glance(path).get("margin_px"))


def digest_of(path: Path) -> str:
    """Digest of a bundle as its loaded self tells it; its other files are not looked at. Empty where it
    cannot be read.
    """
    try:
        return hashlib.sha256(read_members(path, ("bundle.json",))["bundle.json"]).hexdigest()
    except (BundleError, OSError):
        return ""


def _glance(path: Path) -> dict[str, Any]:
    """What a bundle says of itself, unchecked; nothing where it cannot be read."""
    try:
        content = json.loads(read_members(path, ("bundle.json",))["bundle.json"])
    except (BundleError, ValueError, OSError):
        return {}
    return content if isinstance(content, dict) else {}
