"""Checks the names of export formats, without TensorFlow."""

import importlib.util
from collections.abc import Sequence

from zoo.errors import UserError
from zoo.schema import suggest_closest
from zoo.storage.filenames import FORMAT_FILES, FORMATS

_PACKAGES = ("ai_edge_litert", "onnx", "onnxruntime", "tf2onnx")  # in the extra "formats"


def check_formats(formats: Sequence[str]) -> None:
    """Checks the names of export formats, and that the packages they need are installed.

    Raises:
        UserError: if a format is unknown or a package is missing.
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(
                f"export_formats={name!r}: unknown format.{suggest_closest(name, FORMATS)} "
                f"Known: {', '.join(FORMATS)}"
            )
        missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
        if name in FORMAT_FILES and missing:
            raise UserError(
                f"export_formats={name!r}: the package {missing[0]} is not installed: run "
                "pip install 'keras-model-zoo[formats]'"
            )
