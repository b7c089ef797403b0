"""Bundles: whole ones load, every damaged or hostile one is refused with its cause."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pytest
import safetensors.torch
import torch

from napari_mclstexp.core.bundle import load_bundle, save_bundle
from napari_mclstexp.errors import BundleError, ExportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mclstexp.core.bundle import Bundle

SPEC, WEIGHTS, REFERENCE, BESIDE = FILES = (
    "bundle.json", "weights.safetensors", "reference.h5ad", "beside.safetensors",
)  # fmt: skip


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of a good bundle, to be spoilt."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy"))


def rehash(folder: Path, change: Callable[[dict[str, Any]], None] = lambda spec: None) -> None:
    """Change ``bundle.json``, with hashes that fit the files as they are: what an attacker would do."""
    spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    spec["sha256"] = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in FILES[1:]}
    change(spec)
    (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")


def respell(folder: Path, **entries: Any) -> None:
    rehash(folder, lambda spec: spec.update(entries))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    change(weights)
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    rehash(folder)


def edit_reference(folder: Path, change: Callable[[ad.AnnData], ad.AnnData | None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = ad.read_h5ad(folder / REFERENCE)
        changed = change(data)
        (data if changed is None else changed).write_h5ad(folder / REFERENCE)
    rehash(folder)


def refuse(path: Path, why: str) -> None:
    with pytest.raises(BundleError, match=why) as caught:
        load_bundle(path)
    assert "\n" not in str(caught.value)


def same(one: Bundle, two: Bundle) -> bool:
    return (
        one.spec == two.spec
        and one.digest == two.digest
        and one.weights.keys() == two.weights.keys()
        and all(torch.equal(one.weights[k], two.weights[k]) for k in one.weights)
        and np.array_equal(one.expression, two.expression)
        and np.array_equal(one.embeddings, two.embeddings)
        and np.array_equal(one.positions, two.positions)
        and one.section.tolist() == two.section.tolist()
        and one.patient.tolist() == two.patient.tolist()
    )


# --- good ones -----------------------------------------------------------------


def test_a_saved_bundle_loads_as_it_was(trained: tuple[Bundle, bool], bundle_path: Path) -> None:
    made, half = trained
    loaded = load_bundle(bundle_path)
    assert loaded.spec == made.spec
    assert sorted(p.name for p in bundle_path.iterdir()) == sorted(FILES)
    for key, value in made.weights.items():
        assert torch.equal(loaded.weights[key], value), key  # `half` says that nothing is lost
    stored = safetensors.torch.load((bundle_path / WEIGHTS).read_bytes())
    kinds = {value.dtype for value in stored.values() if value.is_floating_point()}
    assert kinds == {torch.float16 if half else torch.float32}
    np.testing.assert_array_equal(loaded.expression, made.expression)
    np.testing.assert_array_equal(loaded.embeddings, made.embeddings)
    assert loaded.id.startswith("tiny-")
    assert loaded.digest == hashlib.sha256((bundle_path / SPEC).read_bytes()).hexdigest()


def test_half_weights_take_half_the_room(trained: tuple[Bundle, bool], tmp_path: Path) -> None:
    sizes = [
        (save_bundle(trained[0], tmp_path / str(half), half=half) / WEIGHTS).stat().st_size
        for half in (True, False)
    ]
    assert sizes[0] < 0.55 * sizes[1]


def test_bundle_json_says_what_the_contract_asks(bundle_path: Path) -> None:
    spec = json.loads((bundle_path / SPEC).read_text(encoding="utf-8"))
    wanted = {
        "schema_version", "mode", "field_um", "patch_px", "mpp", "normalisation", "top_k", "genes",
        "sections", "licence", "citation", "sha256",
    }  # fmt: skip
    assert wanted <= spec.keys()
    assert spec["mpp"] == pytest.approx(spec["field_um"] / spec["patch_px"])
    assert set(spec["sha256"]) == {WEIGHTS, REFERENCE, BESIDE}


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_zip_of_a_bundle_is_the_bundle(bundle_path: Path, tmp_path: Path, wrapped: bool) -> None:
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.write(bundle_path / name, f"tiny/{name}" if wrapped else name)
    assert same(load_bundle(path), load_bundle(bundle_path))


def test_an_existing_bundle_is_replaced_only_when_told(trained: tuple[Bundle, bool], copy: Path) -> None:
    before = (copy / SPEC).read_bytes()
    with pytest.raises(ExportError, match="exists already"):
        save_bundle(trained[0], copy)
    assert (copy / SPEC).read_bytes() == before
    save_bundle(trained[0], copy, overwrite=True)
    assert [p.name for p in copy.parent.iterdir()] == [copy.name]


def test_a_folder_of_other_things_is_never_replaced(trained: tuple[Bundle, bool], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(BundleError, match="other than a bundle"):
        save_bundle(trained[0], tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_file_is_no_place_for_a_bundle(trained: tuple[Bundle, bool], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("years of work")
    with pytest.raises((BundleError, ExportError)):
        save_bundle(trained[0], tmp_path / "notes.txt", overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "years of work"


# --- damaged ones ----------------------------------------------------------------


@pytest.mark.parametrize("name", [WEIGHTS, REFERENCE])
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_one_changed_byte_is_noticed(copy: Path, name: str, where: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(where * len(content)) if where != -1 else -1] ^= 1
    (copy / name).write_bytes(content)
    refuse(copy, f"{name}.*SHA-256 differs")


def test_a_changed_specification_changes_the_bundles_name(copy: Path, bundle_path: Path) -> None:
    text = (copy / SPEC).read_text(encoding="utf-8")
    assert '"top_k": 8' in text
    (copy / SPEC).write_text(text.replace('"top_k": 8', '"top_k": 7'), encoding="utf-8")
    assert load_bundle(copy).id != load_bundle(bundle_path).id
    (copy / SPEC).write_text(text.replace('"ACTB"', '"ACTA"'), encoding="utf-8")
    refuse(copy, "genes in reference.h5ad are not those of bundle.json")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    refuse(copy, f"lacks {name}")


@pytest.mark.parametrize("name", FILES)
def test_an_empty_or_short_file_is_noticed(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    for short in (b"", content[: len(content) // 2]):
        (copy / name).write_bytes(short)
        refuse(copy, "JSON" if name == SPEC else "SHA-256")


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_a_bundle_is_refused(copy: Path, name: str) -> None:
    (copy / name).rename(copy.parent / name)
    (copy / name).symlink_to(copy.parent / name)
    refuse(copy, f"{name}.* is a link")


def test_no_bundle_at_all(tmp_path: Path, slide_path: Path) -> None:
    refuse(tmp_path / "nothing", "no model bundle at")
    refuse(tmp_path, "lacks bundle.json")
    refuse(slide_path, "neither a folder nor a readable zip")
    (tmp_path / "empty.zip").touch()
    refuse(tmp_path / "empty.zip", "neither a folder nor a readable zip")


class Evil:
    """Pickles as a call."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_in_place_of_weights_is_refused_and_runs_nothing(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if how == "pickle":
        (copy / WEIGHTS).write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"a": Evil()}, copy / WEIGHTS)
    rehash(copy)
    refuse(copy, "not a safetensors file. Pickled weights are never opened")
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"schema_version": 2}, "format 2"),
        ({"schema_version": "1"}, "format"),
        ({"schema_version": None}, "format"),
        ({"sha256": {}}, "SHA-256"),
        ({"sha256": None}, "lacks the hashes"),
        ({"mode": "magic"}, "range"),
        ({"mode": ["paper"]}, "range|kind"),
        ({"weighting": "median"}, "range"),
        ({"genes": []}, "range|kind|genes"),
        ({"genes": None}, "kind"),
        ({"genes": [1] * 12}, "range|kind"),
        ({"patch_px": 31}, "range"),
        ({"patch_px": 1e9}, "range|kind"),
        ({"patch_px": "32"}, "range|kind"),
        ({"patch_px": 32.5}, "range|kind"),
        ({"patch_px": None}, "kind|range"),
        ({"top_k": 0}, "range"),
        ({"top_k": 2.5}, "range|kind"),
        ({"top_k": "8"}, "range|kind"),
        ({"temperature": 0}, "range"),
        ({"temperature": float("nan")}, "range|finite|JSON"),
        ({"temperature": float("inf")}, "range|finite|JSON"),
        ({"mpp": -1}, "range"),
        ({"mpp": float("nan")}, "range|finite|JSON"),
        ({"mpp": None}, "range|kind|mpp"),  # while field_um stands: in which unit is a patch?
        ({"field_um": None}, "range|kind|field_um"),
        ({"field_um": float("inf")}, "range|finite|JSON|field_um"),
        ({"field_um": 1e7}, "range|field_um"),
        ({"sections": ["x"]}, "kind|range|sections"),
        ({"sections": 5}, "kind|range"),
        ({"training": ["x"]}, "kind|range"),
        ({"name": None}, "kind|range"),
        ({"licence": {"a": 1}}, "kind|range"),
    ],
    ids=str,
)
def test_a_specification_out_of_its_range_is_refused(copy: Path, entries: dict, why: str) -> None:
    respell(copy, **entries)
    refuse(copy, why)


@pytest.mark.parametrize("entry", ["mode", "genes", "patch_px", "normalisation", "top_k", "temperature"])
def test_an_entry_that_is_missing_is_named(copy: Path, entry: str) -> None:
    rehash(copy, lambda spec: spec.pop(entry))
    refuse(copy, entry)


@pytest.mark.parametrize("text", ["[]", "5", "null", "{", "[" * 100_000, "\ufeff{}", '{"sha256": {}}'])
def test_a_specification_that_is_none_is_refused(copy: Path, text: str) -> None:
    (copy / SPEC).write_text(text, encoding="utf-8")
    refuse(copy, "JSON|hashes|format")


def test_a_key_twice_is_refused(copy: Path) -> None:
    text = (copy / SPEC).read_text(encoding="utf-8")
    (copy / SPEC).write_text(text.replace("{", '{"mode": "paper",', 1), encoding="utf-8")
    refuse(copy, "names a key twice")


def test_a_gene_twice_is_refused(copy: Path) -> None:
    def double(data: ad.AnnData) -> None:
        data.var_names = [data.var_names[0], *data.var_names[:-1]]

    edit_reference(copy, double)
    with h5py.File(copy / REFERENCE) as file:
        names = [n.decode() for n in file["var"][file["var"].attrs["_index"]][:]]
    respell(copy, genes=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        refuse(copy, "names a gene twice")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(copy: Path, value: float) -> None:
    edit_weights(copy, lambda w: w["image_projection.fc.weight"][3].fill_(value))
    refuse(copy, "weights hold a number that is not finite")


@pytest.mark.parametrize("part", ["X", "embedding", "position"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_bank_that_is_not_finite_is_refused(copy: Path, part: str, value: float) -> None:
    def spoil(data: ad.AnnData) -> None:
        (data.X if part == "X" else data.obsm[part])[4, 1] = value

    edit_reference(copy, spoil)
    refuse(copy, "reference.h5ad holds .* not finite")


def test_weights_of_another_shape_or_name_are_refused(copy: Path, bundle_path: Path) -> None:
    edit_weights(copy, lambda w: w.update({"image_projection.fc.bias": torch.zeros(255)}))
    refuse(copy, "do not fit")
    shutil.copy(bundle_path / WEIGHTS, copy)
    edit_weights(copy, lambda w: w.pop("image_projection.fc.bias"))
    refuse(copy, "do not fit")
    shutil.copy(bundle_path / WEIGHTS, copy)
    edit_weights(copy, lambda w: w.update({"another": torch.zeros(2)}))
    refuse(copy, "do not fit")


@pytest.mark.parametrize("part", ["embedding", "position"])
def test_a_bank_of_another_shape_is_refused(copy: Path, part: str) -> None:
    def narrow(data: ad.AnnData) -> None:
        data.obsm[part] = data.obsm[part][:, :1]

    edit_reference(copy, narrow)
    refuse(copy, "wrong shape")


@pytest.mark.parametrize("part", ["embedding", "position", "section", "patient"])
def test_a_bank_that_lacks_a_part_is_refused(copy: Path, part: str) -> None:
    def strip(data: ad.AnnData) -> None:
        if part in data.obsm:
            del data.obsm[part]
        else:
            del data.obs[part]

    edit_reference(copy, strip)
    refuse(copy, f"lacks a part.*{part}")


def test_bank_columns_in_another_order_are_refused(copy: Path) -> None:
    edit_reference(copy, lambda data: data[:, ::-1].copy())
    refuse(copy, "or in another order")


def test_a_bank_without_spots_is_refused(copy: Path) -> None:
    edit_reference(copy, lambda data: data[:0].copy())
    refuse(copy, "wrong shape")


def test_top_k_beyond_the_bank_is_refused(copy: Path) -> None:
    respell(copy, top_k=31)
    refuse(copy, "top")


# --- HDF5 that reaches out -----------------------------------------------------------


def test_hdf5_links_out_of_the_file_are_refused(copy: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["embedding"] = np.zeros((30, 256), np.float32)
    with h5py.File(copy / REFERENCE, "r+") as file:
        del file["obsm/embedding"]
        file["obsm/embedding"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "embedding")
    rehash(copy)
    refuse(copy, "holds a link")


def test_hdf5_soft_links_are_refused(copy: Path) -> None:
    with h5py.File(copy / REFERENCE, "r+") as file:
        file["obsm/other"] = h5py.SoftLink("/X")
    rehash(copy)
    refuse(copy, "holds a link")


def test_hdf5_values_in_other_files_are_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(bytes(30 * 12 * 4))
    with h5py.File(copy / REFERENCE, "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        external = [(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("X", (30, 12), "f4", external=external).attrs.update(attributes)
    rehash(copy)
    refuse(copy, "in another file")


def test_hdf5_virtual_datasets_are_refused(copy: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["X"] = np.zeros((30, 12), np.float32)
    layout = h5py.VirtualLayout((30, 12), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "X", (30, 12))
    with h5py.File(copy / REFERENCE, "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        file.create_virtual_dataset("X", layout).attrs.update(attributes)
    rehash(copy)
    refuse(copy, "in another file")


def test_hdf5_of_impossible_size_is_refused(copy: Path) -> None:
    with h5py.File(copy / REFERENCE, "r+") as file:
        file.create_dataset("obsm/huge", (10**7, 10**5), "f4", chunks=(1000, 1000))
    rehash(copy)
    refuse(copy, "declares more than")


def test_another_hdf5_file_is_refused(copy: Path) -> None:
    with h5py.File(copy / REFERENCE, "w") as file:
        file["matrix"] = np.zeros(3)
    rehash(copy)
    refuse(copy, "reference.h5ad")


# --- zips -------------------------------------------------------------------------------


def pack(folder: Path, path: Path, names: dict[str, str]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile names a double entry
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, name in names.items():
                member = zipfile.ZipInfo()
                member.filename = entry.rstrip("*")  # as it stands: zipfile itself would tidy it
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, (folder / name).read_bytes())
    return path


def test_a_zip_with_an_entry_twice_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    for name in FILES:
        refuse(
            pack(bundle_path, tmp_path / "z.zip", {**{n: n for n in FILES}, f"{name}*": name}),
            f"{name} 2 times",
        )


@pytest.mark.parametrize("prefix", ["../", "/", "../../tmp/", "C:/", "a/../"])
def test_a_zip_that_points_out_of_itself_is_refused(bundle_path: Path, tmp_path: Path, prefix: str) -> None:
    refuse(pack(bundle_path, tmp_path / "all.zip", {f"{prefix}{n}": n for n in FILES}), "zip|lacks|times")


def test_a_zip_with_a_stray_entry_out_of_itself_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    names = {**{n: n for n in FILES}, "../evil.json": SPEC}
    refuse(pack(bundle_path, tmp_path / "one.zip", names), "zip")
    assert not (tmp_path.parent / "evil.json").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_zip_that_lacks_a_file_is_refused(bundle_path: Path, tmp_path: Path, name: str) -> None:
    refuse(pack(bundle_path, tmp_path / "z.zip", {n: n for n in FILES if n != name}), name)


def test_a_damaged_zip_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    path = pack(bundle_path, tmp_path / "z.zip", {n: n for n in FILES})
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(12):
        damaged = bytearray(content)
        start = int(rng.integers(0, len(content) - 4000))
        damaged[start : start + 2000] = rng.bytes(2000)
        if trial == 0:
            damaged = damaged[: len(content) // 2]
        path.write_bytes(damaged)
        with pytest.raises(BundleError):
            load_bundle(path)


def test_a_zip_bomb_is_refused_before_it_unpacks(bundle_path: Path, tmp_path: Path) -> None:
    path = pack(bundle_path, tmp_path / "z.zip", {n: n for n in FILES})
    content = bytearray(path.read_bytes())
    size = (bundle_path / SPEC).stat().st_size.to_bytes(4, "little")
    central = content.index(b"PK\x01\x02")
    assert content[central + 24 : central + 28] == size
    content[central + 24 : central + 28] = (2**32 - 2).to_bytes(4, "little")  # declares 4 GiB
    path.write_bytes(content)
    refuse(path, "size|unpack|zip")
