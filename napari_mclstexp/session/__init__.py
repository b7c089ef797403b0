"""The window's one mutable object: what is open and shown, and signals when it changes. It knows no Qt."""

from napari_mclstexp.session.session import Session
from napari_mclstexp.session.values import JobState, View

__all__ = ["JobState", "Session", "View"]
