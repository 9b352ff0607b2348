"""Learns tokenizers from texts, reads them from presets, and saves and loads them."""

import base64
import collections
import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.data.parallel import map_in_threads
from zoo.data.spec import Spec
from zoo.data.splits import Split
from zoo.data.texts.batch_encoding import split_batch
from zoo.data.texts.chunk_encoding import ChunkCounter
from zoo.data.texts.text_encoding import BATCH_SIZE, iterate_texts
from zoo.data.texts.text_normalization import normalize_for_bert
from zoo.data.texts.tokenizer_settings import (
    NORMALIZATIONS,
    RESERVED_TOKENS,
    Tokenizer,
    tokenizer_from_record,
    tokenizer_to_record,
)
from zoo.errors import UserError
from zoo.models.presets.preset_vocabulary import PresetVocabulary
from zoo.storage.atomic import write_text
from zoo.storage.filenames import TOKENIZER
from zoo.storage.json_files import read_json

_BERT_RESERVED_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDPIECE_SAMPLE = 5_120  # training texts for a wordpiece vocabulary, 30 s of computation
_EMPTY = "the training texts are empty: there is nothing to learn from"
_INVALID_FILE = "not a tokenizer written by the zoo"


def learn_tokenizer(
    train: Split,
    kind: str,
    *,
    vocabulary_size: int,
    lowercase: bool = True,
    punctuation: bool = False,
) -> tuple[Tokenizer, np.ndarray | None]:
    """Learns a tokenizer from training texts, and counts their tokens on the way.

    Args:
        train: Split of texts, not tokenized yet.
        kind: "words", "bigrams", "characters" or "wordpiece".
        vocabulary_size: Maximum number of tokens, including the reserved ones. The most frequent
            tokens are kept. A wordpiece vocabulary is computed from the first 5,120 texts.
        lowercase: Whether texts are lowercased; wordpieces then have no accents either.
        punctuation: Whether punctuation marks are words too.

    Returns:
        The tokenizer, whose length is 0; and the number of tokens of each text or pair, uncut and
        without a frame, int64 (n,), or None where it is not known yet.

    Raises:
        UserError: if the training texts are empty.
    """
    lengths = None
    settings = Tokenizer(kind, (), 0, lowercase, NORMALIZATIONS[kind], punctuation)
    if kind == "wordpiece":
        tokens = _learn_wordpieces(train, settings, vocabulary_size)
    else:
        tokens, lengths = _find_frequent_tokens(train, settings, vocabulary_size)
    return dataclasses.replace(settings, vocabulary=tuple(tokens)), lengths


def make_preset_tokenizer(preset: PresetVocabulary) -> Tokenizer:
    """Returns the tokenizer of a pretrained encoder; its length is 0.

    The ids of the zoo have padding at 0. Where an encoder has another token there, the two are
    exchanged, as the rows of its embeddings are (`zoo.models.presets.text_preset`).
    """
    tokens = list(preset.tokens)
    tokens[0], tokens[preset.pad_id] = tokens[preset.pad_id], tokens[0]
    return Tokenizer(
        preset.kind,
        tuple(tokens),
        0,
        preset.lowercase,
        NORMALIZATIONS[preset.kind] if preset.is_normalized else "",
        strip_accents=preset.strip_accents,
        split_chinese=preset.split_chinese,
        merges=preset.merges,
        model=base64.b64encode(preset.model).decode(),
        prefix_space=preset.prefix_space,
    )


def _find_frequent_tokens(
    train: Split, settings: Tokenizer, vocabulary_size: int
) -> tuple[list[str], np.ndarray | None]:
    """Returns the reserved and the most frequent other tokens, and how many each text has."""
    counts: Mapping[bytes, int]
    lengths = None
    if settings.kind == "words":
        counter = ChunkCounter(settings)

        def count_batch(texts: np.ndarray) -> np.ndarray:
            return counter.add(texts.ravel()).reshape(len(texts), -1).sum(axis=1)

        counted = map_in_threads(count_batch, iterate_texts(train, size=None))
        lengths = np.concatenate([np.zeros(0, int), *counted])
        counts = counter.count_words()
    else:
        counts = collections.Counter()
        for batch in iterate_texts(train):
            counts.update(itertools.chain.from_iterable(split_batch(batch.ravel(), settings)))
    if not counts:
        raise UserError(_EMPTY)
    # ties in alphabetical order, so that the order of the examples does not matter
    by_frequency = sorted(counts, key=lambda token: (-counts[token], token))
    kept = by_frequency[: vocabulary_size - len(RESERVED_TOKENS)]
    return [*RESERVED_TOKENS, *(token.decode() for token in kept)], lengths


def _learn_wordpieces(train: Split, settings: Tokenizer, vocabulary_size: int) -> list[str]:
    """Computes a wordpiece vocabulary of the first texts."""
    import keras_hub

    sample = itertools.islice(iterate_texts(train), _WORDPIECE_SAMPLE // BATCH_SIZE)
    texts = tf.constant(np.concatenate([batch.ravel() for batch in sample]))
    texts = normalize_for_bert(texts, settings.lowercase, strip_accents=settings.lowercase)
    if not tf.reduce_any(tf.strings.regex_full_match(texts, r"(?s).*\S.*")):
        raise UserError(_EMPTY)
    return keras_hub.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(texts),
        vocabulary_size,
        lowercase=False,
        strip_accents=False,
        reserved_tokens=list(_BERT_RESERVED_TOKENS),
    )


def save_tokenizer(spec: Spec, directory: Path) -> None:
    """Writes `directory`/tokenizer.json if the spec has a tokenizer."""
    if spec.tokenizer is None:
        return
    content = json.dumps(
        tokenizer_to_record(spec.tokenizer), ensure_ascii=False, separators=(",", ":")
    )
    write_text(directory / TOKENIZER, content + "\n")


def check_saved_tokenizer(spec: Spec, directory: Path) -> None:
    """Checks that a training that goes on has the token ids it began with.

    Args:
        spec: Spec of the data.
        directory: Folder of the run.

    Raises:
        UserError: if `directory`/tokenizer.json is another tokenizer than that of the spec.
    """
    file = directory / TOKENIZER
    if spec.tokenizer and file.is_file() and read_tokenizer(file) != spec.tokenizer:
        raise UserError(
            f"{directory}: the run was started with another {TOKENIZER} than the training texts "
            "give now, since the texts or the version of the zoo have changed: start over with "
            "--overwrite, or choose another folder with --run_dir"
        )


def read_tokenizer(file: Path) -> Tokenizer:
    """Reads a file written by `save_tokenizer`.

    Raises:
        UserError: if the content is invalid.
    """
    try:
        return tokenizer_from_record(read_json(file))
    except UserError as error:
        reason = str(error).removeprefix(f"{file}: ")
        raise UserError(f"{file}: {_INVALID_FILE}: {reason}") from error
