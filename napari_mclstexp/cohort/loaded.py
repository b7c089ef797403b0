"""The model on a worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_mclstexp.core.backends import image_backend
from napari_mclstexp.core.bundle import Bundle, load_bundle
from napari_mclstexp.core.device import choose_device
from napari_mclstexp.core.predict import on_device
from napari_mclstexp.errors import BundleError

if TYPE_CHECKING:
    import torch

    from napari_mclstexp.core.backends import Encode
    from napari_mclstexp.core.model import MclSTExp


class Loaded:
    """The model, loaded when it is first needed, and kept for the next slide.

    Parameters
    ----------
    bundle : Bundle
        The model.
    device : torch.device
        Where its network runs.
    """

    _kept: Loaded | None = None

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle, self._device = bundle, device
        self._network: MclSTExp | None = None
        self._encoders: dict[str, Encode] = {}

    @classmethod
    def of(cls, path: str, digest: str, device: str) -> Loaded:
        """The model of a path, with this digest; all its hashes are checked where it is loaded.

        Raises
        ------
        BundleError
            It is another one, or damaged.
        """
        kept = cls._kept
        if kept is None or kept.bundle.digest != digest:
            bundle = load_bundle(Path(path))
            if bundle.digest != digest:
                msg = (
                    "The model at the worker is another than that of the cohort. Let all see the same folder."
                )
                raise BundleError(msg)
            kept = cls(bundle, choose_device(device))
            cls._kept = kept
        return kept

    @property
    def network(self) -> MclSTExp:
        """In evaluation state, on the device."""
        if self._network is None:
            self._network = on_device(self.bundle, self._device)
        return self._network

    def encoder(self, backend: str) -> Encode:
        """The network's image encoder, by a backend."""
        if backend not in self._encoders:
            self._encoders[backend] = image_backend(backend, self.network)
        return self._encoders[backend]
