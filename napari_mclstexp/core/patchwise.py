"""What is known of spots from a patch of each."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from napari_mclstexp.core.appearance import appearance
from napari_mclstexp.core.context import Queries
from napari_mclstexp.core.patches import read_batches, without_margin, worked_ahead
from napari_mclstexp.core.recorded import pinned

if TYPE_CHECKING:
    from collections.abc import Generator

    import numpy as np
    from numpy.typing import NDArray

    from napari_mclstexp.core.backends import Encode
    from napari_mclstexp.core.fitting_batch import Fitting
    from napari_mclstexp.core.grid import SpotGrid
    from napari_mclstexp.core.how import How
    from napari_mclstexp.core.model import MclSTExp
    from napari_mclstexp.core.patches import Field
    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide


def patch_by_patch(
    slide: Slide,
    grid: SpotGrid,
    field: Field,
    scale: Scale | None,
    network: MclSTExp,
    encode: Encode,
    how: How,
    unread: NDArray[np.bool_],
    fitting: Fitting,
    start: int = 0,
) -> Generator[tuple[slice, Queries], None, None]:
    """Encode the spots of a grid, each from its own patch.

    What is read, described, encoded, and made of that by the caller is a batch each, all at the same time.
    The linear algebra of other libraries computes by one thread until the end: threads of theirs that wait
    for work do so in a busy loop, and take the processors from the network.

    Parameters
    ----------
    slide : Slide
        What to read from.
    grid : SpotGrid
        N spots.
    field : Field
        What a patch shows, with the model's margin.
    scale : Scale or None
        um per px.
    network : MclSTExp
        In evaluation state, on the device.
    encode : callable
        Its image encoder, see :func:`.backends.image_backend`.
    how : How
        Device and batch.
    unread : numpy.ndarray
        (N,) bool; spots at which the slide cannot be decoded are marked here.
    fitting : Fitting
        Takes fewer at once where they do not fit.
    start : int
        The first spot.

    Yields
    ------
    rows : slice
        Which of the N spots.
    queries : Queries
        What is known of them.

    Raises
    ------
    SlideError, DeviceError, ModelError
        See :func:`.patches.read_batches` and :func:`.encode.embedded`.
    """
    margin, device = network.image_encoder.margin_px, next(network.parameters()).device
    batches = read_batches(slide, grid.centres_px[start:], field, scale, how.batch, unread[start:])

    def described(
        rows: slice, patches: NDArray[np.uint8]
    ) -> tuple[slice, NDArray[np.uint8], NDArray[np.float32]]:
        return rows, pinned(patches, device), appearance(without_margin(patches, margin))

    def encoded(rows: slice, patches: NDArray[np.uint8], looks: NDArray[np.float32]) -> tuple[slice, Queries]:
        features, embeddings = fitting(network, patches, device, encode)
        return slice(start + rows.start, start + rows.stop), Queries(features, embeddings, looks)

    coming = worked_ahead(partial(described, *batch) for batch in batches)
    found = worked_ahead((partial(encoded, *batch) for batch in coming), name="encode")
    with threadpool_limits(1, user_api="blas"), closing(batches), closing(coming), closing(found):
        yield from found
