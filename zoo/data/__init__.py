"""Datasets: reading, splitting, tokenization, augmentation and batching.

`load` needs TensorFlow. It is imported by `from zoo import data`, but not by `import
zoo.data.config` and the like, which commands need before.
"""

import importlib


def __getattr__(name: str):
    if name != "load":
        raise AttributeError(f"module 'zoo.data' has no attribute {name!r}")
    return importlib.import_module("zoo.data.loading").load
