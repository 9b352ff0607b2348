"""Vectors of texts as Sentence Transformers makes them of a text encoder."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from etils import epy

from zoo.errors import UserError
from zoo.schema import Count, check_value
from zoo.storage.json_files import read_json, read_json_objects

with epy.lazy_imports():
    import keras

    from zoo.layers import inputs, masking, outputs, windows
    from zoo.models import text_encoder
    from zoo.models.presets import text_preset

_MODULES, _SETTINGS = "modules.json", "sentence_bert_config.json"
_TRANSFORMER, _POOLING, _NORMALIZE = "Transformer", "Pooling", "Normalize"
_MODES = {"mean_tokens": "mean", "mean": "mean", "cls_token": "first", "cls": "first"}


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How the vectors of the tokens become one vector.

    Attributes:
        mode: "mean" over the tokens, those of the frame included, or the "first" token.
        length: Most tokens of a text; None for the positions of the encoder.
        note: A sentence on it.
    """

    mode: str
    length: int | None
    note: str


def read_pooling(preset: str) -> Pooling:
    """Reads how a folder of Sentence Transformers makes a vector of a text.

    Other presets do not say it, and get the mean over the tokens (Reimers and Gurevych 2019, arXiv
    1908.10084, section 3).

    Args:
        preset: Name of a preset, or a folder.

    Raises:
        UserError: if the folder has a module that the zoo does not have.
    """
    folder = Path(os.path.expanduser(preset))
    if not (folder / _MODULES).is_file():
        note = f"{preset} has no {_MODULES}: a vector is the mean over the tokens, at length 1"
        return Pooling("mean", None, note)
    modules = read_json_objects(folder / _MODULES)
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    known = [_TRANSFORMER, _POOLING], [_TRANSFORMER, _POOLING, _NORMALIZE]
    if kinds not in known:
        raise UserError(
            f"preset={preset!r}: its {_MODULES} has {', '.join(kinds) or 'nothing'}, but only "
            f"{', '.join(known[1])} can be read"
        )
    mode = _read_mode(preset, read_json(folder / str(modules[1].get("path")) / "config.json"))
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    mean = {"mean": "the mean over the tokens", "first": "that of the first token"}[mode]
    added = "" if _NORMALIZE in kinds else f", which its {_MODULES} leaves out"
    note = f"a vector is {mean}, as its {_MODULES} says, at length 1{added}"
    length = check_value("max_seq_length", settings.get("max_seq_length"), Count | None)
    return Pooling(mode, length, note)


def _read_mode(preset: str, config: dict[str, Any]) -> str:
    """Returns the mode in the config.json of a pooling module, of old or new versions."""
    modes = [str(config["pooling_mode"])] if "pooling_mode" in config else []
    prefix = "pooling_mode_"
    modes += [
        name.removeprefix(prefix) for name, on in config.items() if on is True and prefix in name
    ]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise UserError(
            f"preset={preset!r}: it pools tokens by {' and '.join(modes) or 'nothing'}, but only "
            "the mean and the first token can be read"
        )
    return _MODES[modes[0]]


def load_sentence_encoder(preset: str, pooling: Pooling, window: int | None) -> "keras.Model":
    """Loads a text encoder whose answer is one vector per text.

    Args:
        preset: As in the model `text_encoder`.
        pooling: How the vectors of the tokens become one, from `read_pooling`.
        window: As in the model `text_encoder`.

    Returns:
        The model from {"tokens": int32 (batch, length)} to {"features": float32 (batch, width)},
        not normalised.

    Raises:
        UserError: if it cannot be loaded.
    """
    loaded = text_preset.load_preset(preset)
    tokens, mask = inputs.text_input("text_encoder", (1,))
    pieces, mask = windows.divide_tokens(tokens, mask, window)
    x = text_encoder.encode_tokens(pieces, mask, loaded)
    x = masking.masked_mean(x, mask) if pooling.mode == "mean" else x[:, 0]
    x = windows.average_windows(x, pieces, tokens)
    return keras.Model({"tokens": tokens}, {outputs.FEATURES: x}, name="text_encoder")
