"""Keras models from a registry name to a SavedModel that TF Serving loads as it is.

The public names are imported when they are first used, so that `import zoo` does not import
TensorFlow.
"""

import importlib
import os

# before Keras is imported, which else reads ~/.keras/keras.json
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

_PUBLIC = {
    "describe": "zoo.api",
    "explain": "zoo.api",
    "export": "zoo.api",
    "get": "zoo.api",
    "list_models": "zoo.api",
    "load": "zoo.api",
    "load_pretrained": "zoo.api",
    "register": "zoo.registry",
    "Recipe": "zoo.recipe",
    "UserError": "zoo.errors",
}
_PACKAGES = ("data", "serving")  # public too: after `import zoo` there is `zoo.data.load`

__all__ = sorted(_PUBLIC)
__version__ = "0.2.0"


def __getattr__(name: str):
    if name == "data":
        importlib.import_module("zoo.data.loading")  # with TensorFlow, before the first `load`
    if name in _PACKAGES:
        return importlib.import_module(f"zoo.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    if name == "register":
        importlib.import_module("zoo.models")  # first, so that built-in names are taken
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return [*globals(), *_PUBLIC, *_PACKAGES]
