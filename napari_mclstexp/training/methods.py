"""The ways to predict that an evaluation scores, in the order of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_mclstexp.core.heads import HEADS, Bank, predict_by
from napari_mclstexp.training import baselines
from napari_mclstexp.training.evaluation import Method
from napari_mclstexp.training.ridge import HEAD_PENALTY, fit_head, solve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_mclstexp.core.context import Queries, Seen
    from napari_mclstexp.core.heads import Ridge
    from napari_mclstexp.core.retrieval import Matches

METHODS = (
    Method("retrieval", "Retrieval", "head"),
    Method("retrieval-softmax", "Retrieval, softmax weights", "head"),
    Method("ridge", "Ridge on image features and appearance", "head"),
    Method("mean", "Mean of retrieval and ridge", "head"),
    Method("retrieval-alone", "Retrieval, each patch alone, levels of sections kept", "ablation"),
    Method("looks-around", "Colour and texture + ridge, with our context and levels", "ablation"),
    Method("training-mean", "Training mean", "baseline"),
    Method("looks-ridge", "Colour and texture + ridge", "baseline", plain_looks=True),
    Method("looks-nearest-50", "Colour and texture, 50 nearest", "baseline", plain_looks=True),
    Method("looks-nearest-200", "Colour and texture, 200 nearest", "baseline", plain_looks=True),
    Method("image-nearest", "Image features, nearest", "baseline"),
    Method("components-ridge", "Image features, 256 components + ridge", "baseline"),
    Method("shuffled", "Shuffled pairs, mean head", "check"),
)
HEAD_METHODS = HEADS


class Trained:
    """What a fold has of its training spots, by which every method predicts.

    Parameters
    ----------
    bank : Bank
        With the values that a match contributes.
    raw : numpy.ndarray
        (M, G) expression as it was measured.
    section : numpy.ndarray
        (M,) section of each spot.
    alone, seen : Queries, Seen
        The training patches.
    texture : numpy.ndarray
        (M, T) of the training patches.
    seed : int
        Of the shuffling.
    """

    def __init__(
        self,
        bank: Bank,
        raw: NDArray[np.float32],
        section: NDArray[np.str_],
        alone: Queries,
        seen: Seen,
        texture: NDArray[np.float32],
        seed: int,
    ) -> None:
        self.bank, self.raw, self.section, self.alone, self.seen = bank, raw, section, alone, seen
        self.texture, self.seed = texture, seed
        self.ridge: Ridge = fit_head(seen.described, bank.values)

    def heads(self, seen: Seen) -> tuple[dict[str, NDArray[np.float32]], Matches]:
        """Expression (N, G) by each head, and the matches of the first."""
        found = {head: predict_by(head, seen, self.bank, self.ridge) for head in HEADS}
        return {head: expression for head, (expression, _, _) in found.items()}, found["retrieval"][2]

    def others(
        self, alone: Queries, seen: Seen, texture: NDArray[np.float32]
    ) -> Iterator[tuple[str, NDArray[np.floating]]]:
        """Key and expression (N, G) of each method that is no head."""
        bank, raw, section = self.bank, self.raw, self.section
        plain = Bank(bank.embeddings, raw, bank.k, bank.weighting, bank.temperature)
        yield "retrieval-alone", predict_by("retrieval", alone.seen_among(None), plain, None)[0]
        known, asked = baselines.around(self.seen, self.alone.looks), baselines.around(seen, alone.looks)
        weight, bias = solve(known, bank.values, HEAD_PENALTY)
        yield "looks-around", asked @ weight + bias
        yield "training-mean", np.broadcast_to(raw.mean(axis=0), (len(alone), raw.shape[1]))
        known, asked = np.hstack((self.alone.looks, self.texture)), np.hstack((alone.looks, texture))
        yield "looks-ridge", baselines.by_ridge(known, raw, section, asked)
        for k in baselines.NEAREST:
            yield f"looks-nearest-{k}", baselines.by_nearest(known, raw, asked, k)
        yield "image-nearest", baselines.by_nearest(self.alone.features, raw, alone.features, bank.k)
        yield (
            "components-ridge",
            baselines.by_components(self.alone.features, raw, section, alone.features, self.seed),
        )
        yield "shuffled", self._shuffled(seen)

    def _shuffled(self, seen: Seen) -> NDArray[np.float32]:
        """Expression by the mean head where each gene's was dealt out anew among the spots of each section.

        Gene by gene, so that the mean over genes is one of many draws and not of one.
        """
        rng = np.random.default_rng(self.seed)
        values = self.bank.values.copy()
        for name in np.unique(self.section):
            rows = self.section == name
            values[rows] = rng.permuted(values[rows], axis=0)
        bank = Bank(self.bank.embeddings, values, self.bank.k, self.bank.weighting, self.bank.temperature)
        return predict_by("mean", seen, bank, fit_head(self.seen.described, values))[0]
