"""Training: compiled models, the loop, callbacks, checkpoints and the run folder."""
