"""Errors that a user can act on.

Every message says what happened, why, and what to do. The command line prints them without a
traceback and exits with 2; the window shows them as one notification.
"""

from __future__ import annotations


class MclstexpError(Exception):
    """Base of all errors that are the user's to mend, not a defect of ours."""


class SlideError(MclstexpError):
    """A slide cannot be opened or read."""


class ScaleError(MclstexpError):
    """The slide's scale (um per px) is missing or implausible."""


class GridError(MclstexpError):
    """Spot positions are invalid, or no spot lies on tissue."""


class NoTissueError(GridError):
    """No tissue was found on the slide."""


class RegionError(MclstexpError):
    """Regions to predict in cannot be read, or enclose no area."""


class BundleError(MclstexpError):
    """A model bundle is damaged, unsafe, or of an unknown kind."""


class SectionError(MclstexpError):
    """A paired section for training or scoring cannot be used."""


class FetchError(MclstexpError):
    """A public data set cannot be fetched, or is not what it should be."""


class GeneError(MclstexpError):
    """A gene symbol is not among those that the model predicts."""


class DeviceError(MclstexpError):
    """The requested compute device is not there or failed."""


class DeviceMemoryError(DeviceError):
    """A device's memory does not hold even the smallest batch.

    Attributes
    ----------
    device : str
        Its kind; where it is not ``cpu``, the CPU may do what it cannot.
    """

    def __init__(self, message: str, device: str = "cpu") -> None:
        super().__init__(message)
        self.device = device


class ModelError(MclstexpError):
    """The model produced what it never should, such as non-finite numbers."""


class ResultError(MclstexpError):
    """A result file is damaged or of an unknown kind."""


class ExportError(MclstexpError):
    """A file cannot be written; what was there before is untouched."""


class DomainError(MclstexpError):
    """An edit of the domains is not possible; they are as they were."""


class CohortError(MclstexpError):
    """A cohort cannot be run or opened as asked for."""
