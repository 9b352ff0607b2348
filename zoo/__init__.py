"""Keras models from a registry name to a SavedModel that TF Serving loads as it is.

The public names are resolved when they are first used: `import zoo` does not import TensorFlow.
"""

import importlib

_PUBLIC = {
    "describe": "zoo.registry",
    "export": "zoo.saved_model",
    "get": "zoo.registry",
    "list_models": "zoo.registry",
    "load": "zoo.saved_model",
    "load_pretrained": "zoo.pretrained",
    "register": "zoo.registry",
    "Recipe": "zoo.recipe",
    "UserError": "zoo.errors",
}

__all__ = sorted(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    importlib.import_module("zoo.models")  # first, so that no name of a built-in can be taken
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return [*globals(), *_PUBLIC]
