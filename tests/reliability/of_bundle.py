"""Bundles (rows 30 to 40, 68, 69): spoilt files, with hashes that fit as an attacker would make them."""

from __future__ import annotations

import json
import pickle
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from .case import Case
from .goods import BESIDE, FILES, REFERENCE, SPEC, WEIGHTS, packed, rehash

if TYPE_CHECKING:
    from collections.abc import Callable

    from .case import Make
    from .goods import Goods


def case(name: str, row: int, mutation: str, make: Make, says: str) -> Case:
    return Case(
        f"bundle: {name}", row, "bundle", mutation, "load_bundle", make, "R", f"^BundleError: .*{says}"
    )


def of(change: Callable[[Path], object], *, hashed: bool = True) -> Make:
    """A copy of a good one, changed; by default its hashes are made to fit."""

    def make(goods: Goods, folder: Path) -> Path:
        path = goods.copy(goods.small_bundle, folder)
        change(path)
        return rehash(path) if hashed else path

    return make


def spelt(**entries: Any) -> Make:
    """Other entries of ``bundle.json``; ... takes one away."""
    return lambda goods, folder: rehash(goods.copy(goods.small_bundle, folder), **entries)


def written(name: str, content: bytes | str) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(content.encode() if isinstance(content, str) else content)


def flipped(name: str, at: float) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[int(at * (len(content) - 1))] ^= 1
        (path / name).write_bytes(content)

    return change


def weights(change: Callable[[dict[str, Any]], object]) -> Make:
    def apply(path: Path) -> None:
        import safetensors.torch

        held = safetensors.torch.load((path / WEIGHTS).read_bytes())
        change(held)
        (path / WEIGHTS).write_bytes(safetensors.torch.save(held))

    return of(apply)


def reference(change: Callable[[h5py.File], object]) -> Make:
    def apply(path: Path) -> None:
        with h5py.File(path / REFERENCE, "r+") as file:
            change(file)

    return of(apply)


def anndata(change: Callable[[Any], Any]) -> Make:
    def apply(path: Path) -> None:
        import anndata as ad

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = ad.read_h5ad(path / REFERENCE)
            changed = change(data)
            (data if changed is None else changed).write_h5ad(path / REFERENCE)

    return of(apply)


class Evil:
    """Pickles as a call."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil-was-here"),))


def torch_file(path: Path) -> None:
    import torch

    torch.save({"a": Evil()}, path / WEIGHTS)


FOREIGN = "is not a safetensors file. Pickled weights are never opened"
OUT_OF_RANGE = "holds a value out of its range|lacks an entry or has one of the wrong kind"
CASES: list[Case] = [
    case("weights are a pickle", 30, "pickle", of(lambda p: written(WEIGHTS, pickle.dumps(Evil()))(p)), FOREIGN),
    case("weights are a file of torch", 30, "torch.save", of(torch_file), FOREIGN),
    case("the reference is a pickle", 30, "pickle", of(written(REFERENCE, pickle.dumps([1, 2]))), "reference.h5ad cannot be read"),
    case("what stands beside is a pickle", 30, "pickle", of(written(BESIDE, pickle.dumps([1, 2]))), "beside"),
    case("bundle.json is a pickle", 30, "pickle", of(written(SPEC, pickle.dumps([1, 2])), hashed=False), "not readable JSON"),
    case("a file of torch instead of a folder", 30, "torch.save", lambda g, f: torch_file(f) or f / WEIGHTS, "holds bundle.json 0 times"),
    *(case(f"one byte of {name} at {at:g}", 31, f"byte flipped at {at:g}", of(flipped(name, at), hashed=False), f"{name} in the bundle is not the file that its maker wrote") for name in FILES[1:] for at in (0, 0.5, 1)),
    *(case(f"{name} is missing", 38, "file missing", of(lambda p, n=name: (p / n).unlink(), hashed=False), f"lacks {name}") for name in FILES),
    *(case(f"{name} is empty", 1, "file empty", of(written(name, b""), hashed=False), "JSON|SHA-256 differs") for name in FILES),
    case("the weights are empty, and hashed so", 1, "empty and hashed", of(written(WEIGHTS, b"")), FOREIGN),
    case("the reference is empty, and hashed so", 1, "empty and hashed", of(written(REFERENCE, b"")), "reference.h5ad cannot be read"),
    case("the weights are cut off, and hashed so", 4, "cut off and hashed", of(lambda p: (p / WEIGHTS).write_bytes((p / WEIGHTS).read_bytes()[:90_000])), FOREIGN),
    case("the reference is cut off, and hashed so", 4, "cut off and hashed", of(lambda p: (p / REFERENCE).write_bytes((p / REFERENCE).read_bytes()[:9000])), "reference.h5ad"),
    case("weights with a header of 4 GB", 33, "header of 4 GB", of(written(WEIGHTS, struct.pack("<Q", 2**32) + b"{}" + bytes(100))), FOREIGN),
    case("weights with a header that is none", 3, "header is none", of(written(WEIGHTS, struct.pack("<Q", 2) + b"[]")), FOREIGN),
    case("no bundle at all", 38, "absent folder", lambda g, f: f / "nothing", "There is no model bundle at"),
    case("a folder of other things", 38, "another folder", lambda g, f: f, "lacks bundle.json"),
    case("a slide", 2, "a slide", lambda g, f: g.slide("tiff"), "neither a folder nor a readable zip"),
    *(case(f"{name} is a link", 32, "file is a link", of(lambda p, n=name: (shutil.move(p / n, p.parent / n), (p / n).symlink_to(p.parent / n)), hashed=False), "is a link; a bundle holds its own files") for name in FILES),
]  # fmt: skip

SPELT: dict[str, tuple[int, dict[str, Any], str]] = {
    "format 2": (37, {"schema_version": 2}, "has format 2; this version reads format 1"),
    "format 1.5": (37, {"schema_version": 1.5}, "has format 1.5"),
    "format as a text": (37, {"schema_version": "1"}, "has format '1'"),
    "no format": (37, {"schema_version": ...}, "has format None"),
    "no hashes": (31, {"sha256": {}}, "SHA-256 differs"),
    "hashes that are a list": (31, {"sha256": []}, "lacks the hashes"),
    "an unknown mode": (38, {"mode": "magic"}, OUT_OF_RANGE),
    "a mode that is a list": (38, {"mode": ["paper"]}, OUT_OF_RANGE),
    "an unknown weighting": (38, {"weighting": "median"}, OUT_OF_RANGE),
    "an unknown head": (38, {"head": "crystal ball"}, OUT_OF_RANGE),
    "no genes": (34, {"genes": []}, OUT_OF_RANGE),
    "no list of genes": (34, {"genes": ...}, OUT_OF_RANGE),
    "genes that are numbers": (34, {"genes": [1] * 12}, OUT_OF_RANGE),
    "a gene too few": (34, {"genes": ["ACTB"]}, "ridge head has the wrong shape"),
    "patches of 31 px": (34, {"patch_px": 31}, OUT_OF_RANGE),
    "patches of a billion px": (34, {"patch_px": 10**9}, OUT_OF_RANGE),
    "patches of half a px": (34, {"patch_px": 32.5}, OUT_OF_RANGE),
    "patches that are true": (34, {"patch_px": True}, OUT_OF_RANGE),
    "top-k of nought": (46, {"top_k": 0}, OUT_OF_RANGE),
    "top-k of a text": (46, {"top_k": "8"}, OUT_OF_RANGE),
    "top-k beyond the bank": (46, {"top_k": 31}, "gives top_k as 31, of 30 reference spots"),
    "a temperature of nought": (36, {"temperature": 0}, OUT_OF_RANGE),
    "a temperature of NaN": (36, {"temperature": float("nan")}, OUT_OF_RANGE),
    "a temperature of Inf": (36, {"temperature": float("inf")}, OUT_OF_RANGE),
    "a scale below nought": (36, {"mpp": -1}, OUT_OF_RANGE),
    "a scale of NaN": (36, {"mpp": float("nan")}, OUT_OF_RANGE),
    "a field without a scale": (36, {"mpp": None}, OUT_OF_RANGE),
    "a field of a kilometre": (36, {"field_um": 1e9}, OUT_OF_RANGE),
    "sections of text": (38, {"sections": ["x"]}, OUT_OF_RANGE),
    "no name": (38, {"name": None}, OUT_OF_RANGE),
    "a licence that is a list": (38, {"licence": ["MIT"]}, OUT_OF_RANGE),
    "no normalisation": (38, {"normalisation": ...}, "normalisation"),
    "an evaluation of text": (38, {"evaluation": "good"}, OUT_OF_RANGE),
}
CASES += [
    case(name, row, f"bundle.json: {name}", spelt(**entries), says)
    for name, (row, entries, says) in SPELT.items()
]
TEXTS = {"a list": "[]", "a number": "5", "null": "null", "cut off": "{", "nested without end": "[" * 100_000, "hashes alone": '{"sha256": {}}', "a number of 10,000 digits": '{"a": ' + "9" * 10_000 + "}"}  # fmt: skip
CASES += [
    case(f"bundle.json is {name}", 3, f"bundle.json is {name}", of(written(SPEC, text), hashed=False), "not readable JSON|lacks the hashes|has format None")
    for name, text in TEXTS.items()
]  # fmt: skip


def twice(path: Path) -> None:
    text = (path / SPEC).read_text()
    (path / SPEC).write_text(text.replace("{", '{"mode": "paper",', 1))


def gene_twice(data: Any) -> None:
    data.var_names = [data.var_names[0], *data.var_names[:-1]]


def gene_twice_in_both(path: Path) -> None:
    anndata_apply(path, gene_twice)


def anndata_apply(path: Path, change: Callable[[Any], Any]) -> None:
    import anndata as ad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = ad.read_h5ad(path / REFERENCE)
        change(data)
        data.write_h5ad(path / REFERENCE)
    spec = json.loads((path / SPEC).read_text())
    spec["genes"] = list(data.var_names)
    (path / SPEC).write_text(json.dumps(spec))


def set_value(part: str, value: float) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        (data.X if part == "X" else data.obsm[part])[4, 1] = value

    return change


def narrowed(part: str) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        data.obsm[part] = data.obsm[part][:, :1]

    return change


def without(part: str) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        del (data.obsm if part in data.obsm else data.obs)[part]

    return change


def texts_in(data: Any) -> None:
    data.obsm["embedding"] = np.full(data.obsm["embedding"].shape, "a", dtype="S1")


NAMED = "image_projection.fc.bias"
CASES += [
    case("a key twice", 38, "key twice", of(twice, hashed=False), "names a key twice"),
    case("a gene twice", 38, "gene twice", of(gene_twice_in_both), "names a gene twice"),
    *(case(f"weights of {value}", 35, f"weight {value}", weights(lambda w, v=value: w["image_projection.fc.weight"][3].fill_(float(v))), "weights hold a number that is not finite") for value in ("nan", "inf", "-inf")),
    *(case(f"{part} of {value} in the bank", 35, f"bank {value}", anndata(set_value(part, float(value))), "holds .* not finite") for part in ("X", "embedding", "position") for value in ("nan", "inf")),
    case("weights of another shape", 34, "shape of a weight", weights(lambda w: w.update({NAMED: w[NAMED][:255].clone()})), "do not fit"),
    case("a weight is missing", 38, "weight missing", weights(lambda w: w.pop(NAMED)), "do not fit"),
    case("a weight too many", 38, "weight too many", weights(lambda w: w.update(another=w[NAMED].clone())), "do not fit"),
    *(case(f"{part} of one column", 34, "one column", anndata(narrowed(part)), "wrong shape") for part in ("embedding", "position")),
    *(case(f"no {part} in the bank", 38, "part missing", anndata(without(part)), f"lacks a part.*{part}") for part in ("embedding", "position", "section", "patient")),
    case("embeddings of text", 34, "embedding of text", anndata(texts_in), "wrong kind"),
    case("columns of the bank in another order", 40, "columns reversed", anndata(lambda d: d[:, ::-1].copy()), "or in another order"),
    case("a column of the bank is missing", 34, "column missing", anndata(lambda d: d[:, 1:].copy()), "are not those of bundle.json"),
    case("a bank without spots", 34, "no spots", anndata(lambda d: d[:0].copy()), "wrong shape"),
    case("a reference that is another HDF5", 38, "another HDF5", of(lambda p: h5py.File(p / REFERENCE, "w").close()), "holds no AnnData"),
]  # fmt: skip

# --- HDF5 that reaches out (68, 69) -------------------------------------------


def external_link(file: h5py.File) -> None:
    del file["obsm/embedding"]
    file["obsm/embedding"] = h5py.ExternalLink("/etc/hostname", "embedding")


def external_storage(file: h5py.File) -> None:
    attributes, shape = dict(file["X"].attrs), file["X"].shape
    del file["X"]
    outside = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("X", shape, "f4", external=outside).attrs.update(attributes)


def virtual(file: h5py.File) -> None:
    shape = file["X"].shape
    del file["X"]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("/tmp/none.h5", "X", shape)
    file.create_virtual_dataset("X", layout)


def soft_link(file: h5py.File) -> None:
    file["obsm/other"] = h5py.SoftLink("/X")


def circle(file: h5py.File) -> None:
    file["uns/circle"] = file["/"]


def huge(file: h5py.File) -> None:
    file.create_dataset("obsm/huge", (10**7, 10**5), "f4", chunks=(1000, 1000))


def bomb(file: h5py.File) -> None:
    """33 GB of zeros that are a few kB on disk."""
    del file["X"]
    file.create_dataset("X", (30, 2**28), "f4", chunks=(1, 2**20), compression="gzip")


SPOILT_H5 = {
    "an external link": (68, external_link, "holds a link"),
    "external storage": (68, external_storage, "keeps its values in another file"),
    "a virtual dataset": (68, virtual, "keeps its values in another file"),
    "a soft link": (68, soft_link, "holds a link"),
    "4 TB declared": (69, huge, "declares more than 32 GiB"),
}
CASES += [
    case(f"{name} in the reference", row, name, reference(change), says)
    for name, (row, change, says) in SPOILT_H5.items()
]
CASES += [
    Case(f"result: {name}", row, "result", name, "load_result", lambda g, f, c=change: result_with(g, f, c), "R", f"^ResultError: .*{says}")
    for name, (row, change, says) in SPOILT_H5.items()
]  # fmt: skip


def result_with(goods: Goods, folder: Path, change: Callable[[h5py.File], object]) -> Path:
    path = goods.copy(goods.result, folder)
    with h5py.File(path, "r+") as file:
        if "obsm/embedding" not in file:
            file["obsm/embedding"] = np.zeros((3, 3), "f4")
        change(file)
    return path


# --- zips (32, 33) ------------------------------------------------------------

ALL = {n: n for n in FILES}


def zipped(names: dict[str, str] | None = None) -> Make:
    return lambda goods, folder: packed(goods.small_bundle, folder / "b.zip", names)


def patched(field: int, value: bytes, after: bytes = b"PK\x01\x02") -> Make:
    """Other bytes in the central directory's first entry."""

    def make(goods: Goods, folder: Path) -> Path:
        path = packed(goods.small_bundle, folder / "b.zip")
        content = bytearray(path.read_bytes())
        at = content.index(after) + field
        content[at : at + len(value)] = value
        path.write_bytes(content)
        return path

    return make


def zip_link(goods: Goods, folder: Path) -> Path:
    path = packed(goods.small_bundle, folder / "b.zip", {n: n for n in FILES[1:]})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo(SPEC)
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return path


def zip_of_zeros(goods: Goods, folder: Path) -> Path:
    path = packed(goods.small_bundle, folder / "b.zip", {n: n for n in FILES[1:]})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(SPEC, "w") as file:
        for _ in range(600):
            file.write(bytes(2**20))
    return path


def zip_of_10_000(goods: Goods, folder: Path) -> Path:
    path = packed(goods.small_bundle, folder / "b.zip")
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(10_000):
            archive.writestr(f"{number}.txt", "")
    return path


CASES += [
    *(case(f"a zip with {prefix!r} before its names", 32, f"zip {prefix}", zipped({f"{prefix}{n}": n for n in FILES}), "names a file outside itself|lacks|0 times") for prefix in ("../", "/", "../../tmp/", "C:/", "a/../", "\\\\server\\share\\", "..\\")),
    case("a zip with a stray entry out of itself", 32, "stray entry", zipped({**ALL, "../evil.json": SPEC}), "names a file outside itself"),
    case("a zip with a link for bundle.json", 32, "zip with a link", zip_link, "link|not readable JSON"),
    *(case(f"a zip with {name} twice", 38, "zip entry twice", zipped({**ALL, f"{name}*": name}), f"holds {name} 2 times") for name in FILES),
    *(case(f"a zip without {name}", 38, "zip entry missing", zipped({n: n for n in FILES if n != name}), f"holds {name} 0 times") for name in FILES),
    case("a zip that declares 4 GiB", 33, "declares 4 GiB", patched(24, (2**32 - 2).to_bytes(4, "little")), "unpack to over|another size|neither a folder nor"),
    case("a zip that declares 10 bytes of more", 33, "declares 10 bytes", patched(24, (10).to_bytes(4, "little")), "another size|neither a folder nor|JSON"),
    case("a zip of 600 MB of zeros", 33, "600 MB of zeros", zip_of_zeros, "unpack to over|larger|JSON"),
    case("a zip with 10,000 other entries", 33, "10,000 entries", zip_of_10_000, "holds 10,004 entries, and a bundle has four files"),
    case("a zip with a password", 33, "password", patched(8, b"\x01\x00"), "neither a folder nor a readable zip"),
    case("a zip of an unknown method", 33, "method 99", patched(10, (99).to_bytes(2, "little")), "neither a folder nor a readable zip"),
    case("a zip whose entry lies elsewhere", 33, "offset beyond", patched(42, (2**31).to_bytes(4, "little")), "neither a folder nor a readable zip"),
    case("a zip with a name that is no UTF-8", 33, "name of no UTF-8", lambda g, f: _odd_name(g, f), "neither a folder nor a readable zip"),
    case("a zip cut off", 4, "zip cut off", lambda g, f: _cut_zip(g, f), "neither a folder nor a readable zip"),
    case("an empty zip", 1, "empty zip", lambda g, f: (f / "b.zip").touch() or f / "b.zip", "neither a folder nor a readable zip"),
]  # fmt: skip
CASES.append(
    Case("bundle: a zip of it", 60, "bundle", "zip", "load_bundle", zipped(), "works", "bundle of 12 genes, 30 spots, tiny")
)  # fmt: skip


def _odd_name(goods: Goods, folder: Path) -> Path:
    path = folder / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\N{LATIN SMALL LETTER U WITH DIAERESIS}x.txt", "a")
    content = path.read_bytes()
    path.write_bytes(content.replace("\N{LATIN SMALL LETTER U WITH DIAERESIS}x".encode(), b"\xdb\x28x"))
    return path


def _cut_zip(goods: Goods, folder: Path) -> Path:
    path = packed(goods.small_bundle, folder / "b.zip")
    path.write_bytes(path.read_bytes()[:100_000])
    return path
