"""Why a preset cannot be loaded, in one line."""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants

from zoo.errors import UserError, one_line
from zoo.storage.downloads import is_reachable

_HUB = "hf://"  # before the names of presets of Hugging Face


@contextlib.contextmanager
def explain_preset_errors(preset: str, kind: str, expected: str) -> Iterator[None]:
    """Context manager that turns errors of loading a preset into a UserError with advice.

    Args:
        preset: The name, the address or the path of the preset.
        kind: What is loaded, such as "a BERT".
        expected: What could be passed instead.
    """
    try:
        with _read_cache_if_offline(preset):
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
        elif preset.startswith(_HUB) and not is_hub_reachable():
            problem = (
                f"{constants.ENDPOINT} does not respond, and it is not in the cache "
                f"{constants.HF_HUB_CACHE}"
            )
        elif preset.startswith(("hf:", "huggingface:")):
            problem = f"presets of Hugging Face are called {_HUB}OWNER/NAME"
        elif isinstance(error, OSError):  # the base class of requests' errors
            problem = f"not an existing folder, and it cannot be downloaded ({reason})"
        elif "://" in preset:
            problem = f"it cannot be downloaded or read ({reason}: {one_line(error, 150)})"
        else:
            problem = f"neither an existing folder nor a known preset ({reason})"
        raise UserError(f"preset={preset!r}: {problem}. Expected {expected}") from error


@contextlib.contextmanager
def _read_cache_if_offline(preset: str) -> Iterator[None]:
    """Context manager in which no server is asked for a preset of Hugging Face if it is down.

    Its library would retry for half a minute, for each file, also where the files are in its cache.
    """
    was_offline = constants.HF_HUB_OFFLINE
    if preset.startswith(_HUB) and not is_hub_reachable():
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline


@functools.cache
def is_hub_reachable() -> bool:
    """Whether the server of Hugging Face is to be asked, and responds."""
    return not constants.HF_HUB_OFFLINE and is_reachable([constants.ENDPOINT])
