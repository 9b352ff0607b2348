"""Splits texts of ASCII characters into words without TensorFlow, many times as fast.

The words are those of `zoo.data.text_encoding`, which splits all texts in exported graphs, and in
training those that have other characters, HTML entities or HTML tags other than line breaks.
"""

import re

from zoo.data.tokenizer_settings import Tokenizer

_CONTROLS = bytes([*range(32), 127])
_WHITE_SPACE = b"\t\n\r "
_CAPITALS, _LETTERS = bytes(range(65, 91)), bytes(range(97, 123))
_WORD = _CAPITALS + _LETTERS + b"0123456789'"
_LINE_BREAK = re.compile(rb"(?i)<br(?:[\t\n\f\r ][^<>]*)?/?>")
_ENTITY = re.compile(rb"&#?[A-Za-z0-9]{1,31};")
_MARK = re.compile(rb"[!-&(-/:-@\[-`{-~]")  # without the apostrophe, which belongs to words
_BERT_MARK = re.compile(rb"[!-/:-@\[-`{-~]")
_OUTER_APOSTROPHES = (re.compile(rb"(?:^| )'+"), re.compile(rb"'+(?: |\Z)"))


def has_plain_words(tokenizer: Tokenizer) -> bool:
    """Whether `split_plain_text` knows the words of this tokenizer."""
    kinds = {"words": "nfkc", "bigrams": "nfkc", "wordpiece": "bert"}
    return kinds.get(tokenizer.kind) == tokenizer.normalization


def make_plain_table(tokenizer: Tokenizer) -> bytes:
    """Returns the table for `bytes.translate` that lowercases letters and blanks what is no word.

    Punctuation marks stay, if the tokenizer has them.
    """
    table = bytearray(range(256))
    for byte in range(128):
        is_blank = byte in _CONTROLS
        if tokenizer.kind != "wordpiece" and not tokenizer.punctuation:
            is_blank = byte not in _WORD
        if is_blank:
            table[byte] = ord(" ")
    if tokenizer.lowercase:
        table[65:91] = _LETTERS
    return bytes(table)


def split_plain_text(text: str | bytes, tokenizer: Tokenizer, table: bytes) -> list[bytes] | None:
    """Returns the words of a text; None for a text that TensorFlow has to split.

    Args:
        text: The text.
        tokenizer: A tokenizer of which `has_plain_words` is true. Of bigrams, only the words are
            returned; of wordpieces, the words that are cut into pieces.
        table: From `make_plain_table`.
    """
    if not text.isascii():
        return None
    raw = text.encode() if isinstance(text, str) else text
    if tokenizer.kind == "wordpiece":
        kept = raw.translate(table, _CONTROLS.translate(None, _WHITE_SPACE))
        return _BERT_MARK.sub(rb" \g<0> ", kept).split()
    if b"<" in raw:
        raw = _LINE_BREAK.sub(b" ", raw)
        if b"<" in raw:
            return None
    if b"&" in raw and _ENTITY.search(raw):
        return None
    raw = raw.translate(table)
    if tokenizer.punctuation:
        raw = _MARK.sub(rb" \g<0> ", raw)
    if b"'" in raw:
        for pattern in _OUTER_APOSTROPHES:
            raw = pattern.sub(b" ", raw)
    return raw.split()
