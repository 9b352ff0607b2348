"""Why a preset cannot be loaded, in one line."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import UserError, one_line


@contextlib.contextmanager
def explain_preset_errors(preset: str, kind: str, expected: str) -> Iterator[None]:
    """Context manager that turns errors of loading a preset into a UserError with advice.

    Args:
        preset: The name, the address or the path of the preset.
        kind: What is loaded, such as "a BERT".
        expected: What could be passed instead.
    """
    try:
        yield
    except Exception as error:
        reason, path = type(error).__name__, Path(os.path.expanduser(preset))
        if isinstance(error, UserError):
            problem = str(error)
        elif isinstance(error, MemoryError) or reason == "ResourceExhaustedError":
            problem = "there is not enough memory for its weights: choose a smaller model"
        elif path.is_dir():
            problem = f"KerasHub cannot load {kind} from this folder ({reason}: {one_line(error)})"
        elif path.exists():
            problem = f"this file cannot be read ({reason}: {one_line(error)})"
        elif isinstance(error, OSError):  # the base class of requests' errors
            problem = f"not an existing folder, and it cannot be downloaded ({reason})"
        elif "://" in preset:
            problem = f"it cannot be downloaded or read ({reason}: {one_line(error, 150)})"
        else:
            problem = f"neither an existing folder nor a known preset ({reason})"
        raise UserError(f"preset={preset!r}: {problem}. Expected {expected}") from error
