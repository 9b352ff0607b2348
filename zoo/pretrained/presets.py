"""Pretrained models that are used as they are, without a training: classifiers and embeddings."""

import dataclasses
import functools
from pathlib import Path

import tensorflow as tf

from zoo.data.spec import Spec, spec_to_record
from zoo.data.texts.text_encoding import NO_PAIRS
from zoo.data.texts.text_length import MOST_WINDOWS, POSITIONS
from zoo.data.texts.tokenizer_settings import (
    Tokenizer,
    count_window_tokens,
    describe_windows,
    divide_into_windows,
)
from zoo.data.texts.tokenizers import make_preset_tokenizer
from zoo.errors import UserError
from zoo.exporting.raw_inputs import make_input_encoder, make_raw_input_specs
from zoo.layers.outputs import FEATURES
from zoo.models.image_backbone import load_classifier
from zoo.models.presets.text_folder import is_text_folder
from zoo.models.presets.text_head import load_head
from zoo.models.presets.text_preset import read_positions, read_vocabulary
from zoo.models.sentence_vectors import load_sentence_encoder, read_pooling
from zoo.models.text_encoder import load_classifier as load_text_classifier
from zoo.pretrained.pretrained_model import PretrainedModel, make_pretrained_model
from zoo.training.source import Source


def open_preset(
    preset: str,
    preset_weights: str,
    *,
    reads_pairs: bool,
    long_texts: str | None,
) -> Source:
    """Opens a pretrained model with its own head, as a run is opened by its path.

    Args:
        preset: As in the model `image_backbone`, or a folder of a text classifier of Hugging Face.
        preset_weights: As in the model `image_backbone`.
        reads_pairs: Whether a text classifier reads pairs of texts.
        long_texts: As in `DataConfig`.

    Returns:
        The model with a record that has its `model`, `hyperparameters`, `spec`, `notes` on what
        was decided about it, and `has_class_names`: whether its classes have names of their own.

    Raises:
        UserError: if it cannot be read or has no head.
    """
    if is_text_folder(preset):
        return _open_text_classifier(preset, reads_pairs, long_texts)
    if long_texts or reads_pairs:
        asked = f"--long_texts={long_texts}" if long_texts else "pairs of texts"
        raise UserError(f"{asked}: {preset} is not a folder of a text classifier: omit them")
    model, class_names, note = load_classifier(preset, preset_weights)
    spec = Spec("image", tuple(model.input["image"].shape[1:]), class_names, resize="crop")
    hparams = {"preset": preset, "preset_weights": preset_weights}
    record = {
        "model": "image_backbone",
        "hyperparameters": {name: value for name, value in hparams.items() if value},
        "spec": spec_to_record(spec),
        "notes": [note] if note else [],
        "has_class_names": class_names != tuple(map(str, range(len(class_names)))),
    }
    return Source(Path(preset), lambda: model, record, None)


def _open_text_classifier(preset: str, reads_pairs: bool, long_texts: str | None) -> Source:
    """Opens a classifier or a regression of Hugging Face."""
    head = load_head(preset)
    tokenizer, notes = _make_tokenizer(preset, read_positions(preset), reads_pairs, long_texts)
    spec = _describe_texts(tokenizer, reads_pairs, head.class_names)
    spec = dataclasses.replace(spec, multilabel=head.multilabel)
    record = {
        "model": "text_encoder",
        "hyperparameters": {"preset": preset, "pooling": "first"},
        "spec": spec_to_record(spec),
        "notes": notes,
        "has_class_names": head.has_own_names,
    }
    load = functools.partial(load_text_classifier, preset, tokenizer.window or None)
    return Source(Path(preset), load, record, spec.tokenizer)


def load_preset_classifier(
    preset: str,
    preset_weights: str = "",
    *,
    reads_pairs: bool = False,
    long_texts: str | None = None,
) -> PretrainedModel:
    """Loads the model that `open_preset` opens, with the same arguments, to predict with it."""
    source = open_preset(preset, preset_weights, reads_pairs=reads_pairs, long_texts=long_texts)
    return make_pretrained_model(source.model, source.spec, source.record)


def load_text_embedder(
    preset: str, *, reads_pairs: bool = False, long_texts: str | None = None
) -> PretrainedModel:
    """Loads a text encoder that gives a vector for each text, without a head.

    Args:
        preset: As in the model `text_encoder`.
        reads_pairs: Whether it reads pairs of texts.
        long_texts: As in `DataConfig`.

    Returns:
        A model with the signature `features` only: the vectors, float32 (batch, width).

    Raises:
        UserError: if it cannot be loaded, or makes vectors in a way that the zoo does not.
    """
    pooling = read_pooling(preset)
    positions, longest = read_positions(preset), pooling.length
    length = min(positions, longest) if positions and longest else positions or longest
    tokenizer, notes = _make_tokenizer(preset, length, reads_pairs, long_texts)
    model = load_sentence_encoder(preset, pooling, tokenizer.window or None)
    spec = _describe_texts(tokenizer, reads_pairs, None)
    raw_specs = make_raw_input_specs(spec)
    encode, _ = make_input_encoder(spec)
    graph = tf.function(
        lambda texts: model(encode(texts), training=False),
        input_signature=[raw_specs],
        autograph=False,
    )
    return PretrainedModel(
        model, spec, {"notes": [pooling.note, *notes]}, {FEATURES: (graph, raw_specs)}
    )


def _make_tokenizer(
    preset: str, length: int | None, reads_pairs: bool, long_texts: str | None
) -> tuple[Tokenizer, list[str]]:
    """Returns the tokenizer of a text encoder, and notes on what it does with texts.

    Args:
        preset: The encoder.
        length: Number of tokens that it has positions for; None for any number.
        reads_pairs: Whether it reads pairs of texts.
        long_texts: As in `DataConfig`.

    Raises:
        UserError: if pairs are to be divided into windows.
    """
    vocabulary, window = read_vocabulary(preset), length or POSITIONS
    tokenizer = dataclasses.replace(make_preset_tokenizer(vocabulary), length=window)
    notes = [vocabulary.note]
    longest = window
    if long_texts == "windows":
        if reads_pairs:
            raise UserError(NO_PAIRS)
        longest = count_window_tokens(tokenizer, window, MOST_WINDOWS)
        tokenizer = divide_into_windows(tokenizer, window, longest)
        notes.append(describe_windows(tokenizer))
    notes.append(f"texts of more than {longest:,} tokens lose their end")
    return tokenizer, [note for note in notes if note]


def _describe_texts(
    tokenizer: Tokenizer, reads_pairs: bool, class_names: tuple[str, ...] | None
) -> Spec:
    """Returns the spec of the texts that a preset reads."""
    kind = "text_pair" if reads_pairs else "text"
    return Spec(kind, (tokenizer.length,), class_names, tokenizer=tokenizer)
