"""``beside.safetensors``: what stands beside the network in a bundle, each part only where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from napari_mclstexp.core.bundle_spec import BESIDE
from napari_mclstexp.core.heads import Ridge
from napari_mclstexp.core.held_out import HeldOut
from napari_mclstexp.core.unlike import Unlike
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.bundle_spec import BundleSpec

THUMBNAIL_PX = 64


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Parts of a bundle beside its network and its reference bank.

    Attributes
    ----------
    ridge : Ridge or None
        The linear head.
    unlike : Unlike or None
        Tells tissue that the reference does not know.
    held_out : HeldOut or None
        What an evaluation found.
    thumbnails : numpy.ndarray or None
        (M, 64, 64, 3) uint8 RGB of the reference patches; they are patients' tissue.
    """

    ridge: Ridge | None = None
    unlike: Unlike | None = None
    held_out: HeldOut | None = None
    thumbnails: NDArray[np.uint8] | None = None

    def as_bytes(self) -> bytes:
        """Content of the file; empty where there is nothing to store."""
        parts: dict[str, NDArray[np.generic]] = {}
        for name in ("ridge", "unlike", "held_out"):
            if (part := getattr(self, name)) is not None:
                parts |= {f"{name}.{key}": np.ascontiguousarray(a) for key, a in part.tensors().items()}
        if self.thumbnails is not None:
            parts["thumbnails"] = np.ascontiguousarray(self.thumbnails)
        return safetensors.numpy.save(parts) if parts else b""

    @classmethod
    def from_bytes(cls, content: bytes | None, spec: BundleSpec, spots: int) -> Beside:
        """Read and check the file's content.

        Parameters
        ----------
        content : bytes or None
            None where the bundle has no such file.
        spec : BundleSpec
            What the bundle says of itself.
        spots : int
            Reference spots M.

        Raises
        ------
        BundleError
            Not readable, or a part of the wrong kind, shape or range.
        """
        if content is None:
            return cls()
        try:
            stored = safetensors.numpy.load(content)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{BESIDE} is not a readable safetensors file. Get a fresh copy of the bundle."
            raise BundleError(msg) from error

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {k.removeprefix(f"{name}."): a for k, a in stored.items() if k.startswith(f"{name}.")}

        genes = len(spec.genes)
        thumbnails = stored.get("thumbnails")
        fits = (spots, THUMBNAIL_PX, THUMBNAIL_PX, 3)
        if thumbnails is not None and (thumbnails.shape != fits or thumbnails.dtype != np.uint8):
            msg = f"{BESIDE} holds thumbnails of the wrong shape: {thumbnails.shape}, not {fits}."
            raise BundleError(msg)
        ridge, unlike, held_out = (part(name) for name in ("ridge", "unlike", "held_out"))
        return cls(
            Ridge.from_tensors(ridge, genes) if ridge else None,
            Unlike.from_tensors(unlike) if unlike else None,
            HeldOut.from_stored(held_out, spec.evaluation, genes) if held_out else None,
            thumbnails,
        )
