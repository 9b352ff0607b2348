"""The tokens of a text as strings, in the order of their ids."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zoo.data.spec import Tokenizer
from zoo.data.texts.byte_pairs import BYTE_SYMBOLS
from zoo.data.texts.text_encoding import keep_first_tokens, split_texts
from zoo.data.texts.tokenizer_settings import RESERVED_TOKENS, SUBWORD_KINDS, UNKNOWN

SEPARATOR = "[SEP]"
_STARTS = ("[CLS]", "<s>")
_FRAME = (*_STARTS, SEPARATOR, "</s>")
_BLANK = "\u2581"  # a token that is the space before a word alone
_WORD_STARTS = {"byte_pair": "\u0120", "sentencepiece": "\u2581"}  # in place of a space


def read_tokens(ids: tf.Tensor, texts: list[tf.Tensor], tokenizer: Tokenizer) -> tf.Tensor:
    """Returns the tokens that ids stand for, in a graph too.

    Words and characters that the vocabulary lacks are themselves, and not "[UNK]". Subwords that
    continue a word begin with "##".

    Args:
        ids: int32 (batch, length), padded with 0, from `zoo.data.texts.text_encoding.make_encoder`.
        texts: The texts that they encode, one string tensor of shape (batch,), or two of pairs.
        tokenizer: The tokenizer.

    Returns:
        Strings of shape (batch, length), "" for the padding.
    """
    if tokenizer.kind in SUBWORD_KINDS:
        vocabulary = tf.constant(_show_subwords(tokenizer))
        return tf.where(ids == 0, "", tf.gather(vocabulary, ids))
    lengths = tf.math.count_nonzero(ids, axis=1, dtype=tf.int32)
    parts = [split_texts(text, tokenizer) for text in texts]
    if len(parts) == 2:
        separator_id = RESERVED_TOKENS.index(SEPARATOR)
        is_separator = tf.cast(ids == separator_id, tf.int32)
        first_lengths = tf.argmax(is_separator, axis=1, output_type=tf.int32)
        separators = tf.fill([tf.shape(ids)[0], 1], SEPARATOR)
        parts = [keep_first_tokens(parts[0], first_lengths), separators, parts[1]]
    joined = keep_first_tokens(tf.concat(parts, axis=1), lengths)
    tokens = joined.to_tensor("")
    rest = tf.shape(ids)[1] - tf.shape(tokens)[1]
    tokens = tf.pad(tokens, [[0, 0], [0, rest]], constant_values="")
    return tf.where((ids != 0) & (tokens == ""), "[UNK]", tokens)  # of an empty text


def _show_subwords(tokenizer: Tokenizer) -> list[str]:
    """Returns the tokens of a vocabulary as wordpieces are written: "##" continues a word."""
    if tokenizer.kind == "wordpiece":
        return list(tokenizer.vocabulary)
    marker, numbers = _WORD_STARTS[tokenizer.kind], {x: i for i, x in enumerate(BYTE_SYMBOLS)}
    shown = []
    for token in tokenizer.vocabulary:
        text = token.removeprefix(marker)
        if tokenizer.kind == "byte_pair" and {*text} <= numbers.keys():
            text = bytes(numbers[symbol] for symbol in text).decode("utf-8", "replace")
        is_start = token.startswith(marker) or token in (*_FRAME, *UNKNOWN)
        shown.append((text or _BLANK) if is_start else f"##{text}")
    return shown


def join_tokens(
    tokens: Sequence[str], attributions: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Joins the tokens of words, adds up their attributions, and omits the padding.

    The attribution of a pair of words, as tokenizers of bigrams have them, is divided between the
    two.

    Args:
        tokens: The tokens; subwords, which begin with [CLS] or <s>, with their "##".
        attributions: Their attributions, float32 (tokens,).

    Returns:
        The words, and their attributions, float32 (words,).
    """
    is_pieces = bool(tokens) and tokens[0] in _STARTS
    words: list[str] = []
    sums: list[float] = []
    carried = 0.0  # of a pair, to its second word
    for token, attribution in zip(tokens, attributions.tolist(), strict=True):
        if not token:
            continue
        if is_pieces and token.startswith("##") and words:
            if words[-1] in _FRAME:  # the first word of byte pairs has no space before it
                words.append("")
                sums.append(0.0)
            words[-1] += token.removeprefix("##")
            sums[-1] += attribution
        elif len(token.split()) == 2 and words:
            sums[-1] += attribution / 2
            carried = attribution / 2
        else:
            words.append("" if is_pieces and token == _BLANK else token)
            sums.append(attribution + carried)
            carried = 0.0
    if carried:  # the text was cut within the pair
        sums[-1] += carried
    return tuple(words), np.array(sums, "float32")
