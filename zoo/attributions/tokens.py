"""The tokens of a text as strings, in the order of their ids."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zoo.data.spec import Tokenizer
from zoo.data.text_encoding import RESERVED_TOKENS, keep_first_tokens, split_texts

SEPARATOR = "[SEP]"


def read_tokens(ids: tf.Tensor, texts: list[tf.Tensor], tokenizer: Tokenizer) -> tf.Tensor:
    """Returns the tokens that ids stand for, in a graph too.

    Words and characters that the vocabulary lacks are themselves, and not "[UNK]".

    Args:
        ids: int32 (batch, length), padded with 0, from `zoo.data.text_encoding.make_encoder`.
        texts: The texts that they encode, one string tensor of shape (batch,), or two of pairs.
        tokenizer: The tokenizer.

    Returns:
        Strings of shape (batch, length), "" for the padding.
    """
    if tokenizer.kind == "wordpiece":
        vocabulary = tf.constant(tokenizer.vocabulary)
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


def join_tokens(
    tokens: Sequence[str], attributions: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Joins the tokens of words, adds up their attributions, and omits the padding.

    The attribution of a pair of words, as tokenizers of bigrams have them, is divided between the
    two.

    Args:
        tokens: The tokens; pieces of wordpieces, which begin with [CLS], with their "##".
        attributions: Their attributions, float32 (tokens,).

    Returns:
        The words, and their attributions, float32 (words,).
    """
    is_pieces = bool(tokens) and tokens[0] == "[CLS]"
    words: list[str] = []
    sums: list[float] = []
    carried = 0.0  # of a pair, to its second word
    for token, attribution in zip(tokens, attributions.tolist(), strict=True):
        if not token:
            continue
        if is_pieces and token.startswith("##") and words:
            words[-1] += token.removeprefix("##")
            sums[-1] += attribution
        elif len(token.split()) == 2 and words:
            sums[-1] += attribution / 2
            carried = attribution / 2
        else:
            words.append(token)
            sums.append(attribution + carried)
            carried = 0.0
    if carried:  # the text was cut within the pair
        sums[-1] += carried
    return tuple(words), np.array(sums, "float32")
