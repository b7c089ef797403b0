"""How domains of a prediction agree with clusters of what was measured at the same spots.

``python domains_agreement.py RESULT.h5ad COUNTS.tsv[.gz] [LABELS.csv]``: the result is one at the spots of a
measured section, the counts are spots x genes, the labels (spot_id, label) a pathologist's, if there are any.
Prints the adjusted Rand index and normalised mutual information of each way to find domains over some seeds,
beside yardsticks: clusters of the spots' positions alone, of all measured genes, and by another seed.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from napari_mclstexp.core.domain_methods import METHODS, group
from napari_mclstexp.core.domains import cluster, find_domains
from napari_mclstexp.core.result_file import load_result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.generic]

COUNTS = (4, 5, 6, 7)
SEEDS = range(5)
SPOTS_AT_LEAST = 10
"""In how many spots a gene is seen that counts among all genes."""


def agreement(pairs: list[tuple[Labels, Labels]]) -> str:
    """ARI and NMI of pairs of labels: mean, and in brackets the range of the ARI."""
    ari = [adjusted_rand_score(a, b) for a, b in pairs]
    nmi = [normalized_mutual_info_score(a, b) for a, b in pairs]
    return f"{np.mean(ari):.2f} ({min(ari):.2f} to {max(ari):.2f}), {np.mean(nmi):.2f}"


def main() -> None:
    result = load_result(Path(sys.argv[1]))
    ids = [str(i) for i in result.grid.ids]
    counts = pd.read_csv(sys.argv[2], sep="\t", index_col=0).loc[ids]
    logs = np.log1p(counts.div(counts.sum(axis=1), axis=0) * 1e4)
    own = logs[[gene for gene in result.genes if gene in logs]].to_numpy()
    every = logs.loc[:, (counts > 0).sum() >= SPOTS_AT_LEAST].to_numpy()
    print(f"{len(ids)} spots; {own.shape[1]} genes of the model, {every.shape[1]} of all. ARI (range), NMI")
    rows = {}
    for count in COUNTS:
        truth = [cluster(own, count, seed) for seed in SEEDS]
        column = {
            f"{method} against the measured": agreement(
                [
                    (a, find_domains(result, count, seed, method).domains.labels)
                    for seed, a in enumerate(truth)
                ]
            )
            for method in METHODS
        }
        places = [group(result.grid.centres_px, count, seed) for seed in SEEDS]
        column["positions against the measured"] = agreement(list(zip(truth, places, strict=True)))
        others = [cluster(every, count, seed) for seed in SEEDS]
        column["measured, all genes against the model's"] = agreement(list(zip(truth, others, strict=True)))
        column["measured, one seed against the next"] = agreement(list(pairwise(truth)))
        rows[f"{count} domains"] = column
    print(pd.DataFrame(rows).to_string())
    if len(sys.argv) > 3:
        told = pd.read_csv(sys.argv[3], index_col=0).iloc[:, 0].reindex(ids)
        named = told.notna().to_numpy()
        for method in METHODS:
            mine = [
                find_domains(result, told.nunique(), seed, method).domains.labels[named] for seed in SEEDS
            ]
            print(f"{method} against the labels: {agreement([(told[named].to_numpy(), m) for m in mine])}")


main()
