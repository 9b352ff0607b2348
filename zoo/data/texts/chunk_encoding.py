"""Counts and looks up the words of batches of texts, each different chunk of them once."""

import collections
import dataclasses
import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from zoo.data.texts.plain_texts import make_plain_table, split_plain_part
from zoo.data.texts.text_chunks import divide_texts
from zoo.data.texts.text_encoding import split_texts
from zoo.data.texts.tokenizer_settings import Tokenizer

LookUp: TypeAlias = Callable[[tf.Tensor], tf.RaggedTensor]

UNKNOWN_ID = 1
_MOST_CHUNKS = 1_000_000  # whose words or ids are kept


class ChunkCounter:
    """Counts the words of texts, batch by batch, in any number of threads.

    Args:
        tokenizer: Tokenizer of kind "words" with plain words.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._sizes: dict[bytes, int] = {}  # number of words of each chunk
        self._chunks: collections.Counter[bytes] = collections.Counter()
        self._others: collections.Counter[bytes] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, texts: np.ndarray) -> np.ndarray:
        """Counts the words of texts (n,), and returns their number in each, int64 (n,)."""
        chunks = divide_texts(texts, self._tokenizer)
        repeats = np.bincount(chunks.codes, minlength=len(chunks.values))
        whole = split_others(texts[chunks.is_whole], self._tokenizer)
        with self._lock:
            for chunk, count in zip(chunks.values, repeats.tolist(), strict=True):
                self._chunks[chunk] += count
            if missing := [chunk for chunk in chunks.values if chunk not in self._sizes]:
                words_of = split_chunks(missing, self._tokenizer)
                self._sizes.update(zip(missing, map(len, words_of), strict=True))
            self._others.update(itertools.chain.from_iterable(whole))
            sizes = np.fromiter(map(self._sizes.__getitem__, chunks.values), np.int64)
        lengths = _sum_texts(sizes[chunks.codes], chunks.counts)
        lengths[chunks.is_whole] = [*map(len, whole)]
        return lengths

    def count_words(self) -> dict[bytes, int]:
        """Returns how often each word occurred."""
        counts = self._others.copy()
        words_of = split_chunks([*self._chunks], self._tokenizer)
        for words, count in zip(words_of, self._chunks.values(), strict=True):
            for word in words:
                counts[word] += count
        return counts


class ChunkEncoder:
    """Encodes texts as ids, without a frame and uncut, in any number of threads.

    Args:
        tokenizer: Tokenizer of kind "words" or "wordpiece" with plain words.
        look_up_ids: Function of `zoo.data.texts.text_encoding.make_lookup`.
    """

    def __init__(self, tokenizer: Tokenizer, look_up_ids: LookUp):
        self._tokenizer, self._look_up_ids = tokenizer, look_up_ids
        self._numbers = {token.encode(): [i] for i, token in enumerate(tokenizer.vocabulary)}
        self._ids: dict[bytes, list[int]] = {}  # of each chunk
        self._lock = threading.Lock()

    def encode(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of all texts (n,), int32 (tokens,), and their number in each, int64."""
        chunks = divide_texts(texts, self._tokenizer)
        with self._lock:
            ids, counts = flatten_rows(self._find_ids(chunks.values))
        repeats = counts[chunks.codes]
        lengths = _sum_texts(repeats, chunks.counts)
        if (counts == 1).all():
            joined = ids[chunks.codes]
        else:
            starts = np.cumsum(counts) - counts
            shifts = starts[chunks.codes] - (np.cumsum(repeats) - repeats)
            joined = ids[np.repeat(shifts, repeats) + np.arange(repeats.sum())]
        if not chunks.is_whole.any():
            return joined, lengths
        whole = self._look_up_ids(tf.constant([*texts[chunks.is_whole]], tf.string)).to_list()
        values, lengths[chunks.is_whole] = flatten_rows(whole)
        is_other = np.repeat(chunks.is_whole, lengths)
        both = np.empty(len(is_other), np.int32)
        both[is_other], both[~is_other] = values, joined
        return both, lengths

    def _find_ids(self, chunks: list[bytes]) -> list[list[int]]:
        """Returns the ids of each chunk."""
        if len(self._ids) > _MOST_CHUNKS:
            self._ids.clear()
        if missing := [chunk for chunk in chunks if chunk not in self._ids]:
            words_of = split_chunks(missing, self._tokenizer)
            words = {*itertools.chain.from_iterable(words_of)}
            ids = dict(zip(words, self._look_up_words(words), strict=True))
            for chunk, parts in zip(missing, words_of, strict=True):
                self._ids[chunk] = [*itertools.chain.from_iterable(ids[word] for word in parts)]
        return [self._ids[chunk] for chunk in chunks]

    def _look_up_words(self, words: Collection[bytes]) -> Iterable[list[int]]:
        if self._tokenizer.kind == "wordpiece":
            return self._look_up_ids(tf.constant([*words], tf.string)).to_list()
        unknown = [UNKNOWN_ID]
        return [self._numbers.get(word, unknown) for word in words]


def frame_rows(ids: np.ndarray, lengths: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Does what `zoo.data.texts.text_encoding.frame_ids` does, for single texts without windows.

    Args:
        ids: The ids of all texts, int32 (tokens,).
        lengths: Their number in each text, int64 (texts,).
        tokenizer: The tokenizer.

    Returns:
        int32 (texts, longest).
    """
    start, end = tokenizer.framing.start, tokenizer.framing.end
    most = tokenizer.length - tokenizer.framing.size
    if (lengths > most).any():
        places = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        ids, lengths = ids[places < most], np.minimum(lengths, most)
    width = int(lengths.max(initial=0)) + tokenizer.framing.size
    rows = np.zeros((len(lengths), max(width, 1)), np.int32)
    columns = np.arange(rows.shape[1]) - len(start)
    rows[(columns >= 0) & (columns < lengths[:, None])] = ids
    rows[:, : len(start)] = start
    for number, token in enumerate(end):
        rows[np.arange(len(rows)), len(start) + lengths + number] = token
    rows[:, 0] = np.maximum(rows[:, 0], UNKNOWN_ID)
    return rows


def split_chunks(chunks: list[bytes], tokenizer: Tokenizer) -> list[list[bytes]]:
    """Returns the words of chunks; of wordpieces, those with other letters stay whole."""
    table = make_plain_table(tokenizer)
    others = [chunk for chunk in chunks if not chunk.isascii()]
    words_of = {other: [other] for other in others}
    if tokenizer.kind != "wordpiece":
        words_of = dict(zip(others, split_others(others, tokenizer), strict=True))
    # letters and digits, most of all chunks, are in lower case already
    return [
        [chunk]
        if chunk.isalnum()
        else split_plain_part(chunk, tokenizer, table)
        if chunk.isascii()
        else words_of[chunk]
        for chunk in chunks
    ]


def split_others(texts: Sequence[bytes], tokenizer: Tokenizer) -> list[list[bytes]]:
    """Returns the words of texts that TensorFlow splits."""
    settings = dataclasses.replace(tokenizer, kind="words")
    return split_texts(tf.constant([*texts]), settings).to_list() if len(texts) else []


def flatten_rows(rows: Sequence[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ids of all rows, int32, and their number in each row, int64."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    return np.fromiter(itertools.chain.from_iterable(rows), np.int32), lengths


def _sum_texts(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the sum of the numbers of the chunks of each text, int64 (texts,)."""
    ends = np.cumsum(counts)
    totals = np.concatenate([[0], np.cumsum(numbers)])
    return totals[ends] - totals[ends - counts]
