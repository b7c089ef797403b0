"""Import of a checkpoint in the reference implementation's key names, with its reference spots.

The outcome is a bundle in mode ``paper``: native 224-px patches (mpp null), the expression as it stands
in the reference file, spots encoded in file order, one sequence a section.
"""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from napari_mclstexp.core.bundle import Bundle
from napari_mclstexp.core.bundle_spec import BundleSpec
from napari_mclstexp.core.encode import encode_spots
from napari_mclstexp.core.h5 import read_anndata
from napari_mclstexp.core.model import MclSTExp
from napari_mclstexp.errors import BundleError, SectionError

if TYPE_CHECKING:
    from pathlib import Path

PATCH_PX = 224
TOP_K = 200

_RENAMES = (
    (r"^module\.", ""),
    (r"^well_", "spot_"),
    (r"^image_encoder\.model\.0\.", "image_encoder.features."),
    (r"^spot_encoder\.(\d+)\.attn\.norm\.", r"spot_encoder.\1.attn_norm."),
    (r"^spot_encoder\.(\d+)\.attn\.fn\.to_qkv\.", r"spot_encoder.\1.to_qkv."),
    (r"^spot_encoder\.(\d+)\.attn\.fn\.to_out\.0\.", r"spot_encoder.\1.to_out."),
    (r"^spot_encoder\.(\d+)\.ff\.norm\.", r"spot_encoder.\1.mlp_norm."),
    (r"^spot_encoder\.(\d+)\.ff\.fn\.net\.0\.", r"spot_encoder.\1.mlp.0."),
    (r"^spot_encoder\.(\d+)\.ff\.fn\.net\.3\.", r"spot_encoder.\1.mlp.2."),
    (r"^(image|spot)_projection\.layer_norm\.", r"\1_projection.norm."),
)


def import_upstream(checkpoint: Path, reference: Path) -> Bundle:
    """Make a bundle of a reference-implementation checkpoint and its reference spots.

    Parameters
    ----------
    checkpoint : pathlib.Path
        A state dict saved by ``torch.save``; nothing but tensors is unpickled.
    reference : pathlib.Path
        .h5ad with expression in X, gene symbols in var_names, obs array_x and array_y, and obs section
        where it holds more than one section.

    Returns
    -------
    Bundle
        In mode ``paper``; mpp None.

    Raises
    ------
    BundleError
        The checkpoint is not one of mclSTExp, is unsafe, or does not fit the reference.
    SectionError
        The reference lacks a part.
    """
    state = _read_checkpoint(checkpoint)
    data = read_anndata(reference, SectionError, reference.name)
    missing = [column for column in ("array_x", "array_y") if column not in data.obs]
    if missing:
        msg = f"{reference.name} lacks obs column(s) {', '.join(missing)}: the spots' array positions."
        raise SectionError(msg)
    if data.X is None or data.n_obs == 0:
        msg = f"{reference.name} holds no expression in X."
        raise SectionError(msg)
    matrix = data.X.toarray() if sparse.issparse(data.X) else np.asarray(data.X)
    expression = np.ascontiguousarray(matrix, dtype=np.float32)
    positions = np.rint(data.obs[["array_x", "array_y"]].to_numpy(dtype=np.float64))
    section = _column(data, "section", "reference")
    patients = _column(data, "patient", "")
    pseudonym = {name: f"P{i + 1}" for i, name in enumerate(dict.fromkeys(patients))}
    patient = np.array([pseudonym[name] for name in patients])
    if not (np.isfinite(expression).all() and np.isfinite(positions).all()):
        msg = f"{reference.name} holds expression or positions that are not finite numbers."
        raise SectionError(msg)

    weights = _convert(state, positions, expression.shape[1], reference.name)
    spec = BundleSpec(
        name="upstream",
        mode="paper",
        field_um=None,
        patch_px=PATCH_PX,
        mpp=None,
        top_k=min(TOP_K, len(expression)),
        weighting="inverse-square",
        temperature=1.0,
        normalisation="as in the reference file",
        genes=tuple(map(str, data.var_names)),
        sections=tuple(
            {
                "section": str(name),
                "patient": str(patient[section == name][0]),
                "spots": int((section == name).sum()),
            }
            for name in dict.fromkeys(section.tolist())
        ),
        training={"made_by": "mclstexp bundle import-upstream"},
    )
    bundle = Bundle(spec, weights, expression, np.empty((0, 256), np.float32), section, patient, positions)
    embeddings = encode_spots(bundle.network(), expression, positions, section)
    return Bundle(spec, weights, expression, embeddings, section, patient, positions)


def _read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        msg = f"There is no checkpoint at {path}."
        raise BundleError(msg) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        msg = (
            f"{path.name} is no checkpoint of tensors alone. For safety nothing else is unpickled: save it "
            "anew with torch.save(model.state_dict(), ...)."
        )
        raise BundleError(msg) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()
    ):
        msg = f"{path.name} is not a state dict: it should map names to tensors."
        raise BundleError(msg)
    renamed = {}
    for key, value in loaded.items():
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value.float() if value.is_floating_point() else value
    return renamed


def _column(data: object, name: str, default: str) -> np.ndarray:
    obs = data.obs  # type: ignore[attr-defined]
    return obs[name].to_numpy(dtype=str) if name in obs else np.full(len(obs), default)


def _convert(
    state: dict[str, torch.Tensor], positions: np.ndarray, n_genes: int, name: str
) -> dict[str, torch.Tensor]:
    weights = dict(state)
    rows = []
    for axis, column in zip("xy", positions.T, strict=True):
        table = weights.pop(f"{axis}_embed.weight", None)
        if table is None or table.ndim != 2:
            msg = "The checkpoint lacks the positional tables of mclSTExp (x_embed, y_embed)."
            raise BundleError(msg)
        if table.shape[1] != n_genes:
            msg = (
                f"The checkpoint was trained on {table.shape[1]} genes, but {name} has {n_genes}. "
                "Give the reference that belongs to it."
            )
            raise BundleError(msg)
        used = np.unique(column.astype(np.int64))
        if used[0] < 0 or used[-1] >= len(table):
            msg = f"Array positions ({axis}) run outside the checkpoint's table of {len(table)} rows."
            raise BundleError(msg)
        weights[f"{axis}_table.rows"] = torch.from_numpy(used)
        weights[f"{axis}_table.weight"] = table[used].clone()
        rows.append(used)
    expected = MclSTExp(n_genes, "paper", (rows[0], rows[1])).state_dict()
    absent = sorted(expected.keys() - weights.keys())
    strange = sorted(weights.keys() - expected.keys())
    if absent or strange:
        msg = (
            f"The checkpoint is not one of mclSTExp: it lacks {len(absent)} tensor(s)"
            f"{f' such as {absent[0]}' if absent else ''} and has {len(strange)} unknown"
            f"{f' such as {strange[0]}' if strange else ''}."
        )
        raise BundleError(msg)
    return weights
