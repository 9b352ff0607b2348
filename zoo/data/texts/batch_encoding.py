"""Splits and encodes arrays of texts as `zoo.data.texts.text_encoding` does, many times as fast.

Most texts are plain: `zoo.data.texts.text_chunks` divides them, and each different chunk is split
and looked up once. TensorFlow splits and encodes the other texts.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from zoo.console import progress_bar
from zoo.data.mapped_files import allocate_array
from zoo.data.parallel import map_in_threads
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Split, Stream, disable_autotuning
from zoo.data.targets import make_empty_targets
from zoo.data.texts.chunk_encoding import (
    UNKNOWN_ID,
    ChunkEncoder,
    LookUp,
    flatten_rows,
    frame_rows,
    split_others,
)
from zoo.data.texts.plain_texts import (
    has_plain_words,
    make_plain_table,
    separate_plain_parts,
    split_plain_part,
)
from zoo.data.texts.text_encoding import (
    BATCH_SIZE,
    NO_PAIRS,
    frame_ids,
    iterate_texts,
    join_batches,
    make_encoder,
    make_lookup,
    pad_tokens,
    split_columns,
    split_texts,
)
from zoo.data.texts.tokenizer_settings import SUBWORD_KINDS, Tokenizer
from zoo.errors import UserError

_PARALLEL_CALLS = 2


def split_batch(texts: np.ndarray, tokenizer: Tokenizer) -> list[list[bytes]]:
    """Returns the tokens of each text, those of `zoo.data.texts.text_encoding.split_texts`.

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
    return add_frame(np.sum(lengths, axis=0), tokenizer, len(columns))


def add_frame(lengths: np.ndarray, tokenizer: Tokenizer, columns: int) -> np.ndarray:
    """Returns the numbers of tokens of texts or pairs with the separator between the two.

    Args:
        lengths: Numbers of tokens without it, int64 (n,).
        tokenizer: Tokenizer of words or characters.
        columns: 1 for texts, 2 for pairs.
    """
    separators = (columns - 1) * len(tokenizer.framing.separator)
    return np.maximum(lengths + separators, 1)  # an empty text is an unknown token


# cached, since tracing BERT's tokenizer takes a second
@functools.lru_cache(maxsize=8)
def make_batch_encoder(tokenizer: Tokenizer) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that encodes arrays of texts.

    It takes strings of shape (n,), or (n, 2) for pairs, and returns int32 ids of shape
    (n, longest), those of `zoo.data.texts.text_encoding.make_encoder`.
    """
    if not has_plain_words(tokenizer):
        encode, _ = make_encoder(tokenizer)
        return lambda texts: encode(*split_columns(texts)).numpy()

    @functools.cache
    def make_look_up() -> LookUp:  # its tables are made when a text needs them, which takes long
        _, look_up = make_lookup(tokenizer)
        string = tf.TensorSpec((None,), tf.string)
        return tf.function(look_up, input_signature=[string], autograph=False)

    def look_up_ids(texts: tf.Tensor) -> tf.RaggedTensor:
        return make_look_up()(texts)

    if tokenizer.kind == "bigrams":
        encode_column = _make_pair_encoder(tokenizer, look_up_ids)
    else:
        encode_column = ChunkEncoder(tokenizer, look_up_ids).encode
    ragged = tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)
    frames = {
        n: tf.function(
            lambda *ids: frame_ids(ids, tokenizer), input_signature=[ragged] * n, autograph=False
        )
        for n in (1, 2)
    }

    def encode_batch(texts: np.ndarray) -> np.ndarray:
        columns = [encode_column(column) for column in split_columns(texts)]
        if len(columns) == 1 and not tokenizer.window:
            return frame_rows(*columns[0], tokenizer)
        rows = [tf.RaggedTensor.from_row_lengths(*ids, validate=False) for ids in columns]
        return frames[len(rows)](*rows).numpy()

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
            _fill_ids(ids, iterate_texts(split, size=None), tokenizer)
            return Arrays(ids, split.y, weights=split.weights)

        return _map_stream(split, tokenizer)

    return {name: tokenize(split) for name, split in splits.items()}, spec


def pad_rows(ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Pads token ids of shape (batch, longest) with 0 to the length of the tokenizer."""
    return np.pad(ids, ((0, 0), (0, tokenizer.length - ids.shape[1])))


def _fill_ids(ids: np.ndarray, texts: Iterable[np.ndarray], tokenizer: Tokenizer) -> None:
    """Writes the token ids of batches of texts into an array (examples, tokenizer.length)."""
    start = 0
    for encoded in map_in_threads(make_batch_encoder(tokenizer), texts):
        rows = ids[start : start + len(encoded)]
        rows[:, : encoded.shape[1]] = encoded
        rows[:, encoded.shape[1] :] = 0
        start += len(encoded)


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
    ids = np.empty((len(split), tokenizer.length), np.int32)
    y = make_empty_targets(spec, len(split))

    def read_texts() -> Iterator[np.ndarray]:
        batches = disable_autotuning(split.read(None).batch(BATCH_SIZE)).as_numpy_iterator()
        start = 0
        with progress_bar(len(split), "reading texts") as bar:
            for texts, targets in batches:
                y[start : start + len(texts)] = targets
                start += len(texts)
                yield texts
                bar.update(len(texts))

    _fill_ids(ids, join_batches(read_texts()), tokenizer)
    return Arrays(ids, y)


def _split_plain_texts(texts: np.ndarray, tokenizer: Tokenizer) -> list[list[bytes] | None]:
    """Returns the tokens of each text but those, as None, that TensorFlow has to split."""
    if not has_plain_words(tokenizer):
        return [None] * len(texts)
    table = make_plain_table(tokenizer)
    texts_in_parts = [separate_plain_parts(text, tokenizer) for text in texts]
    others = [*{other for parts in texts_in_parts if parts for other in parts[1::2]}]
    words_of = dict(zip(others, split_others(others, tokenizer), strict=True))

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


def _make_pair_encoder(
    tokenizer: Tokenizer, look_up_ids: LookUp
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns what `ChunkEncoder.encode` is, for words and pairs of words."""
    numbers = {token.encode(): number for number, token in enumerate(tokenizer.vocabulary)}
    unknown = itertools.repeat(UNKNOWN_ID)

    def encode(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = _split_plain_texts(texts, tokenizer)
        ids: list = [row and [*map(numbers.get, row, unknown)] for row in rows]
        return flatten_rows(_complete_rows(ids, texts, look_up_ids))

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
