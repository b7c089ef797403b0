"""``bundle.json``: what a bundle says of itself, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from napari_mclstexp.core.heads import HEADS, Head
from napari_mclstexp.core.model import MODES, STRIDE, Mode
from napari_mclstexp.core.retrieval import WEIGHTINGS, Weighting
from napari_mclstexp.errors import BundleError

SCHEMA_VERSION = 1
SPEC, WEIGHTS, REFERENCE = "bundle.json", "weights.safetensors", "reference.h5ad"
BESIDE = "beside.safetensors"
NOT_EVALUATED = "not evaluated on held-out sections"
TEXTS = ("name", "normalisation", "licence", "citation", "head_reason")


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
    context_um : float or None
        Radius in which a query is seen with its neighbours; None: each patch alone.
    margin_px : int
        Pixels around the field that a patch is read with; see :class:`.model.ImageEncoder`.
    dense : dict
        How far dense maps agree with patch by patch, as measured on training sections; see :mod:`.dense`.
        Empty where there is no margin.
    centred : bool
        Whether a reference spot gives its expression apart from its section's level.
    head : str
        The head that predicts unless another is asked for; see :mod:`.heads`.
    head_reason : str
        Why that one.
    evaluation : dict
        What was held out, and each head's scores; empty where it was not evaluated.
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
    context_um: float | None = None
    margin_px: int = 0
    dense: dict[str, Any] = field(default_factory=dict)
    centred: bool = False
    head: Head = "retrieval"
    head_reason: str = NOT_EVALUATED
    evaluation: dict[str, Any] = field(default_factory=dict)


def parse_spec(text: bytes) -> tuple[BundleSpec, dict[str, str]]:
    """Read ``bundle.json``.

    Parameters
    ----------
    text : bytes
        Its content.

    Returns
    -------
    spec : BundleSpec
        Every value checked for its kind and range.
    hashes : dict of str to str
        SHA-256 of each other file, by name.

    Raises
    ------
    BundleError
        No JSON, another format, or a value that is missing or out of range.
    """
    document = _parse(text)
    return _spec(document), document["sha256"]


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
            and _whole(spec.margin_px, 0, 256)
            and spec.margin_px % STRIDE == 0
            and _whole(spec.top_k, 1, 10**9)
            and _real(spec.temperature, 1e-6, 1e6)
            and len(spec.genes) > 0
            and all(isinstance(gene, str) and gene for gene in spec.genes)
            and all(isinstance(section, dict) for section in spec.sections)
            and all(isinstance(part, dict) for part in (spec.training, spec.evaluation, spec.dense))
            and spec.head in HEADS
            and isinstance(spec.centred, bool)
            and (spec.context_um is None or _real(spec.context_um, 1, 10_000))
            and all(isinstance(getattr(spec, name), str) for name in TEXTS)
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
