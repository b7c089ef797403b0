"""Bad inputs and faults, each with the outcome that is pinned for it; see :mod:`.case`."""
