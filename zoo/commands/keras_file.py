"""Checks the file of settings that Keras and TensorFlow read when they are imported."""

import json
import os
from pathlib import Path
from typing import Any

from zoo.errors import UserError

_CHOICES = {
    "floatx": ("float16", "float32", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}


def check_keras_file() -> None:
    """Checks ~/.keras/keras.json, or that of KERAS_HOME, whose mistakes end in a traceback.

    What is no JSON, or cannot be opened, is left to Keras, which ignores it.

    Raises:
        UserError: if Keras or TensorFlow would refuse the file.
    """
    folder = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
    file = Path(os.path.expanduser(folder)) / "keras.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if expected := _find_mistake(settings):
        raise UserError(f"{file}: expected {expected}: correct the file, or remove it")


def _find_mistake(settings: Any) -> str:
    """Returns what the settings should be where they are not, or ""."""
    if not isinstance(settings, dict):
        return 'a JSON object, such as {"backend": "tensorflow"}'
    for name, choices in _CHOICES.items():
        if name in settings and settings[name] not in choices:
            return f"{name} to be one of {', '.join(choices)}, got {settings[name]!r}"
    if not isinstance(epsilon := settings.get("epsilon", 1e-7), float):
        return f"epsilon to be a number such as 1e-07, got {epsilon!r}"
    return ""
