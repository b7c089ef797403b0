"""What a model has to beat: the same spots predicted without it, or without what it has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.training.ridge import choose_penalty, solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mclstexp.core.context import Seen

COMPONENTS = 256
NEAREST = (50, 200)


def texture(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Local binary patterns of patches (N, P, P, 3) at 1 and 3 px, uniform: (N, 20) float32 shares."""
    from skimage.feature import local_binary_pattern

    found = np.empty((len(patches), 20), dtype=np.float32)
    for i, patch in enumerate(patches):
        grey = patch.mean(axis=2).astype(np.uint8)
        for j, radius in enumerate((1, 3)):
            kinds = local_binary_pattern(grey, 8, radius, "uniform").astype(int).ravel()
            found[i, 10 * j : 10 * j + 10] = np.bincount(kinds, minlength=10) / len(kinds)
    return found


def by_ridge(
    known: NDArray[np.floating],
    values: NDArray[np.float32],
    section: NDArray[np.str_],
    asked: NDArray[np.floating],
    parts: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Ridge regression whose penalty is chosen by leaving out training sections.

    Parameters
    ----------
    known : numpy.ndarray
        (M, D) of the training spots.
    values : numpy.ndarray
        (M, G).
    section : numpy.ndarray
        (M,) of the training spots.
    asked : numpy.ndarray
        (N, D).
    parts : numpy.ndarray, optional
        See :func:`.ridge.solve`.

    Returns
    -------
    numpy.ndarray
        (N, G).
    """
    weight, bias = solve(known, values, choose_penalty(known, values, section, parts), parts)
    return asked @ weight + bias


def by_nearest(
    known: NDArray[np.floating], values: NDArray[np.float32], asked: NDArray[np.floating], k: int
) -> NDArray[np.float64]:
    """Mean (N, G) of the k training spots that are nearest in standardised inputs."""
    from sklearn.neighbors import NearestNeighbors

    centre, spread = known.mean(axis=0), known.std(axis=0) + 1e-6
    search = NearestNeighbors(n_neighbors=min(k, len(known))).fit((known - centre) / spread)
    _, rows = search.kneighbors((asked - centre) / spread)
    return np.stack([values[near].mean(axis=0, dtype=np.float64) for near in rows])


def by_components(
    known: NDArray[np.floating],
    values: NDArray[np.float32],
    section: NDArray[np.str_],
    asked: NDArray[np.floating],
    seed: int,
) -> NDArray[np.float64]:
    """Ridge regression (N, G) on at most `COMPONENTS` principal components of the image features."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, *known.shape)
    found = PCA(count, svd_solver="full", random_state=seed).fit(known)
    scale = np.sqrt(found.explained_variance_.sum()) or 1.0
    parts = np.sqrt(found.explained_variance_) / scale  # a component weighs as it varies
    known, asked = found.transform(known), found.transform(asked)
    return by_ridge(known, values, section, asked, parts)


def around(seen: Seen, looks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Appearance of each patch and of its surroundings, as the ridge head is given it."""
    return np.asarray(seen.described[:, -2 * looks.shape[1] :])
