"""Ridge regressions: the linear head of a bundle, and those that a model is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.appearance import APPEARANCE
from napari_mclstexp.core.heads import Ridge
from napari_mclstexp.core.model import IMAGE_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD_PENALTY = 20.0
"""Penalty of the head. It is not chosen by cross-validation: the network was fitted to the very spots whose
features these are, so that every lower penalty looks better on them than it is."""

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Among these a baseline's penalty is chosen, by leaving out one training section after the other."""


def fit_head(described: NDArray[np.float32], values: NDArray[np.float32]) -> Ridge:
    """Fit the linear head on the reference spots.

    Parameters
    ----------
    described : numpy.ndarray
        (M, DESCRIBED); see :class:`.context.Seen`. Its four parts weigh alike, however wide they are.
    values : numpy.ndarray
        (M, G) what the bank gives.

    Returns
    -------
    Ridge
        On described queries as they are.
    """
    parts = np.repeat(
        1 / np.sqrt([IMAGE_FEATURES, IMAGE_FEATURES, APPEARANCE, APPEARANCE]),
        [IMAGE_FEATURES, IMAGE_FEATURES, APPEARANCE, APPEARANCE],
    )
    weight, bias = solve(described, values, HEAD_PENALTY, parts)
    return Ridge(np.ascontiguousarray(weight.T, dtype=np.float32), bias.astype(np.float32))


def solve(
    inputs: NDArray[np.floating],
    values: NDArray[np.floating],
    penalty: float,
    parts: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge regression on standardised inputs, told for inputs as they are.

    Parameters
    ----------
    inputs : numpy.ndarray
        (M, D).
    values : numpy.ndarray
        (M, G).
    penalty : float
        On the squared weights of the standardised inputs, each divided by the root of D.
    parts : numpy.ndarray, optional
        (D,) another factor for each standardised input.

    Returns
    -------
    weight : numpy.ndarray
        (D, G).
    bias : numpy.ndarray
        (G,).
    """
    x = inputs.astype(np.float64)
    centre, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    factor = (1 / np.sqrt(x.shape[1]) if parts is None else parts) / spread
    x = (x - centre) * factor
    level = values.mean(axis=0, dtype=np.float64)
    y = values - level
    if x.shape[1] <= x.shape[0]:
        inner = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    else:  # fewer spots than inputs: the same by their products
        inner = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(x.shape[0]), y)
    weight = factor[:, None] * inner
    return weight, level - centre @ weight


def choose_penalty(
    inputs: NDArray[np.floating],
    values: NDArray[np.floating],
    section: NDArray[np.str_],
    parts: NDArray[np.float64] | None = None,
) -> float:
    """Penalty under which the sections are best predicted from one another, by squared error.

    Parameters
    ----------
    inputs : numpy.ndarray
        (M, D).
    values : numpy.ndarray
        (M, G).
    section : numpy.ndarray
        (M,) groups; with one alone, its first and second half are the groups.
    parts : numpy.ndarray, optional
        See :func:`solve`.
    """
    groups = section
    if len(np.unique(section)) == 1:
        groups = np.where(np.arange(len(section)) < len(section) // 2, "first", "second")
    errors = []
    for penalty in PENALTIES:
        total = 0.0
        for name in np.unique(groups):
            out = groups == name
            weight, bias = solve(inputs[~out], values[~out], penalty, parts)
            total += float(np.square(inputs[out] @ weight + bias - values[out]).sum())
        errors.append(total)
    return PENALTIES[int(np.argmin(errors))]
