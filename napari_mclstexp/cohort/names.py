"""Names of a cohort's slides: each its own, and as near to the file's as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def names_for(paths: Iterable[Path], taken: Mapping[Path, str]) -> dict[Path, str]:
    """A name for each slide: that of its file; with its folder's, or a number, where others have it.

    Parameters
    ----------
    paths : iterable of pathlib.Path
        Slides.
    taken : mapping of pathlib.Path to str
        Names that slides have already; they keep them.

    Returns
    -------
    dict of pathlib.Path to str
        All of `paths`.
    """
    paths = list(dict.fromkeys(paths))
    names = {path: taken[path] for path in paths if path in taken}
    used = {name.lower() for name in taken.values()}
    stems = [_stem(path).lower() for path in paths]
    for path in paths:
        if path in names:
            continue
        stem = _stem(path)
        alone = stems.count(stem.lower()) == 1
        tries = [stem] if alone else []
        tries += [f"{path.parent.name}-{stem}"] if path.parent.name else []
        tries += [f"{stem}-{number}" for number in range(2, len(paths) + len(used) + 3)]
        names[path] = next(name for name in tries if name.lower() not in used)
        used.add(names[path].lower())
    return names


def _stem(path: Path) -> str:
    """Name of a file without what says its format, as files of ours may be called."""
    stem = path.name
    for suffix in reversed(path.suffixes[-2:]):
        if len(suffix) <= 6 and not suffix[1:].isdigit():
            stem = stem.removesuffix(suffix)
    kept = "".join(c if c.isalnum() or c in " ._-()+" else "_" for c in stem).strip(" .")
    return kept[:100] or "slide"
