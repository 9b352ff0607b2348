"""Splits ASCII texts into words without TensorFlow, many times as fast.

The words are those of `zoo.data.texts.text_encoding`, which splits all texts in exported graphs,
and in training what has other characters, HTML entities, or HTML tags other than line breaks.
"""

import re

from zoo.data.texts.tokenizer_settings import Tokenizer

_LETTERS = bytes(range(ord("a"), ord("z") + 1))
_WORD = _LETTERS + _LETTERS.upper() + b"0123456789'"
CONTROLS = bytes([*range(32), 127])
# what is white space to all tokenizers: BERT's removes other control characters
BLANKS = b"\t\n\r"  # and the space
NOT_BLANKS = CONTROLS.translate(None, BLANKS)
# no NUL, which is between the texts of a batch
LINE_BREAK = re.compile(rb"(?i)<br(?:[\t\n\f\r ][^<>\0]*)?/?>")
ENTITY = re.compile(rb"&#?[A-Za-z0-9]{1,31};")
_TO_SPACES = bytes.maketrans(BLANKS, b"   ")
_OTHER = re.compile(rb"([^ ]*[\x80-\xff][^ ]*)")
MARK = re.compile(rb"[!-&(-/:-@\[-`{-~]")  # without the apostrophe, which belongs to words
BERT_MARK = re.compile(rb"[!-/:-@\[-`{-~]")
_OUTER_APOSTROPHES = (re.compile(rb"(?:^| )'+"), re.compile(rb"'+(?: |\Z)"))


def has_plain_words(tokenizer: Tokenizer) -> bool:
    """Whether the words of ASCII texts can be found here."""
    kinds = {"words": "nfkc", "bigrams": "nfkc", "wordpiece": "bert"}
    return kinds.get(tokenizer.kind) == tokenizer.normalization


def separate_plain_parts(text: str | bytes, tokenizer: Tokenizer) -> list[bytes] | None:
    """Separates a text into parts that are ASCII and, between them, parts that are not.

    Args:
        text: The text.
        tokenizer: A tokenizer of which `has_plain_words` is true.

    Returns:
        The parts, of which every second one, [1::2], has no blanks but characters other than ASCII.
        None for a text that TensorFlow has to split as a whole.
    """
    raw = text.encode() if isinstance(text, str) else text
    if tokenizer.kind != "wordpiece":
        # before line breaks are removed: an entity in one, such as &gt;, may end its tag
        if b"&" in raw and ENTITY.search(raw):
            return None
        if b"<" in raw:
            raw = LINE_BREAK.sub(b" ", raw)
            if b"<" in raw:
                return None
    return [raw] if raw.isascii() else _OTHER.split(raw.translate(_TO_SPACES))


def make_plain_table(tokenizer: Tokenizer) -> bytes:
    """Returns a table for `bytes.translate`: letters in lower case, blanks for what is no word."""
    table = bytearray(range(256))
    for byte in range(128):
        has_marks = tokenizer.punctuation or tokenizer.kind == "wordpiece"
        if byte in CONTROLS if has_marks else byte not in _WORD:
            table[byte] = ord(" ")
    if tokenizer.lowercase:
        table[ord("A") : ord("Z") + 1] = _LETTERS
    return bytes(table)


def split_plain_part(part: bytes, tokenizer: Tokenizer, table: bytes) -> list[bytes]:
    """Returns the words of an ASCII part of a text.

    Args:
        part: One of [::2] of `separate_plain_parts`.
        tokenizer: The tokenizer. Of wordpieces, the words that are cut into pieces are returned.
        table: From `make_plain_table`.
    """
    if tokenizer.kind == "wordpiece":
        return BERT_MARK.sub(rb" \g<0> ", part.translate(table, NOT_BLANKS)).split()
    part = part.translate(table)
    if tokenizer.punctuation:
        part = MARK.sub(rb" \g<0> ", part)
    if b" '" in part or b"' " in part or part[:1] == b"'" or part[-1:] == b"'":
        for apostrophes in _OUTER_APOSTROPHES:
            part = apostrophes.sub(b" ", part)
    return part.split()
