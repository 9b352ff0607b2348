"""Splits and encodes arrays of texts as `zoo.data.text_encoding` does, many times as fast.

Most texts are plain, and are split by `zoo.data.plain_texts`; wordpieces are looked up once for
each distinct word. TensorFlow splits and encodes the other texts.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.mapped_files import allocate_array
from zoo.data.plain_texts import (
    has_plain_words,
    make_plain_table,
    separate_plain_parts,
    split_plain_part,
)
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split, Stream, disable_autotuning
from zoo.data.targets import make_empty_targets
from zoo.data.text_encoding import (
    BATCH_SIZE,
    NO_PAIRS,
    frame_ids,
    iterate_texts,
    make_encoder,
    make_lookup,
    pad_tokens,
    split_columns,
    split_texts,
)
from zoo.data.tokenizer_settings import SUBWORD_KINDS, Tokenizer
from zoo.errors import UserError

_UNKNOWN_ID = 1
_PARALLEL_CALLS = 2
_MOST_WORDS = 1_000_000  # whose pieces are kept


def split_batch(texts: np.ndarray, tokenizer: Tokenizer) -> list[list[bytes]]:
    """Returns the tokens of each text, those of `zoo.data.text_encoding.split_texts`.

    Args:
        texts: Strings of shape (n,), as str or as UTF-8 bytes.
        tokenizer: Tokenizer of kind "words", "bigrams" or "characters"; its vocabulary is not used.
    """
    rows = _split_plain_texts(texts, tokenizer)
    return _complete_rows(rows, texts, lambda others: split_texts(others, tokenizer))


def count_tokens(texts: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Returns the number of tokens of each text or pair of a batch, uncut and with its frame."""
    if tokenizer.kind in SUBWORD_KINDS:
        encode_uncut = make_batch_encoder(dataclasses.replace(tokenizer, length=2**30, window=0))
        return np.count_nonzero(encode_uncut(texts), axis=1)
    columns = split_columns(texts)
    lengths = [np.array([*map(len, split_batch(column, tokenizer))]) for column in columns]
    separators = (len(columns) - 1) * len(tokenizer.framing.separator)
    return np.maximum(sum(lengths) + separators, 1)  # an empty text is an unknown token


# cached, since tracing BERT's tokenizer takes a second
@functools.lru_cache(maxsize=8)
def make_batch_encoder(tokenizer: Tokenizer) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that encodes arrays of texts.

    It takes strings of shape (n,), or (n, 2) for pairs, and returns int32 ids of shape
    (n, longest), those of `zoo.data.text_encoding.make_encoder`.
    """
    if not has_plain_words(tokenizer):
        encode, _ = make_encoder(tokenizer)
        return lambda texts: encode(*split_columns(texts)).numpy()
    _, look_up = make_lookup(tokenizer)
    string = tf.TensorSpec((None,), tf.string)
    look_up_ids = tf.function(look_up, input_signature=[string], autograph=False)
    make_word_encoder = _encode_pieces if tokenizer.kind == "wordpiece" else _encode_words
    encode_words = make_word_encoder(tokenizer, look_up_ids)
    ragged = tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)
    frames = {
        n: tf.function(
            lambda *ids: frame_ids(ids, tokenizer), input_signature=[ragged] * n, autograph=False
        )
        for n in (1, 2)
    }

    def encode_column(texts: np.ndarray) -> tf.RaggedTensor:
        rows = encode_words(_split_plain_texts(texts, tokenizer))
        rows = _complete_rows(rows, texts, look_up_ids)
        values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
        return tf.RaggedTensor.from_row_lengths(values, np.array([*map(len, rows)], np.int64))

    def encode_batch(texts: np.ndarray) -> np.ndarray:
        columns = [encode_column(column) for column in split_columns(texts)]
        return frames[len(columns)](*columns).numpy()

    return encode_batch


def tokenize_splits(
    splits: dict[str, Split],
    spec: Spec,
    tokenizer: Tokenizer,
    budget: int | None = None,
    directory: str | None = None,
) -> tuple[dict[str, Split], Spec]:
    """Replaces the texts of the splits by token ids of shape (tokenizer.length,).

    Args:
        splits: Splits of texts.
        spec: Their spec.
        tokenizer: The tokenizer.
        budget: Largest number of bytes of the ids in memory; more are in mapped files. None for any
            number. Streams are read into memory if there is a budget that suffices.
        directory: Folder of the mapped files; None for that of temporary files.

    Returns:
        The tokenized splits and their spec.

    Raises:
        UserError: if pairs are to be divided into windows.
    """
    if tokenizer.window and spec.kind == "text_pair":
        raise UserError(NO_PAIRS)
    spec = dataclasses.replace(spec, shape=(tokenizer.length,), tokenizer=tokenizer)

    size = 4 * tokenizer.length * sum(map(len, splits.values()))
    available = size if budget is None or size <= budget else 0

    def tokenize(split: Split) -> Split:
        if isinstance(split, Stream) and budget is not None and available:
            return _encode_stream(split, spec, tokenizer)
        if isinstance(split, Arrays):
            ids = allocate_array((len(split), tokenizer.length), "int32", available, directory)
            _fill_ids(ids, split, tokenizer)
            return Arrays(ids, split.y, weights=split.weights)

        return _map_stream(split, tokenizer)

    return {name: tokenize(split) for name, split in splits.items()}, spec


def pad_rows(ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Pads token ids of shape (batch, longest) with 0 to the length of the tokenizer."""
    return np.pad(ids, ((0, 0), (0, tokenizer.length - ids.shape[1])))


def _fill_ids(ids: np.ndarray, split: Arrays, tokenizer: Tokenizer) -> None:
    """Writes the token ids of a split into an array of shape (examples, tokenizer.length)."""
    encode, start = make_batch_encoder(tokenizer), 0
    for batch in iterate_texts(split):
        ids[start : start + len(batch)] = pad_rows(encode(batch), tokenizer)
        start += len(batch)


def _map_stream(split: Stream, tokenizer: Tokenizer) -> Stream:
    """Returns a stream of token ids, which are encoded while it is read."""
    encode, _ = make_encoder(tokenizer)

    @tf.autograph.experimental.do_not_convert
    def encode_batch(texts, targets):
        return pad_tokens(encode(*split_columns(texts)), tokenizer), targets

    def read(seed, rows):
        texts = split.reader(seed, rows).batch(BATCH_SIZE)
        ids = texts.map(encode_batch, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
        return ids.unbatch()

    return dataclasses.replace(split, reader=read)


def _encode_stream(split: Stream, spec: Spec, tokenizer: Tokenizer) -> Arrays:
    """Reads all examples of a stream, and encodes their texts."""
    encode, start = make_batch_encoder(tokenizer), 0
    ids = np.empty((len(split), tokenizer.length), np.int32)
    y = make_empty_targets(spec, len(split))
    batches = disable_autotuning(split.read(None).batch(BATCH_SIZE)).as_numpy_iterator()
    with progress_bar(len(split), "reading texts") as bar:
        for texts, targets in batches:
            rows = slice(start, start + len(texts))
            ids[rows], y[rows] = pad_rows(encode(texts), tokenizer), targets
            start = rows.stop
            bar.update(len(texts))
    return Arrays(ids, y)


def _split_plain_texts(texts: np.ndarray, tokenizer: Tokenizer) -> list[list[bytes] | None]:
    """Returns the tokens of each text but those, as None, that TensorFlow has to split.

    Of wordpieces it returns words, and what is not ASCII between two blanks.
    """
    if not has_plain_words(tokenizer):
        return [None] * len(texts)
    table = make_plain_table(tokenizer)
    texts_in_parts = [separate_plain_parts(text, tokenizer) for text in texts]
    others = {other for parts in texts_in_parts if parts for other in parts[1::2]}
    if tokenizer.kind == "wordpiece" or not others:
        words_of = {other: [other] for other in others}
    else:
        settings = dataclasses.replace(tokenizer, kind="words")
        words = split_texts(tf.constant([*others]), settings).to_list()
        words_of = dict(zip(others, words, strict=True))

    def split(parts: list[bytes]) -> list[bytes]:
        words = split_plain_part(parts[0], tokenizer, table)
        for other, part in zip(parts[1::2], parts[2::2], strict=True):
            words += words_of[other]
            words += split_plain_part(part, tokenizer, table)
        return _insert_pairs(words) if tokenizer.kind == "bigrams" else words

    return [parts and split(parts) for parts in texts_in_parts]


def _insert_pairs(words: list[bytes]) -> list[bytes]:
    """Puts "word next" after each word but the last."""
    tokens = [b""] * max(2 * len(words) - 1, 0)
    tokens[::2] = words
    tokens[1::2] = [b"%b %b" % pair for pair in itertools.pairwise(words)]
    return tokens


def _encode_words(tokenizer: Tokenizer, _) -> Callable[[list], list]:
    """Returns the function from rows of tokens to rows of ids; rows may be None."""
    ids = {token.encode(): number for number, token in enumerate(tokenizer.vocabulary)}

    def encode(rows: list) -> list:
        unknown = itertools.repeat(_UNKNOWN_ID)
        return [row and [*map(ids.get, row, unknown)] for row in rows]

    return encode


def _encode_pieces(
    _, look_up_ids: Callable[[tf.Tensor], tf.RaggedTensor]
) -> Callable[[list], list]:
    """Returns the function from rows of words to rows of the ids of their pieces."""
    pieces: dict[bytes, list[int]] = {}

    def encode(rows: list) -> list:
        if len(pieces) > _MOST_WORDS:
            pieces.clear()
        words = set(itertools.chain.from_iterable(row for row in rows if row)) - pieces.keys()
        if words:
            pieces.update(zip(words, look_up_ids(tf.constant([*words])).to_list(), strict=True))
        return [
            row and [*itertools.chain.from_iterable(pieces[word] for word in row)] for row in rows
        ]

    return encode


def _complete_rows(
    rows: list, texts: np.ndarray, process: Callable[[tf.Tensor], tf.RaggedTensor]
) -> list:
    """Returns the rows, those that are None computed from their texts by a function."""
    missing = [number for number, row in enumerate(rows) if row is None]
    if not missing:
        return rows
    completed = process(tf.constant([texts[number] for number in missing], tf.string)).to_list()
    others = iter(completed)
    return [next(others) if row is None else row for row in rows]
