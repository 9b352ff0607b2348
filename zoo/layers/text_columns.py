"""Turns the columns of texts of a table into vectors."""

import keras
from keras import layers, ops

from zoo.layers import masking


def embed_text_columns(
    features: keras.KerasTensor, texts: tuple[tuple[int, ...], ...], width: int
) -> list[keras.KerasTensor]:
    """Returns the mean of the embeddings of the tokens of each text, as fastText does.

    Source: Joulin et al. 2016, 'Bag of tricks for efficient text classification' (arXiv
    1607.01759).

    Args:
        features: float32 tensor of shape (batch, n), whose last features are token ids, padded
            with 0.
        texts: (vocabulary size, number of tokens) of each column of texts.
        width: Width of the embeddings. They are uniform within 1 / sqrt(width), as those of the
            other columns in Gorishniy et al. 2021 (arXiv 2106.11959).

    Returns:
        A float tensor of shape (batch, width) for each column.
    """
    start = features.shape[1] - sum(length for _, length in texts)
    vectors = []
    for number, (vocabulary_size, length) in enumerate(texts, 1):
        tokens = ops.cast(features[:, start : start + length], "int32")
        start += length
        # the first token counts in any case, so that the mean is defined
        mask = ops.concatenate(
            [ops.ones_like(tokens[:, :1], dtype="bool"), ops.not_equal(tokens[:, 1:], 0)], axis=1
        )
        embedding = layers.Embedding(
            vocabulary_size,
            width,
            embeddings_initializer=keras.initializers.RandomUniform(-(width**-0.5), width**-0.5),
            name=f"text_{number}",
        )
        vectors.append(masking.masked_mean(embedding(tokens), mask))
    return vectors
