"""OME-Zarr whose codecs, chunks or metadata are not what they should be (rows 25, 26, and others of slides)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import Case
from .goods import ome_zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .case import Make
    from .goods import Goods

DAMAGED = "is a damaged or incomplete OME-Zarr: "


def case(name: str, row: int, mutation: str, make: Make, outcome: str, says: str) -> Case:
    return Case(f"zarr: {name}", row, "zarr", mutation, "open_slide", make, outcome, says)


def of(change: Callable[[Path], object], kind: str = "zarr") -> Make:
    """A copy of a good one, changed."""

    def make(goods: Goods, folder: Path) -> Path:
        path = goods.copy(goods.slide(kind), folder)
        change(path)
        return path

    return make


def edited(name: str, change: Callable[[Any], object], kind: str = "zarr") -> Make:
    """Another content of one of its JSON files."""

    def apply(path: Path) -> None:
        document = json.loads((path / name).read_text())
        change(document)
        (path / name).write_text(json.dumps(document))

    return of(apply, kind)


def array(**entries: Any) -> Make:
    """Other entries of the finest level's .zarray."""
    return edited("0/.zarray", lambda a: a.update(entries))


def multiscales(change: Callable[[Any], object]) -> Make:
    return edited(".zattrs", lambda a: change(a["multiscales"][0]))


def chunk(name: str, content: bytes | None, kind: str = "zarr") -> Make:
    """One chunk of other bytes, or none."""

    def apply(path: Path) -> None:
        if content is None:
            (path / "0" / name).unlink()
        else:
            (path / "0" / name).write_bytes(content)

    return of(apply, kind)


def no_chunks(path: Path) -> None:
    for level in ("0", "1"):
        for file in (path / level).iterdir():
            if not file.name.startswith("."):
                file.unlink()


def a_third_of_the_chunks(path: Path) -> None:
    for file in [f for f in (path / "0").iterdir() if not f.name.startswith(".")]:
        if int(file.name.split(".")[1]) >= 5:
            file.unlink()


def linked(path: Path) -> None:
    (path / "0").rename(path.parent / "elsewhere")
    (path / "0").symlink_to(path.parent / "elsewhere")


CODED = "has pixels coded by {}, which is not opened: only codecs of plain numbers are"
FILTERS = ("pickle", "json2", "msgpack2", "vlen-utf8", "vlen-bytes", "categorize", "zfpy", "my-own-codec")
CASES: list[Case] = [
    *(case(f"the filter {name}", 25, f"filter {name}", array(filters=[{"id": name}]), "R", CODED.format(name)) for name in FILTERS),
    *(case(f"the compressor {name}", 25, f"compressor {name}", array(compressor={"id": name}), "R", CODED.format(name)) for name in ("pickle", "jpegxl", "imagecodecs_jpeg2k")),
    *(case(f"the codec {name} of version 3", 25, f"codec {name}", edited("0/zarr.json", lambda a, n=name: a["codecs"].append({"name": n, "configuration": {}}), "zarr3"), "R", CODED.format(name)) for name in ("pickle", "numcodecs.pickle", "vlen-utf8")),
    case("a codec within shards", 25, "codec within shards", edited("0/zarr.json", lambda a: a.update(codecs=[{"name": "sharding_indexed", "configuration": {"chunk_shape": [64, 64, 3], "codecs": [{"name": "pickle"}], "index_codecs": []}}]), "zarr3"), "R", CODED.format("pickle")),
    case("a codec without a name", 25, "codec without a name", edited("0/zarr.json", lambda a: a.update(codecs=[{}]), "zarr3"), "R", CODED.format("None")),
    case("codecs that are a text", 25, "codecs are a text", edited("0/zarr.json", lambda a: a.update(codecs="pickle"), "zarr3"), "R", DAMAGED),
    case("objects", 25, "dtype object", array(dtype="|O"), "R", DAMAGED),
    case("texts", 25, "dtype text", array(dtype="<U8"), "R", DAMAGED),
    case("records", 25, "dtype record", array(dtype=[["a", "<i4"], ["b", "<f8"]]), "R", DAMAGED),
    case("a chunk is absent", 26, "chunk absent", chunk("1.2.0", None), "D", r"lost [1-9]\d* px.*notes: 1 of \d+ chunks are absent"),
    case("a chunk is absent, version 3", 26, "chunk absent", chunk("c/1/2/0", None, "zarr3"), "D", r"lost [1-9]\d* px.*notes: 1 of \d+ chunks are absent"),
    case("a third of the chunks is absent", 26, "a third of the chunks", of(a_third_of_the_chunks), "D", r"lost [1-9]\d* px.*notes: 18 of \d+ chunks are absent"),
    case("all chunks are absent", 26, "no chunks", of(no_chunks), "R", r"holds no pixels: all of its \d+ chunks are absent"),
    case("a chunk is empty", 9, "chunk of no bytes", chunk("1.2.0", b""), "D", r"lost [1-9]\d* px"),
    case("a chunk is cut off", 9, "chunk cut off", chunk("1.2.0", bytes(10)), "D", r"lost [1-9]\d* px"),
    case("a chunk of other bytes", 9, "chunk of 0xA5", chunk("1.2.0", b"\xa5" * 5000), "D", r"lost [1-9]\d* px"),
    case("a chunk of other bytes, version 3", 9, "chunk of 0xA5", chunk("c/1/2/0", b"\xa5" * 5000, "zarr3"), "D", r"lost [1-9]\d* px"),
    case("white chunks are left out", 11, "chunk absent, fill 255", lambda g, f: _sparse(g, f), "D", r"lost 0 px.*notes: 1 of \d+ chunks are absent"),
    case("claims 1e6 x 1e6 px", 6, "claims 1e6 x 1e6", array(shape=[10**6, 10**6, 3]), "R", "region at 500000, 500000 of level 0 cannot be read"),
    case("chunks of 1e6 x 1e6 px", 6, "chunks of 1e6 x 1e6", array(shape=[10**6, 10**6, 3], chunks=[10**6, 10**6, 3]), "R", "a chunk of .* GiB"),
    case("a shape of nought", 7, "shape 0", array(shape=[0, 512, 3]), "R", "holds no picture"),
    case("chunks of nought", 7, "chunks 0", array(chunks=[0, 64, 3]), "R", DAMAGED),
    case("a shape below nought", 7, "shape below 0", array(shape=[-5, 512, 3]), "R", DAMAGED),
    case("a shape of floats", 3, "shape of floats", array(shape=[384.5, 512, 3]), "R", DAMAGED),
    case("chunks of two axes", 3, "chunks of two axes", array(chunks=[64, 64]), "R", DAMAGED),
    case("a format of tomorrow", 3, "zarr_format 4", array(zarr_format=4), "R", DAMAGED),
    case("metadata cut off", 3, "metadata cut off", of(lambda p: (p / "0/.zarray").write_text('{"zarr_format"')), "R", DAMAGED),
    case("metadata that is a list", 3, "metadata is a list", of(lambda p: (p / "0/.zarray").write_text("[]")), "R", DAMAGED),
    case("metadata nested without end", 3, "metadata nested", of(lambda p: (p / ".zattrs").write_text("[" * 100_000)), "R", DAMAGED),
    case("metadata of 20 MB", 3, "metadata of 20 MB", of(lambda p: (p / ".zattrs").write_text(" " * 20_000_000)), "R", "no multiscales"),
    case("no multiscales", 3, "no multiscales", edited(".zattrs", lambda a: a.clear()), "R", "no OME-Zarr image: it has no multiscales"),
    case("multiscales of none", 3, "multiscales []", edited(".zattrs", lambda a: a.update(multiscales=[])), "R", DAMAGED),
    case("no datasets", 3, "datasets []", multiscales(lambda i: i.update(datasets=[])), "R", DAMAGED),
    case("a dataset without a path", 3, "dataset without a path", multiscales(lambda i: i["datasets"][0].pop("path")), "R", DAMAGED),
    case("a level is missing", 4, "level missing", multiscales(lambda i: i["datasets"][1].update(path="7")), "R", DAMAGED),
    case("a version of tomorrow", 37, "version 0.9", multiscales(lambda i: i.update(version="0.9")), "R", "is of OME-Zarr version 0.9; known are 0.1 to 0.5"),
    case("axes without y", 3, "axes without y", multiscales(lambda i: i["axes"][0].update(name="q")), "R", "axes .* do not fit an array of 3 dimensions"),
    case("axes of two", 3, "axes of two", multiscales(lambda i: i["axes"].pop()), "R", "axes .* do not fit"),
    *(case(f"a path {path}", 32, f"path {path}", multiscales(lambda i, p=path: i["datasets"][0].update(path=p)), "R", "refers to pixels outside its folder") for path in ("../a.ome.zarr/0", "/etc", "0/../../x", "C:\\x", "\\\\server\\share")),
    case("a path that is a link", 32, "path is a link", of(linked), "R", "refers to pixels outside its folder"),
    case("a billion planes", 22, "1e9 planes", lambda g, f: _planes(g, f), "R", "claims 1,000,000,000 planes"),
    case("16 bits", 17, "16 bits", lambda g, f: ome_zarr(f / "a.zarr", g.picture[:128, :128].astype(np.uint16) * 200), "D", "model: This image"),
    case("a level that is larger", 16, "level larger", multiscales(lambda i: i["datasets"].reverse()), "D", "1 levels that do not fit are left out"),
]  # fmt: skip


def _sparse(goods: Goods, folder: Path) -> Path:
    picture = goods.picture[:256, :256].copy()
    picture[64:128, 64:128] = 255
    path = ome_zarr(folder / "a.zarr", picture, fill_value=255)
    (path / "0" / "1.1.0").unlink(missing_ok=True)
    return path


def _planes(goods: Goods, folder: Path) -> Path:
    path = goods.copy(goods.slide("zarr"), folder)
    for level in "01":
        about = json.loads((path / level / ".zarray").read_text())
        about.update(shape=[10**9, *about["shape"]], chunks=[1, *about["chunks"]])
        (path / level / ".zarray").write_text(json.dumps(about))
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["axes"].insert(0, {"name": "z", "type": "space", "unit": "micrometer"})
    (path / ".zattrs").write_text(json.dumps(attributes))
    return path
