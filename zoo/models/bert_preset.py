"""Reads pretrained BERTs: KerasHub presets by name, folders of KerasHub and of Hugging Face."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy

from zoo.errors import UserError
from zoo.models.preset_errors import explain_preset_errors
from zoo.schema import check_value
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import keras
    import keras_hub
    import safetensors
    import safetensors.numpy

_CONFIG, _VOCABULARY, _TOKENIZER = "config.json", "vocab.txt", "tokenizer.json"
_WEIGHTS = "model.safetensors"
_WEIGHTS_INDEX = f"{_WEIGHTS}.index.json"  # of weights in several files
_EMBEDDINGS = "embeddings.word_embeddings.weight"
_POOLER = "pooler.dense.weight"
_ACTIVATIONS = ("gelu", "gelu_python")  # the exact GELU, as KerasHub computes it
_OTHER_TOKENIZERS = ("Japanese", "Roberta", "MPNet")  # in the names of their classes
_EXPECTED = (
    "a BERT preset of KerasHub such as bert_tiny_en_uncased, which is downloaded, or a folder that "
    "KerasHub saved or that contains config.json, vocab.txt and model.safetensors"
)


@dataclasses.dataclass(frozen=True)
class PresetVocabulary:
    """The wordpieces of a pretrained BERT, and how texts are normalised before they are split.

    Attributes:
        tokens: The tokens in the order of their ids.
        lowercase: Whether texts are lowercased.
        strip_accents: Whether accents are removed; None for the value of `lowercase`.
        split_chinese: Whether each Chinese character is a word.
        note: What was decided because the preset does not say it; otherwise empty.
    """

    tokens: tuple[str, ...]
    lowercase: bool
    strip_accents: bool | None = None
    split_chinese: bool = True
    note: str = ""


def load_backbone(preset: str, needs_pooler: bool) -> "keras.Model":
    """Loads the encoder of a preset.

    Args:
        preset: Name of a KerasHub preset, or a folder of KerasHub or Hugging Face.
        needs_pooler: Whether the dense layer of [CLS] is used. If it is not, the weights may lack
            it, as those of masked language models do; it is zero then.

    Raises:
        UserError: if the preset cannot be loaded or is not a BERT.
    """
    folder = Path(os.path.expanduser(preset))
    with explain_preset_errors(preset, "a BERT", _EXPECTED), contextlib.ExitStack() as stack:
        if not (folder.is_dir() and _is_hugging_face(_check_folder(folder))):
            return keras_hub.models.BertBackbone.from_preset(_expand(preset))
        files = _list_weights(folder)
        _check_vocabulary_size(folder, files)
        if not any(name.endswith(_POOLER) for name in files):
            if needs_pooler:
                raise UserError(
                    "its weights have no pooler, the dense layer of [CLS]: pass "
                    "--hparam=pooling=mean"
                )
            folder = stack.enter_context(_add_empty_pooler(folder, files))
        return keras_hub.models.BertBackbone.from_preset(str(folder))


def read_vocabulary(preset: str) -> PresetVocabulary:
    """Reads the vocabulary of a preset.

    Args:
        preset: As in `load_backbone`.

    Raises:
        UserError: if the preset cannot be read, is not a BERT, or its vocabulary lacks a reserved
            token, has a token twice, or another token than [PAD] at id 0.
    """
    folder = Path(os.path.expanduser(preset))
    with explain_preset_errors(preset, "a BERT", _EXPECTED):
        if folder.is_dir() and _is_hugging_face(_check_folder(folder)):
            vocabulary = _read_hugging_face_vocabulary(folder)
        else:
            layer = keras_hub.models.BertTokenizer.from_preset(_expand(preset))
            vocabulary = PresetVocabulary(tuple(layer.get_vocabulary()), layer.lowercase)
        _check_tokens(vocabulary.tokens)
    return vocabulary


def _expand(preset: str) -> str:
    """Returns the path of a folder with the home folder in place of ~, or the name of a preset."""
    return os.path.expanduser(preset)


def _is_hugging_face(config: dict[str, Any]) -> bool:
    return "model_type" in config


def _check_folder(folder: Path) -> dict[str, Any]:
    """Returns config.json of a folder, after checking that it is of a BERT and has weights."""
    names = {path.name for path in folder.iterdir()}
    if _CONFIG not in names:
        raise UserError(f"the folder has no {_CONFIG}")
    config = read_json(folder / _CONFIG)
    encoder = config.get("model_type") or config.get("class_name")
    if encoder not in ("bert", "BertBackbone"):
        raise UserError(f"{_CONFIG} describes a {encoder!r:.50} model, but only BERT can be read")
    if not _is_hugging_face(config):
        return config
    if not names & {_WEIGHTS, _WEIGHTS_INDEX}:
        others = [x for x in sorted(names) if x.endswith((".bin", ".h5", ".msgpack", ".pt"))]
        advice = " (save_pretrained of a current version of transformers writes it)"
        raise UserError(
            f"the folder has no {_WEIGHTS}" + (f", only {others[0]}{advice}" if others else "")
        )
    # KerasHub ignores these two
    activation = config.get("hidden_act", "gelu")
    positions = config.get("position_embedding_type", "absolute")
    if activation not in _ACTIVATIONS or positions != "absolute":
        raise UserError(
            f"{_CONFIG} has hidden_act={activation!r:.50} and position_embedding_type="
            f"{positions!r:.50}, but only 'gelu' and 'absolute' can be read"
        )
    return config


def _read_hugging_face_vocabulary(folder: Path) -> PresetVocabulary:
    """Reads vocab.txt and tokenizer_config.json; tokenizer.json where one of them is missing."""
    file, settings_file = folder / _VOCABULARY, folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.is_file() else {}
    tokenizer_class = str(settings.get("tokenizer_class"))
    if any(name in tokenizer_class for name in _OTHER_TOKENIZERS):
        raise UserError(f"its tokenizer is a {tokenizer_class:.50}, but only BERT's can be read")
    fast: dict[str, Any] = {}
    if (folder / _TOKENIZER).is_file() and not (file.is_file() and "do_lower_case" in settings):
        fast = read_json(folder / _TOKENIZER)
    if file.is_file():
        lines = file.read_text(encoding="utf-8").rstrip("\r\n").split("\n")
        tokens = tuple(line.rstrip("\r") for line in lines)
    elif fast:
        tokens = _read_fast_tokens(fast)
    else:
        raise UserError(f"the folder has no {_VOCABULARY}")
    normalizer = fast.get("normalizer") or {}
    values = {
        "lowercase": settings.get("do_lower_case", normalizer.get("lowercase")),
        "strip_accents": settings.get("strip_accents", normalizer.get("strip_accents")),
        "split_chinese": settings.get(
            "tokenize_chinese_chars", normalizer.get("handle_chinese_chars", True)
        ),
    }
    note = ""
    if values["lowercase"] is None:
        capital = next((x for x in tokens if x != x.lower() and not x.startswith("[")), None)
        values["lowercase"] = capital is None
        reason = f"has {capital!r}" if capital else "has no capital letters"
        kept = "kept as they are" if capital else "lowercased"
        note = f"{folder} has no {settings_file.name} with do_lower_case: texts are {kept}, since "
        note += f"the vocabulary {reason}"
    types = {"lowercase": bool, "strip_accents": bool | None, "split_chinese": bool}
    checked = {name: check_value(name, values[name], kind) for name, kind in types.items()}
    return PresetVocabulary(tokens, note=note, **checked)


def _read_fast_tokens(fast: dict[str, Any]) -> tuple[str, ...]:
    """Returns the vocabulary in the content of a tokenizer.json of Hugging Face."""
    model = fast.get("model")
    ids = None
    if isinstance(model, dict) and model.get("type", "WordPiece") == "WordPiece":
        ids = model.get("vocab")
    if not isinstance(ids, dict) or sorted(ids.values()) != list(range(len(ids))):
        raise UserError(f"the folder has no {_VOCABULARY}, and {_TOKENIZER} has no wordpieces")
    return tuple(sorted(ids, key=ids.__getitem__))


def _check_tokens(tokens: tuple[str, ...]) -> None:
    """Checks that the reserved tokens are there, [PAD] at id 0, and that no token is twice."""
    missing = [x for x in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if x not in tokens]
    if missing:
        raise UserError(f"its vocabulary has no {', '.join(missing)}")
    if tokens[0] != "[PAD]":
        raise UserError(f"its vocabulary has [PAD] at id {tokens.index('[PAD]')}; expected id 0")
    if len(set(tokens)) < len(tokens):
        seen: set[str] = set()
        twice = next(x for x in tokens if x in seen or seen.add(x))  # type: ignore[func-returns-value]
        raise UserError(f"its vocabulary has the token {twice!r:.50} twice")


def _list_weights(folder: Path) -> dict[str, Path]:
    """Returns the file of each array of the weights."""
    if (folder / _WEIGHTS_INDEX).is_file():
        weight_map = read_json(folder / _WEIGHTS_INDEX)["weight_map"]
        return {name: folder / file for name, file in weight_map.items()}
    with safetensors.safe_open(folder / _WEIGHTS, framework="np") as arrays:
        return dict.fromkeys(arrays.keys(), folder / _WEIGHTS)


def _find_embeddings(files: dict[str, Path]) -> str:
    """Returns the name of the token embeddings among the names of the weights."""
    name = next((name for name in files if name.endswith(_EMBEDDINGS)), None)
    if name is None:
        raise UserError(f"its weights have no {_EMBEDDINGS}")
    return name


def _check_vocabulary_size(folder: Path, files: dict[str, Path]) -> None:
    """Checks that each token of the vocabulary has an embedding."""
    name = _find_embeddings(files)
    with safetensors.safe_open(files[name], framework="np") as arrays:
        rows = arrays.get_slice(name).get_shape()[0]
    tokens = _read_hugging_face_vocabulary(folder).tokens
    if len(tokens) > rows:
        raise UserError(
            f"its vocabulary has {len(tokens):,} tokens, but its weights have embeddings for "
            f"{rows:,}: remove the last {len(tokens) - rows:,} tokens, or choose the weights that "
            "were trained with them"
        )


@contextlib.contextmanager
def _add_empty_pooler(folder: Path, files: dict[str, Path]) -> Iterator[Path]:
    """Context manager with a folder of links to the weights and of a pooler whose weights are 0."""
    embeddings = _find_embeddings(files)
    prefix = embeddings.removesuffix(_EMBEDDINGS)
    width = read_json(folder / _CONFIG)["hidden_size"]
    kernel, bias = np.zeros((width, width), "float32"), np.zeros(width, "float32")
    pooler = {prefix + _POOLER: kernel, prefix + "pooler.dense.bias": bias}
    with tempfile.TemporaryDirectory() as name:
        linked = Path(name)
        for path in {folder / _CONFIG, *files.values()}:
            (linked / path.name).symlink_to(path.resolve())
        safetensors.numpy.save_file(pooler, linked / "pooler.safetensors")
        weight_map = {name: path.name for name, path in files.items()}
        weight_map |= dict.fromkeys(pooler, "pooler.safetensors")
        (linked / _WEIGHTS_INDEX).write_text(json.dumps({"weight_map": weight_map}))
        yield linked
