"""RESULT.h5ad: a Result in the layout that scanpy reads as a Visium section, and back."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from napari_mclstexp.core.annotations import Annotation
from napari_mclstexp.core.atomic import write_file
from napari_mclstexp.core.discreet import keep_private
from napari_mclstexp.core.grid import SpotGrid
from napari_mclstexp.core.h5 import read_anndata, write_h5ad
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.core.palette import domain_colour, is_colour
from napari_mclstexp.core.reach import pitch_px
from napari_mclstexp.core.result import Domains, Provenance, Result
from napari_mclstexp.core.slide.fingerprint import refuse_slide
from napari_mclstexp.core.tissue import packed, unpacked
from napari_mclstexp.core.trust import SpotTrust
from napari_mclstexp.errors import BundleError, DomainError, ExportError, ResultError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA_VERSION = 1
LIBRARY = "slide"
"""Key of the pictures in ``uns["spatial"]``; a slide's name is never told."""
PICTURES = f"/uns/spatial/{LIBRARY}/images"
NO_PICTURE = np.zeros((0, 0, 3), np.uint8)

SPOT_TO_PITCH = {"hexagonal": 0.55, "square": 0.5, "given": 0.5}
"""Width of a spot over the distance between spots (Visium 55 / 100 um, ST 100 / 200 um)."""

GENE_COLUMNS = {
    "pcc": "heldout_pcc", "low": "heldout_pcc_low", "high": "heldout_pcc_high", "width": "interval_width",
}  # fmt: skip
"""Columns of ``var`` for the parts of a :class:`.HeldOut`."""

REFERENCE_MEAN = "reference_mean"
IMAGE = "X_image"
"""Key of ``obsm`` for the image embeddings' principal components."""
DRAWN = "annotations"
"""Key of the annotations in ``uns["mclstexp"]``, as JSON; `LOCKED` is that of the locked domains' names."""
LOCKED = "locked_domains"
TISSUE = "tissue_mask"
"""Key of the mask in ``uns["mclstexp"]``; see :func:`.tissue.packed`."""


def to_anndata(result: Result) -> ad.AnnData:
    """Result as AnnData.

    Parameters
    ----------
    result : Result
        Of N spots and G genes.

    Returns
    -------
    anndata.AnnData
        X (N, G); obs domain, similarity, spread, effective_k, patients, similarity_percentile,
        out_of_distribution and Visium's columns; var reference_mean, heldout_pcc with its interval,
        interval_width, predictable; ``obsm["spatial"]`` x, y in full-resolution px, match_rows and
        match_weights of the heaviest matches, X_image; ``uns`` spatial, mclstexp, domain_colors.
    """
    grid = result.grid
    held, trust = result.held_out, result.trust
    obs = pd.DataFrame(
        {
            "in_tissue": np.ones(len(grid), dtype=np.int64),
            "array_row": grid.array_row,
            "array_col": grid.array_col,
            "similarity": result.similarity,
            "spread": result.spread,
            "effective_k": result.effective_k,
        },
        index=pd.Index(grid.ids.astype(object), name="spot_id"),
    )
    obsm: dict[str, Any] = {"spatial": np.ascontiguousarray(grid.centres_px[:, ::-1])}
    if trust is not None:
        obs["patients"] = trust.patients
        if trust.percentile is not None:
            obs["similarity_percentile"] = trust.percentile
        if trust.unlike is not None:
            obs["out_of_distribution"] = trust.unlike
        obsm |= {"match_rows": trust.rows, "match_weights": trust.weights}
    if result.image is not None:
        obsm[IMAGE] = result.image
    var = pd.DataFrame(index=pd.Index(list(result.genes), name="gene", dtype=object))
    uns: dict[str, Any] = {
        "mclstexp": {
            "schema_version": SCHEMA_VERSION,
            **result.provenance.as_dict(),
            "pitch_y_px": grid.pitch_px[0],
            "pitch_x_px": grid.pitch_px[1],
        },
        "spatial": {LIBRARY: _pictures(result)},
    }
    if result.reference_mean is not None:
        var[REFERENCE_MEAN] = result.reference_mean
    if result.tissue is not None:
        uns["mclstexp"][TISSUE] = packed(result.tissue)
    if held is not None:
        for name, column in GENE_COLUMNS.items():
            var[column] = getattr(held, name)
        var["predictable"] = held.predictable()
        uns["mclstexp"]["evaluation"] = {**held.story(), "similarity": held.similarity}
    if result.domains is not None:
        labels = sorted(result.domains.names)
        names = [result.domains.names[label] for label in labels]
        if len(set(names)) != len(names):
            msg = "Two domains have the same name. Give each its own."
            raise ExportError(msg)
        codes = np.searchsorted(labels, result.domains.labels)
        codes[result.domains.labels == 0] = -1
        obs["domain"] = pd.Categorical.from_codes(codes, categories=names)
        uns["mclstexp"][DRAWN] = json.dumps([asdict(note) for note in result.domains.annotations])
        uns["mclstexp"][LOCKED] = json.dumps([result.domains.names[i] for i in sorted(result.domains.locked)])
        uns["domain_colors"] = [result.domains.colours[label] for label in labels]
    return ad.AnnData(
        X=result.expression,
        obs=obs,
        var=var,
        obsm=obsm,
        uns=uns,
    )


def save_result(result: Result, path: Path, *, overwrite: bool = False) -> Path:
    """Write RESULT.h5ad, whole or not at all.

    Raises
    ------
    ExportError
        See :func:`.atomic.write_file`.
    """
    refuse_slide(path, result.provenance.slide_fingerprint)
    data = to_anndata(result)

    def verify(written: Path) -> None:
        if load_result(written).grid.ids.tolist() != result.grid.ids.tolist():
            msg = "the file did not read back as it was written"
            raise OSError(msg)

    return write_file(path, lambda p: write_h5ad(data, p), overwrite=overwrite, verify=verify)


def load_result(path: Path, *, pictures: bool = True) -> Result:
    """Read RESULT.h5ad.

    Parameters
    ----------
    path : pathlib.Path
        A file that :func:`save_result` wrote.
    pictures : bool
        Whether its pictures of the slide are read; without, they are empty, and reading is several times as
        fast.

    Returns
    -------
    Result
        As it was saved.

    Raises
    ------
    ResultError
        The file is not there, damaged, of a newer format, or no result of ours.
    """
    keep_private(path)
    if not path.is_file():
        msg = f"There is no result at {path}."
        raise ResultError(msg)
    data = read_anndata(path, ResultError, path.name, without="" if pictures else PICTURES)
    about = data.uns.get("mclstexp")
    if not isinstance(about, dict):
        msg = f"{path.name} was not written by mclstexp predict: it lacks its provenance."
        raise ResultError(msg)
    if about.get("schema_version") != SCHEMA_VERSION:
        msg = (
            f"{path.name} has result format {about.get('schema_version')}; this version reads "
            f"{SCHEMA_VERSION}. Update napari-mclstexp."
        )
        raise ResultError(msg)
    try:
        return _from_anndata(data, about)
    except (BundleError, DomainError, KeyError, ValueError, TypeError, AttributeError) as error:
        msg = f"{path.name} lacks a part of a result, or has one of the wrong kind: {error}."
        raise ResultError(msg) from error


def _from_anndata(data: ad.AnnData, about: Mapping[str, Any]) -> Result:
    told = [f.name for f in fields(Provenance) if f.name in about or f.default is MISSING]
    provenance = Provenance(**{name: _plain(about[name]) for name in told})
    xy = np.asarray(data.obsm["spatial"], dtype=np.float64)
    images = data.uns["spatial"][LIBRARY]["images"]
    expression = np.asarray(data.X, dtype=np.float32)
    trusts = data.obs[["similarity", "spread", "effective_k"]].to_numpy(dtype=np.float64)
    if not all(np.isfinite(part).all() for part in (expression, xy, trusts)):
        msg = "numbers that are not finite"
        raise ValueError(msg)
    domains = None
    if "domain" in data.obs:
        column = data.obs["domain"].astype("category")
        names = {i + 1: str(name) for i, name in enumerate(column.cat.categories)}
        given = [str(c) for c in data.uns.get("domain_colors", [])]
        fits = len(given) == len(names) and all(is_colour(c) for c in given)
        colours = given if fits else [domain_colour(i) for i in names]
        domains = Domains(
            (column.cat.codes.to_numpy() + 1).astype(np.int32),
            names,
            dict(zip(names, colours, strict=True)),
            frozenset(i for i, name in names.items() if name in json.loads(str(about.get(LOCKED, "[]")))),
            tuple(Annotation(**told).checked() for told in json.loads(str(about.get(DRAWN, "[]")))),
        )
    return Result(
        grid=SpotGrid(
            ids=data.obs_names.to_numpy(dtype=str),
            centres_px=np.ascontiguousarray(xy[:, ::-1]),
            array_row=data.obs["array_row"].to_numpy(dtype=np.int64),
            array_col=data.obs["array_col"].to_numpy(dtype=np.int64),
            layout=provenance.layout,
            pitch_px=(float(about["pitch_y_px"]), float(about["pitch_x_px"])),
            pitch_um=provenance.pitch_um,
        ),
        genes=tuple(map(str, data.var_names)),
        expression=expression,
        similarity=data.obs["similarity"].to_numpy(dtype=np.float32),
        spread=data.obs["spread"].to_numpy(dtype=np.float32),
        effective_k=data.obs["effective_k"].to_numpy(dtype=np.float32),
        provenance=provenance,
        hires=NO_PICTURE if images is None else _picture(images["hires"]),
        lowres=NO_PICTURE if images is None else _picture(images["lowres"]),
        domains=domains,
        trust=_trust(data),
        held_out=_held_out(data, about),
        reference_mean=_reference_mean(data),
        tissue=unpacked(str(about[TISSUE])) if TISSUE in about else None,
        image=_image(data),
    )


def _picture(stored: Any) -> NDArray[np.uint8]:
    """Small picture of the slide (h, w, 3)."""
    pixels = np.asarray(stored)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        msg = f"a picture of {pixels.shape} {pixels.dtype}"
        raise ValueError(msg)
    return pixels


def _reference_mean(data: ad.AnnData) -> NDArray[np.float32] | None:
    """Mean of each gene over the reference; None in results of former versions."""
    if REFERENCE_MEAN not in data.var:
        return None
    mean = data.var[REFERENCE_MEAN].to_numpy(dtype=np.float32)
    if not np.isfinite(mean).all():
        msg = "a reference mean that is not finite"
        raise ValueError(msg)
    return mean


def _image(data: ad.AnnData) -> NDArray[np.float32] | None:
    """Image embeddings' components; None in results of former versions."""
    if IMAGE not in data.obsm:
        return None
    image = np.asarray(data.obsm[IMAGE], dtype=np.float32)
    if image.ndim != 2 or not np.isfinite(image).all():
        msg = "image embeddings of the wrong kind"
        raise ValueError(msg)
    return image


def _trust(data: ad.AnnData) -> SpotTrust | None:
    """How far to believe each spot; None in results of former versions."""
    if "patients" not in data.obs:
        return None
    percentile, unlike = (data.obs.get(c) for c in ("similarity_percentile", "out_of_distribution"))
    rows, weights = np.asarray(data.obsm["match_rows"]), np.asarray(data.obsm["match_weights"])
    if rows.ndim != 2 or rows.shape != weights.shape or not np.isfinite(weights).all():
        msg = "matches of the wrong shape"
        raise ValueError(msg)
    return SpotTrust(
        data.obs["patients"].to_numpy(dtype=np.int32),
        None if percentile is None else percentile.to_numpy(dtype=np.float32),
        None if unlike is None else unlike.to_numpy(dtype=bool),
        rows.astype(np.int32),
        weights.astype(np.float32),
    )


def _held_out(data: ad.AnnData, about: Mapping[str, Any]) -> HeldOut | None:
    """How well each gene was predicted on held-out sections."""
    story = about.get("evaluation")
    if not isinstance(story, dict):
        return None
    arrays = {name: data.var[column].to_numpy() for name, column in GENE_COLUMNS.items()}
    plain = {key: _plain(value) for key, value in story.items() if key != "similarity"}
    return HeldOut.from_stored(arrays | {"similarity": story["similarity"]}, plain, data.n_vars)


def _pictures(result: Result) -> dict[str, Any]:
    spot = SPOT_TO_PITCH[result.grid.layout] * math.sqrt(math.prod(pitch_px(result.grid)))
    width = result.provenance.width
    return {
        "images": {"hires": result.hires, "lowres": result.lowres},
        "scalefactors": {
            "spot_diameter_fullres": spot,
            "tissue_hires_scalef": result.hires.shape[1] / width,
            "tissue_lowres_scalef": result.lowres.shape[1] / width,
        },
        "metadata": {"statement": result.provenance.statement},
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
