"""Training of model bundles from paired sections, and import of existing checkpoints."""
