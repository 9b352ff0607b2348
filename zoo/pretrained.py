"""Trained weights by name."""

from pathlib import Path


def resolve(model: str, weights: str) -> Path:
    """The folder of the model's weights of that name; a path stays as it is."""
    return Path(weights)
