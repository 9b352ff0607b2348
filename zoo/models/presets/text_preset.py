"""Reads pretrained text encoders: presets and folders of KerasHub, folders of Hugging Face."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epy

from zoo.errors import UserError
from zoo.models.presets.preset_errors import explain_preset_errors
from zoo.models.presets.preset_vocabulary import PresetVocabulary, check_vocabulary
from zoo.models.presets.text_folder import (
    ACTIVATIONS,
    FAMILIES,
    check_vocabulary_size,
    find_hugging_face,
    find_weight,
    list_weights,
    open_readable_folder,
    read_folder_config,
    read_weight,
)
from zoo.schema import Count, check_value
from zoo.storage.filenames import TOKENIZER
from zoo.storage.json_files import read_json

with epy.lazy_imports():
    import keras
    import keras_hub
    import numpy as np

    from zoo.models.presets import text_head, tokenizer_files

# names of layers in a saved model: the encoder, and the dense layer of the first token
ENCODER, POOLER = "encoder", "pooler"
_EXPECTED = (
    "a preset of KerasHub such as roberta_base_en, which is downloaded, or a folder that KerasHub "
    "saved or that contains config.json, model.safetensors and the files of a tokenizer"
)
_KIND = "a text encoder"
_HUB = "hf://"  # of presets that KerasHub downloads from Hugging Face
_CLASSES = ("Bert", "DistilBert", "Roberta", "XLMRoberta", "Albert", "DebertaV3", "Electra")
_TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
_SEPARATORS = ("[SEP]", "</s>")
_EPSILON = 1e-12  # of Hugging Face's encoders whose config.json has none


@dataclasses.dataclass(frozen=True)
class TextPreset:
    """A pretrained text encoder.

    Attributes:
        encoder: The model from {"token_ids", "padding_mask"} and, in some, "segment_ids", int32
            (batch, length), to vectors of the tokens, (batch, length, width). Id 0 is padding.
        separator_id: Id of the token between two texts.
        positions: Most tokens of a text; None for any number.
        pooler: Kernel, float32 (width, width), and bias, float32 (width,), of the dense layer of
            its first token; None if it has none.
        activation: The activation of that layer, as Keras names it.
    """

    encoder: "keras.Model"
    separator_id: int
    positions: int | None
    pooler: "tuple[np.ndarray, np.ndarray] | None" = None
    activation: str = "tanh"


def read_vocabulary(preset: str) -> PresetVocabulary:
    """Reads the vocabulary of a pretrained text encoder.

    Args:
        preset: Name of a KerasHub preset, or a folder of KerasHub or Hugging Face.

    Raises:
        UserError: if the preset cannot be read, is not a text encoder, or its vocabulary lacks a
            reserved token or has a token twice.
    """
    with explain_preset_errors(preset, _KIND, _EXPECTED):
        folder = find_hugging_face(preset)
        if folder:
            vocabulary = tokenizer_files.read_tokenizer_files(folder, read_folder_config(folder))
        else:
            vocabulary = _read_keras_hub_vocabulary(os.path.expanduser(preset))
        check_vocabulary(vocabulary)
    return vocabulary


def load_preset(preset: str) -> TextPreset:
    """Loads a pretrained text encoder.

    Args:
        preset: Name of a KerasHub preset, a folder of KerasHub or Hugging Face, or the .keras file
            of a run.

    Raises:
        UserError: if it cannot be loaded or is not a text encoder.
    """
    with explain_preset_errors(preset, _KIND, _EXPECTED):
        file = Path(preset)
        if file.suffix == ".keras" and file.is_file():
            return _load_saved_model(file)
        if preset.startswith(_HUB):
            raise UserError(
                "KerasHub leaves out some settings of such an encoder: download config.json, "
                "model.safetensors and the files of its tokenizer into a folder, and pass that"
            )
    # first, since it tells what a folder lacks before the weights are loaded
    vocabulary = read_vocabulary(preset)
    with explain_preset_errors(preset, _KIND, _EXPECTED):
        folder = find_hugging_face(preset)
        if folder:
            backbone, has_pooler = load_hugging_face(folder, len(vocabulary.tokens))
            trained = text_head.read_pooler(folder)
        else:
            backbone = keras_hub.models.Backbone.from_preset(os.path.expanduser(preset))
            has_pooler, trained = True, None
        _check_class(backbone, "Backbone")
        _move_padding(backbone, vocabulary.pad_id)
        output, pooler = backbone.output, None
        if isinstance(output, dict):
            output = output["sequence_output"]
            pooler = backbone.pooled_dense.get_weights() if has_pooler else None
        encoder = keras.Model(backbone.input, output, name=ENCODER)
        activation = "tanh"
        if trained:  # by a classifier
            pooler, activation = trained
        if folder:
            encoder = match_config(encoder, read_folder_config(folder))
        # the exchange of padding leaves the separator where it is, since neither is one
        return TextPreset(
            encoder,
            vocabulary.tokens.index(vocabulary.separator),
            backbone.max_sequence_length,
            pooler and tuple(pooler),
            activation,
        )


def read_positions(preset: str) -> int | None:
    """Reads how many tokens a pretrained text encoder has positions for, without its weights.

    Args:
        preset: Name of a KerasHub preset, or a folder of KerasHub or Hugging Face.

    Returns:
        None if it reads any number.

    Raises:
        UserError: if the preset cannot be read.
    """
    with explain_preset_errors(preset, _KIND, _EXPECTED):
        folder = find_hugging_face(preset)
        if folder is None:
            backbone = keras_hub.models.Backbone.from_preset(
                os.path.expanduser(preset), load_weights=False
            )
            return backbone.max_sequence_length
        config = read_folder_config(folder)
        # the first positions of a RoBERTa are for padding
        reserved = config.get("pad_token_id", 1) + 1 if "roberta" in config["model_type"] else 0
        return check_value("positions", config["max_position_embeddings"] - reserved, Count)


def load_hugging_face(folder: Path, tokens: int) -> "tuple[keras.Model, bool]":
    """Loads the backbone in a folder of Hugging Face, and returns whether it has a pooler.

    It has KerasHub's own settings until `match_config` gives it those of the folder.

    Args:
        folder: The folder.
        tokens: Number of tokens in its vocabulary.

    Raises:
        UserError: if there are more tokens than embeddings.
        Exception: of any type, if KerasHub cannot read the folder.
    """
    config, files = read_folder_config(folder), list_weights(folder)
    check_vocabulary_size(files, tokens)
    pooler = FAMILIES[config["model_type"]].pooler
    with open_readable_folder(folder, config, files) as readable:
        backbone = keras_hub.models.Backbone.from_preset(str(readable))
    types = find_weight(files, _TOKEN_TYPES)
    if config["model_type"] == "roberta" and types:
        # its texts have one type, whose vector KerasHub leaves out
        positions = backbone.embeddings.position_embedding.position_embeddings
        positions.assign(positions + read_weight(files, types)[0])
    return backbone, bool(pooler and find_weight(files, f"{pooler}.weight"))


def match_config(encoder: "keras.Model", config: Mapping[str, Any]) -> "keras.Model":
    """Returns an encoder with the settings in a config.json that KerasHub does not read.

    Args:
        encoder: The encoder as KerasHub loads it.
        config: Content of the config.json of Hugging Face.

    Returns:
        The same layers with other settings, and the same weights.
    """
    epsilon = config.get("layer_norm_eps", _EPSILON)
    name = ACTIVATIONS[config.get(FAMILIES[config["model_type"]].activation, "gelu")]
    activation = keras.saving.get_registered_object(name) or keras.activations.get(name)

    def clone_layer(layer):
        settings = layer.get_config()
        if isinstance(layer, keras.layers.LayerNormalization):
            settings["epsilon"] = epsilon
        elif isinstance(layer, keras_hub.layers.TransformerEncoder):
            settings |= {"layer_norm_epsilon": epsilon, "activation": activation}
        return type(layer).from_config(settings)

    matched = keras.models.clone_model(encoder, clone_function=clone_layer)
    matched.set_weights(encoder.get_weights())
    return matched


def _read_keras_hub_vocabulary(preset: str) -> PresetVocabulary:
    """Reads the tokenizer of a KerasHub preset."""
    layer = keras_hub.tokenizers.Tokenizer.from_preset(preset)
    _check_class(layer, "Tokenizer")
    if isinstance(layer, keras_hub.tokenizers.SentencePieceTokenizer):
        return PresetVocabulary(
            tuple(layer.get_vocabulary()),
            lowercase=False,
            kind="sentencepiece",
            is_normalized=False,
            model=layer.proto,
        )
    if isinstance(layer, keras_hub.tokenizers.BytePairTokenizer):
        ids = layer.vocabulary
        merges = [merge for merge in layer.merges if merge and not merge.startswith("#version")]
        return tokenizer_files.make_byte_pairs(ids, merges, layer.add_prefix_space)
    return PresetVocabulary(tuple(layer.get_vocabulary()), layer.lowercase)


def _check_class(item: Any, kind: str) -> None:
    """Raises a UserError if a backbone or a tokenizer is not that of a text encoder."""
    name = type(item).__name__
    if name.removesuffix(kind) not in _CLASSES:
        raise UserError(
            f"it has a {name}, but of text encoders only {', '.join(_CLASSES)} can be read"
        )


def _move_padding(backbone: "keras.Model", pad_id: int) -> None:
    """Exchanges the embeddings of padding and of id 0, as the ids of the zoo's tokenizers are."""
    embeddings = backbone.token_embedding.embeddings
    rows = embeddings.numpy()
    rows[[0, pad_id]] = rows[[pad_id, 0]]
    embeddings.assign(rows)


def _load_saved_model(file: Path) -> TextPreset:
    """Loads the encoder in the .keras file of a run; its pooler is a layer of the run's model."""
    tokens = read_json(file.with_name(TOKENIZER))["vocabulary"]
    model = keras.models.load_model(file, compile=False, safe_mode=True)
    encoder = next((layer for layer in model.layers if layer.name == ENCODER), None)
    if encoder is None:
        raise UserError("the file has another model than a text_encoder")
    embeddings = [
        getattr(layer, "position_embedding", layer)
        for layer in encoder.layers
        if hasattr(layer, "position_embedding") or "position_embedding" in layer.name
    ]
    positions = min((layer.sequence_length for layer in embeddings), default=None)
    separator = next(i for i, token in enumerate(tokens) if token in _SEPARATORS)
    pooler = next((layer for layer in model.layers if layer.name == POOLER), None)
    activation = keras.activations.serialize(pooler.activation) if pooler else "tanh"
    return TextPreset(encoder, separator, positions, activation=activation)
