"""Divides batches of texts into chunks: words, as far as these can be found without a look at them.

NumPy finds the chunks of all texts at once, and Arrow the different ones, which are few: only these
are split and looked up by Python or TensorFlow.
"""

import dataclasses
import functools
import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from zoo.data.texts.plain_texts import (
    BERT_MARK,
    BLANKS,
    ENTITY,
    LINE_BREAK,
    MARK,
    NOT_BLANKS,
    make_plain_table,
)
from zoo.data.texts.tokenizer_settings import Tokenizer

_END = b"\0"  # before the first text and after each
_TAG = re.compile(b"<")
_SPACE = ord(" ")
_FIRST_OTHER = 0x80  # first byte of characters that are not ASCII


@dataclasses.dataclass(frozen=True)
class TextChunks:
    """The chunks of a batch of texts.

    Attributes:
        values: The different chunks, in no order. They are ASCII, or have no blanks.
        codes: Which of these each chunk is, int32 (chunks,), text by text.
        counts: Number of chunks of each text, int64 (texts,).
        is_whole: Which texts have to be split as a whole, and have no chunks, bool (texts,).
    """

    values: list[bytes]
    codes: np.ndarray
    counts: np.ndarray
    is_whole: np.ndarray


def divide_texts(texts: np.ndarray, tokenizer: Tokenizer) -> TextChunks:
    """Divides texts, so that each text has the words of its chunks.

    Args:
        texts: Strings of shape (n,), as str or as UTF-8 bytes.
        tokenizer: Tokenizer of kind "words" or "wordpiece" with plain words
            (`zoo.data.texts.plain_texts.has_plain_words`).
    """
    joined, is_whole = _join_texts(texts, tokenizer)
    content = np.frombuffer(joined, "uint8")
    tables = _make_tables(tokenizer)
    in_word = ~_look_up_bytes(joined, tables.is_blank)
    alone = _look_up_bytes(joined, tables.is_mark) if tables.is_mark else None
    letters: bytes | np.ndarray
    if joined.isascii():
        letters = joined.translate(tables.lowered, tables.blanks)
    else:
        in_run = _find_other_runs(content)
        in_word |= in_run
        alone = alone & ~in_run if alone is not None else None
        lowered = np.frombuffer(joined.translate(tables.lowered), "uint8")
        letters = np.where(in_run, content, lowered)[in_word]
    # between a byte and the next one, whether a chunk ends or another begins
    breaks = in_word[:-1] != in_word[1:]
    if alone is not None:
        breaks |= alone[:-1] | alone[1:]
    places = np.flatnonzero(breaks)
    starts = places[in_word[places + 1]] + 1
    stops = places[in_word[places]] + 1
    offsets = np.zeros(len(starts) + 1, "int32")
    np.cumsum(stops - starts, out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(letters)]
    chunks = pa.BinaryArray.from_buffers(pa.binary(), len(starts), buffers).dictionary_encode()
    ends = np.searchsorted(starts, _find_ends(content))
    return TextChunks(
        chunks.dictionary.to_pylist(), chunks.indices.to_numpy(), np.diff(ends), is_whole
    )


def _join_texts(texts: np.ndarray, tokenizer: Tokenizer) -> tuple[bytes, np.ndarray]:
    """Returns the texts between ends, and which are left out to be split as a whole."""
    try:
        joined = _END.decode().join(["", *texts, ""]).encode()  # much faster than one by one
    except TypeError:
        joined = _END.join([b"", *_encode_texts(texts), b""])
    is_whole = np.zeros(len(texts), bool)
    if joined.count(_END) > len(texts) + 1:
        raw = _encode_texts(texts)
        is_whole = np.array([_END in text for text in raw])
        joined = _leave_out(raw, is_whole)
    if tokenizer.kind != "wordpiece":
        # before line breaks are removed: an entity in one, such as &gt;, may end its tag
        if b"&" in joined:
            is_whole |= _find_texts(joined, ENTITY)
        if b"<" in joined:
            joined = LINE_BREAK.sub(b" ", joined)
            if b"<" in joined:
                is_whole |= _find_texts(joined, _TAG)
        if is_whole.any():
            joined = _leave_out(joined.split(_END)[1:-1], is_whole)
    return joined, is_whole


def _encode_texts(texts: np.ndarray) -> list[bytes]:
    return [text.encode() if isinstance(text, str) else text for text in texts]


def _leave_out(texts: list[bytes], is_out: np.ndarray) -> bytes:
    """Returns the texts between ends, some of them empty."""
    return _END + b"".join(
        _END if out else text + _END for text, out in zip(texts, is_out, strict=True)
    )


def _find_ends(content: np.ndarray) -> np.ndarray:
    """Returns the places of the ends, one before the first text and one after each."""
    return np.flatnonzero(content == 0)


def _find_texts(joined: bytes, pattern: re.Pattern[bytes]) -> np.ndarray:
    """Returns which texts have a pattern, a boolean mask."""
    ends = _find_ends(np.frombuffer(joined, "uint8"))
    found = np.zeros(len(ends) - 1, bool)
    places = [match.start() for match in pattern.finditer(joined)]
    found[np.searchsorted(ends, places) - 1] = True
    return found


def _find_other_runs(content: np.ndarray) -> np.ndarray:
    """Returns which bytes are between two blanks together with one that is not ASCII."""
    is_blank = np.isin(content, [_SPACE, *BLANKS, *_END])
    cuts = np.flatnonzero(is_blank)  # the first byte and the last one are among them
    runs = np.unique(np.searchsorted(cuts, np.flatnonzero(content >= _FIRST_OTHER)))
    steps = np.zeros(len(content), "int8")
    steps[cuts[runs - 1] + 1] = 1
    steps[cuts[runs]] = -1
    return np.cumsum(steps, dtype="int8").astype(bool)


def _look_up_bytes(content: bytes, table: bytes) -> np.ndarray:
    """Returns for each byte whether it is one of those set in a table of 256 bytes."""
    return np.frombuffer(content.translate(table), bool)


class _Tables(NamedTuple):
    """Tables of 256 bytes, and the blanks.

    Attributes:
        is_blank: Which bytes are between chunks.
        is_mark: Which bytes are chunks of their own; empty for none.
        lowered: The letters, in lower case if the tokenizer has it so.
        blanks: The bytes that are between chunks.
    """

    is_blank: bytes
    is_mark: bytes
    lowered: bytes
    blanks: bytes


@functools.lru_cache(maxsize=8)
def _make_tables(tokenizer: Tokenizer) -> _Tables:
    is_bert = tokenizer.kind == "wordpiece"
    blanks = {byte for byte, other in enumerate(make_plain_table(tokenizer)) if other == _SPACE}
    if is_bert:
        blanks = {*_END} | blanks - {*NOT_BLANKS}
    marks = BERT_MARK if is_bert else MARK
    is_mark = b""
    if is_bert or tokenizer.punctuation:
        is_mark = bytes(marks.fullmatch(bytes([byte])) is not None for byte in range(256))
    lowered = bytes(range(256)).lower() if tokenizer.lowercase else bytes(range(256))
    is_blank = bytes(byte in blanks for byte in range(256))
    return _Tables(is_blank, is_mark, lowered, bytes(blanks))
