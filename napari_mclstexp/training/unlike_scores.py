"""How well tissue that the reference does not know is told apart from a held-out section of its own kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_mclstexp.core.appearance import STAINS, appearance
from napari_mclstexp.core.grid import make_grid
from napari_mclstexp.core.patches import Field, read_batches
from napari_mclstexp.core.scale import parse_mpp
from napari_mclstexp.core.slide import open_slide
from napari_mclstexp.core.tissue import find_tissue
from napari_mclstexp.core.unlike import fit_unlike
from napari_mclstexp.errors import ScaleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_mclstexp.core.scale import Scale
    from napari_mclstexp.core.slide import Slide

BLURS_PX = (1.0, 2.0)
STAIN_SHIFTS = ((1.2, 0.8), (1.4, 0.6))
"""Factors of the density of haematoxylin and of eosin."""
OVERLAP = 8
"""Patches of a small slide are laid this much closer than they are wide."""
MOST = 500
"""Patches of another slide that are looked at."""


@dataclass(frozen=True, slots=True)
class OtherSlide:
    """A slide of another kind.

    Attributes
    ----------
    path : pathlib.Path
        The image.
    scale : Scale or None
        um per px where the file does not tell it.
    name : str
        What to call it in the report, which tells no file's name.
    """

    path: Path
    scale: Scale | None = None
    name: str = ""

    @classmethod
    def named(cls, text: str) -> OtherSlide:
        """As the command line names it: ``SLIDE``, ``SLIDE@MPP``, or with ``WHAT=`` before it."""
        what, _, rest = text.rpartition("=")
        path, _, mpp = rest.rpartition("@")
        if path and mpp.replace(".", "", 1).isdigit():
            return cls(Path(path), parse_mpp(mpp), what)
        return cls(Path(rest), None, what)


def score_unlike(
    known: NDArray[np.float32],
    section: NDArray[np.str_],
    held: NDArray[np.uint8],
    name: str,
    others: Mapping[str, NDArray[np.uint8]],
) -> tuple[Mapping[str, Any], ...]:
    """Area under the ROC curve of the distance from the reference.

    Parameters
    ----------
    known : numpy.ndarray
        (M, APPEARANCE) of the reference patches.
    section : numpy.ndarray
        (M,) section of each.
    held : numpy.ndarray
        (N, P, P, 3) uint8 patches of held-out sections.
    name : str
        What was held out.
    others : mapping of str to numpy.ndarray
        Patches (K, P, P, 3) uint8 of other slides.

    Returns
    -------
    tuple of mapping
        For each kind of unlike tissue: what, against, resampled, auroc, flagged (its share beyond the
        limit), spots. The first is the held-out tissue itself, with an area of 0.5.
    """
    from sklearn.metrics import roc_auc_score

    detector = fit_unlike(known, section)
    usual = detector.distance(appearance(held))
    spoilt: dict[str, NDArray[np.uint8]] = {"held-out tissue itself": held}
    spoilt |= {f"blurred by {sigma:g} px": blurred(held, sigma) for sigma in BLURS_PX}
    spoilt |= {f"haematoxylin x {h:g}, eosin x {e:g}": restained(held, h, e) for h, e in STAIN_SHIFTS}
    rows = []
    for what, patches in (*spoilt.items(), *others.items()):
        away = detector.distance(appearance(patches))
        truth = np.repeat([0, 1], [len(usual), len(away)])
        rows.append(
            {
                "what": what,
                "against": name,
                "resampled": "as the model samples its field",
                "auroc": float(roc_auc_score(truth, np.concatenate((usual, away)))),
                "flagged": float((away > detector.limit).mean()),
                "spots": len(patches),
            }
        )
    return tuple(rows)


def read_others(slides: Sequence[OtherSlide], field: Field) -> dict[str, NDArray[np.uint8]]:
    """Patches (K, P, P, 3) on the tissue of each slide, at most `MOST` spread over it, by what it is called.

    Raises
    ------
    SlideError, ScaleError, NoTissueError
        See each class.
    """
    found = {}
    for number, other in enumerate(slides, 1):
        with open_slide(other.path) as slide:
            scale = other.scale or slide.scale
            if field.field_um is None:
                msg = "Mode paper reads native pixels: what is unlike cannot be told apart at one scale."
                raise ScaleError(msg)
            if scale is None:
                msg = f"The scale of {other.path.name} is unknown. Give {other.path.name}@MPP, um per px."
                raise ScaleError(msg)
            grid = make_grid(find_tissue(slide, scale), scale, "square", _pitch(slide, scale, field.field_um))
            some = np.unique(np.linspace(0, len(grid) - 1, MOST).astype(int))
            read = read_batches(slide, grid.centres_px[some], field, scale, 32)
            name = other.name or f"other slide {number}"
            found[name] = np.concatenate([patches for _, patches in read])
    return found


def _pitch(slide: Slide, scale: Scale, field_um: float) -> float:
    """Distance in um between patches: close on a small slide, farther on a large one."""
    area = slide.width * scale.mpp_x * slide.height * scale.mpp_y
    return max(field_um / OVERLAP, (area / (20 * MOST)) ** 0.5)


def blurred(patches: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Patches (N, P, P, 3) out of focus by a Gaussian of so many px."""
    return ndimage.gaussian_filter(patches, (0, sigma, sigma, 0))


def restained(patches: NDArray[np.uint8], haematoxylin: float, eosin: float) -> NDArray[np.uint8]:
    """Patches (N, P, P, 3) with the density of two stains multiplied."""
    mix = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    density = -np.log(np.maximum(patches / 255.0, 1 / 255)) @ np.linalg.inv(mix)
    density *= (haematoxylin, eosin, 1.0)
    return np.rint(np.exp(-density @ mix).clip(0, 1) * 255).astype(np.uint8)
