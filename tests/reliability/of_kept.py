"""What the program keeps between starts (row 67), results (34 to 38) and kept work of another slide (66)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from .case import Case

if TYPE_CHECKING:
    from collections.abc import Callable

    from .case import Make
    from .goods import Goods

R, D, W = "R", "D", "works"


def remembered(content: bytes | str) -> Make:
    def make(goods: Goods, folder: Path) -> None:
        data = Path(os.environ["MCLSTEXP_DATA"])
        data.mkdir(parents=True)
        (data / "remembered.json").write_bytes(content.encode() if isinstance(content, str) else content)

    return make


GOOD = {"favourites": ["ERBB2"], "recent": [], "spots_a_second": {}}
RESET = r"favourites \(\), then \('ACTB',\), kept \['remembered\.damaged\.json', 'remembered\.json'\]"
SETTINGS: dict[str, tuple[bytes | str, str, str]] = {
    "empty": ("", D, RESET),
    "cut off": ('{"favourites": ["ERB', D, RESET),
    "zeros": (bytes(500), D, RESET),
    "no UTF-8": (b"\xff\xfe\x00", D, RESET),
    "a list": ("[]", D, RESET),
    "null": ("null", D, RESET),
    "nested without end": ("[" * 100_000, D, RESET),
    "another key": ('{"a": 1}', D, RESET),
    "a rate that is a word": (json.dumps({**GOOD, "spots_a_second": {"a": "fast"}}), D, RESET),
    "over 1 MB": (json.dumps({**GOOD, "recent": ["x" * 1_100_000]}), D, RESET),
    "favourites that are a number": (json.dumps({**GOOD, "favourites": 7}), D, RESET),
    "as it should be": (json.dumps(GOOD), W, r"favourites \('ERBB2',\), then \('ERBB2', 'ACTB'\), kept \['remembered\.json'\]"),
}  # fmt: skip
CASES: list[Case] = [
    Case(
        f"remembered: {name}",
        67,
        "settings",
        f"remembered, {name}",
        "recall",
        remembered(content),
        outcome,
        says,
    )
    for name, (content, outcome, says) in SETTINGS.items()
]


def kept(state: Any, change: Callable[[Path], object] = lambda folder: None) -> Make:
    """Work on the slide ``f...``, with this state.json; a callable takes the good one."""

    def make(goods: Goods, folder: Path) -> str:
        from napari_mclstexp.core.result_file import load_result
        from napari_mclstexp.core.saved import State, folder_of, keep_state

        place = folder_of("f" * 64)
        place.mkdir(parents=True)
        shutil.copy(goods.result, place / "result.h5ad")
        keep_state("f" * 64, State(gene="CD3D"), None, load_result(goods.result))
        path = place / "state.json"
        content = state(json.loads(path.read_text())) if callable(state) else state
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        change(place)
        return "f" * 64

    return make


def deep(told: dict, part: str, value: Any) -> dict:
    told["state"][part] = value
    return told


ANEW = "What was kept of this slide cannot be read. Start anew: the slide itself is untouched"
WORK: dict[str, tuple[int, Make, str, str]] = {
    "as it should be": (60, kept(lambda t: t), W, "gene CD3D"),
    "a state that is empty": (67, kept(b""), R, ANEW),
    "a state cut off": (67, kept(b'{"schema_version": 1'), R, ANEW),
    "a state of tomorrow": (37, kept(lambda t: {**t, "schema_version": 2}), R, ANEW),
    "a state that is a list": (67, kept(b"[]"), R, ANEW),
    "a state nested without end": (67, kept(b"[" * 100_000), R, ANEW),
    "a state without a gene's colour": (67, kept(lambda t: deep(t, "colour", 7)), R, ANEW),
    "a state with an unknown entry": (67, kept(lambda t: deep(t, "unknown", 7)), R, ANEW),
    "a centre that is a number": (67, kept(lambda t: deep(t, "centre", 7)), R, ANEW),
    "of another prediction": (66, kept(lambda t: {**t, "of": "0" * 64}), D, "gene None"),
    "no state": (67, kept(lambda t: t, lambda p: (p / "state.json").unlink()), D, "gene None"),
    "no result": (67, kept(lambda t: t, lambda p: (p / "result.h5ad").unlink()), D, "nothing is kept"),
    "an empty result": (67, kept(lambda t: t, lambda p: (p / "result.h5ad").write_bytes(b"")), R, "result.h5ad cannot be read"),
}  # fmt: skip
CASES += [
    Case(f"kept work: {name}", row, "kept work", f"kept work, {name}", "load_work", make, outcome, says)
    for name, (row, make, outcome, says) in WORK.items()
]

# --- results ------------------------------------------------------------------


def result(change: Callable[[h5py.File], object]) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        path = goods.copy(goods.result, folder)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def replaced(name: str, value: Any) -> Make:
    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=value).attrs.update(attributes)

    return result(change)


def poked(name: str, at: Any, value: Any) -> Make:
    return result(lambda file: file[name].__setitem__(at, value))


def gone(name: str) -> Make:
    return result(lambda file: file.__delitem__(name))


def cut(keep: float) -> Make:
    def make(goods: Goods, folder: Path) -> Path:
        path = goods.copy(goods.result, folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        return path

    return make


WRONG = "lacks a part of a result, or has one of the wrong kind"
RESULTS: dict[str, tuple[int, Make, str]] = {
    "empty": (1, cut(0), "cannot be read"),
    "half": (4, cut(0.5), "cannot be read|damaged"),
    "all but a tenth": (4, cut(0.9), "cannot be read|damaged"),
    "a slide": (2, lambda g, f: g.slide("tiff"), "cannot be read"),
    "absent": (38, lambda g, f: f / "r.h5ad", "There is no result at"),
    "a folder": (2, lambda g, f: f, "There is no result at"),
    "a section": (66, lambda g, f: g.section, "was not written by mclstexp predict"),
    "no provenance": (38, gone("uns/mclstexp"), "was not written by mclstexp predict"),
    "format 99": (37, replaced("uns/mclstexp/schema_version", 99), "has result format 99"),
    "NaN in the expression": (44, poked("X", (0, 0), np.nan), "not finite"),
    "Inf in the expression": (44, poked("X", (0, 0), np.inf), "not finite"),
    "NaN in the places": (63, poked("obsm/spatial", (0, 0), np.nan), "not finite"),
    "no places": (38, gone("obsm/spatial"), WRONG),
    "no pictures": (38, gone("uns/spatial"), WRONG),
    "no similarity": (38, gone("obs/similarity"), "damaged|wrong kind"),
    "no width": (38, gone("uns/mclstexp/width"), WRONG),
    "another number of spots": (34, replaced("obsm/spatial", np.zeros((3, 2))), "damaged|wrong kind"),
    "a picture of floats": (34, replaced("uns/spatial/slide/images/hires", np.full((4, 4, 3), 1e9)), WRONG),
    "an HDF5 of others": (38, lambda g, f: h5py.File(f / "r.h5ad", "w").close() or f / "r.h5ad", "holds no AnnData"),
}  # fmt: skip
CASES += [
    Case(
        f"result: {name}",
        row,
        "result",
        f"result, {name}",
        "load_result",
        make,
        R,
        f"^ResultError: .*({says})",
    )
    for name, (row, make, says) in RESULTS.items()
]
