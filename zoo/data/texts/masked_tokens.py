"""Masked tokens: what a model that is pretrained on texts without labels has to predict.

Follows Devlin et al. 2018, 'BERT' (arXiv 1810.04805), section 3.1.
"""

import tensorflow as tf

from zoo.data.spec import Tokenizer

MASKED_SHARE = 0.15  # of the tokens of a text
_HIDDEN, _RANDOM = 0.8, 0.1  # of the masked tokens; the others stay as they are
_SPECIAL_TOKENS = ("", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def find_mask_token(tokenizer: Tokenizer) -> int:
    """Returns the id that hides a token: [MASK], or [UNK] in vocabularies of words or characters.

    Such a vocabulary has no token for masks. A word that is not in it and one that is hidden are
    the same to a model: a word to be guessed from the others.
    """
    name = "[MASK]" if "[MASK]" in tokenizer.vocabulary else "[UNK]"
    return tokenizer.vocabulary.index(name)


def mask_tokens(
    tokens: tf.Tensor, tokenizer: Tokenizer, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Masks 15% of the tokens of each text, one at least.

    Of these 80% are replaced by the mask, 10% by a random token, and 10% stay. Padding, unknown
    tokens and other special ones are never masked, and no random token is one of them.

    Args:
        tokens: int32 of shape (batch, length), padded with 0.
        tokenizer: The tokenizer of the tokens.
        seed: int64 of shape (2,).

    Returns:
        The tokens with masks, int32 (batch, length); the positions of the masked ones, int32
        (batch, masked), where `masked` is the largest number in a text; the tokens that were
        there, int32 (batch, masked); and 1 for masked tokens and 0 for padding, float32
        (batch, masked).
    """
    special = [i for i, x in enumerate(tokenizer.vocabulary) if x in _SPECIAL_TOKENS]
    regular = sorted({*range(len(tokenizer.vocabulary))} - {*special})
    order_seed, kind_seed, token_seed = tf.unstack(tf.random.split(seed, 3))
    is_regular = tf.reduce_all(tokens[:, :, None] != tf.constant(special, tokens.dtype), axis=2)
    draws = tf.random.stateless_uniform(tf.shape(tokens), order_seed)
    counts = _count_masked(tf.math.count_nonzero(is_regular, axis=1, dtype=tf.int32))
    masked = tf.maximum(tf.reduce_max(counts), 1)
    _, positions = tf.math.top_k(tf.where(is_regular, draws, -1.0), masked)
    is_masked = tf.range(masked)[None] < counts[:, None]
    targets = tf.gather(tokens, positions, batch_dims=1)

    kind = tf.random.stateless_uniform(tf.shape(targets), kind_seed)
    picks = tf.random.stateless_uniform(
        tf.shape(targets), token_seed, 0, max(len(regular), 1), tf.int32
    )
    random_tokens = tf.gather(tf.constant(regular or [0], tokens.dtype), picks)
    hidden = tf.fill(tf.shape(targets), tf.constant(find_mask_token(tokenizer), tokens.dtype))
    shown = tf.where(kind < _HIDDEN + _RANDOM, random_tokens, targets)
    shown = tf.where(kind < _HIDDEN, hidden, shown)
    rows = tf.broadcast_to(tf.range(tf.shape(tokens)[0])[:, None], tf.shape(positions))
    places = tf.boolean_mask(tf.stack([rows, positions], axis=2), is_masked)
    inputs = tf.tensor_scatter_nd_update(tokens, places, tf.boolean_mask(shown, is_masked))
    return inputs, positions, targets, tf.cast(is_masked, tf.float32)


def _count_masked(lengths: tf.Tensor) -> tf.Tensor:
    """Returns how many of `lengths` tokens are masked, at least one unless there is none."""
    counts = tf.cast(tf.round(MASKED_SHARE * tf.cast(lengths, tf.float32)), tf.int32)
    return tf.minimum(tf.maximum(counts, 1), lengths)
