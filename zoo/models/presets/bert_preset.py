"""Reads pretrained BERTs: KerasHub presets by name, folders of KerasHub and of Hugging Face."""

import os
from pathlib import Path

from etils import epy

from zoo.errors import UserError
from zoo.models.presets.preset_errors import explain_preset_errors
from zoo.models.presets.text_folder import CONFIG, find_hugging_face, read_folder_config
from zoo.models.presets.text_preset import (
    load_hugging_face,
    match_config,
    read_vocabulary,
)

with epy.lazy_imports():
    import keras
    import keras_hub

_EXPECTED = (
    "a BERT preset of KerasHub such as bert_tiny_en_uncased, which is downloaded, or a folder that "
    "KerasHub saved or that contains config.json, vocab.txt and model.safetensors"
)


def load_bert(preset: str, needs_pooler: bool) -> "tuple[keras.Model, int, int]":
    """Loads the encoder of a preset.

    Args:
        preset: Name of a KerasHub preset, or a folder of KerasHub or Hugging Face.
        needs_pooler: Whether the dense layer of [CLS] is used. If it is not, the weights may lack
            it, as those of masked language models do; it is zero then.

    Returns:
        The encoder, from the inputs to the outputs of KerasHub's BertBackbone by name; the id of
        [SEP] in its vocabulary; and the number of its positions.

    Raises:
        UserError: if the preset cannot be loaded or is not a BERT.
    """
    with explain_preset_errors(preset, "a BERT", _EXPECTED):
        _check_is_bert(Path(os.path.expanduser(preset)))
    # first, since it tells what a folder lacks before the weights are loaded
    vocabulary = read_vocabulary(preset)
    with explain_preset_errors(preset, "a BERT", _EXPECTED):
        if vocabulary.kind != "wordpiece":
            raise UserError("its tokens are no wordpieces: use --model=text_encoder")
        if vocabulary.pad_id:
            raise UserError(
                f"its vocabulary has [PAD] at id {vocabulary.pad_id}; expected id 0, or "
                "--model=text_encoder"
            )
        folder = find_hugging_face(preset)
        if folder is None:
            backbone = keras_hub.models.BertBackbone.from_preset(os.path.expanduser(preset))
        else:
            backbone, has_pooler = load_hugging_face(folder, len(vocabulary.tokens))
            if needs_pooler and not has_pooler:
                raise UserError(
                    "its weights have no pooler, the dense layer of [CLS]: pass "
                    "--hparam=pooling=mean"
                )
        encoder = keras.Model(backbone.input, backbone.output)
        if folder:
            encoder = match_config(encoder, read_folder_config(folder))
    return encoder, vocabulary.tokens.index("[SEP]"), backbone.max_sequence_length


def _check_is_bert(folder: Path) -> None:
    """Raises a UserError if a folder has another encoder."""
    if not folder.is_dir():
        return
    config = read_folder_config(folder)
    encoder = config.get("model_type") or config.get("class_name")
    if encoder not in ("bert", "BertBackbone"):
        raise UserError(
            f"{CONFIG} describes a {encoder!r:.50} model, but --model=bert only reads BERT: use "
            "--model=text_encoder"
        )
