"""The model bundle: weights, reference bank, genes and their story in one folder or zip.

``bundle.json``
    the specification below, with the SHA-256 of each other file;
``weights.safetensors``
    the network (float16 or float32), by the parameter names of :class:`~.model.MclSTExp`;
``reference.h5ad``
    ``X`` expression (M, G) float32, ``obsm["embedding"]`` (M, 256) float32, ``obsm["position"]`` (M, 2),
    ``obs`` section, patient.

Loading runs no code from the bundle: JSON, safetensors and HDF5 only, hashes and shapes checked first.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import safetensors
import safetensors.torch
import torch

from napari_mclstexp.core.atomic import refuse_existing, write_folder
from napari_mclstexp.core.bundle_files import read_members
from napari_mclstexp.core.h5 import read_anndata, write_h5ad
from napari_mclstexp.core.model import EMBEDDING, MODES, MclSTExp, Mode
from napari_mclstexp.core.retrieval import WEIGHTINGS, Weighting
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SCHEMA_VERSION = 1
SPEC, WEIGHTS, REFERENCE = "bundle.json", "weights.safetensors", "reference.h5ad"


@dataclass(frozen=True, slots=True)
class BundleSpec:
    """What ``bundle.json`` says, apart from the files' hashes.

    Attributes
    ----------
    name : str
        What to call the model in the window.
    mode : {"paper", "corrected"}
        See :mod:`.model`.
    field_um : float or None
        Side of the tissue field that a patch shows; None where `mpp` is None.
    patch_px : int
        Pixels that sample the field, a side.
    mpp : float or None
        um a pixel of a patch; None: patches are native pixels of the slide.
    top_k : int
        Reference spots that a prediction is the mean of.
    weighting : {"inverse-square", "softmax"}
        See :func:`.retrieval.match`.
    temperature : float
        Of the softmax weighting.
    normalisation : str
        What was done to counts; also the unit of every predicted value.
    genes : tuple of str
        Gene symbols, in the order of the bank's columns.
    sections : tuple of dict
        Training sections: section, patient, spots.
    licence, citation : str
        As the maker of the bundle states them.
    training : dict
        How it was made: command, seed, epochs, losses.
    """

    name: str
    mode: Mode
    field_um: float | None
    patch_px: int
    mpp: float | None
    top_k: int
    weighting: Weighting
    temperature: float
    normalisation: str
    genes: tuple[str, ...]
    sections: tuple[dict[str, Any], ...] = ()
    licence: str = "unspecified"
    citation: str = "Min et al., mclSTExp, arXiv 2407.08216"
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A loaded, checked bundle.

    Attributes
    ----------
    spec : BundleSpec
        What the bundle says of itself.
    weights : dict
        State of the network, float32.
    expression : numpy.ndarray
        (M, G) float32 reference expression.
    embeddings : numpy.ndarray
        (M, 256) float32 raw reference embeddings.
    section, patient : numpy.ndarray
        (M,) str.
    positions : numpy.ndarray
        (M, 2) float64 x, y: um in ``corrected``, array indices in ``paper``.
    digest : str
        SHA-256 of ``bundle.json``, and by the hashes in it of the whole bundle.
    """

    spec: BundleSpec
    weights: Mapping[str, torch.Tensor]
    expression: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    section: NDArray[np.str_]
    patient: NDArray[np.str_]
    positions: NDArray[np.float64]
    digest: str = ""

    @property
    def id(self) -> str:
        """Name and the first 12 digits of the digest."""
        return f"{self.spec.name}-{self.digest[:12]}"

    def network(self) -> MclSTExp:
        """Build the network with this bundle's weights, ready to predict on the CPU."""
        rows = None
        if self.spec.mode == "paper":
            rows = (self.weights["x_table.rows"].numpy(), self.weights["y_table.rows"].numpy())
        model = MclSTExp(len(self.spec.genes), self.spec.mode, rows)
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            msg = "The bundle's weights do not fit its genes and mode. Ask its maker for a whole copy."
            raise BundleError(msg) from error
        return model.eval()


def refuse_bundle_target(target: Path, *, overwrite: bool) -> None:
    """Raise, before any work, when a bundle cannot be written there.

    Raises
    ------
    ExportError
        The target exists and may not be replaced, or its parent folder does not exist.
    BundleError
        The target is something other than a bundle folder.
    """
    refuse_existing(target, overwrite=overwrite)
    if not target.exists() or (target / SPEC).is_file():
        return
    if not target.is_dir() or any(target.iterdir()):
        msg = f"{target} holds something other than a bundle folder; it is not replaced."
        raise BundleError(msg)


def save_bundle(bundle: Bundle, target: Path, *, half: bool = False, overwrite: bool = False) -> Path:
    """Write a bundle folder, whole or not at all.

    Parameters
    ----------
    bundle : Bundle
        What to write; its digest is made anew.
    target : pathlib.Path
        The folder.
    half : bool
        Store the weights as float16.
    overwrite : bool
        Whether an existing folder may be replaced.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_folder`.
    """
    refuse_bundle_target(target, overwrite=overwrite)

    def write(folder: Path) -> None:
        weights = {
            key: (value.half() if half and value.is_floating_point() else value).contiguous()
            for key, value in bundle.weights.items()
        }
        (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
        reference = ad.AnnData(
            X=bundle.expression,
            obs=pd.DataFrame(
                {"section": pd.Categorical(bundle.section), "patient": pd.Categorical(bundle.patient)},
                index=[str(i) for i in range(len(bundle.expression))],
            ),
            var=pd.DataFrame(index=list(bundle.spec.genes)),
            obsm={"embedding": bundle.embeddings, "position": bundle.positions},
        )
        write_h5ad(reference, folder / REFERENCE)
        hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in (WEIGHTS, REFERENCE)}
        text = {"schema_version": SCHEMA_VERSION, **asdict(bundle.spec), "sha256": hashes}
        (folder / SPEC).write_text(
            json.dumps(text, indent=1, allow_nan=False), encoding="utf-8", newline="\n"
        )
        load_bundle(folder)

    return write_folder(target, write, overwrite=overwrite)


def load_bundle(path: Path) -> Bundle:
    """Load a bundle folder or its zip, checking every hash, name, shape and number.

    Parameters
    ----------
    path : pathlib.Path
        Folder or .zip.

    Returns
    -------
    Bundle
        Ready to predict with.

    Raises
    ------
    BundleError
        Missing file, hash mismatch, newer schema, wrong shape, non-finite number.
    """
    members = read_members(Path(path), (SPEC, WEIGHTS, REFERENCE))
    document = _parse(members[SPEC])
    for name in (WEIGHTS, REFERENCE):
        if hashlib.sha256(members[name]).hexdigest() != document["sha256"].get(name):
            msg = (
                f"{name} in the bundle is not the file that its maker wrote (its SHA-256 differs): it is "
                "damaged or was changed. Get a fresh copy of the bundle."
            )
            raise BundleError(msg)
    spec = _spec(document)
    weights = _weights(members[WEIGHTS])
    reference = read_anndata(io.BytesIO(members[REFERENCE]), BundleError, REFERENCE)
    try:
        bundle = Bundle(
            spec=spec,
            weights=weights,
            expression=np.asarray(reference.X, dtype=np.float32),
            embeddings=np.asarray(reference.obsm["embedding"], dtype=np.float32),
            section=reference.obs["section"].to_numpy(dtype=str),
            patient=reference.obs["patient"].to_numpy(dtype=str),
            positions=np.asarray(reference.obsm["position"], dtype=np.float64),
            digest=hashlib.sha256(members[SPEC]).hexdigest(),
        )
    except (KeyError, ValueError, TypeError) as error:
        msg = f"{REFERENCE} in the bundle lacks a part or has one of the wrong kind: {error}."
        raise BundleError(msg) from error
    if tuple(reference.var_names) != spec.genes:
        msg = f"The genes in {REFERENCE} are not those of {SPEC}, or in another order."
        raise BundleError(msg)
    _check_numbers(bundle)
    bundle.network()
    return bundle


def _parse(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            msg = f"{SPEC} names a key twice."
            raise BundleError(msg)
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        msg = f"{SPEC} is not readable JSON. Get a fresh copy of the bundle."
        raise BundleError(msg) from error
    if not isinstance(document, dict) or not isinstance(document.get("sha256"), dict):
        msg = f"{SPEC} lacks the hashes of the bundle's files."
        raise BundleError(msg)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        msg = (
            f"The bundle has format {version!r}; this version reads format {SCHEMA_VERSION}. "
            "Update napari-mclstexp, or get a bundle made for it."
        )
        raise BundleError(msg)
    return document


def _spec(document: dict[str, Any]) -> BundleSpec:
    given = {k: v for k, v in document.items() if k in BundleSpec.__dataclass_fields__}
    try:
        given["genes"] = tuple(given["genes"])
        given["sections"] = tuple(given.get("sections", ()))
        spec = BundleSpec(**given)
        valid = (
            spec.mode in MODES
            and spec.weighting in WEIGHTINGS
            and _whole(spec.patch_px, 32, 2048)
            and _whole(spec.top_k, 1, 10**9)
            and _real(spec.temperature, 1e-6, 1e6)
            and len(spec.genes) > 0
            and all(isinstance(gene, str) and gene for gene in spec.genes)
            and all(isinstance(section, dict) for section in spec.sections)
            and isinstance(spec.training, dict)
            and all(isinstance(t, str) for t in (spec.name, spec.normalisation, spec.licence, spec.citation))
            and (spec.mpp is None) == (spec.field_um is None)
            and (spec.mpp is None or _real(spec.mpp, 0.05, 20))
            and (spec.field_um is None or _real(spec.field_um, 1, 10_000))
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{SPEC} lacks an entry or has one of the wrong kind: {error}."
        raise BundleError(msg) from error
    if not valid:
        msg = f"{SPEC} holds a value out of its range. Get a fresh copy of the bundle."
        raise BundleError(msg)
    if len(set(spec.genes)) != len(spec.genes):
        msg = f"{SPEC} names a gene twice."
        raise BundleError(msg)
    return spec


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _real(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _weights(content: bytes) -> dict[str, torch.Tensor]:
    try:
        stored = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        msg = f"{WEIGHTS} is not a safetensors file. Pickled weights are never opened."
        raise BundleError(msg) from error
    weights = {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}
    for key, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            msg = f"The bundle's weights hold a number that is not finite ({key})."
            raise BundleError(msg)
    for key in ("x_table.rows", "y_table.rows"):
        if key in weights and weights[key].ndim != 1:
            msg = f"The bundle's weights hold {key} in the wrong shape."
            raise BundleError(msg)
    return weights


def _check_numbers(bundle: Bundle) -> None:
    count = len(bundle.expression)
    shapes = (bundle.expression.shape, bundle.embeddings.shape, bundle.positions.shape)
    if count == 0 or shapes != ((count, len(bundle.spec.genes)), (count, EMBEDDING), (count, 2)):
        msg = f"{REFERENCE} has parts of the wrong shape: {shapes}."
        raise BundleError(msg)
    if bundle.spec.top_k > count:
        msg = f"{SPEC} gives top_k as {bundle.spec.top_k}, of {count} reference spots."
        raise BundleError(msg)
    for name in ("expression", "embeddings", "positions"):
        if not np.isfinite(getattr(bundle, name)).all():
            msg = f"{REFERENCE} holds {name} that are not finite numbers."
            raise BundleError(msg)
    if bundle.spec.mode == "paper" and not {"x_table.rows", "y_table.rows"} <= bundle.weights.keys():
        msg = f"{WEIGHTS} lacks the position tables that mode paper needs."
        raise BundleError(msg)
