"""Datasets: reading, splitting, tokenization, augmentation and batching.

`zoo.data.load` is imported when it is first used, since it imports TensorFlow.
"""

import importlib


def __getattr__(name: str):
    if name != "load":
        raise AttributeError(f"module 'zoo.data' has no attribute {name!r}")
    return importlib.import_module("zoo.data.loading").load
