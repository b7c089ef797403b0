"""Values of the window's session: how a result is drawn, and what runs in the background. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_mclstexp.core.domains import DEFAULT_DOMAINS
from napari_mclstexp.core.maps import Colour

if TYPE_CHECKING:
    from napari_mclstexp.core.progress import Progress


@dataclass(frozen=True, slots=True)
class JobState:
    """What runs in the background, and how the last job ended.

    Attributes
    ----------
    running : bool
        Whether a job runs.
    progress : Progress or None
        How far it has come.
    message : str
        How the last one ended, in plain words.
    asked_by : str
        Which step asked for it: slide, predict, domains or export.
    no_room : bool
        Whether the last one ended because its device had too little memory, and the CPU may do it.
    """

    running: bool = False
    progress: Progress | None = None
    message: str = ""
    asked_by: str = ""
    no_room: bool = False

    @property
    def predicting(self) -> bool:
        """Whether a prediction runs."""
        return self.running and self.asked_by == "predict"

    @property
    def busy(self) -> bool:
        """Whether a job runs that the choices for the next prediction would disturb.

        While a slide is decoded or its measured section is read, they can be made.
        """
        return self.running and self.asked_by != "slide"


@dataclass(frozen=True, slots=True)
class DomainChoice:
    """How domains are found from now on.

    Attributes
    ----------
    count : int
        How many.
    method : str
        See :mod:`.domain_methods`.
    """

    count: int = DEFAULT_DOMAINS
    method: str = "kmeans"


NEW = -1
"""Label of a domain that is yet to be."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What the mouse does over the slide.

    Attributes
    ----------
    kind : {"", "brush", "erase", "fill", "lasso", "polygon", "freehand"}
        Nothing; the first four change domains, the last two draw an annotation.
    target : int
        Label of the domain that spots are given to; `NEW` for one of their own.
    across : int
        Width of the brush in spots.
    careful : bool
        A stroke changes only spots of the domain that it begins on.
    """

    kind: str = ""
    target: int = NEW
    across: int = 1
    careful: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """How the result is drawn over the slide.

    Attributes
    ----------
    heatmap : bool
        Whether the gene's heatmap is shown.
    source : {"predicted", "measured", "swipe"}
        Which values of the gene; by swipe, predicted ones left of a line and measured ones right of it.
    divider : float
        Where that line is, 0 to 1 of the slide's width.
    one_scale : bool
        Whether predicted and measured values share the limits of their colours.
    opacity : float
        Of the heatmap, 0 to 1.
    domains : {"outlines", "filled", "hidden"}
        How domains are shown.
    colour_managed : bool
        Whether the slide is shown by its ICC profile.
    colour : Colour
        How values become colours.
    hidden : frozenset of int
        Labels of domains that are not drawn.
    legend : bool
        Whether the domains' legend lies on the picture.
    blend : tuple of str
        Two or three genes shown in one picture instead of the one gene; else empty.
    """

    heatmap: bool = True
    source: str = "predicted"
    divider: float = 0.5
    one_scale: bool = False
    opacity: float = 0.8
    domains: str = "outlines"
    colour_managed: bool = False
    colour: Colour = field(default_factory=Colour)
    hidden: frozenset[int] = frozenset()
    legend: bool = True
    blend: tuple[str, ...] = ()
