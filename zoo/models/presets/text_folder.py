"""Folders of pretrained text encoders of Hugging Face: their settings and their weights."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy

from zoo.errors import UserError
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import safetensors
    import safetensors.numpy

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = f"{WEIGHTS}.index.json"  # of weights in several files
EMBEDDINGS = "embeddings.word_embeddings.weight"


@dataclasses.dataclass(frozen=True)
class Family:
    """How Hugging Face stores a kind of encoder that KerasHub reads.

    Attributes:
        prefix: Start of the names of weights that KerasHub looks for; "" for any.
        pooler: Name of the dense layer of the first token that KerasHub expects; "" for none.
        activation: Key of the activation in config.json.
        vocabulary: The files of its tokenizer as it was published.
    """

    prefix: str
    pooler: str
    activation: str
    vocabulary: str


FAMILIES = {
    "albert": Family("albert.", "pooler", "hidden_act", "spiece.model"),
    "bert": Family("", "pooler.dense", "hidden_act", "vocab.txt"),
    "distilbert": Family("distilbert.", "", "activation", "vocab.txt"),
    "roberta": Family("roberta.", "", "hidden_act", "vocab.json and merges.txt"),
    "xlm-roberta": Family("", "", "hidden_act", "sentencepiece.bpe.model"),
}
# Hugging Face's names of the activations that Keras has
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "keras_hub>gelu_approximate",
    "gelu_pytorch_tanh": "keras_hub>gelu_approximate",
}


def is_hugging_face(config: Mapping[str, Any]) -> bool:
    """Returns whether config.json is of Hugging Face, and not of KerasHub."""
    return bool(config.get("model_type"))


def is_text_folder(preset: str) -> bool:
    """Returns whether a preset is a folder of a text encoder of Hugging Face."""
    file = Path(os.path.expanduser(preset), CONFIG)
    if not file.is_file():
        return False
    config = read_json(file)
    return isinstance(config, dict) and config.get("model_type") in FAMILIES


def read_folder_config(folder: Path) -> dict[str, Any]:
    """Returns config.json of a folder, after checking that KerasHub reads such encoders.

    Raises:
        UserError: if it has none, describes another model, or there are no weights.
    """
    names = {path.name for path in folder.iterdir()}
    if CONFIG not in names:
        raise UserError(f"the folder has no {CONFIG}")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or not config.keys() & {"model_type", "class_name"}:
        raise UserError(f"{CONFIG} has no model_type, as those of Hugging Face, and no class_name")
    if not is_hugging_face(config):
        return config
    model_type = config["model_type"]
    if model_type not in FAMILIES:
        raise UserError(
            f"{CONFIG} describes a {model_type!r:.50} model, but of Hugging Face only "
            f"{', '.join(FAMILIES)} can be read"
        )
    if not names & {WEIGHTS, WEIGHTS_INDEX}:
        others = [x for x in sorted(names) if x.endswith((".bin", ".h5", ".msgpack", ".pt"))]
        advice = " (save_pretrained of a current version of transformers writes it)"
        raise UserError(
            f"the folder has no {WEIGHTS}" + (f", only {others[0]}{advice}" if others else "")
        )
    # KerasHub ignores these two
    key = FAMILIES[model_type].activation
    activation = config.get(key, "gelu")
    positions = config.get("position_embedding_type", "absolute")
    if activation not in ACTIVATIONS or positions != "absolute":
        raise UserError(
            f"{CONFIG} has {key}={activation!r:.50} and position_embedding_type="
            f"{positions!r:.50}, but only {', '.join(map(repr, ACTIVATIONS))} and 'absolute' can "
            "be read"
        )
    return config


def find_hugging_face(preset: str) -> Path | None:
    """Returns the folder of a preset if it is one of Hugging Face.

    Raises:
        UserError: if it is a folder that cannot be read.
    """
    folder = Path(os.path.expanduser(preset))
    if not folder.is_dir():
        return None
    return folder if is_hugging_face(read_folder_config(folder)) else None


def list_weights(folder: Path) -> dict[str, Path]:
    """Returns the file of each array of the weights."""
    if (folder / WEIGHTS_INDEX).is_file():
        weight_map = read_json(folder / WEIGHTS_INDEX)["weight_map"]
        return {name: folder / file for name, file in weight_map.items()}
    with safetensors.safe_open(folder / WEIGHTS, framework="np") as arrays:
        return dict.fromkeys(arrays.keys(), folder / WEIGHTS)


def find_weight(files: Mapping[str, Path], ending: str) -> str | None:
    """Returns the first name of the weights that ends so, or None."""
    return next((name for name in files if name == ending or name.endswith(f".{ending}")), None)


def read_weight(files: Mapping[str, Path], name: str) -> np.ndarray:
    """Reads an array of the weights by its full name."""
    with safetensors.safe_open(files[name], framework="np") as arrays:
        return arrays.get_tensor(name)


def check_vocabulary_size(files: Mapping[str, Path], tokens: int) -> None:
    """Checks that each token of the vocabulary has an embedding.

    Raises:
        UserError: if there are more tokens than embeddings, or no embeddings.
    """
    name = find_weight(files, EMBEDDINGS)
    if name is None:
        raise UserError(f"its weights have no {EMBEDDINGS}")
    with safetensors.safe_open(files[name], framework="np") as arrays:
        rows = arrays.get_slice(name).get_shape()[0]
    if tokens > rows:
        raise UserError(
            f"its vocabulary has {tokens:,} tokens, but its weights have embeddings for "
            f"{rows:,}: remove the last {tokens - rows:,} tokens, or choose the weights that "
            "were trained with them"
        )


@contextlib.contextmanager
def open_readable_folder(
    folder: Path, config: Mapping[str, Any], files: Mapping[str, Path]
) -> Iterator[Path]:
    """Context manager with a folder of the same encoder whose weights KerasHub finds.

    KerasHub expects the names of a masked language model, and the dense layer of the first token,
    the pooler, which such models lack. Where it is missing its weights are 0.

    Args:
        folder: The folder.
        config: Its config.json.
        files: The files of its weights.
    """
    family = FAMILIES[config["model_type"]]
    embeddings = find_weight(files, EMBEDDINGS) or ""
    found = embeddings.removesuffix(EMBEDDINGS)
    renames = bool(family.prefix) and not embeddings.endswith(family.prefix + EMBEDDINGS)
    lacks_pooler = bool(family.pooler) and not find_weight(files, f"{family.pooler}.weight")
    if not (renames or lacks_pooler):
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        linked = Path(name)
        (linked / CONFIG).symlink_to((folder / CONFIG).resolve())
        prefix = family.prefix if renames else found
        weight_map: dict[str, str] = {}
        for path in {*files.values()}:
            names = [x for x, file in files.items() if file == path]
            new_names = {x: prefix + x.removeprefix(found) for x in names} if renames else {}
            if renames:
                arrays = {new_names[x]: read_weight(files, x) for x in names}
                safetensors.numpy.save_file(arrays, linked / path.name)
            else:
                (linked / path.name).symlink_to(path.resolve())
            weight_map |= {new_names.get(x, x): path.name for x in names}
        if lacks_pooler:
            width = config["hidden_size"]
            pooler = {
                f"{prefix}{family.pooler}.weight": np.zeros((width, width), "float32"),
                f"{prefix}{family.pooler}.bias": np.zeros(width, "float32"),
            }
            safetensors.numpy.save_file(pooler, linked / "pooler.safetensors")
            weight_map |= dict.fromkeys(pooler, "pooler.safetensors")
        (linked / WEIGHTS_INDEX).write_text(json.dumps({"weight_map": weight_map}))
        yield linked
