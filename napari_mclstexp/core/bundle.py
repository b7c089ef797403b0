"""The model bundle: weights, reference bank, genes and their story in one folder or zip.

``bundle.json``
    the specification below, with the SHA-256 of each other file;
``weights.safetensors``
    the network (float16 or float32), by the parameter names of :class:`~.model.MclSTExp`;
``reference.h5ad``
    ``X`` expression (M, G) float32, ``obsm["embedding"]`` (M, 256) float32, ``obsm["position"]`` (M, 2),
    ``obs`` section, patient;
``beside.safetensors``
    where there is one, what stands beside the network: the ridge head, what tissue the reference is like,
    what an evaluation found, thumbnails; see :mod:`.bundle_beside`.

Loading runs no code from the bundle: JSON, safetensors and HDF5 only, hashes and shapes checked first.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import safetensors
import safetensors.torch
import torch

from napari_mclstexp.core.atomic import refuse_existing, write_folder
from napari_mclstexp.core.bundle_beside import Beside
from napari_mclstexp.core.bundle_files import read_members
from napari_mclstexp.core.bundle_spec import (
    BESIDE,
    REFERENCE,
    SCHEMA_VERSION,
    SPEC,
    WEIGHTS,
    BundleSpec,
    parse_spec,
)
from napari_mclstexp.core.context import centred
from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.h5 import read_anndata, write_h5ad
from napari_mclstexp.core.heads import Bank
from napari_mclstexp.core.model import EMBEDDING, MclSTExp
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


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
    beside : Beside
        Ridge head, held-out figures and the like, as far as there are any.
    """

    spec: BundleSpec
    weights: Mapping[str, torch.Tensor]
    expression: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    section: NDArray[np.str_]
    patient: NDArray[np.str_]
    positions: NDArray[np.float64]
    digest: str = ""
    beside: Beside = field(default_factory=Beside)

    @property
    def id(self) -> str:
        """Name and the first 12 digits of the digest."""
        return f"{self.spec.name}-{self.digest[:12]}"

    def bank(self, k: int | None = None) -> Bank:
        """Reference spots as the heads take them, `k` a query or as many as the bundle says."""
        spec = self.spec
        values = centred(self.expression, self.section) if spec.centred else self.expression
        return Bank(self.embeddings, values, k or spec.top_k, spec.weighting, spec.temperature)

    def network(self) -> MclSTExp:
        """Build the network with this bundle's weights, ready to predict on the CPU."""
        rows = None
        if self.spec.mode == "paper":
            rows = (self.weights["x_table.rows"].numpy(), self.weights["y_table.rows"].numpy())
        model = MclSTExp(len(self.spec.genes), self.spec.mode, rows, self.spec.margin_px)
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
        names = [WEIGHTS, REFERENCE]
        if beside := bundle.beside.as_bytes():
            (folder / BESIDE).write_bytes(beside)
            names.append(BESIDE)
        hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
        text = {"schema_version": SCHEMA_VERSION, **asdict(bundle.spec), "sha256": hashes}
        (folder / SPEC).write_text(
            json.dumps(text, indent=1, allow_nan=False), encoding="utf-8", newline="\n"
        )

    return write_folder(target, write, overwrite=overwrite, verify=load_bundle)


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
    keep_private(path, "bundle")
    text = read_members(Path(path), (SPEC,))[SPEC]
    spec, hashes = parse_spec(text)
    names = (WEIGHTS, REFERENCE, *((BESIDE,) if BESIDE in hashes else ()))
    members = read_members(Path(path), names)
    for name in names:
        if hashlib.sha256(members[name]).hexdigest() != hashes.get(name):
            msg = (
                f"{name} in the bundle is not the file that its maker wrote (its SHA-256 differs): it is "
                "damaged or was changed. Get a fresh copy of the bundle."
            )
            raise BundleError(msg)
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
            digest=hashlib.sha256(text).hexdigest(),
            beside=Beside.from_bytes(members.get(BESIDE), spec, reference.n_obs),
        )
    except (KeyError, ValueError, TypeError) as error:
        msg = f"{REFERENCE} in the bundle lacks a part or has one of the wrong kind: {error}."
        raise BundleError(msg) from error
    if tuple(reference.var_names) != spec.genes:
        msg = f"The genes in {REFERENCE} are not those of {SPEC}, or in another order."
        raise BundleError(msg)
    _check_numbers(bundle)
    if spec.head in ("ridge", "mean") and bundle.beside.ridge is None:
        msg = f"The bundle predicts by the head {spec.head}, but lacks the ridge regression for it."
        raise BundleError(msg)
    bundle.network()
    return bundle


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
