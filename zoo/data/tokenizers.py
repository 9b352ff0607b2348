"""Learns tokenizers from texts, reads them from presets, and saves and loads them."""

import collections
import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Split
from zoo.data.text_encoding import (
    BATCH_SIZE,
    RESERVED_TOKENS,
    iterate_texts,
    make_encoder,
    split_columns,
    split_texts,
)
from zoo.errors import UserError
from zoo.models.bert import explain_preset_errors
from zoo.schema import Count, check_value
from zoo.storage.atomic import write_text
from zoo.storage.filenames import TOKENIZER
from zoo.storage.json_files import read_json

_BERT_RESERVED_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BERT_POSITIONS = 512  # maximum length of the published models
_WORDPIECE_SAMPLE = 5_120  # training texts for a wordpiece vocabulary, 30 s of computation
_FIELDS = {
    "kind": Literal["words", "characters", "wordpiece"],
    "vocabulary": tuple[str, ...],
    "length": Count,
    "lowercase": bool,
}
_INVALID_FILE = "not a tokenizer written by the zoo"


def learn_tokenizer(
    train: Split, kind: str, *, vocabulary_size: int, length: int | None
) -> Tokenizer:
    """Learns a tokenizer from training texts.

    Args:
        train: Split of texts, not tokenized yet.
        kind: "words", "characters" or "wordpiece".
        vocabulary_size: Maximum number of tokens, including the reserved ones. The most frequent
            tokens are kept. A wordpiece vocabulary is computed from the first 5,120 texts.
        length: Maximum number of tokens per example; None for the 95th percentile of the training
            texts, as in `choose_length`.

    Raises:
        UserError: if no training text has a word.
    """
    if not any(
        len(split_texts(batch.ravel(), "words", False).values) for batch in iterate_texts(train)
    ):
        raise UserError("the training texts are empty: there is nothing to learn from")
    if kind == "wordpiece":
        import keras_hub

        sample = itertools.islice(iterate_texts(train), _WORDPIECE_SAMPLE // BATCH_SIZE)
        vocabulary = keras_hub.tokenizers.compute_word_piece_vocabulary(
            tf.data.Dataset.from_tensor_slices(np.concatenate([batch.ravel() for batch in sample])),
            vocabulary_size,
            lowercase=True,
            strip_accents=True,
            reserved_tokens=list(_BERT_RESERVED_TOKENS),
        )
        return choose_length(Tokenizer(kind, tuple(vocabulary), 0), train, length)
    counts: collections.Counter[bytes] = collections.Counter()
    for batch in iterate_texts(train):
        counts.update(split_texts(batch.ravel(), kind, lowercase=True).values.numpy().tolist())
    # ties in alphabetical order, so that the order of the examples does not matter
    by_frequency = sorted(counts, key=lambda token: (-counts[token], token))
    kept = [token.decode() for token in by_frequency[: vocabulary_size - len(RESERVED_TOKENS)]]
    return choose_length(Tokenizer(kind, (*RESERVED_TOKENS, *kept), 0), train, length)


def read_preset_tokenizer(preset: str, train: Split, length: int | None) -> Tokenizer:
    """Loads the tokenizer of a pretrained BERT.

    Args:
        preset: Name or folder of a preset, as in `zoo.get("bert", preset=...)`.
        train: Split of texts, not tokenized yet.
        length: Maximum number of tokens per example, as in `choose_length`.

    Raises:
        UserError: if the preset cannot be loaded or is not a BERT.
    """
    import keras_hub

    with explain_preset_errors(preset):
        layer = keras_hub.models.BertTokenizer.from_preset(preset)
    tokenizer = Tokenizer("wordpiece", tuple(layer.get_vocabulary()), 0, layer.lowercase)
    return choose_length(tokenizer, train, length)


def choose_length(tokenizer: Tokenizer, train: Split, length: int | None) -> Tokenizer:
    """Returns the tokenizer with its length set.

    Args:
        tokenizer: Tokenizer of any length.
        train: Split of texts, not tokenized yet.
        length: Maximum number of tokens per example. None for the 95th percentile of the training
            texts, rounded up to a multiple of 8 and, for wordpieces, at most 512.
    """
    if length is None:
        encode, _ = make_encoder(dataclasses.replace(tokenizer, length=2**30))
        lengths = [
            np.count_nonzero(encode(*split_columns(batch)), axis=1)
            for batch in iterate_texts(train, "counting tokens")
        ]
        length = 8 * math.ceil(np.percentile(np.concatenate(lengths), 95) / 8)
        if tokenizer.kind == "wordpiece":
            length = min(length, _BERT_POSITIONS)
    return dataclasses.replace(tokenizer, length=length)


def save_tokenizer(spec: Spec, directory: Path) -> None:
    """Writes `directory`/tokenizer.json if the spec has a tokenizer."""
    if spec.tokenizer is None:
        return
    content = json.dumps(
        dataclasses.asdict(spec.tokenizer), ensure_ascii=False, separators=(",", ":")
    )
    write_text(directory / TOKENIZER, content + "\n")


def read_tokenizer(file: Path) -> Tokenizer:
    """Reads a file written by `save_tokenizer`.

    Raises:
        UserError: if the content is invalid.
    """
    try:
        content = read_json(file)
        tokenizer = Tokenizer(
            **{name: check_value(name, content[name], kind) for name, kind in _FIELDS.items()}
        )
        if (
            tokenizer.kind != "wordpiece"
            and tokenizer.vocabulary[: len(RESERVED_TOKENS)] != RESERVED_TOKENS
        ):
            raise UserError(f"vocabulary: expected {', '.join(map(repr, RESERVED_TOKENS))} first")
        if len(set(tokenizer.vocabulary)) < len(tokenizer.vocabulary):
            raise UserError("vocabulary: a token occurs twice")
        "".join(tokenizer.vocabulary).encode()  # raises for lone surrogates
    except KeyError as error:
        raise UserError(f"{file}: {_INVALID_FILE}: {error} is missing") from error
    except ValueError as error:
        raise UserError(f"{file}: {_INVALID_FILE}: {error}") from error
    return tokenizer
