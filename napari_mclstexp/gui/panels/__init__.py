"""Panels of the dock: each shows the session and emits an intent."""
